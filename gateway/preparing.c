/*
 * A few jobs, each a wanted manifest: it takes one step after the other, a manifest to be read or a
 * blob to be seen to, and waits for the answer between them. All runs on one loop, but the waking.
 * Whatever a job waits for when the loop ends is wanted still.
 */
#include "gateway/preparing_internal.h"

#include "base/clock.h"
#include "image/registry.h"

#include <inttypes.h>
#include <stdlib.h>

struct registry *preparing_registry(const struct preparing *p, struct slice name) {
  size_t i = registries_index(&p->registries, name);
  return i < p->registries.count ? p->registries.items[i] : NULL;
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
  } else if (!is_under_way(p, w) && preparing_registry(p, w->registry) != NULL) {
    if (preparing_begin(j, w) != 0) {
      l->next_ms = PREPARING_REST_MS;
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
    l.next_ms = PREPARING_REST_MS;
  }
  if (l.next_ms > 0) {
    preparing_look_in(p, l.next_ms);
  }
  for (size_t i = 0; i < l.count; i++) {
    preparing_run(l.taken[i]);
  }
}

static void on_timer(uv_timer_t *timer) {
  look_for_more(timer->data);
}

void preparing_look_in(struct preparing *p, uint64_t ms) {
  uv_timer_start(&p->timer, on_timer, ms, 0);
}

static void on_wake(uv_async_t *wake) {
  look_for_more(wake->data);
}

struct forgetting {
  struct slice *names;
  size_t count;
  uint64_t removed;
};

/* What a registry said that is not configured any more is seen to by nobody. */
static int forget(struct db_txn *txn, void *arg, struct error *e) {
  struct forgetting *f = arg;
  return wanted_store_keep(txn, f->names, f->count, &f->removed, e);
}

static int forget_strangers(struct preparing *p, struct error *e) {
  struct forgetting f = {.count = p->options.registry_count};
  f.names = calloc(f.count + 1, sizeof *f.names);
  if (f.names == NULL) {
    return error_set(e, ERROR_FAILED, "cannot start the gateway: out of memory");
  }
  for (size_t i = 0; i < f.count; i++) {
    f.names[i] = slice_str(p->options.registries[i].name);
  }
  int result = db_write_now(p->options.db, forget, &f, e);
  free(f.names);
  if (result == 0 && f.removed > 0) {
    log_write(p->options.log, LOG_LEVEL_WARN,
              "dropped what was told by registries that are not configured any more: %" PRIu64
              " manifests or blobs",
              f.removed);
  }
  return result;
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
    preparing_clear(&p->jobs[i]);
  }
  pthread_mutex_destroy(&p->lock);
  free(p);
}

int preparing_start(struct preparing *p, uv_loop_t *loop, struct http_client *client,
                    struct error *e) {
  if (forget_strangers(p, e) != 0 || registries_open(&p->registries, p->options.registries,
                                                     p->options.registry_count, client, e) != 0) {
    registries_close(&p->registries);
    return -1;
  }
  if (uv_async_init(loop, &p->wake, on_wake) != 0) {
    registries_close(&p->registries);
    return error_set(e, ERROR_FAILED, "cannot start the gateway: out of descriptors");
  }
  p->loop = loop;
  p->wake.data = p;
  uv_timer_init(loop, &p->timer);
  p->timer.data = p;
  pthread_mutex_lock(&p->lock);
  p->open = true;
  pthread_mutex_unlock(&p->lock);
  preparing_look_in(p, 0);
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
  registries_close(&p->registries);
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
