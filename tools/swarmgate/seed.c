#include "command.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/units.h"
#include "node/direct.h"
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
  char *folder;                  /* of our own, for what is not seeded from where it lies */
  struct progress progress;
  bool begun;
  uint64_t told_ms;
};

/* --- what is told --- */

static void show_fetching(struct seeding *s, uint64_t done, uint64_t size) {
  if (!s->begun) {
    progress_start(&s->progress, "reading", size);
    s->begun = true;
  }
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
    fprintf(stderr, "\r\x1b[Kseeding %s: %" PRIu32 " peers, %s sent", s->image, now->peers, sent);
  } else if (s->told_ms == 0 || time - s->told_ms >= PLAIN_EVERY_MS) {
    fprintf(stderr, "seeding %s: %" PRIu32 " peers, %s sent\n", s->image, now->peers, sent);
    s->told_ms = time;
  }
}

static void show(void *arg, const struct pull_progress *now) {
  struct seeding *s = arg;
  if (now->phase == PULL_SEEDING) {
    show_seeding(s, now);
  } else {
    show_fetching(s, now->done, now->size);
  }
}

static void show_copy(void *arg, uint64_t done, uint64_t size) {
  show_fetching(arg, done, size);
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

/* An OCI layout is seeded from where it lies; of any other source a copy is made first. */
static int open_source(struct seeding *s, struct error *e) {
  struct direct_result result;
  if (s->from == NULL) {
    return 0;
  }
  if (image_reference_parse(s->from, &s->args.arena, &s->source, e) != 0) {
    return error_context(e, "--from");
  }
  s->options.there = true;
  if (s->source.transport == IMAGE_OCI) {
    s->options.folder = s->source.path;
    return 0;
  }
  const struct direct_options options = {.image = &s->source,
                                         .from = &s->args.from,
                                         .folder = s->options.folder,
                                         .unfinished = s->options.unfinished,
                                         .progress = show_copy,
                                         .arg = s};
  return direct_pull(&options, &result, e);
}

static int run(struct seeding *s, struct error *e) {
  struct pull_result result;
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
    return error_context(e, "%s", s->image);
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
  if (result == 0) {
    node_args_fill(&s.args, &s.options);
    result = run(&s, e);
  }
  arena_free(&s.args.arena);
  return result;
}
