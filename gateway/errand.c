/*
 * The table is a list, in the order of asking, under one short lock: errands that wait for a thread
 * and those under way. Who waits is told through a handle on his own loop; an errand that has
 * ended, and a wait that is left, have let go of each other under the lock.
 */
#include "gateway/errand_internal.h"

#include <stdlib.h>

void errand_running_free(struct errand_running *r) {
  arena_free(&r->arena);
  free(r);
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
    if (errand_thread_start(s, &s->threads[i], e) != 0) {
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
    errand_thread_stop(&s->threads[i]);
  }
  for (struct errand_running *r = s->first, *next; r != NULL; r = next) {
    next = r->next;
    if (r->thread != NULL) {
      s->options.kind->clean(&r->errand);
    }
    errand_running_free(r);
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
  struct errand_running *r = w->errand;
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

static struct errand_running *running_new(const struct errands *s,
                                          const struct errand_question *q) {
  struct errand_running *r = calloc(1, sizeof *r);
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
    errand_running_free(r);
    return NULL;
  }
  return r;
}

/* A manifest is a repository's; a blob is the same in all of them. */
static bool is_wanted(const struct errands *s, const struct errand_running *r,
                      const struct errand_question *q) {
  return slice_equal(slice_str(r->errand.digest), q->digest) &&
         slice_equal(slice_str(r->errand.registry), q->registry) &&
         (!s->options.kind->manifest ||
          slice_equal(slice_str(r->errand.repository), q->repository));
}

/* The lock is held. \return NULL with \p e. */
static struct errand_running *find_or_add(struct errands *s, const struct errand_question *q,
                                          struct error *e) {
  struct errand_running **at = &s->first;
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
  struct errand_running *r = find_or_add(s, question, e);
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
