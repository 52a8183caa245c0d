/* A job: its manifests, and how it ends. */
#include "gateway/preparing_internal.h"

#include "base/clock.h"
#include "gateway/manifest_store.h"

#include <stdlib.h>

struct errand_question preparing_question(const struct job *j, struct slice digest, uint64_t size) {
  return (struct errand_question){.registry = j->wanted.registry,
                                  .repository = j->wanted.repository,
                                  .digest = digest,
                                  .size = size};
}

/* --- its end --- */

void preparing_clear(struct job *j) {
  arena_free(&j->names);
  arena_free(&j->manifest);
  free(j->readings);
  *j = (struct job){.preparing = j->preparing};
}

static void release(struct job *j, uint64_t rest_ms) {
  struct preparing *p = j->preparing;
  preparing_clear(j);
  preparing_look_in(p, rest_ms);
}

static void log_failure(const struct job *j, const char *what, const struct error *e) {
  log_write(j->preparing->options.log, LOG_LEVEL_WARN, "cannot %s %.*s of %.*s/%.*s: %s", what,
            SLICE_ARG(j->wanted.digest), SLICE_ARG(j->wanted.registry),
            SLICE_ARG(j->wanted.repository), e->text);
}

static void on_kept(void *arg, const struct error *e) {
  struct job *j = arg;
  if (j->preparing->stopping) {
    return;
  }
  if (e != NULL) {
    log_failure(j, "write down what became of", e);
  }
  release(j, e == NULL ? 0 : PREPARING_REST_MS);
}

void preparing_keep(struct job *j, db_write_fn *fn) {
  struct preparing *p = j->preparing;
  struct error e = {0};
  if (db_write(p->options.db, p->loop, fn, j, on_kept, &e) != 0) {
    log_failure(j, "write down what became of", &e);
    release(j, PREPARING_REST_MS);
  }
}

static int remove_wanted(struct db_txn *txn, void *arg, struct error *e) {
  const struct job *j = arg;
  return wanted_store_remove(txn, &j->wanted, e);
}

static int put_off(struct db_txn *txn, void *arg, struct error *e) {
  const struct job *j = arg;
  return wanted_store_put(txn, &j->wanted, e);
}

/* Tries it again later. */
void preparing_postpone(struct job *j, const struct error *e) {
  unsigned tries = ++j->wanted.tries;
  if (tries >= PREPARING_TRIES_MAX) {
    log_failure(j, "prepare, and it is left to who first asks for it,", e);
    preparing_keep(j, remove_wanted);
    return;
  }
  int64_t pause = tries > 9 ? PREPARING_PAUSE_MAX_S : INT64_C(1) << (tries - 1);
  pause = pause < PREPARING_PAUSE_MAX_S ? pause : PREPARING_PAUSE_MAX_S;
  log_failure(j, "prepare now, but later,", e);
  j->wanted.due = clock_now() + pause;
  preparing_keep(j, put_off);
}

/* --- manifests --- */

static void pass_manifest(struct job *j) {
  j->readings_done++;
  j->reads = 0;
}

static bool is_known(const struct job *j, const char *digest) {
  for (size_t i = 0; i < j->reading_count; i++) {
    if (strcmp(j->readings[i].digest, digest) == 0) {
      return true;
    }
  }
  return false;
}

/* \return 0, or -1 when there is no memory. */
static int add_reading(struct job *j, struct slice digest, unsigned depth) {
  struct reading *grown = realloc(j->readings, (j->reading_count + 1) * sizeof *grown);
  if (grown == NULL) {
    return -1;
  }
  j->readings = grown;
  grown[j->reading_count] = (struct reading){.depth = depth};
  memcpy(grown[j->reading_count++].digest, digest.ptr, digest.len);
  return 0;
}

