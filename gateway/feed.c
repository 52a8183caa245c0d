#include "gateway/feed.h"

#include "auth/revocation_feed.h"
#include "auth/revocation_load.h"
#include "base/clock.h"
#include "gateway/problem.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

/* Trackers ask every 2 s: what they get must not be older than the time between. */
enum { KEEP_MS = 2000 };

/* A list as it was signed once. */
struct text {
  atomic_uint references;
  uint64_t generation; /* of the revocations, when it was begun */
  uint64_t made;       /* clock_monotonic_ms() */
  struct buf bytes;
};

struct feed {
  struct feed_options options;
  pthread_mutex_t lock;   /* guards `current` */
  pthread_mutex_t making; /* held by who signs: the others find it done */
  struct text *current;
};

struct feed *feed_new(const struct feed_options *options) {
  struct feed *feed = calloc(1, sizeof *feed);
  if (feed != NULL) {
    feed->options = *options;
    pthread_mutex_init(&feed->lock, NULL);
    pthread_mutex_init(&feed->making, NULL);
  }
  return feed;
}

static void release(struct text *text) {
  if (text != NULL && atomic_fetch_sub(&text->references, 1) == 1) {
    buf_free(&text->bytes);
    free(text);
  }
}

void feed_free(struct feed *feed) {
  if (feed != NULL) {
    release(feed->current);
    pthread_mutex_destroy(&feed->lock);
    pthread_mutex_destroy(&feed->making);
    free(feed);
  }
}

/* A reference to what is kept; NULL when it is not good any more. */
static struct text *find(struct feed *feed) {
  pthread_mutex_lock(&feed->lock);
  struct text *text = feed->current;
  if (text != NULL && text->generation == revocations_generation(feed->options.revocations) &&
      clock_monotonic_ms() - text->made < KEEP_MS) {
    atomic_fetch_add(&text->references, 1);
  } else {
    text = NULL;
  }
  pthread_mutex_unlock(&feed->lock);
  return text;
}

static void keep(struct feed *feed, struct text *text) {
  atomic_fetch_add(&text->references, 1);
  pthread_mutex_lock(&feed->lock);
  struct text *old = feed->current;
  feed->current = text;
  pthread_mutex_unlock(&feed->lock);
  release(old);
}

static int sign(const struct feed *feed, struct buf *out, struct error *e) {
  struct revocation_list list = {0};
  struct keyring_state *keys = keyring_hold(feed->options.keyring);
  int result = db_read(feed->options.db, revocation_load, &list, e);
  if (result == 0) {
    result = revocation_feed_write(&keys->swarm.key, keys->swarm.issuer, keys->swarm.audience,
                                   &list, clock_now(), out, e);
  }
  keyring_release(keys);
  revocation_list_free(&list);
  return result;
}

static struct text *make(struct feed *feed, struct error *e) {
  struct text *text = malloc(sizeof *text);
  if (text == NULL) {
    error_set(e, ERROR_FAILED, "out of memory");
    return NULL;
  }
  *text = (struct text){.references = 1,
                        .generation = revocations_generation(feed->options.revocations),
                        .made = clock_monotonic_ms()};
  if (sign(feed, &text->bytes, e) != 0) {
    release(text);
    return NULL;
  }
  keep(feed, text);
  return text;
}

/* --- requests --- */

/* One that waits for a list; it may outlive its exchange. */
struct waiting {
  uv_work_t work;
  struct feed *feed;
  struct http_exchange *x; /* NULL when nobody waits any more */
  struct text *text;
  struct error why;
};

static void answer(struct http_exchange *x, const struct text *text) {
  const struct http_field fields[] = {
      {SLICE("Content-Type"), SLICE("application/jwt")},
      {SLICE("Cache-Control"), SLICE("no-store")},
  };
  http_answer(x, 200, fields, sizeof fields / sizeof fields[0], buf_view(&text->bytes));
}

static void refuse(const struct feed *feed, struct http_exchange *x, const struct error *e) {
  log_write(feed->options.log, LOG_LEVEL_ERROR, "cannot give the list of revocations: %s", e->text);
  problem_answer(x, 500, "UNKNOWN", "the gateway failed; its log says why");
}

static void on_work(uv_work_t *work) {
  struct waiting *w = work->data;
  pthread_mutex_lock(&w->feed->making);
  w->text = find(w->feed);
  if (w->text == NULL) {
    w->text = make(w->feed, &w->why);
  }
  pthread_mutex_unlock(&w->feed->making);
}

static void on_made(uv_work_t *work, int status) {
  struct waiting *w = work->data;
  (void)status;
  if (w->x != NULL && w->text != NULL) {
    answer(w->x, w->text);
  } else if (w->x != NULL) {
    refuse(w->feed, w->x, &w->why);
  }
  release(w->text);
  free(w);
}

static void on_abandoned(void *arg) {
  struct waiting *w = arg;
  w->x = NULL;
}

void feed_handle(struct http_exchange *x, void *context) {
  struct feed *feed = context;
  struct text *text = find(feed);
  if (text != NULL) {
    answer(x, text);
    release(text);
    return;
  }
  struct waiting *w = malloc(sizeof *w);
  if (w != NULL) {
    *w = (struct waiting){.work = {.data = w}, .feed = feed, .x = x};
    http_exchange_on_abandoned(x, on_abandoned, w);
    if (uv_queue_work(http_exchange_loop(x), &w->work, on_work, on_made) == 0) {
      return;
    }
    http_exchange_on_abandoned(x, NULL, NULL);
  }
  free(w);
  struct error e = {0};
  error_set(&e, ERROR_FAILED, "out of memory");
  refuse(feed, x, &e);
}
