/*
 * The table is a list, in the order of asking, under one short lock: errands that wait for a thread
 * and those under way. A thread is a loop with a client and connections of its own; it takes from
 * the list when it is woken and has room. Who waits is told through a handle on his own loop; an
 * errand that has ended, and a wait that is left, have let go of each other under the lock.
 */
#include "gateway/errand.h"

#include "image/registry.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct errand_wait {
  struct errands *errands;
  struct running *errand; /* under the lock; NULL once it has ended, which the next two tell of */
  enum errand_outcome outcome;
  struct error why;
  struct errand_wait *next; /* of the errand */
  uv_async_t ended;
  uv_timer_t timer;
  unsigned handles; /* that are open */
  errand_told *told;
  void *arg;
};

struct running {
  struct errand errand;
  struct running *next;
  struct thread *thread; /* NULL: it waits for one */
  struct errand_wait *waits;
  atomic_uint_least64_t done, size;
  /* Of its thread. */
  struct registry_request *request;
  int status;
  bool elsewhere;
  bool failed; /* and why */
  struct error why;
  struct arena arena; /* of what the errand points to */
};

struct thread {
  struct errands *errands;
  bool open; /* the loop, and what is on it */
  bool started;
  uv_thread_t id;
  uv_loop_t loop;
  uv_async_t wake;
  struct http_client *client;
  struct registry **registries;
  unsigned under_way;
};

struct errands {
  struct errands_options options;
  pthread_mutex_t lock; /* over what follows */
  struct running *first;
  unsigned count;
  bool stopping;
  struct thread threads[ERRAND_THREADS_MAX]; /* not under it */
};

/* --- an errand's end --- */

static void running_free(struct running *r) {
  arena_free(&r->arena);
  free(r);
}

/* The lock is held. */
static void unlink_errand(struct errands *s, const struct running *r) {
  struct running **at = &s->first;
  while (*at != r) {
    at = &(*at)->next;
  }
  *at = r->next;
  s->count--;
}

static void end(struct running *r, enum errand_outcome outcome, const struct error *e) {
  struct thread *thread = r->thread;
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
  running_free(r);
  thread->under_way--;
  uv_async_send(&thread->wake); /* there is room for another */
}

/* --- what the registry answers --- */

static int refuse_status(const struct running *r, struct error *e) {
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
  struct running *r = arg;
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
  struct running *r = arg;
  r->failed = r->thread->errands->options.kind->data(&r->errand, bytes, &r->why) != 0;
  atomic_fetch_add(&r->done, bytes.len);
  return !r->failed;
}

