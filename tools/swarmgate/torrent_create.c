#include "command.h"

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/hex.h"
#include "base/units.h"
#include "image/source.h"
#include "output.h"
#include "progress.h"
#include "registration.h"
#include "tools/swarm.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_MAX_LEN = sizeof "sha256-" + 64 };

/* What was asked for, and what comes of it. */
struct creation {
  const char *source, *config_path;
  struct output output; /* without a folder nothing is written */
  struct registration registration;
  struct args_list announce, webseeds;
  enum torrent_format format;
  uint32_t piece_length; /* 0: auto */
  bool json, registers;

  struct config config;
  struct swarm_ca *swarm_ca; /* of the gateway that hands them out; NULL: none */
  struct image_source *image;
  struct arena arena; /* holds the torrents until they are registered, all in one transaction */
  size_t begun;       /* blobs, for the progress */
  json_t *name;       /* the source, as index.json has it */
  json_t *blobs;
};

static int read_format(const char *text, enum torrent_format *out, struct error *e) {
  if (text == NULL || strcmp(text, "v1") == 0) {
    *out = TORRENT_V1;
  } else if (strcmp(text, "v2") == 0) {
    *out = TORRENT_V2;
  } else if (strcmp(text, "hybrid") == 0) {
    *out = TORRENT_HYBRID;
  } else {
    return error_set(e, ERROR_USAGE, "--format %s: v1, v2 or hybrid is wanted", text);
  }
  return 0;
}

static int read_piece_length(const char *text, uint32_t *out, struct error *e) {
  uint64_t bytes;
  *out = 0;
  if (text == NULL || strcmp(text, "auto") == 0) {
    return 0;
  }
  if (!slice_u64(slice_str(text), &bytes) || bytes < TORRENT_PIECE_MIN ||
      bytes > TORRENT_PIECE_MAX || (bytes & (bytes - 1)) != 0) {
    return error_set(e, ERROR_USAGE,
                     "--piece-length %s: auto or a power of two from %d to %d is wanted", text,
                     TORRENT_PIECE_MIN, TORRENT_PIECE_MAX);
  }
  *out = (uint32_t)bytes;
  return 0;
}

struct feeding {
  struct hasher *hasher; /* NULL once it has ended */
  struct hashes *hashes;
  struct progress progress;
};

static int feed(void *arg, struct slice bytes, struct error *e) {
  struct feeding *f = arg;
  progress_add(&f->progress, bytes.len);
  return hasher_feed(f->hasher, bytes, e);
}

static int finish(void *arg, unsigned char sha256[32], struct error *e) {
  struct feeding *f = arg;
  struct hasher *hasher = f->hasher;
  f->hasher = NULL;
  if (hasher_finish(hasher, f->hashes, e) != 0) {
    return -1;
  }
  memcpy(sha256, f->hashes->sha256, sizeof f->hashes->sha256);
  return 0;
}

/* Reading checks the blob's digest, or finds it where the source could not know it before. */
static int hash_blob(struct creation *c, const struct image_descriptor *blob, struct hashes *out,
                     struct error *e) {
  struct feeding f = {.hashes = out};
  char label[NAME_MAX_LEN + 64]; /* `2/7 0123456789ab…` */
  size_t count;
  image_source_blobs(c->image, &count);
  const struct hasher_options options = {
      .format = c->format,
      .size = blob->size,
      .piece_length = c->piece_length == 0 ? torrent_piece_length(blob->size) : c->piece_length,
      .digest = true};
  if (hasher_new(&options, &f.hasher, e) != 0) {
    return -1;
  }
  snprintf(label, sizeof label, "%zu/%zu %s", c->begun, count,
           blob->digest == NULL ? "" : blob->digest + sizeof "sha256:" - 1);
  progress_start(&f.progress, blob->digest == NULL ? c->source : label, blob->size);
  int result = image_source_read(c->image, blob, feed, finish, &f, e);
  progress_end(&f.progress);
  hasher_cancel(f.hasher);
  return result;
}

/* An empty blob has no torrent, but a registry may lie about one as well. */
static int refuse_bytes(void *arg, struct slice bytes, struct error *e) {
  (void)arg;
  return bytes.len == 0 ? 0 : error_set(e, ERROR_MISMATCH, "a blob that should be empty is not");
}

static int write_torrent(struct creation *c, struct metainfo m, const char *file, struct error *e) {
  struct slice announce[ARGS_LIST_MAX];
  struct slice webseeds[ARGS_LIST_MAX];
  struct buf bytes = {0};
  for (size_t i = 0; i < c->announce.count; i++) {
    announce[i] = slice_str(c->announce.items[i]);
  }
  for (size_t i = 0; i < c->webseeds.count; i++) {
    webseeds[i] = slice_str(c->webseeds.items[i]);
  }
  m.announce = announce;
  m.announce_count = c->announce.count;
  m.webseeds = webseeds;
  m.webseed_count = c->webseeds.count;
  int result = metainfo_write(&m, &bytes, e);
  if (result == 0) {
    result = output_torrent(&c->output, file, buf_view(&bytes), e);
  }
  buf_free(&bytes);
  return result;
}

