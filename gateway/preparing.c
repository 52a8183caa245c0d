/*
 * A few jobs, each a wanted manifest: it takes one step after the other, a manifest to be read or a
 * blob to be seen to, and waits for the answer between them. All runs on one loop, but the waking.
 * Whatever a job waits for when the loop ends is wanted still.
 */
#include "gateway/preparing.h"

#include "base/clock.h"
#include "db/torrent_store.h"
#include "db/wanted_store.h"
#include "gateway/hashing.h"
#include "gateway/manifest_store.h"
#include "image/manifest.h"

#include <pthread.h>
#include <stdlib.h>

enum {
  READS_MAX = 3,  /* of a manifest that others drive out of memory, or of a torrent's blob */
  REST_MS = 1000, /* when the database, or memory, fails */
  DIGEST_SPACE = 72,
};

/** A manifest or index that is to be read. */
struct reading {
  char digest[DIGEST_SPACE];
  unsigned depth; /**< indexes that have led to it */
};

struct job {
  struct preparing *preparing;
  bool busy;
  struct wanted_record wanted; /**< in `names` */
  struct arena names;
  struct reading *readings; /**< malloc'ed */
  size_t reading_count, readings_done;
  struct image_descriptor *blobs; /**< of the manifest that was read last; in `manifest` */
  size_t blob_count, blobs_done;
  struct arena manifest;
  unsigned reads; /**< in vain, of the manifest or the blob */
  unsigned char infohash[20];
  struct errand_wait *wait;
  struct registry_request *question;
  int status; /**< its answer; 0: none */
  bool other; /**< it has another length */
};

struct preparing {
  struct preparing_options options;
  pthread_mutex_t lock; /* over what follows */
  bool open;
  uv_async_t wake;
  /* Of the loop. */
  uv_loop_t *loop;
  uv_timer_t timer;
  struct registry **registries;
  struct job jobs[PREPARING_AT_ONCE];
  bool stopping;
};

static void look_in(struct preparing *p, uint64_t ms);
static void run(struct job *j);

static struct errand_question question_of(const struct job *j, struct slice digest, uint64_t size) {
  return (struct errand_question){.registry = j->wanted.registry,
                                  .repository = j->wanted.repository,
                                  .digest = digest,
                                  .size = size};
}

/* --- the end of a job --- */

static void job_clear(struct job *j) {
  arena_free(&j->names);
  arena_free(&j->manifest);
  free(j->readings);
  *j = (struct job){.preparing = j->preparing};
}

static void release(struct job *j, uint64_t rest_ms) {
  struct preparing *p = j->preparing;
  job_clear(j);
  look_in(p, rest_ms);
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
  release(j, e == NULL ? 0 : REST_MS);
}

