#include "command.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/units.h"
#include "node/deliver.h"
#include "node/direct.h"
#include "node/unfinished.h"
#include "node_args.h"
#include "progress.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What was asked for. */
struct pulling {
  const char *image, *to;
  bool json;
  struct node_args args;
  struct pull_options options;
  struct destination destination;
  struct unfinished *unfinished;
  bool delivering, delivered; /* all is here: what goes wrong now another way does no better */
  struct progress progress;
  char note[64];
  bool begun;
  struct pull_result result;
  bool switched;             /* to the registry, and said so */
  bool told;                 /* what came of it, before the seeding */
  struct progress_row *rows; /* a blob each */
};

static int read_destination(struct pulling *p, struct error *e) {
  struct arena *arena = &p->args.arena;
  if (destination_parse(p->to, &p->args.reference, arena, &p->destination, e) != 0 ||
      destination_check(&p->destination, arena, e) != 0) {
    return -1;
  }
  return p->json && p->destination.kind == DESTINATION_OUTPUT
             ? error_set(e, ERROR_USAGE,
                         "--json and --to - both want standard output: give one of them")
             : 0;
}

static const char *or_nothing(const char *text) {
  return text == NULL ? "" : text;
}

/* Where what is unfinished lies, and the layout too unless that is the destination itself. */
static int open_unfinished(struct pulling *p, struct error *e) {
  const struct destination *to = &p->destination;
  bool direct = to->kind == DESTINATION_OCI;
  struct slice key = arena_printf(
      &p->args.arena, "%d %s %s %s %s %s", (int)to->kind, or_nothing(to->store),
      or_nothing(to->space), or_nothing(to->name), p->image, or_nothing(p->args.platform_text));
  if (key.ptr == NULL) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  int result = to->path != NULL
                   ? unfinished_beside(to->path, &p->unfinished, e)
                   : unfinished_private(key.ptr, to->kind == DESTINATION_OUTPUT, &p->unfinished, e);
  if (result == 0) {
    p->options.folder = direct ? to->path : unfinished_layout(p->unfinished);
    p->options.name = direct ? to->name : NULL;
    p->options.unfinished = unfinished_folder(p->unfinished);
  }
  return result;
}

static void print_result(const struct pulling *p, const struct pull_result *r);

/* The image is there: what is still to come is for others. */
static void show_seeding(struct pulling *p) {
  char left[UNITS_TEXT_MAX];
  if (p->begun) {
    progress_end(&p->progress);
  }
  p->begun = false;
  if (p->told || p->json) {
    return;
  }
  p->told = true;
  print_result(p, &p->result);
  units_print_duration(p->options.seed_ms / 1000, left);
  fprintf(stderr, "swarmgate: %s: seeding for %s\n", p->image, left);
}

/* Once, when the registry is first asked for pieces. */
static void show_switch(struct pulling *p) {
  if (!p->switched) {
    p->switched = true;
    if (p->begun) {
      progress_end(&p->progress);
    }
    fprintf(stderr, "swarmgate: %s: the gateway is away; going on with the registry itself\n",
            p->image);
  }
}

/* A row for each blob, by the first digits of its digest. */
static void show_blobs(struct pulling *p, const struct pull_progress *now) {
  enum { DIGITS = 12 };
  if (p->rows == NULL) {
    p->rows = arena_alloc(&p->args.arena, (now->blob_count + 1) * sizeof *p->rows);
  }
  for (size_t i = 0; p->rows != NULL && i < now->blob_count; i++) {
    const struct pull_blob *blob = &now->blobs[i];
    struct slice hex = slice_from(slice_str(blob->digest), sizeof "sha256:" - 1);
    if (p->rows[i].label == NULL) {
      p->rows[i].label = arena_printf(&p->args.arena, "%.*s", DIGITS, hex.ptr).ptr;
    }
    p->rows[i].done = blob->done;
    p->rows[i].total = blob->size;
    if (p->rows[i].label == NULL) {
      return;
    }
  }
  p->progress.rows = p->rows;
  p->progress.row_count = p->rows == NULL ? 0 : now->blob_count;
}

/* What has not come is found: rate and time left are of the network. */
static void show_swarm(struct pulling *p, const struct pull_progress *now) {
  uint64_t came = now->from_gateway + now->from_peers + now->from_registry;
  snprintf(p->note, sizeof p->note, "%" PRIu32 " peer%s, %.0f%% from peers", now->peers,
           progress_plural(now->peers),
           came == 0 ? 0.0 : 100.0 * (double)now->from_peers / (double)came);
  p->progress.note = p->note;
  p->progress.found = now->done > came ? now->done - came : 0;
  show_blobs(p, now);
}

