/*
 * The database counts the changes of what is revoked: that number tells old from new. It is read
 * together with the list.
 */
#include "gateway/revocation_watch.h"

#include "auth/revocation_load.h"
#include "base/clock.h"
#include "db/refresh_store.h"
#include "db/revocation_store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

/* Seconds, at least. All refresh tokens are read to find those that are over. */
enum { DROP_EVERY = 60, DROP_TOKENS_EVERY = 3600 };

/* What has expired of a kind, to be dropped now and then. */
struct dropping {
  struct revocation_watch *watch;
  db_write_fn *fn;
  const char *what;
  int64_t every, next;
  bool running;
};

struct revocation_watch {
  struct revocation_watch_options options;
  pthread_mutex_t reading;          /* held by who reads the list: the others find it new */
  atomic_uint_least64_t generation; /* what the set in force holds at least */
  atomic_int_least64_t expiry;      /* when the first of the list expires; INT64_MAX never */
  /* Of the loop that polls. */
  uv_work_t poll;
  bool polling;
  bool failed; /* and it was logged */
  struct dropping revocations, tokens;
  struct error why; /* of the poll under way */
  int result;
};

struct reading {
  struct revocation_list *list;
  uint64_t generation; /* of it */
};

static int read_all(struct db_txn *txn, void *arg, struct error *e) {
  struct reading *r = arg;
  return revocation_store_generation(txn, &r->generation, e) != 0
             ? -1
             : revocation_load(txn, r->list, e);
}

static int read_generation(struct db_txn *txn, void *arg, struct error *e) {
  return revocation_store_generation(txn, arg, e);
}

/* What there is to be known; 0 when it cannot be told, for reading would fail. A single record: it
 * is read on loops as well. */
static uint64_t wanted_generation(const struct revocation_watch *w) {
  uint64_t generation = 0;
  return db_read(w->options.db, read_generation, &generation, NULL) == 0 ? generation : 0;
}

/* Whether all of it is. */
static bool is_known(struct revocation_watch *w, uint64_t wanted) {
  return wanted != 0 && atomic_load(&w->generation) >= wanted;
}

static int64_t first_expiry(const struct revocation_list *list) {
  int64_t first = INT64_MAX;
  for (size_t i = 0; i < list->count; i++) {
    first = list->items[i].expires < first ? list->items[i].expires : first;
  }
  return first;
}

/* Under the lock. */
static int read_anew(struct revocation_watch *w, struct error *e) {
  struct revocation_list list = {0};
  struct reading reading = {.list = &list};
  int result = db_read(w->options.db, read_all, &reading, e);
  struct revocation_set *set = result == 0 ? revocation_set_new(&list, clock_now()) : NULL;
  int64_t expiry = first_expiry(&list);
  revocation_list_free(&list);
  if (result == 0 && set == NULL) {
    return error_set(e, ERROR_FAILED, "cannot read the revocations: out of memory");
  }
  if (result != 0) {
    return error_context(e, "cannot read the revocations");
  }
  if (revocations_replace(w->options.revocations, set) && w->options.delegate_cache != NULL) {
    delegate_cache_flush(w->options.delegate_cache);
  }
  atomic_store(&w->expiry, expiry);
  atomic_store(&w->generation, reading.generation);
  return 0;
}

/* Sees to it that what is in force is as new as \p wanted. */
static int catch_up(struct revocation_watch *w, uint64_t wanted, struct error *e) {
  int result = 0;
  pthread_mutex_lock(&w->reading);
  if (!is_known(w, wanted)) {
    result = read_anew(w, e);
  }
  pthread_mutex_unlock(&w->reading);
  return result;
}

static int drop_revocations(struct db_txn *txn, void *arg, struct error *e) {
  (void)arg;
  return revocation_store_drop(txn, clock_now(), e);
}

static int drop_tokens(struct db_txn *txn, void *arg, struct error *e) {
  uint64_t ignored;
  (void)arg;
  return refresh_store_remove_expired(txn, clock_now(), &ignored, e);
}

