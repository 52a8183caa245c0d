/*
 * A turn goes through two lanes: that of the token, then that of all. A lane is a rate and those
 * who wait for it, the first of whom has a timer running on his own loop for when there is enough;
 * the others just wait. Whoever goes out of a lane as its first rouses the next, by that one's
 * loop. Timers belong to a reader, which is therefore freed by its loop.
 */
#include "gateway/readers.h"

#include "base/clock.h"
#include "gateway/rate.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

enum { BUCKETS = 4096 };

struct lane {
  struct rate rate;
  struct reader *first, **last;
};

/* Those with one token; kept after the last of them until its rate is full, for who comes again
 * has no more than who stays. */
struct token {
  struct token *next; /* of the bucket */
  uint64_t name;
  unsigned readers;
  struct lane lane;
};

struct readers {
  struct readers_options options;
  uint64_t slice; /* bytes of a turn at most */
  pthread_mutex_t lock;
  unsigned count;
  struct lane all;
  struct token *tokens[BUCKETS]; /* none unless there is a rate for each */
  size_t swept;                  /* the bucket that was looked through last */
};

struct readers_loop {
  uv_async_t async;
  struct readers *readers;
  struct reader *roused; /* those who have come to be the first of their lane */
};

struct reader {
  uv_timer_t timer; /* unless there is no rate at all */
  struct readers_loop *loop;
  struct token *token;         /* NULL: there is no rate for each */
  struct lane *lane;           /* in which it waits; NULL: in none */
  struct reader *next, **link; /* there */
  struct reader *next_roused, **roused;
  uint64_t want;
  reader_called *called;
  void *arg;
};

static uint64_t least(uint64_t a, uint64_t b) {
  return a < b ? a : b;
}

struct readers *readers_new(const struct readers_options *options) {
  struct readers *readers = calloc(1, sizeof *readers);
  if (readers != NULL) {
    readers->options = *options;
    readers->slice = least(rate_slice(options->rate), rate_slice(options->rate_per_token));
    readers->all =
        (struct lane){.rate = {.bytes_a_second = options->rate}, .last = &readers->all.first};
    pthread_mutex_init(&readers->lock, NULL);
  }
  return readers;
}

void readers_free(struct readers *readers) {
  if (readers == NULL) {
    return;
  }
  for (size_t i = 0; i < BUCKETS; i++) {
    for (struct token *t = readers->tokens[i], *next; t != NULL; t = next) {
      next = t->next;
      free(t);
    }
  }
  pthread_mutex_destroy(&readers->lock);
  free(readers);
}

/* --- lanes; under the lock --- */

static void join(struct lane *lane, struct reader *r) {
  r->lane = lane;
  r->next = NULL;
  r->link = lane->last;
  *lane->last = r;
  lane->last = &r->next;
}

static void rouse(struct reader *r) {
  struct readers_loop *loop = r->loop;
  r->next_roused = loop->roused;
  r->roused = &loop->roused;
  if (r->next_roused != NULL) {
    r->next_roused->roused = &r->next_roused;
  }
  loop->roused = r;
  uv_async_send(&loop->async);
}

static void settle(struct reader *r) {
  if (r->roused != NULL) {
    *r->roused = r->next_roused;
    if (r->next_roused != NULL) {
      r->next_roused->roused = r->roused;
    }
    r->roused = NULL;
  }
}

static void part(struct reader *r) {
  struct lane *lane = r->lane;
  assert(lane != NULL);
  const bool first = lane->first == r;
  *r->link = r->next;
  if (r->next != NULL) {
    r->next->link = r->link;
  } else {
    lane->last = r->link;
  }
  r->lane = NULL;
  settle(r);
  if (first && lane->first != NULL) {
    rouse(lane->first);
  }
}

static void on_timer(uv_timer_t *timer);

/* Takes what it wants when nobody waits there and there is enough; else waits there. */
static bool pass(struct reader *r, struct lane *lane, uint64_t now) {
  const bool first = lane->first == NULL;
  const uint64_t wait = first ? rate_take(&lane->rate, r->want, now) : 0;
  if (first && wait == 0) {
    return true;
  }
  join(lane, r);
  if (first) {
    uv_timer_start(&r->timer, on_timer, wait, 0);
  }
  return false;
}

/* The first of its lane goes on when there is enough. \return whether it is through. */
static bool advance(struct readers *readers, struct reader *r) {
  struct lane *lane = r->lane;
  const uint64_t now = clock_monotonic_ms();
  const uint64_t wait = rate_take(&lane->rate, r->want, now);
  settle(r);
  if (wait > 0) {
    uv_timer_start(&r->timer, on_timer, wait, 0);
    return false;
  }
  part(r);
  return lane == &readers->all || pass(r, &readers->all, now);
}