static void show(void *arg, const struct pull_progress *now) {
  static const char *const labels[] = {"hashing", "pulling"};
  struct pulling *p = arg;
  if (now->phase == PULL_SEEDING) {
    show_seeding(p);
    return;
  }
  if (now->from_registry > 0) {
    show_switch(p);
  }
  if (!p->begun || p->progress.label != labels[now->phase]) {
    if (p->begun) {
      progress_end(&p->progress);
    }
    progress_start(&p->progress, labels[now->phase], now->size);
    p->begun = true;
  }
  if (now->phase == PULL_FETCHING) {
    show_swarm(p, now);
  }
  p->progress.total = now->size;
  progress_set(&p->progress, now->done);
}

/* --- from the layout to the destination --- */

static void show_delivery(void *arg, uint64_t done, uint64_t size) {
  struct pulling *p = arg;
  p->progress.total = size;
  progress_set(&p->progress, done);
}

/* What is done now: a program that is given an image says nothing until it has it. */
static void say_delivery(struct pulling *p) {
  const struct destination *to = &p->destination;
  const char *what = to->kind == DESTINATION_STORAGE      ? "loading into podman's storage"
                     : to->kind == DESTINATION_CONTAINERD ? "loading into containerd"
                     : to->kind == DESTINATION_OUTPUT     ? "writing to standard output"
                                                          : NULL;
  CLEANUP(buf_free) struct buf text = {0};
  buf_printf(&text, "%s%s", what == NULL ? "writing " : what, what == NULL ? to->path : "");
  progress_say(&p->progress, text.failed ? "delivering" : text.ptr);
}

static struct deliver_options begin_delivery(struct pulling *p, const struct pull_result *so_far) {
  if (p->begun) {
    progress_end(&p->progress);
  }
  progress_start(&p->progress, "delivering", 0);
  say_delivery(p);
  p->begun = true;
  p->delivering = true;
  return (struct deliver_options){
      .to = &p->destination,
      .layout = p->options.folder,
      .digest = so_far->digest,
      .making = p->destination.path == NULL ? NULL : unfinished_making(p->unfinished),
      .platform = p->args.platform_text,
      .stop = -1,
      .progress = show_delivery,
      .arg = p};
}

/* On another thread, which has the progress for itself meanwhile. */
static int deliver_image(void *arg, const struct pull_result *so_far, int stop, struct error *e) {
  struct pulling *p = arg;
  struct deliver_options options = begin_delivery(p, so_far);
  options.stop = stop;
  p->delivered = deliver(&options, e) == 0;
  return p->delivered ? 0 : -1;
}

/* --- what came of it --- */

/* `, 1.2 GiB from peers`, of what has come at all. */
static void print_part(uint64_t bytes, const char *whom) {
  char size[UNITS_TEXT_MAX];
  if (bytes > 0) {
    units_print_size(bytes, size);
    fprintf(stderr, ", %s from %s", size, whom);
  }
}

static void print_result(const struct pulling *p, const struct pull_result *r) {
  const struct pull_progress *sum = &r->progress;
  char size[UNITS_TEXT_MAX];
  units_print_size(sum->size, size);
  fprintf(p->destination.kind == DESTINATION_OUTPUT ? stderr : stdout, "%s\n", r->digest);
  fflush(stdout);
  fprintf(stderr, "swarmgate: %s: %zu blob%s, %s", p->image, r->blobs, progress_plural(r->blobs),
          size);
  if (r->kept > 0) {
    fprintf(stderr, ", %zu of them there before", r->kept);
  }
  print_part(sum->from_peers, "peers");
  print_part(sum->from_gateway, "the gateway");
  print_part(sum->from_registry, "the registry");
  fputc('\n', stderr);
  if (r->no_index && p->args.platform_text != NULL) {
    fprintf(stderr,
            "swarmgate: %s: it is no index, but an image of one platform alone, whatever "
            "--platform says\n",
            p->image);
  }
}

/* The end of the seeding. */
static void print_sent(const struct pulling *p) {
  char sent[UNITS_TEXT_MAX];
  units_print_size(p->result.progress.uploaded, sent);
  fprintf(stderr, "swarmgate: %s: seeded, %s sent\n", p->image, sent);
}