int revocation_watch_new(const struct revocation_watch_options *options,
                         struct revocation_watch **out, struct error *e) {
  struct revocation_watch *w = calloc(1, sizeof *w);
  if (w == NULL) {
    return error_set(e, ERROR_FAILED, "cannot read the revocations: out of memory");
  }
  w->options = *options;
  w->poll.data = w;
  w->revocations = (struct dropping){
      .watch = w, .fn = drop_revocations, .what = "revocations", .every = DROP_EVERY};
  w->tokens = (struct dropping){
      .watch = w, .fn = drop_tokens, .what = "refresh tokens", .every = DROP_TOKENS_EVERY};
  pthread_mutex_init(&w->reading, NULL);
  if (catch_up(w, 0, e) != 0) {
    revocation_watch_free(w);
    return -1;
  }
  *out = w;
  return 0;
}

void revocation_watch_free(struct revocation_watch *w) {
  if (w != NULL) {
    pthread_mutex_destroy(&w->reading);
    free(w);
  }
}

/* --- once a second --- */

static void poll_work(uv_work_t *work) {
  struct revocation_watch *w = work->data;
  w->why = (struct error){0};
  w->result = catch_up(w, wanted_generation(w), &w->why);
}

static void poll_done(uv_work_t *work, int status) {
  struct revocation_watch *w = work->data;
  (void)status;
  w->polling = false;
  if (w->result != 0 && !w->failed) {
    log_write(w->options.log, LOG_LEVEL_ERROR,
              "%s; those that were read before stay in force, and nothing is issued", w->why.text);
  } else if (w->result == 0 && w->failed) {
    log_write(w->options.log, LOG_LEVEL_INFO, "the revocations can be read again");
  }
  w->failed = w->result != 0;
}

static void on_dropped(void *arg, const struct error *e) {
  struct dropping *d = arg;
  d->running = false;
  if (e != NULL) {
    log_write(d->watch->options.log, LOG_LEVEL_WARN, "cannot drop expired %s: %s", d->what,
              e->text);
  }
}

static void drop(struct dropping *d, uv_loop_t *loop, int64_t now) {
  struct error e = {0};
  if (d->running || now < d->next) {
    return;
  }
  d->next = now + d->every;
  d->running = true;
  if (db_write(d->watch->options.db, loop, d->fn, d, on_dropped, &e) != 0) {
    on_dropped(d, &e);
  }
}

void revocation_watch_poll(struct revocation_watch *w, uv_loop_t *loop) {
  if (!w->polling && !is_known(w, wanted_generation(w))) {
    w->polling = uv_queue_work(loop, &w->poll, poll_work, poll_done) == 0;
  }
  int64_t now = clock_now();
  if (now >= atomic_load(&w->expiry)) {
    drop(&w->revocations, loop, now);
  }
  drop(&w->tokens, loop, now);
}

/* --- before something is issued --- */

/* It may outlive who waits. */
struct revocation_wait {
  uv_work_t work;
  struct revocation_watch *watch;
  uint64_t wanted;
  revocation_wait_told *told; /* NULL when nobody waits any more */
  void *arg;
  int result;
  struct error why;
};

static void wait_work(uv_work_t *work) {
  struct revocation_wait *wait = work->data;
  wait->result = catch_up(wait->watch, wait->wanted, &wait->why);
}

static void wait_done(uv_work_t *work, int status) {
  struct revocation_wait *wait = work->data;
  (void)status;
  if (wait->told != NULL) {
    wait->told(wait->arg, wait->result == 0 ? NULL : &wait->why);
  }
  free(wait);
}

struct revocation_wait *revocation_wait_start(struct revocation_watch *w, uv_loop_t *loop,
                                              revocation_wait_told *told, void *arg,
                                              struct error *e) {
  uint64_t wanted = wanted_generation(w);
  if (is_known(w, wanted)) {
    return NULL;
  }
  struct revocation_wait *wait = malloc(sizeof *wait);
  if (wait == NULL) {
    error_set(e, ERROR_FAILED, "cannot read the revocations: out of memory");
    return NULL;
  }
  *wait = (struct revocation_wait){
      .work = {.data = wait}, .watch = w, .wanted = wanted, .told = told, .arg = arg};
  if (uv_queue_work(loop, &wait->work, wait_work, wait_done) != 0) {
    free(wait);
    error_set(e, ERROR_FAILED, "cannot read the revocations: no thread");
    return NULL;
  }
  return wait;
}

void revocation_wait_leave(struct revocation_wait *wait) {
  if (wait != NULL) {
    wait->told = NULL;
  }
}