static void keep(struct job *j, db_write_fn *fn) {
  struct preparing *p = j->preparing;
  struct error e = {0};
  if (db_write(p->options.db, p->loop, fn, j, on_kept, &e) != 0) {
    log_failure(j, "write down what became of", &e);
    release(j, REST_MS);
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
static void postpone(struct job *j, const struct error *e) {
  unsigned tries = ++j->wanted.tries;
  if (tries >= PREPARING_TRIES_MAX) {
    log_failure(j, "prepare, and it is left to who first asks for it,", e);
    keep(j, remove_wanted);
    return;
  }
  int64_t pause = tries > 9 ? PREPARING_PAUSE_MAX_S : INT64_C(1) << (tries - 1);
  pause = pause < PREPARING_PAUSE_MAX_S ? pause : PREPARING_PAUSE_MAX_S;
  log_failure(j, "prepare now, but later,", e);
  j->wanted.due = clock_now() + pause;
  keep(j, put_off);
}

/* --- blobs --- */

static const struct image_descriptor *blob_of(const struct job *j) {
  return &j->blobs[j->blobs_done];
}

static void pass_blob(struct job *j) {
  j->blobs_done++;
  j->reads = 0;
}

static void on_hashed(void *arg, const struct errand_news *news) {
  struct job *j = arg;
  j->wait = NULL;
  if (news->outcome == ERRAND_REFUSED && news->e->kind == ERROR_NOT_FOUND) {
    pass_blob(j); /* it was deleted meanwhile */
  } else if (news->outcome == ERRAND_REFUSED || news->outcome == ERRAND_FAILED) {
    postpone(j, news->e);
    return;
  } else if (news->outcome == ERRAND_DONE) {
    j->reads++;
  }
  run(j); /* what takes longer than the wait is joined again */
}

static void hash(struct job *j) {
  struct preparing *p = j->preparing;
  const struct image_descriptor *b = blob_of(j);
  const struct errand_question question = question_of(j, slice_str(b->digest), b->size);
  struct error e = {0};
  if (j->reads >= READS_MAX) {
    error_set(&e, ERROR_FAILED, "the torrent of %s does not stay", b->digest);
  } else {
    j->wait = hashing_ask(p->options.hashing, p->loop, &question, on_hashed, j, &e);
  }
  if (j->wait == NULL) {
    postpone(j, &e);
  }
}

static int allow(struct db_txn *txn, void *arg, struct error *e) {
  const struct job *j = arg;
  return torrent_store_allow(txn, j->infohash, j->wanted.registry, j->wanted.repository, e);
}

static void on_allowed(void *arg, const struct error *e) {
  struct job *j = arg;
  if (j->preparing->stopping) {
    return;
  }
  if (e != NULL) {
    postpone(j, e);
  } else {
    pass_blob(j);
    run(j);
  }
}

static bool on_head(void *arg, const struct registry_answer *answer) {
  struct job *j = arg;
  j->status = answer->status;
  j->other = answer->has_length && answer->length != blob_of(j)->size;
  return true;
}

static bool on_data(void *arg, struct slice bytes) {
  (void)arg, (void)bytes;
  return true;
}

static void on_answered(void *arg, const struct error *e) {
  struct job *j = arg;
  struct preparing *p = j->preparing;
  struct error why = {0};
  j->question = NULL;
  if (j->status == 200 && !j->other) {
    if (db_write(p->options.db, p->loop, allow, j, on_allowed, &why) != 0) {
      postpone(j, &why);
    }
  } else if (j->status == 200 || j->status == 404) {
    pass_blob(j); /* the manifest names what the repository does not have */
    run(j);
  } else {
    if (j->status != 0) {
      error_set(&why, ERROR_FAILED, "asked for %s, the registry answered %d", blob_of(j)->digest,
                j->status);
    }
    postpone(j, j->status != 0 ? &why : e);
  }
}

static struct registry *registry_of(const struct preparing *p, struct slice name) {
  for (size_t i = 0; i < p->options.registry_count; i++) {
    if (slice_equal(slice_str(p->options.registries[i].name), name)) {
      return p->registries[i];
    }
  }
  return NULL;
}

/* Whether the repository has it: the torrent may have been made of another's. */
static void ask(struct job *j) {
  static const struct registry_events events = {on_head, on_data, on_answered};
  const struct registry_get get = {
      .method = "HEAD", .repository = j->wanted.repository.ptr, .blob = blob_of(j)->digest};
  struct error e = {0};
  j->status = 0;
  j->question = registry_start(registry_of(j->preparing, j->wanted.registry), &get, &events, j, &e);
  if (j->question == NULL) {
    postpone(j, &e);
  }
}

struct finding {
  struct job *job;
  bool allowed;
};

static int find(struct db_txn *txn, void *arg, struct error *e) {
  struct finding *f = arg;
  struct job *j = f->job;
  struct arena arena = {0};
  struct torrent_record record;
  int result = torrent_store_find(txn, slice_str(blob_of(j)->digest),
                                  (uint8_t)j->preparing->options.format, &arena, &record, e);
  if (result == 0) {
    memcpy(j->infohash, record.infohash, sizeof j->infohash);
    f->allowed =
        torrent_store_allowed(txn, record.infohash, j->wanted.registry, j->wanted.repository);
  }
  arena_free(&arena);
  return result;
}

/* \return whether the next step can be taken at once. */
static bool see_to_blob(struct job *j) {
  struct finding f = {.job = j};
  struct error e = {0};
  if (blob_of(j)->size == 0) {
    pass_blob(j); /* it has no torrent */
    return true;
  }
  bool found = db_read(j->preparing->options.db, find, &f, &e) == 0;
  if (found && f.allowed) {
    pass_blob(j);
    return true;
  }
  if (found) {
    ask(j);
  } else if (e.kind == ERROR_NOT_FOUND) {
    hash(j);
  } else {
    postpone(j, &e);
  }
  return false;
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
      postpone(j, &e);
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
    postpone(j, news->e);
    return;
  }
  run(j);
}

/* \return whether the next step can be taken at once. */
static bool read_manifest(struct job *j) {
  struct preparing *p = j->preparing;
  struct slice digest = slice_str(j->readings[j->readings_done].digest);
  const struct errand_question question = question_of(j, digest, ERRAND_SIZE_UNKNOWN);
  struct manifest_text text;
  struct error e = {0};
  arena_reset(&j->manifest);
  if (manifest_store_find(p->options.manifests, j->wanted.registry, j->wanted.repository, digest,
                          &j->manifest, &text)) {
    return take_manifest(j, &text);
  }
  if (j->reads++ >= READS_MAX) {
    error_set(&e, ERROR_FAILED, "there is no memory for its manifest");
  } else {
    j->wait = manifest_store_ask(p->options.manifests, p->loop, &question, on_read, j, &e);
  }
  if (j->wait == NULL) {
    postpone(j, &e);
  }
  return false;
}

static bool step(struct job *j) {
  if (j->blobs_done < j->blob_count) {
    return see_to_blob(j);
  }
  j->blob_count = j->blobs_done = 0;
  if (j->readings_done < j->reading_count) {
    return read_manifest(j);
  }
  keep(j, remove_wanted);
  return false;
}

static void run(struct job *j) {
  while (step(j)) {
  }
}

/* --- what is wanted --- */

static struct job *find_idle(struct preparing *p) {
  for (size_t i = 0; i < PREPARING_AT_ONCE; i++) {
    if (!p->jobs[i].busy) {
      return &p->jobs[i];
    }
  }
  return NULL;
}

static bool is_under_way(const struct preparing *p, const struct wanted_record *w) {
  for (size_t i = 0; i < PREPARING_AT_ONCE; i++) {
    const struct wanted_record *other = &p->jobs[i].wanted;
    if (p->jobs[i].busy && slice_equal(other->digest, w->digest) &&
        slice_equal(other->repository, w->repository) &&
        slice_equal(other->registry, w->registry)) {
      return true;
    }
  }
  return false;
}

static int take_up(struct job *j, const struct wanted_record *w) {
  j->wanted = *w;
  j->wanted.registry.ptr = arena_copy(&j->names, w->registry);
  j->wanted.repository.ptr = arena_copy(&j->names, w->repository);
  j->wanted.digest.ptr = arena_copy(&j->names, w->digest);
  if (j->wanted.registry.ptr == NULL || j->wanted.repository.ptr == NULL ||
      j->wanted.digest.ptr == NULL || add_reading(j, w->digest, 0) != 0) {
    job_clear(j);
    return -1;
  }
  j->busy = true;
  return 0;
}

struct looking {
  struct preparing *preparing;
  int64_t now;
  uint64_t next_ms;                     /* when to look again; 0: when there is more */
  struct job *taken[PREPARING_AT_ONCE]; /* up to now */
  size_t count;
};

/* A time that no failure sets is of a clock that went back. */
static bool is_due(const struct wanted_record *w, int64_t now) {
  return w->due <= now || w->due > now + PREPARING_PAUSE_MAX_S;
}

static bool look_at(void *arg, const struct wanted_record *w) {
  struct looking *l = arg;
  struct preparing *p = l->preparing;
  struct job *j = find_idle(p);
  if (j == NULL) {
    return false;
  }
  if (!is_due(w, l->now)) {
    uint64_t ms = (uint64_t)(w->due - l->now) * 1000;
    l->next_ms = l->next_ms == 0 || ms < l->next_ms ? ms : l->next_ms;
  } else if (!is_under_way(p, w) && registry_of(p, w->registry) != NULL) {
    if (take_up(j, w) != 0) {
      l->next_ms = REST_MS;
      return false;
    }
    l->taken[l->count++] = j;
  }
  return true;
}

static int look(struct db_txn *txn, void *arg, struct error *e) {
  return wanted_store_each(txn, look_at, arg, e);
}

static void look_for_more(struct preparing *p) {
  struct looking l = {.preparing = p, .now = clock_now()};
  struct error e = {0};
  if (db_read(p->options.db, look, &l, &e) != 0) {
    log_write(p->options.log, LOG_LEVEL_WARN, "cannot tell what is to be hashed: %s", e.text);
    l.next_ms = REST_MS;
  }
  if (l.next_ms > 0) {
    look_in(p, l.next_ms);
  }
  for (size_t i = 0; i < l.count; i++) {
    run(l.taken[i]);
  }
}

static void on_timer(uv_timer_t *timer) {
  look_for_more(timer->data);
}

static void look_in(struct preparing *p, uint64_t ms) {
  uv_timer_start(&p->timer, on_timer, ms, 0);
}

static void on_wake(uv_async_t *wake) {
  look_for_more(wake->data);
}

/* --- what others call --- */

struct preparing *preparing_new(const struct preparing_options *options) {
  struct preparing *p = calloc(1, sizeof *p);
  if (p == NULL) {
    return NULL;
  }
  p->options = *options;
  pthread_mutex_init(&p->lock, NULL);
  for (size_t i = 0; i < PREPARING_AT_ONCE; i++) {
    p->jobs[i].preparing = p;
  }
  return p;
}

void preparing_free(struct preparing *p) {
  if (p == NULL) {
    return;
  }
  for (size_t i = 0; i < PREPARING_AT_ONCE; i++) {
    job_clear(&p->jobs[i]);
  }
  pthread_mutex_destroy(&p->lock);
  free(p);
}

static int open_registries(struct preparing *p, struct http_client *client, struct error *e) {
  p->registries = calloc(p->options.registry_count, sizeof(struct registry *));
  if (p->registries == NULL) {
    return error_set(e, ERROR_FAILED, "cannot start the gateway: out of memory");
  }
  for (size_t i = 0; i < p->options.registry_count; i++) {
    const struct gateway_registry *registry = &p->options.registries[i];
    p->registries[i] = registry_new(client, &registry->upstream, e);
    if (p->registries[i] == NULL) {
      return error_context(e, "registry %s", registry->name);
    }
  }
  return 0;
}

static void close_registries(struct preparing *p) {
  for (size_t i = 0; p->registries != NULL && i < p->options.registry_count; i++) {
    registry_free(p->registries[i]);
  }
  free(p->registries);
  p->registries = NULL;
}

int preparing_start(struct preparing *p, uv_loop_t *loop, struct http_client *client,
                    struct error *e) {
  if (open_registries(p, client, e) != 0) {
    close_registries(p);
    return -1;
  }
  if (uv_async_init(loop, &p->wake, on_wake) != 0) {
    close_registries(p);
    return error_set(e, ERROR_FAILED, "cannot start the gateway: out of descriptors");
  }
  p->loop = loop;
  p->wake.data = p;
  uv_timer_init(loop, &p->timer);
  p->timer.data = p;
  pthread_mutex_lock(&p->lock);
  p->open = true;
  pthread_mutex_unlock(&p->lock);
  look_in(p, 0);
  return 0;
}

void preparing_stop(struct preparing *p) {
  pthread_mutex_lock(&p->lock);
  bool open = p->open;
  p->open = false;
  pthread_mutex_unlock(&p->lock);
  if (!open) {
    return;
  }
  p->stopping = true;
  for (size_t i = 0; i < PREPARING_AT_ONCE; i++) {
    errand_leave(p->jobs[i].wait);
    p->jobs[i].wait = NULL;
  }
  close_registries(p);
  uv_close((uv_handle_t *)&p->wake, NULL);
  uv_close((uv_handle_t *)&p->timer, NULL);
}

void preparing_wake(struct preparing *p) {
  pthread_mutex_lock(&p->lock);
  if (p->open) {
    uv_async_send(&p->wake);
  }
  pthread_mutex_unlock(&p->lock);
}
