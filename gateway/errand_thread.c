/*
 * A thread is a loop with a client and connections of its own; it takes errands from the table when
 * it is woken and has room.
 */
#include "gateway/errand_internal.h"

#include <assert.h>

/* --- an errand's end --- */

/* The lock is held. */
static void unlink_errand(struct errands *s, const struct errand_running *r) {
  struct errand_running **at = &s->first;
  while (*at != r) {
    at = &(*at)->next;
  }
  *at = r->next;
  s->count--;
}

static void end(struct errand_running *r, enum errand_outcome outcome, const struct error *e) {
  struct errand_thread *thread = r->thread;
  struct errands *s = thread->errands;
  s->options.kind->clean(&r->errand);
  if (e != NULL) {
    log_write(s->options.log, LOG_LEVEL_WARN, "cannot %s %s of %s/%s: %s", s->options.kind->verb,
              r->errand.digest, r->errand.registry, r->errand.repository, e->text);
  }
  pthread_mutex_lock(&s->lock);
  unlink_errand(s, r);
  for (struct errand_wait *w = r->waits, *next; w != NULL; w = next) {
    next = w->next;
    w->errand = NULL;
    w->outcome = outcome;
    if (e != NULL) {
      w->why = *e;
    }
    uv_async_send(&w->ended);
  }
  pthread_mutex_unlock(&s->lock);
  errand_running_free(r);
  thread->under_way--;
  uv_async_send(&thread->wake); /* there is room for another */
}

/* --- what the registry answers --- */

static int refuse_status(const struct errand_running *r, struct error *e) {
  int status = r->status;
  if (r->elsewhere) {
    return error_set(e, status == 404 ? ERROR_NOT_FOUND : ERROR_FAILED,
                     "where the registry redirects to answered %d", status);
  }
  switch (status) {
  case 401:
  case 403:
    return error_set(e, ERROR_DENIED,
                     "the registry answered %d to the gateway: see its `credentials` under "
                     "`registries`",
                     status);
  case 404:
    return error_set(e, ERROR_NOT_FOUND,
                     "the registry answered 404: it has no such thing, or hides it from the "
                     "gateway");
  default:
    return error_set(e, ERROR_FAILED, "the registry answered %d", status);
  }
}

static bool on_head(void *arg, const struct registry_answer *a) {
  struct errand_running *r = arg;
  uint64_t size = ERRAND_SIZE_UNKNOWN;
  r->status = a->status;
  r->elsewhere = a->elsewhere;
  if (a->status != 200) {
    return false;
  }
  r->failed = r->thread->errands->options.kind->head(&r->errand, a, &size, &r->why) != 0;
  atomic_store(&r->size, size);
  return !r->failed;
}

static bool on_data(void *arg, struct slice bytes) {
  struct errand_running *r = arg;
  r->failed = r->thread->errands->options.kind->data(&r->errand, bytes, &r->why) != 0;
  atomic_fetch_add(&r->done, bytes.len);
  return !r->failed;
}

static void on_done(void *arg, const struct error *e) {
  struct errand_running *r = arg;
  struct error why = {0};
  r->request = NULL;
  if (r->status != 0 && r->status != 200) {
    refuse_status(r, &why);
    end(r, ERRAND_REFUSED, &why);
  } else if (r->failed || e != NULL) {
    why = r->failed ? r->why : *e;
    end(r, ERRAND_REFUSED, &why);
  } else if (r->thread->errands->options.kind->finish(&r->errand, &why) != 0) {
    end(r, why.kind == ERROR_MISMATCH ? ERRAND_REFUSED : ERRAND_FAILED, &why);
  } else {
    end(r, ERRAND_DONE, NULL);
  }
}

/* --- the threads --- */

static void begin(struct errand_running *r) {
  static const struct registry_events events = {on_head, on_data, on_done};
  struct errand_thread *thread = r->thread;
  const struct errand_kind *kind = thread->errands->options.kind;
  const struct registry_get get = {
      .method = "GET",
      .repository = r->errand.repository,
      .manifest = kind->manifest ? r->errand.digest : NULL,
      .blob = r->errand.digest,
  };
  struct error e = {0};
  if (kind->is_done(&r->errand)) {
    end(r, ERRAND_DONE, NULL);
    return;
  }
  const struct registries *from = &thread->registries;
  size_t i = registries_index(from, slice_str(r->errand.registry));
  assert(i < from->count); /* who asks knows it */
  r->request = registry_start(from->items[i], &get, &events, r, &e);
  if (r->request == NULL) {
    end(r, ERRAND_FAILED, &e);
  }
}

/* The next one that waits, for a thread that has room. */
static struct errand_running *take(struct errand_thread *thread) {
  struct errands *s = thread->errands;
  struct errand_running *r = NULL;
  if (thread->under_way < s->options.kind->at_once) {
    pthread_mutex_lock(&s->lock);
    for (r = s->first; r != NULL && r->thread != NULL;) {
      r = r->next;
    }
    if (r != NULL) {
      r->thread = thread;
      thread->under_way++;
    }
    pthread_mutex_unlock(&s->lock);
  }
  return r;
}

static void on_client_stopped(void *arg) {
  (void)arg; /* nothing is left that keeps the loop alive */
}

/* What is under way is cancelled without a word: nobody waits any more. */
static void close_thread(struct errand_thread *thread) {
  registries_close(&thread->registries);
  if (thread->client != NULL) {
    http_client_stop(thread->client, on_client_stopped, NULL);
  }
  uv_close((uv_handle_t *)&thread->wake, NULL);
}

static void on_wake(uv_async_t *wake) {
  struct errand_thread *thread = wake->data;
  struct errands *s = thread->errands;
  struct errand_running *r;
  pthread_mutex_lock(&s->lock);
  bool stopping = s->stopping;
  pthread_mutex_unlock(&s->lock);
  if (stopping) {
    close_thread(thread);
    return;
  }
  while ((r = take(thread)) != NULL) {
    begin(r);
  }
}

static void run(void *arg) {
  struct errand_thread *thread = arg;
  uv_run(&thread->loop, UV_RUN_DEFAULT);
}

int errand_thread_start(struct errands *s, struct errand_thread *thread, struct error *e) {
  thread->errands = s;
  if (uv_loop_init(&thread->loop) != 0) {
    return error_set(e, ERROR_FAILED, "cannot make an event loop: out of memory or descriptors");
  }
  if (uv_async_init(&thread->loop, &thread->wake, on_wake) != 0) {
    uv_loop_close(&thread->loop);
    return error_set(e, ERROR_FAILED, "cannot make an event loop: out of descriptors");
  }
  thread->open = true;
  thread->wake.data = thread;
  thread->client = http_client_new(&thread->loop);
  if (thread->client == NULL) {
    return error_set(e, ERROR_FAILED, "cannot start the gateway: out of memory");
  }
  if (registries_open(&thread->registries, s->options.registries, s->options.registry_count,
                      thread->client, e) != 0) {
    return -1;
  }
  int failed = uv_thread_create(&thread->id, run, thread);
  thread->started = failed == 0;
  return failed == 0 ? 0
                     : error_set(e, ERROR_FAILED, "cannot start a thread: %s", uv_strerror(failed));
}

void errand_thread_stop(struct errand_thread *thread) {
  if (thread->started) {
    uv_async_send(&thread->wake);
    uv_thread_join(&thread->id);
  } else if (thread->open) {
    close_thread(thread);
    uv_run(&thread->loop, UV_RUN_DEFAULT);
  }
  if (thread->open) {
    uv_loop_close(&thread->loop);
  }
}