/* Fills a blob's place in index.json, as the contract's section Torrents has it. */
static int add_entry(struct creation *c, const struct image_descriptor *blob,
                     const struct metainfo *m, const char *file, struct error *e) {
  char v1[41];
  char v2[65];
  json_t *entry = json_pack("{s:s, s:I, s:s*}", "digest", blob->digest, "size",
                            (json_int_t)blob->size, "mediaType", blob->media_type);
  if (m != NULL && (m->format & TORRENT_V1) != 0) {
    hex_encode(m->infohash, sizeof m->infohash, v1);
    json_object_set_new(entry, "infohash", json_string(v1));
  }
  if (m != NULL && (m->format & TORRENT_V2) != 0) {
    hex_encode(m->infohash_v2, sizeof m->infohash_v2, v2);
    json_object_set_new(entry, "infohash_v2", json_string(v2));
  }
  if (file != NULL) {
    json_object_set_new(entry, "file", json_string(file));
  }
  size_t count;
  const struct image_descriptor *first = image_source_blobs(c->image, &count);
  if (entry == NULL || json_array_set_new(c->blobs, (size_t)(blob - first), entry) != 0) {
    return error_set(e, ERROR_FAILED, "cannot list %s: out of memory", blob->digest);
  }
  return 0;
}

static int create_one(struct creation *c, const struct image_descriptor *blob, struct error *e) {
  struct hashes hashes = {0};
  struct metainfo m = {0};
  c->begun++;
  char name[NAME_MAX_LEN];
  char file[NAME_MAX_LEN + sizeof ".torrent"];
  if (blob->size == 0) {
    return image_source_read(c->image, blob, refuse_bytes, NULL, NULL, e) != 0
               ? -1
               : add_entry(c, blob, NULL, NULL, e);
  }
  if (hash_blob(c, blob, &hashes, e) != 0) {
    hashes_free(&hashes);
    return -1;
  }
  snprintf(name, sizeof name, "sha256-%s", blob->digest + sizeof "sha256:" - 1);
  snprintf(file, sizeof file, "%s.torrent", name);
  int result =
      metainfo_make(&hashes, slice_str(name), swarm_ca_certificate(c->swarm_ca), &c->arena, &m, e);
  hashes_free(&hashes);
  if (result == 0 && c->output.folder != NULL) {
    result = write_torrent(c, m, file, e);
  }
  if (result == 0) {
    result = add_entry(c, blob, &m, c->output.folder == NULL ? NULL : file, e);
  }
  if (result == 0 && c->registers) {
    result = registration_add(&c->registration, &m, blob->digest, &c->arena, e);
  }
  return result;
}

/* What index.json holds. */
static int render_index(const struct creation *c, struct buf *out, struct error *e) {
  json_t *index = json_pack("{s:O, s:s*, s:O}", "image", c->name, "digest",
                            image_source_digest(c->image), "blobs", c->blobs);
  char *text = index == NULL ? NULL : json_dumps(index, JSON_INDENT(2));
  if (text != NULL) {
    buf_str(out, text);
    buf_str(out, "\n");
  }
  bool failed = text == NULL || out->failed;
  free(text);
  json_decref(index);
  return failed ? error_set(e, ERROR_FAILED, "cannot write index.json: out of memory") : 0;
}

static void print_lines(const struct creation *c) {
  char size[UNITS_TEXT_MAX];
  size_t i;
  json_t *blob;
  json_array_foreach(c->blobs, i, blob) {
    const char *infohash = json_string_value(json_object_get(blob, "infohash"));
    const char *v2 = json_string_value(json_object_get(blob, "infohash_v2"));
    units_print_size((uint64_t)json_integer_value(json_object_get(blob, "size")), size);
    printf("%s  %s\n  %s\n",
           infohash != NULL ? infohash
           : v2 != NULL     ? v2
                            : "empty, no torrent",
           size, json_string_value(json_object_get(blob, "digest")));
  }
}

/* When to read which blob. */
struct turn {
  uint64_t position;
  const struct image_descriptor *blob;
};

static int by_position(const void *a, const void *b) {
  const struct turn *x = a;
  const struct turn *y = b;
  return x->position != y->position ? (x->position > y->position) - (x->position < y->position)
                                    : (x->blob > y->blob) - (x->blob < y->blob);
}

/* The blobs in the order that the source reads best, with as many places in c->blobs. */
static struct turn *take_turns(struct creation *c, size_t *count) {
  const struct image_descriptor *blobs = image_source_blobs(c->image, count);
  struct turn *turns = arena_alloc(&c->arena, (*count + 1) * sizeof *turns);
  c->blobs = json_array();
  if (turns == NULL || c->blobs == NULL) {
    return NULL;
  }
  for (size_t i = 0; i < *count; i++) {
    turns[i] = (struct turn){image_source_position(c->image, &blobs[i]), &blobs[i]};
    if (json_array_append_new(c->blobs, json_null()) != 0) {
      return NULL;
    }
  }
  qsort(turns, *count, sizeof *turns, by_position);
  return turns;
}

