/*
 * The number of the database's last transaction is what tells old from new. It is read before the
 * list, so that the list is at least as new as it says.
 */
#include "gateway/revocation_watch.h"

#include "base/clock.h"
#include "db/revocation_store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { DROP_EVERY = 60 }; /* seconds, at least */

struct revocation_watch {
  struct revocation_watch_options options;
  pthread_mutex_t reading;        /* held by who reads the list: the others find it new */
  atomic_uint_least64_t revision; /* what the set in force holds at least */
  atomic_int_least64_t expiry;    /* when the first of the list expires; INT64_MAX never */
  /* Of the loop that polls. */
  uv_work_t poll;
  bool polling, dropping;
  bool failed; /* and it was logged */
  int64_t drop_next;
  struct error why; /* of the poll under way */
  int result;
};

struct reading {
  struct revocation_list *list;
  int result;
  struct error *e;
};

static bool add(void *arg, const struct revocation_record *record) {
  struct reading *r = arg;
  const struct revocation like = {.kind = (enum revocation_kind)record->kind,
                                  .at = record->at,
                                  .until = record->until,
                                  .expires = record->expires};
  r->result = revocation_list_add(r->list, &like, record->value, r->e);
  return r->result == 0;
}

static int read_all(struct db_txn *txn, void *arg, struct error *e) {
  struct reading *r = arg;
  r->e = e;
  int result = revocation_store_each(txn, add, r, e);
  return result == 0 ? r->result : result;
}

int revocation_watch_list(struct db *db, struct revocation_list *list, struct error *e) {
  struct reading reading = {.list = list};
  return db_read(db, read_all, &reading, e);
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
  uint64_t revision = db_revision(w->options.db);
  int result = revocation_watch_list(w->options.db, &list, e);
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
  atomic_store(&w->revision, revision);
  return 0;
}

/* Sees to it that what is in force is as new as \p wanted. */
static int catch_up(struct revocation_watch *w, uint64_t wanted, struct error *e) {
  int result = 0;
  pthread_mutex_lock(&w->reading);
  if (wanted == 0 || atomic_load(&w->revision) < wanted) {
    result = read_anew(w, e);
  }
  pthread_mutex_unlock(&w->reading);
  return result;
}

int revocation_watch_new(const struct revocation_watch_options *options,
                         struct revocation_watch **out, struct error *e) {
  struct revocation_watch *w = calloc(1, sizeof *w);
  if (w == NULL) {
    return error_set(e, ERROR_FAILED, "cannot read the revocations: out of memory");
  }
  w->options = *options;
  w->poll.data = w;
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
  w->result = catch_up(w, db_revision(w->options.db), &w->why);
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

static int drop_expired(struct db_txn *txn, void *arg, struct error *e) {
  (void)arg;
  return revocation_store_drop(txn, clock_now(), e);
}

static void on_dropped(void *arg, const struct error *e) {
  struct revocation_watch *w = arg;
  w->dropping = false;
  if (e != NULL) {
    log_write(w->options.log, LOG_LEVEL_WARN, "cannot drop expired revocations: %s", e->text);
  }
}

static void drop_some(struct revocation_watch *w, uv_loop_t *loop) {
  int64_t now = clock_now();
  struct error e = {0};
  if (w->dropping || now < atomic_load(&w->expiry) || now < w->drop_next) {
    return;
  }
  w->drop_next = now + DROP_EVERY;
  w->dropping = true;
  if (db_write(w->options.db, loop, drop_expired, w, on_dropped, &e) != 0) {
    on_dropped(w, &e);
  }
}

void revocation_watch_poll(struct revocation_watch *w, uv_loop_t *loop) {
  uint64_t revision = db_revision(w->options.db);
  if (!w->polling && (revision == 0 || atomic_load(&w->revision) < revision)) {
    w->polling = uv_queue_work(loop, &w->poll, poll_work, poll_done) == 0;
  }
  drop_some(w, loop);
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
  uint64_t wanted = db_revision(w->options.db);
  if (wanted != 0 && atomic_load(&w->revision) >= wanted) {
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
