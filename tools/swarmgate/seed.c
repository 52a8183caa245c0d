#include "command.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/units.h"
#include "node/alone.h"
#include "node/direct.h"
#include "node/export.h"
#include "node_args.h"
#include "progress.h"

#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PLAIN_EVERY_MS = 60 * 1000 };

struct seeding {
  const char *image, *from;
  struct node_args args;
  struct pull_options options;
  struct image_reference source; /* of --from */
  struct destination runtime;    /* likewise, where that is a runtime's storage */
  char *folder;                  /* of our own, for what is not seeded from where it lies */
  struct progress progress;
  bool begun;
  uint64_t told_ms;
};

/* --- what is told --- */

static void show_fetching(struct seeding *s, uint64_t done, uint64_t found, uint64_t size) {
  if (!s->begun) {
    progress_start(&s->progress, s->from == NULL ? "pulling" : "reading", size);
    s->begun = true;
  }
  s->progress.found = found;
  s->progress.total = size;
  progress_set(&s->progress, done);
}

static void show_seeding(struct seeding *s, const struct pull_progress *now) {
  char sent[UNITS_TEXT_MAX];
  uint64_t time = clock_monotonic_ms();
  bool terminal = isatty(STDERR_FILENO) == 1;
  units_print_size(now->uploaded, sent);
  if (s->begun) {
    progress_end(&s->progress);
    s->begun = false;
  }
  if (terminal) {
    fprintf(stderr, "\r\x1b[Kseeding %s: %" PRIu32 " peer%s, %s sent", s->image, now->peers,
            progress_plural(now->peers), sent);
  } else if (s->told_ms == 0 || time - s->told_ms >= PLAIN_EVERY_MS) {
    fprintf(stderr, "seeding %s: %" PRIu32 " peer%s, %s sent\n", s->image, now->peers,
            progress_plural(now->peers), sent);
    s->told_ms = time;
  }
}

static void show(void *arg, const struct pull_progress *now) {
  struct seeding *s = arg;
  if (now->phase == PULL_SEEDING) {
    show_seeding(s, now);
  } else {
    uint64_t came = now->from_gateway + now->from_peers + now->from_registry;
    show_fetching(s, now->done, now->done > came ? now->done - came : 0, now->size);
  }
}

static void show_copy(void *arg, uint64_t done, uint64_t kept, uint64_t size) {
  show_fetching(arg, done, kept, size);
}

/* --- where it is seeded from --- */

