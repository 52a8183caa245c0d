#include "command.h"

#include "base/cleanup.h"
#include "base/units.h"
#include "image/source.h"
#include "node/direct.h"
#include "node/pull.h"
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
  struct arena arena;
  struct image_reference reference;
  struct image_platform platform;
  struct image_source_options from;
  struct pull_options options;
  struct progress progress;
  char note[64];
  bool begun;
};

/* `docker://HOST/NAME` or, as podman pull takes it, without the transport. */
static int read_image(struct pulling *p, struct error *e) {
  if (!slice_starts(slice_str(p->image), SLICE("docker://"))) {
    return image_reference_parse_docker(slice_str(p->image), &p->arena, &p->reference, e);
  }
  return image_reference_parse(p->image, &p->arena, &p->reference, e);
}

/* Where to, and where beside it what is unfinished lies. */
static int read_destination(struct pulling *p, struct error *e) {
  struct image_reference to = {0};
  if (p->to == NULL) {
    return error_set(e, ERROR_USAGE, "--to oci:DIR[:NAME] is missing");
  }
  if (image_reference_parse(p->to, &p->arena, &to, e) != 0) {
    return error_context(e, "--to");
  }
  if (to.transport != IMAGE_OCI) {
    return error_set(e, ERROR_USAGE, "--to %s: oci:DIR[:NAME] is wanted", p->to);
  }
  struct slice unfinished = arena_printf(&p->arena, "%s.unfinished", to.path);
  p->options.folder = to.path;
  p->options.unfinished = unfinished.ptr;
  p->options.name = to.tag != NULL ? to.tag : p->reference.tag;
  return unfinished.ptr == NULL ? error_set(e, ERROR_FAILED, "out of memory") : 0;
}

static int read_rate(const char *name, const char *text, uint64_t *out, struct error *e) {
  *out = 0;
  return text == NULL || units_size(slice_str(text), out)
             ? 0
             : error_set(e, ERROR_USAGE, "--%s %s: bytes a second are wanted, such as 10MiB", name,
                         text);
}

static int read_port(const char *name, const char *text, uint16_t *out, struct error *e) {
  uint64_t port = 0;
  if (text != NULL && (!slice_u64(slice_str(text), &port) || port < 1024 || port > UINT16_MAX)) {
    return error_set(e, ERROR_USAGE, "--%s %s: a port from 1024 to 65535 is wanted", name, text);
  }
  *out = (uint16_t)port;
  return 0;
}

static int read_ports(const char *lower, const char *upper, struct bittorrent_options *out,
                      struct error *e) {
  if (read_port("lower-port", lower, &out->lower_port, e) != 0 ||
      read_port("upper-port", upper == NULL ? lower : upper, &out->upper_port, e) != 0) {
    return -1;
  }
  if (out->lower_port == 0 && upper != NULL) {
    return error_set(e, ERROR_USAGE, "--upper-port goes with --lower-port");
  }
  return out->upper_port < out->lower_port
             ? error_set(e, ERROR_USAGE, "--upper-port %s is below --lower-port %s", upper, lower)
             : 0;
}

/* The gateway is found by the option, or else in the environment. */
static int find_gateway(struct pulling *p, struct error *e) {
  if (p->options.gateway == NULL) {
    p->options.gateway = getenv("SWARMGATE_GATEWAY");
  }
  return p->options.gateway != NULL && p->options.gateway[0] != '\0'
             ? 0
             : error_set(e, ERROR_USAGE,
                         "no gateway is known: give --gateway URL, or set SWARMGATE_GATEWAY");
}

static void show(void *arg, const struct pull_progress *now) {
  static const char *const labels[] = {"hashing", "pulling", "seeding"};
  struct pulling *p = arg;
  uint64_t came = now->from_gateway + now->from_peers;
  if (!p->begun || p->progress.label != labels[now->phase]) {
    if (p->begun) {
      progress_end(&p->progress);
    }
    progress_start(&p->progress, labels[now->phase], now->size);
    p->begun = true;
  }
  snprintf(p->note, sizeof p->note, "%" PRIu32 " peers, %3.0f %% from peers", now->peers,
           came == 0 ? 0.0 : 100.0 * (double)now->from_peers / (double)came);
  p->progress.note = now->phase == PULL_ASKING ? NULL : p->note;
  p->progress.total = now->size;
  progress_set(&p->progress, now->done);
}

