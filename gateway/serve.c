#include "gateway/serve.h"

#include "gateway/relay.h"

#include <unistd.h>

/** In the exchange's arena. */
struct serving {
  struct blob_answer answer;
  int fd; /* of the bytes */
  struct cache *cache;
  struct cache_blob *blob; /* NULL: all of the file is there */
  struct cache_want want;
  struct blob_answers *all;
};

static void go_on(struct serving *s);

static void stop(struct serving *s) {
  if (s->blob == NULL) {
    close(s->fd);
  } else {
    cache_unwant(s->cache, &s->want);
    cache_release(s->blob);
  }
}

static void on_abandoned(void *arg) {
  struct serving *s = arg;
  stop(s);
  blob_answer_abandon(&s->answer);
}

static void on_cut(struct blob_answer *a) {
  stop((struct serving *)a); /* its first member */
  blob_answer_fail(a, 403, "its token was revoked");
}

/* There is no room for the bytes: the registry is asked for this reader alone. */
static void hand_over(struct serving *s) {
  struct blob_answer *a = &s->answer;
  stop(s);
  blob_answer_leave(a);
  if (a->started) {
    relay_rest(a->x, &a->order, a->left, s->all, a->log);
  } else {
    relay_blob(a->x, &a->order, s->all, a->log);
  }
}

static void on_told(void *arg, enum cache_news news) {
  struct serving *s = arg;
  switch (news) {
  case CACHE_READY:
    go_on(s);
    break;
  case CACHE_NO_ROOM:
    hand_over(s);
    break;
  case CACHE_GONE:
    stop(s);
    blob_answer_fail(&s->answer, 404, "the registry has no such blob");
    break;
  case CACHE_FAILED: /* whose log says why */
    stop(s);
    blob_answer_fail(&s->answer, 502, NULL);
    break;
  }
}

static void on_proceed(void *arg) {
  go_on(arg);
}

static uint64_t offset_of(const struct blob_answer *a) {
  return a->order.range.offset + a->order.range.length - a->left;
}

/* It is this answer's turn to send as much, which is there. */
static void on_turn(void *arg, uint64_t bytes) {
  struct serving *s = arg;
  struct blob_answer *a = &s->answer;
  const uint64_t at = offset_of(a);
  http_answer_waits(a->x, false);
  if (!a->started) {
    blob_answer_start(a);
  }
  a->left -= bytes;
  http_answer_send_file(a->x, s->fd, at, bytes, on_proceed, s);
}

/* Sends what is there, then waits: for who asked to take it, for the piece behind it, or for the
 * next turn. */
static void go_on(struct serving *s) {
  struct blob_answer *a = &s->answer;
  uint64_t at = offset_of(a);
  uint64_t ready = a->left == 0 || s->blob == NULL ? a->left : cache_ready(s->blob, at);
  if (a->left == 0) {
    stop(s);
    blob_answer_end(a);
  } else if (ready == 0) {
    s->want.offset = at;
    cache_want(s->blob, &s->want);
  } else {
    uint64_t turn = reader_turn(a->order.reader, ready < a->left ? ready : a->left, on_turn, s);
    if (turn > 0) {
      on_turn(s, turn);
    } else {
      http_answer_waits(a->x, true);
    }
  }
}

static void start(struct serving *s, struct http_exchange *x, const struct blob_order *order,
                  struct blob_answers *all, const struct log *log) {
  blob_answer_begin(&s->answer, x, order, all, log);
  http_exchange_on_abandoned(x, on_abandoned, s);
  go_on(s);
}

void serve_blob(struct http_exchange *x, const struct blob_order *order, struct cache_blob *blob,
                struct cache *cache, struct cache_waker *waker, struct blob_answers *all,
                const struct log *log) {
  struct serving *s = arena_alloc(http_exchange_arena(x), sizeof *s);
  if (s == NULL) {
    cache_release(blob);
    blob_order_fail(x, order);
    return;
  }
  *s = (struct serving){.answer = {.cut = on_cut},
                        .fd = cache_fd(blob),
                        .cache = cache,
                        .blob = blob,
                        .all = all,
                        .want = {.waker = waker,
                                 .end = order->range.offset + order->range.length,
                                 .registry = order->upstream->name.ptr,
                                 .repository = order->repository,
                                 .told = on_told,
                                 .arg = s}};
  start(s, x, order, all, log);
}

void serve_file(struct http_exchange *x, const struct blob_order *order, int fd,
                struct blob_answers *all, const struct log *log) {
  struct serving *s = arena_alloc(http_exchange_arena(x), sizeof *s);
  if (s == NULL) {
    close(fd);
    blob_order_fail(x, order);
    return;
  }
  *s = (struct serving){.answer = {.cut = on_cut}, .fd = fd};
  start(s, x, order, all, log);
}