static void on_done(void *arg, const struct error *e) {
  struct running *r = arg;
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

static struct registry *registry_of(const struct thread *thread, const char *name) {
  const struct errands_options *o = &thread->errands->options;
  size_t i = 0;
  while (i + 1 < o->registry_count && strcmp(o->registries[i].name, name) != 0) {
    i++;
  }
  return thread->registries[i];
}

static void begin(struct running *r) {
  static const struct registry_events events = {on_head, on_data, on_done};
  struct thread *thread = r->thread;
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
  r->request = registry_start(registry_of(thread, r->errand.registry), &get, &events, r, &e);
  if (r->request == NULL) {
    end(r, ERRAND_FAILED, &e);
  }
}

/* The next one that waits, for a thread that has room. */
static struct running *take(struct thread *thread) {
  struct errands *s = thread->errands;
  struct running *r = NULL;
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
static void close_thread(struct thread *thread) {
  const struct errands_options *o = &thread->errands->options;
  for (size_t i = 0; thread->registries != NULL && i < o->registry_count; i++) {
    registry_free(thread->registries[i]);
  }
  free(thread->registries);
  if (thread->client != NULL) {
    http_client_stop(thread->client, on_client_stopped, NULL);
  }
  uv_close((uv_handle_t *)&thread->wake, NULL);
}

static void on_wake(uv_async_t *wake) {
  struct thread *thread = wake->data;
  struct errands *s = thread->errands;
  struct running *r;
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
  struct thread *thread = arg;
  uv_run(&thread->loop, UV_RUN_DEFAULT);
}

static int start_thread(struct errands *s, struct thread *thread, struct error *e) {
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
  thread->registries = calloc(s->options.registry_count, sizeof(struct registry *));
  if (thread->client == NULL || thread->registries == NULL) {
    return error_set(e, ERROR_FAILED, "cannot start the gateway: out of memory");
  }
  for (size_t i = 0; i < s->options.registry_count; i++) {
    const struct gateway_registry *registry = &s->options.registries[i];
    thread->registries[i] = registry_new(thread->client, &registry->upstream, e);
    if (thread->registries[i] == NULL) {
      return error_context(e, "registry %s", registry->name);
    }
  }
  int failed = uv_thread_create(&thread->id, run, thread);
  thread->started = failed == 0;
  return failed == 0 ? 0
                     : error_set(e, ERROR_FAILED, "cannot start a thread: %s", uv_strerror(failed));
}

static void stop_thread(struct thread *thread) {
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

struct errands *errands_new(const struct errands_options *options, struct error *e) {
  struct errands *s = calloc(1, sizeof *s);
  if (s == NULL) {
    error_set(e, ERROR_FAILED, "cannot start the gateway: out of memory");
    return NULL;
  }
  s->options = *options;
  pthread_mutex_init(&s->lock, NULL);
  for (unsigned i = 0; i < options->kind->threads; i++) {
    if (start_thread(s, &s->threads[i], e) != 0) {
      errands_free(s);
      return NULL;
    }
  }
  return s;
}

void errands_free(struct errands *s) {
  if (s == NULL) {
    return;
  }
  pthread_mutex_lock(&s->lock);
  s->stopping = true;
  pthread_mutex_unlock(&s->lock);
  for (size_t i = 0; i < ERRAND_THREADS_MAX; i++) {
    stop_thread(&s->threads[i]);
  }
  for (struct running *r = s->first, *next; r != NULL; r = next) {
    next = r->next;
    if (r->thread != NULL) {
      s->options.kind->clean(&r->errand);
    }
    running_free(r);
  }
  pthread_mutex_destroy(&s->lock);
  free(s);
}

/* --- who waits --- */

static void on_closed(uv_handle_t *handle) {
  struct errand_wait *w = handle->data;
  if (--w->handles == 0) {
    free(w);
  }
}

/* Nothing is sent to it any more. */
static void close_wait(struct errand_wait *w) {
  uv_close((uv_handle_t *)&w->ended, on_closed);
  uv_close((uv_handle_t *)&w->timer, on_closed);
}

static void on_ended(uv_async_t *async) {
  struct errand_wait *w = async->data;
  pthread_mutex_lock(&w->errands->lock);
  bool over = w->errand == NULL;
  pthread_mutex_unlock(&w->errands->lock);
  if (over) {
    const struct errand_news news = {.outcome = w->outcome, .e = &w->why};
    close_wait(w);
    w->told(w->arg, &news);
  }
}

/* \return false when its errand has ended. */
static bool let_go(struct errand_wait *w, struct errand_news *news) {
  pthread_mutex_lock(&w->errands->lock);
  struct running *r = w->errand;
  if (r != NULL) {
    struct errand_wait **at = &r->waits;
    while (*at != w) {
      at = &(*at)->next;
    }
    *at = w->next;
    w->errand = NULL;
    *news =
        (struct errand_news){ERRAND_UNDER_WAY, atomic_load(&r->done), atomic_load(&r->size), NULL};
  }
  pthread_mutex_unlock(&w->errands->lock);
  return r != NULL;
}

static void on_timer(uv_timer_t *timer) {
  struct errand_wait *w = timer->data;
  struct errand_news news;
  if (let_go(w, &news)) {
    close_wait(w);
    w->told(w->arg, &news);
  }
}

void errand_leave(struct errand_wait *wait) {
  struct errand_news news;
  if (wait != NULL) {
    let_go(wait, &news);
    close_wait(wait);
  }
}

static struct running *running_new(const struct errands *s, const struct errand_question *q) {
  struct running *r = calloc(1, sizeof *r);
  if (r == NULL) {
    return NULL;
  }
  r->errand = (struct errand){
      .registry = arena_copy(&r->arena, q->registry),
      .repository = arena_copy(&r->arena, q->repository),
      .digest = arena_copy(&r->arena, q->digest),
      .size = q->size,
      .context = s->options.context,
      .state = arena_alloc(&r->arena, s->options.kind->state_size),
  };
  atomic_init(&r->size, q->size);
  if (r->errand.registry == NULL || r->errand.repository == NULL || r->errand.digest == NULL ||
      r->errand.state == NULL) {
    running_free(r);
    return NULL;
  }
  return r;
}

/* A manifest is a repository's; a blob is the same in all of them. */
static bool is_wanted(const struct errands *s, const struct running *r,
                      const struct errand_question *q) {
  return slice_equal(slice_str(r->errand.digest), q->digest) &&
         slice_equal(slice_str(r->errand.registry), q->registry) &&
         (!s->options.kind->manifest ||
          slice_equal(slice_str(r->errand.repository), q->repository));
}

/* The lock is held. \return NULL with \p e. */
static struct running *find_or_add(struct errands *s, const struct errand_question *q,
                                   struct error *e) {
  struct running **at = &s->first;
  while (*at != NULL && !is_wanted(s, *at, q)) {
    at = &(*at)->next;
  }
  if (*at == NULL && s->count >= s->options.kind->most) {
    error_set(e, ERROR_FAILED, "%u others wait already", s->count);
  } else if (*at == NULL) {
    *at = running_new(s, q);
    s->count += *at == NULL ? 0 : 1;
    if (*at == NULL) {
      error_set(e, ERROR_FAILED, "out of memory");
    }
  }
  return *at;
}

static struct errand_wait *wait_new(struct errands *s, uv_loop_t *loop, struct error *e) {
  struct errand_wait *w = calloc(1, sizeof *w);
  if (w == NULL || uv_async_init(loop, &w->ended, on_ended) != 0) {
    free(w);
    error_set(e, ERROR_FAILED, "out of memory");
    return NULL;
  }
  uv_timer_init(loop, &w->timer);
  w->errands = s;
  w->ended.data = w;
  w->timer.data = w;
  w->handles = 2;
  return w;
}

struct errand_wait *errand_ask(struct errands *s, uv_loop_t *loop,
                               const struct errand_question *question, errand_told *told, void *arg,
                               struct error *e) {
  unsigned wait_ms = s->options.wait_ms != 0 ? s->options.wait_ms : s->options.kind->wait_ms;
  struct errand_wait *w = wait_new(s, loop, e);
  if (w == NULL) {
    return NULL;
  }
  w->told = told;
  w->arg = arg;
  pthread_mutex_lock(&s->lock);
  struct running *r = find_or_add(s, question, e);
  if (r != NULL) {
    w->errand = r;
    w->next = r->waits;
    r->waits = w;
  }
  bool waits = r != NULL && r->thread == NULL;
  pthread_mutex_unlock(&s->lock);
  if (r == NULL) {
    close_wait(w);
    return NULL;
  }
  if (wait_ms > 0) {
    uv_timer_start(&w->timer, on_timer, wait_ms, 0);
  }
  for (unsigned i = 0; waits && i < s->options.kind->threads; i++) {
    uv_async_send(&s->threads[i].wake);
  }
  return w;
}