static void print_result(const struct pulling *p, const struct pull_result *r) {
  const struct pull_progress *sum = &r->progress;
  char size[UNITS_TEXT_MAX];
  char parts[3][UNITS_TEXT_MAX];
  units_print_size(sum->size, size);
  units_print_size(sum->from_peers, parts[0]);
  units_print_size(sum->from_gateway, parts[1]);
  units_print_size(sum->from_registry, parts[2]);
  printf("%s\n", r->digest);
  fprintf(stderr, "swarmgate: %s: %zu blobs, %s; %zu were there; %s from peers, %s from the %s\n",
          p->image, r->blobs, size, r->kept, parts[0], sum->from_registry > 0 ? parts[2] : parts[1],
          sum->from_registry > 0 ? "registry" : "gateway");
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

static void show_direct(void *arg, uint64_t done, uint64_t size) {
  struct pulling *p = arg;
  if (!p->begun) {
    progress_start(&p->progress, "registry", size);
    p->begun = true;
  }
  progress_set(&p->progress, done);
}

/* Straight from the registry; what has come out of the swarm is not fetched again. */
static int fall_back(struct pulling *p, struct pull_result *out, struct error *e) {
  const struct direct_options options = {.image = &p->reference,
                                         .from = &p->from,
                                         .folder = p->options.folder,
                                         .unfinished = p->options.unfinished,
                                         .name = p->options.name,
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
  return status;
}

/* What another way may do better: not what was denied, and not what was asked wrongly. */
static bool may_fall_back(const struct pull_result *r, const struct error *e) {
  return !r->interrupted && e->kind != ERROR_DENIED && e->kind != ERROR_USAGE;
}

static int run(struct pulling *p, struct error *e) {
  struct pull_result result;
  p->options.image = &p->reference;
  p->options.from = &p->from;
  p->options.progress = show;
  p->options.arg = p;
  int status = pull_run(&p->options, &result, e);
  if (p->begun) {
    progress_end(&p->progress);
  }
  if (status != 0 && may_fall_back(&result, e)) {
    status = fall_back(p, &result, e);
    if (p->begun) {
      progress_end(&p->progress);
    }
  }
  if (status != 0) {
    return error_context(e, "%s", p->image);
  }
  if (p->json) {
    return print_json(p, &result, e);
  }
  print_result(p, &result);
  return 0;
}

int command_pull(int argc, char **argv, struct error *e) {
  struct pulling p = {.from.tls_verify = true};
  const char *lower = NULL;
  const char *upper = NULL;
  const char *upload = NULL;
  const char *download = NULL;
  const char *seed_for = NULL;
  const struct args_option options[] = {
      {.name = "to", .value = &p.to},
      {.name = "gateway", .value = &p.options.gateway},
      {.name = "insecure", .flag = &p.options.insecure},
      {.name = "platform", .value = &p.options.platform},
      {.name = "seed-for", .value = &seed_for},
      {.name = "lower-port", .value = &lower},
      {.name = "upper-port", .value = &upper},
      {.name = "upload-rate", .value = &upload},
      {.name = "download-rate", .value = &download},
      {.name = "skip-webseed", .flag = &p.options.skip_webseed},
      {.name = "json", .flag = &p.json},
      {.name = "authfile", .value = &p.from.authfile},
      {.name = "creds", .value = &p.from.creds},
      {.name = "cert-dir", .value = &p.from.cert_dir},
      {.name = "tls-verify", .truth = &p.from.tls_verify},
  };
  char **operands;
  int count;
  int64_t seconds = 0;
  if (args_read(argc, argv, options, sizeof options / sizeof *options, 1, 1, &operands, &count,
                e) != 0 ||
      args_seconds("seed-for", seed_for, 0, &seconds, e) != 0 ||
      read_rate("upload-rate", upload, &p.options.bittorrent.upload_rate, e) != 0 ||
      read_rate("download-rate", download, &p.options.bittorrent.download_rate, e) != 0 ||
      read_ports(lower, upper, &p.options.bittorrent, e) != 0) {
    return -1;
  }
  p.image = operands[0];
  p.options.seed_ms = (uint64_t)seconds * 1000;
  int result = read_image(&p, e);
  if (result == 0 && p.options.platform != NULL) {
    result = image_platform_parse(p.options.platform, &p.arena, &p.platform, e);
    p.from.platform = &p.platform;
  }
  if (result == 0 && (result = read_destination(&p, e)) == 0 &&
      (result = find_gateway(&p, e)) == 0) {
    result = run(&p, e);
  }
  arena_free(&p.arena);
  return result;
}