static int make_folder(struct seeding *s, struct error *e) {
  const char *parent = getenv("TMPDIR");
  if (asprintf(&s->folder, "%s/swarmgate-seed-XXXXXX", parent == NULL ? "/var/tmp" : parent) < 0) {
    s->folder = NULL;
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  if (mkdtemp(s->folder) == NULL) {
    int result = error_errno(e, errno, "cannot make the folder %s", s->folder);
    free(s->folder);
    s->folder = NULL;
    return result;
  }
  struct slice layout = arena_printf(&s->args.arena, "%s/layout", s->folder);
  struct slice unfinished = arena_printf(&s->args.arena, "%s/unfinished", s->folder);
  s->options.folder = layout.ptr;
  s->options.unfinished = unfinished.ptr;
  return layout.ptr != NULL && unfinished.ptr != NULL ? 0
                                                      : error_set(e, ERROR_FAILED, "out of memory");
}

static int remove_one(const char *path, const struct stat *s, int kind, struct FTW *ftw) {
  (void)s;
  (void)kind;
  (void)ftw;
  return remove(path);
}

static void remove_folder(struct seeding *s) {
  if (s->folder != NULL) {
    nftw(s->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(s->folder);
  }
}

/* Whether it begins as something that may be given, or whose refusal says why, and goes on. */
static bool has_transport(const char *from) {
  static const char *const known[] = {"oci:", "oci-archive:", "dir:", "docker:", "docker-archive:"};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    if (slice_starts(slice_str(from), slice_str(known[i]))) {
      return from[strlen(known[i])] != '\0';
    }
  }
  return destination_is_runtime(from);
}

/* Of --from, before anything is done. */
static int read_source(struct seeding *s, struct error *e) {
  const char *from = s->from;
  struct arena *arena = &s->args.arena;
  bool runtime = from != NULL && destination_is_runtime(from);
  if (from == NULL) {
    return 0;
  }
  if (!has_transport(from)) {
    return error_set(e, ERROR_USAGE,
                     "--from %s: oci:DIR[:TAG], oci-archive:FILE[:TAG], dir:DIR, "
                     "containers-storage:[REF] or containerd:[NAMESPACE] is wanted",
                     from);
  }
  if ((runtime ? destination_parse_runtime(from, &s->args.reference, arena, &s->runtime, e)
               : image_reference_parse(from, arena, &s->source, e)) != 0) {
    return error_context(e, "--from");
  }
  if (runtime) {
    return destination_check(&s->runtime, arena, e);
  }
  return s->source.transport != IMAGE_DOCKER_ARCHIVE
             ? 0
             : error_set(e, ERROR_USAGE,
                         "--from %s: a docker-archive holds its layers unpacked, which are other "
                         "blobs than the registry's: leave --from out, and the image is pulled "
                         "first",
                         from);
}

/* Out of a runtime's storage, and from wherever it is then, or was, into the folder of our own. */
static int copy(void *arg, int stop, struct error *e) {
  struct seeding *s = arg;
  struct direct_result result;
  const struct export_options export = {.of = &s->runtime,
                                        .digest = s->args.reference.digest,
                                        .platform = s->args.platform_text,
                                        .folder = s->folder,
                                        .stop = stop};
  const struct direct_options options = {.image = &s->source,
                                         .from = &s->args.from,
                                         .folder = s->options.folder,
                                         .unfinished = s->options.unfinished,
                                         .stop = stop,
                                         .progress = show_copy,
                                         .arg = s};
  return destination_is_runtime(s->from) && export_run(&export, &s->args.arena, &s->source, e) != 0
             ? -1
             : direct_pull(&options, &result, e);
}

/* Whether the layout is there, and the image of that tag in it where one is given. Without a tag
 * the gateway alone says which image it is: of several too. */
static int check_layout(const struct seeding *s, struct error *e) {
  struct image_source *image = NULL;
  const char *folder = s->source.path;
  CLEANUP_FREE char *mark = file_join(folder, "oci-layout");
  if (mark == NULL) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  if (access(folder, F_OK) != 0 && errno == ENOENT) {
    return error_set(e, ERROR_NOT_FOUND, "there is no folder %s", folder);
  }
  if (access(mark, F_OK) != 0) {
    return errno == ENOENT || errno == ENOTDIR
               ? error_set(e, ERROR_NOT_FOUND, "%s is no OCI layout: there is no oci-layout in it",
                           folder)
               : error_errno(e, errno, "%s", mark);
  }
  int result = s->source.tag == NULL ? 0 : image_source_open(&s->source, &s->args.from, &image, e);
  image_source_close(image);
  return result;
}

/* An OCI layout is seeded from where it lies; of any other source a copy is made first. */
static int open_source(struct seeding *s, struct error *e) {
  if (s->from == NULL) {
    return 0;
  }
  s->options.there = true;
  if (!destination_is_runtime(s->from) && s->source.transport == IMAGE_OCI) {
    s->options.folder = s->source.path;
    return check_layout(s, e) == 0 ? 0 : error_context(e, "--from");
  }
  return alone_run(copy, s, e) == 0 ? 0 : error_context(e, "--from %s", s->from);
}

/* What was there has not all that the registry has, and that has to be. */
static int blame_source(const struct seeding *s, struct error *e) {
  const struct error why = *e;
  return error_set(e, why.kind, "%s: --from %s: %s, %s", s->image, s->from, why.text,
                   slice_starts(slice_str(s->from), SLICE("containers-storage:"))
                       ? "for podman's storage keeps layers unpacked, and packed anew they are "
                         "seldom what the registry has: leave --from out, and the image is pulled "
                         "first"
                       : "which the registry has: it may be another image, or a part of this; "
                         "leave --from out, and what is missing is pulled first");
}

static int run(struct seeding *s, struct error *e) {
  struct pull_result result = {0};
  s->options.progress = show;
  s->options.arg = s;
  int status = make_folder(s, e);
  if (status == 0 && (status = open_source(s, e)) == 0) {
    status = pull_run(&s->options, &result, e);
  }
  if (s->begun) {
    progress_end(&s->progress);
  } else if (isatty(STDERR_FILENO) == 1) {
    fputs("\r\x1b[K", stderr);
  }
  remove_folder(s);
  if (status != 0) {
    bool missing = s->from != NULL && e->kind == ERROR_NOT_FOUND && result.digest[0] != '\0';
    return missing ? blame_source(s, e) : error_context(e, "%s", s->image);
  }
  char sent[UNITS_TEXT_MAX];
  units_print_size(result.progress.uploaded, sent);
  fprintf(stderr, "swarmgate: %s: seeded, %s sent\n", s->image, sent);
  return 0;
}

int command_seed(int argc, char **argv, struct error *e) {
  struct seeding s = {.args.from.tls_verify = true};
  const char *duration = NULL;
  const struct args_option options[] = {
      NODE_ARGS_OPTIONS(&s.args),
      {.name = "from", .value = &s.from},
      {.name = "duration", .value = &duration},
      {.name = "skip-webseed", .flag = &s.options.skip_webseed},
  };
  char **operands;
  int count;
  int64_t seconds = 0;
  if (args_read(argc, argv, options, sizeof options / sizeof *options, 1, 1, &operands, &count,
                e) != 0 ||
      args_seconds("duration", duration, 0, &seconds, e) != 0) {
    return -1;
  }
  s.image = operands[0];
  s.options.seed_ms = duration == NULL ? UINT64_MAX : (uint64_t)seconds * 1000;
  int result = node_args_check(&s.args, s.image, e);
  if (result == 0 && (result = read_source(&s, e)) == 0) {
    node_args_fill(&s.args, &s.options);
    result = run(&s, e);
  }
  arena_free(&s.args.arena);
  return result;
}