static int create_all(struct creation *c, struct error *e) {
  size_t count;
  const struct turn *turns = take_turns(c, &count);
  if (turns == NULL) {
    return error_set(e, ERROR_FAILED, "%s: out of memory", c->source);
  }
  if (c->output.folder != NULL && file_make_folders(c->output.folder, e) != 0) {
    return -1;
  }
  for (size_t i = 0; i < count; i++) {
    if (create_one(c, turns[i].blob, e) != 0) {
      return -1;
    }
  }
  /* Registered last: nothing that may fail comes behind it. */
  CLEANUP(buf_free) struct buf index = {0};
  if (render_index(c, &index, e) != 0 ||
      (c->output.folder != NULL && output_index(&c->output, buf_view(&index), e) != 0) ||
      (c->registers && registration_commit(&c->registration, e) != 0)) {
    return -1;
  }
  size_t foreign = image_source_foreign(c->image);
  if (foreign > 0) {
    fprintf(stderr,
            "swarmgate: %zu foreign layer%s left out: where there are URLs for it, they are not "
            "followed\n",
            foreign, foreign == 1 ? " is" : "s are");
  }
  if (c->json) {
    fwrite(index.ptr, 1, index.len, stdout);
  } else {
    print_lines(c);
  }
  return 0;
}

int command_torrent_create(int argc, char **argv, struct error *e) {
  struct creation c = {0};
  struct image_source_options from = {.tls_verify = true};
  const char *format = NULL;
  const char *piece_length = NULL;
  const char *platform_text = NULL;
  const struct args_option options[] = {
      {.name = "output", .value = &c.output.folder},
      {.name = "announce", .list = &c.announce},
      {.name = "webseed", .list = &c.webseeds},
      {.name = "format", .value = &format},
      {.name = "piece-length", .value = &piece_length},
      {.name = "platform", .value = &platform_text},
      {.name = "all", .flag = &from.all},
      {.name = "json", .flag = &c.json},
      {.name = "register", .flag = &c.registers},
      {.name = "config", .value = &c.config_path},
      {.name = "registry", .value = &c.registration.registry},
      {.name = "repository", .value = &c.registration.repository},
      {.name = "authfile", .value = &from.authfile},
      {.name = "creds", .value = &from.creds},
      {.name = "cert-dir", .value = &from.cert_dir},
      {.name = "tls-verify", .truth = &from.tls_verify},
  };
  char **operands;
  int count;
  struct image_platform platform = {0};
  struct image_reference reference = {0};
  if (args_read(argc, argv, options, sizeof options / sizeof *options, 1, 1, &operands, &count,
                e) != 0 ||
      read_format(format, &c.format, e) != 0 ||
      read_piece_length(piece_length, &c.piece_length, e) != 0 ||
      args_check_urls("announce", &c.announce, e) != 0 ||
      args_check_urls("webseed", &c.webseeds, e) != 0) {
    return -1;
  }
  if (from.all && platform_text != NULL) {
    return error_set(e, ERROR_USAGE,
                     "--all takes every platform, --platform one: give one of them");
  }
  c.source = operands[0];
  if (c.output.folder == NULL && !c.registers) {
    c.output.folder = ".";
  }
  c.name = json_string(c.source);
  int result = c.name == NULL
                   ? error_set(e, ERROR_USAGE, "SOURCE is not UTF-8, as index.json has to be")
                   : image_reference_parse(c.source, &c.arena, &reference, e);
  if (result == 0 && platform_text != NULL) {
    result = image_platform_parse(platform_text, &c.arena, &platform, e);
    from.platform = &platform;
  }
  if (result == 0 && c.registers) {
    result = command_config_here(c.config_path, &c.config, e);
    if (result == 0) {
      /* What the gateway of that configuration hands out. */
      c.format = format == NULL ? (enum torrent_format)c.config.gateway.format : c.format;
      result = swarm_load(&c.config, &c.swarm_ca, e) != 0
                   ? -1
                   : registration_open(&c.registration, &c.config, &reference, e);
    }
  } else if (result == 0 && (c.config_path != NULL || c.registration.registry != NULL ||
                             c.registration.repository != NULL)) {
    result = error_set(e, ERROR_USAGE, "--config, --registry and --repository go with --register");
  }
  if (result == 0) {
    result = image_source_open(&reference, &from, &c.image, e);
  }
  if (result == 0 && (result = create_all(&c, e)) != 0) {
    output_discard(&c.output);
  }
  output_close(&c.output);
  json_decref(c.name);
  json_decref(c.blobs);
  image_source_close(c.image);
  registration_close(&c.registration);
  swarm_ca_release(c.swarm_ca);
  config_free(&c.config);
  arena_free(&c.arena);
  return result;
}