/* --- tokens; under the lock --- */

static struct token *find_token(struct readers *readers, uint64_t name) {
  struct token **bucket = &readers->tokens[name % BUCKETS];
  struct token *t = *bucket;
  while (t != NULL && t->name != name) {
    t = t->next;
  }
  if (t == NULL && (t = calloc(1, sizeof *t)) != NULL) {
    *t = (struct token){.next = *bucket, .name = name};
    t->lane = (struct lane){.rate = {.bytes_a_second = readers->options.rate_per_token},
                            .last = &t->lane.first};
    *bucket = t;
  }
  return t;
}

/* Looks through the next bucket, so that what was kept is not kept for long. */
static void sweep(struct readers *readers, uint64_t now) {
  readers->swept = (readers->swept + 1) % BUCKETS;
  struct token **at = &readers->tokens[readers->swept];
  while (*at != NULL) {
    struct token *t = *at;
    if (t->readers == 0 && rate_is_full(&t->lane.rate, now)) {
      *at = t->next;
      free(t);
    } else {
      at = &t->next;
    }
  }
}

/* --- loops --- */

static void go_on(struct reader *r) {
  struct readers *readers = r->loop->readers;
  pthread_mutex_lock(&readers->lock);
  const bool through = advance(readers, r);
  pthread_mutex_unlock(&readers->lock);
  if (through) {
    r->called(r->arg, r->want);
  }
}

static void on_timer(uv_timer_t *timer) {
  go_on(timer->data);
}

/* One at a time: whoever is called may have others leave. */
static void on_async(uv_async_t *async) {
  struct readers_loop *loop = async->data;
  for (;;) {
    pthread_mutex_lock(&loop->readers->lock);
    struct reader *r = loop->roused;
    pthread_mutex_unlock(&loop->readers->lock);
    if (r == NULL) {
      return;
    }
    go_on(r);
  }
}

struct readers_loop *readers_loop_new(struct readers *readers, uv_loop_t *uv) {
  struct readers_loop *loop = calloc(1, sizeof *loop);
  if (loop == NULL || uv_async_init(uv, &loop->async, on_async) != 0) {
    free(loop);
    return NULL;
  }
  loop->readers = readers;
  loop->async.data = loop;
  return loop;
}

static void on_closed(uv_handle_t *handle) {
  free(handle->data);
}

void readers_loop_close(struct readers_loop *loop) {
  if (loop != NULL) {
    uv_close((uv_handle_t *)&loop->async, on_closed);
  }
}

/* --- readers --- */

struct reader *reader_enter(struct readers_loop *loop, uint64_t token) {
  struct readers *readers = loop->readers;
  struct reader *r = calloc(1, sizeof *r);
  if (r == NULL) {
    return NULL;
  }
  r->loop = loop;
  pthread_mutex_lock(&readers->lock);
  bool entered = readers->count < readers->options.max;
  if (entered && readers->options.rate_per_token != 0) {
    sweep(readers, clock_monotonic_ms());
    r->token = find_token(readers, token);
    entered = r->token != NULL;
  }
  if (entered) {
    readers->count++;
    if (r->token != NULL) {
      r->token->readers++;
    }
  }
  pthread_mutex_unlock(&readers->lock);
  if (!entered) {
    free(r);
    return NULL;
  }
  if (readers->slice != UINT64_MAX) {
    uv_timer_init(loop->async.loop, &r->timer);
    r->timer.data = r;
  }
  return r;
}

void reader_leave(struct reader *r) {
  if (r == NULL) {
    return;
  }
  struct readers *readers = r->loop->readers;
  pthread_mutex_lock(&readers->lock);
  readers->count--;
  if (r->lane != NULL) {
    part(r);
  }
  if (r->token != NULL) {
    r->token->readers--;
  }
  pthread_mutex_unlock(&readers->lock);
  if (readers->slice != UINT64_MAX) {
    uv_close((uv_handle_t *)&r->timer, on_closed);
  } else {
    free(r);
  }
}

uint64_t reader_turn(struct reader *r, uint64_t want, reader_called *called, void *arg) {
  struct readers *readers = r->loop->readers;
  assert(want > 0 && r->lane == NULL);
  r->want = least(want, readers->slice);
  if (readers->slice == UINT64_MAX) {
    return r->want; /* no lock for nothing */
  }
  r->called = called;
  r->arg = arg;
  pthread_mutex_lock(&readers->lock);
  const uint64_t now = clock_monotonic_ms();
  const bool through =
      (r->token == NULL || pass(r, &r->token->lane, now)) && pass(r, &readers->all, now);
  pthread_mutex_unlock(&readers->lock);
  return through ? r->want : 0;
}