/* What is beyond the bounds is left to who asks for it. */
static int add_entries(struct job *j, const struct image_manifest *index, struct error *e) {
  unsigned depth = j->readings[j->readings_done].depth + 1;
  for (size_t i = 0; depth <= IMAGE_INDEX_DEPTH_MAX && i < index->layer_count; i++) {
    const struct image_descriptor *entry = &index->layers[i];
    if (j->reading_count < IMAGE_MANIFESTS_MAX && image_index_entry_known(entry) &&
        image_descriptor_check(entry, NULL) == 0 && !is_known(j, entry->digest) &&
        add_reading(j, slice_str(entry->digest), depth) != 0) {
      return error_set(e, ERROR_FAILED, "out of memory");
    }
  }
  return 0;
}

/* \return whether the next step can be taken at once. */
static bool take_manifest(struct job *j, const struct manifest_text *text) {
  struct image_manifest m;
  struct error e = {0};
  if (image_manifest_parse(text->bytes, text->media_type, &j->manifest, &m, &e) != 0) {
    log_failure(j, "prepare", &e); /* nor can anybody pull it */
  } else if (m.is_index) {
    if (add_entries(j, &m, &e) != 0) {
      preparing_postpone(j, &e);
      return false;
    }
  } else {
    j->blobs = image_manifest_blobs(&m, &j->manifest, &j->blob_count, &e);
    j->blobs_done = 0;
    if (j->blobs == NULL) {
      j->blob_count = 0;
      log_failure(j, "prepare", &e);
    }
  }
  pass_manifest(j);
  return true;
}

static void on_read(void *arg, const struct errand_news *news) {
  struct job *j = arg;
  j->wait = NULL;
  if (news->outcome == ERRAND_REFUSED && news->e->kind == ERROR_NOT_FOUND) {
    pass_manifest(j); /* it was deleted meanwhile, or an index names what was never pushed */
  } else if (news->outcome != ERRAND_DONE) {
    preparing_postpone(j, news->e);
    return;
  }
  preparing_run(j);
}

/* \return whether the next step can be taken at once. */
static bool read_manifest(struct job *j) {
  struct preparing *p = j->preparing;
  struct slice digest = slice_str(j->readings[j->readings_done].digest);
  const struct errand_question question = preparing_question(j, digest, ERRAND_SIZE_UNKNOWN);
  struct manifest_text text;
  struct error e = {0};
  arena_reset(&j->manifest);
  if (manifest_store_find(p->options.manifests, j->wanted.registry, j->wanted.repository, digest,
                          &j->manifest, &text)) {
    return take_manifest(j, &text);
  }
  if (j->reads++ >= PREPARING_READS_MAX) {
    error_set(&e, ERROR_FAILED, "there is no memory for its manifest");
  } else {
    j->wait = manifest_store_ask(p->options.manifests, p->loop, &question, on_read, j, &e);
  }
  if (j->wait == NULL) {
    preparing_postpone(j, &e);
  }
  return false;
}

static bool step(struct job *j) {
  if (!j->looked) {
    return preparing_see_to_registration(j);
  }
  if (j->blobs_done < j->blob_count) {
    return preparing_see_to_blob(j);
  }
  j->blob_count = j->blobs_done = 0;
  if (j->readings_done < j->reading_count) {
    return read_manifest(j);
  }
  preparing_keep(j, remove_wanted);
  return false;
}

void preparing_run(struct job *j) {
  while (step(j)) {
  }
}

/* --- its begin --- */

int preparing_begin(struct job *j, const struct wanted_record *w) {
  j->wanted = *w;
  j->wanted.registry.ptr = arena_copy(&j->names, w->registry);
  j->wanted.repository.ptr = arena_copy(&j->names, w->repository);
  j->wanted.digest.ptr = arena_copy(&j->names, w->digest);
  if (j->wanted.registry.ptr == NULL || j->wanted.repository.ptr == NULL ||
      j->wanted.digest.ptr == NULL || add_reading(j, w->digest, 0) != 0) {
    preparing_clear(j);
    return -1;
  }
  j->busy = true;
  return 0;
}