static int print_json(const struct pulling *p, const struct pull_result *r, struct error *e) {
  json_t *json = json_pack(
      "{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "image", p->image, "digest", r->digest,
      "blobs", (json_int_t)r->blobs, "kept", (json_int_t)r->kept, "size",
      (json_int_t)r->progress.size, "from_peers", (json_int_t)r->progress.from_peers,
      "from_gateway", (json_int_t)r->progress.from_gateway, "from_registry",
      (json_int_t)r->progress.from_registry, "uploaded", (json_int_t)r->progress.uploaded);
  CLEANUP_FREE char *text = json == NULL ? NULL : json_dumps(json, JSON_INDENT(2));
  json_decref(json);
  if (text == NULL) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  puts(text);
  return 0;
}

/* --- another way --- */

static void show_direct(void *arg, uint64_t done, uint64_t kept, uint64_t size) {
  struct pulling *p = arg;
  if (!p->begun) {
    progress_start(&p->progress, "registry", size);
    p->begun = true;
  }
  p->progress.found = kept;
  progress_set(&p->progress, done);
}

/* Straight from the registry; what has come out of the swarm is not fetched again. */
static int fall_back(struct pulling *p, struct pull_result *out, struct error *e) {
  const struct direct_options options = {.image = &p->args.reference,
                                         .from = &p->args.from,
                                         .folder = p->options.folder,
                                         .unfinished = p->options.unfinished,
                                         .name = p->options.name,
                                         .stop = -1,
                                         .progress = show_direct,
                                         .arg = p};
  struct direct_result result;
  fprintf(stderr, "swarmgate: %s: %s; going on with the registry itself\n", p->image, e->text);
  p->begun = false;
  int status = direct_pull(&options, &result, e);
  *out = (struct pull_result){
      .blobs = result.blobs,
      .kept = result.kept,
      .progress = {.done = result.size, .size = result.size, .from_registry = result.fetched}};
  snprintf(out->digest, sizeof out->digest, "%s", result.digest);
  if (status == 0 && p->options.deliver != NULL) {
    const struct deliver_options delivery = begin_delivery(p, out);
    status = deliver_alone(&delivery, e);
  }
  return status;
}

/* What another way may do better: not what was denied, and not what was asked wrongly. */
static bool may_fall_back(const struct pulling *p, const struct pull_result *r,
                          const struct error *e) {
  return !r->interrupted && !r->here && !p->delivering && e->kind != ERROR_DENIED &&
         e->kind != ERROR_USAGE;
}

/* A second pull has only that left to do. */
static int blame_delivery(const struct pulling *p, struct error *e) {
  const struct error why = *e;
  return error_set(e, why.kind, "%s: %s; what was fetched is kept in %s", p->image, why.text,
                   p->options.unfinished);
}

static int run(struct pulling *p, struct error *e) {
  p->options.progress = show;
  p->options.deliver = p->destination.kind == DESTINATION_OCI ? NULL : deliver_image;
  p->options.arg = p;
  int status = pull_run(&p->options, &p->result, e);
  if (p->begun) {
    progress_end(&p->progress);
  }
  if (status != 0 && may_fall_back(p, &p->result, e)) {
    status = fall_back(p, &p->result, e);
    if (p->begun) {
      progress_end(&p->progress);
    }
  }
  if (status != 0) {
    return p->delivering && !p->delivered && !p->result.interrupted
               ? blame_delivery(p, e)
               : error_context(e, "%s", p->image);
  }
  if (p->json) {
    return print_json(p, &p->result, e);
  }
  if (p->told) {
    print_sent(p);
  } else {
    print_result(p, &p->result);
  }
  return 0;
}

int command_pull(int argc, char **argv, struct error *e) {
  struct pulling p = {.args.from.tls_verify = true};
  const char *seed_for = NULL;
  const struct args_option options[] = {
      NODE_ARGS_OPTIONS(&p.args),
      {.name = "to", .value = &p.to},
      {.name = "seed-for", .value = &seed_for},
      {.name = "skip-webseed", .flag = &p.options.skip_webseed},
      {.name = "json", .flag = &p.json},
  };
  char **operands;
  int count;
  int64_t seconds = 0;
  if (args_read(argc, argv, options, sizeof options / sizeof *options, 1, 1, &operands, &count,
                e) != 0 ||
      args_seconds("seed-for", seed_for, 0, &seconds, e) != 0) {
    return -1;
  }
  p.image = operands[0];
  p.options.seed_ms = (uint64_t)seconds * 1000;
  int result = node_args_check(&p.args, p.image, e);
  if (result == 0 && (result = read_destination(&p, e)) == 0 &&
      (result = open_unfinished(&p, e)) == 0) {
    node_args_fill(&p.args, &p.options);
    result = run(&p, e);
  }
  unfinished_close(p.unfinished, result == 0 || p.delivered);
  arena_free(&p.args.arena);
  return result;
}
