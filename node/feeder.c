#include "node/feeder.h"

#include "base/buf.h"
#include "base/clock.h"
#include "http/range.h"
#include "torrent/hasher.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

enum {
  WAIT_MS = 30,     /* when there is nothing of ours to fetch */
  TROUBLE_MS = 500, /* after a failure, doubled each time */
  TROUBLE_MAX_MS = 15000,
  PATIENCE_PIECES = 4,   /* how many times as long as a piece takes nothing may come of a peer */
  PATIENCE_MIN_MS = 500, /* a piece may come out of the page cache in no time */
  PIECE_TIME_SHARE = 4,  /* one in so many is what the last piece's time counts */
};

struct fed {
  struct feeder_torrent torrent; /* without .torrent: removed */
  struct plan *plan;
  unsigned char *taken; /* pieces that are being fetched or checked */
  uint64_t fetched;
};

struct feeder {
  struct feeder_options options;
  struct fed *torrents;
  int count;
  uv_timer_t timer;
  uint64_t seed;
  uint64_t piece_ms;   /* how long a piece takes, smoothed; 0: none has come yet */
  uint64_t trouble_ms; /* how long to wait after the next failure */
  struct error trouble;

  /* What is under way. */
  struct http_fetch *fetch;
  int at;
  uint32_t piece;
  uint64_t begun_ms;
  int status;
  struct buf body;
};

static uint32_t piece_size(const struct feeder_torrent *t, uint32_t piece) {
  uint64_t left = t->size - (uint64_t)piece * t->piece_length;
  return left < t->piece_length ? (uint32_t)left : t->piece_length;
}

static void on_time(uv_timer_t *timer);

static void wait_for(struct feeder *f, uint64_t ms) {
  uv_timer_start(&f->timer, on_time, ms, 0);
}

/* --- a piece --- */

static bool on_head(void *arg, const struct http_fetch_answer *a) {
  struct feeder *f = arg;
  const struct feeder_torrent *t = &f->torrents[f->at].torrent;
  const struct range range = {.kind = RANGE_PART,
                              .offset = (uint64_t)f->piece * t->piece_length,
                              .length = piece_size(t, f->piece)};
  f->status = http_fetch_status(a);
  /* A range that is the whole may be answered as such. */
  return f->status == 206 ? range_is(&range, t->size, http_fetch_field(a, SLICE("Content-Range")))
                          : f->status == 200 && range.length == t->size;
}

static bool on_data(void *arg, struct slice bytes) {
  struct feeder *f = arg;
  buf_slice(&f->body, bytes);
  return !f->body.failed;
}

static void let_go(struct feeder *f) {
  struct fed *fed = &f->torrents[f->at];
  if (fed->taken != NULL) {
    bitfield_clear(fed->taken, f->piece);
  }
}

static void fail(struct feeder *f, const struct error *e) {
  f->trouble = *e;
  let_go(f);
  wait_for(f, f->trouble_ms);
  f->trouble_ms = f->trouble_ms * 2 < TROUBLE_MAX_MS ? f->trouble_ms * 2 : TROUBLE_MAX_MS;
}

static void take(struct feeder *f) {
  struct fed *fed = &f->torrents[f->at];
  struct error e = {0};
  uint64_t took = clock_monotonic_ms() - f->begun_ms;
  if (bittorrent_give(fed->torrent.torrent, f->piece, buf_view(&f->body), &e) != 0) {
    fail(f, &e);
    return;
  }
  fed->fetched += f->body.len;
  f->piece_ms =
      f->piece_ms == 0 ? took : (f->piece_ms * (PIECE_TIME_SHARE - 1) + took) / PIECE_TIME_SHARE;
  f->trouble_ms = TROUBLE_MS;
  f->trouble = (struct error){0};
  uint64_t rate = f->options.rate;
  uint64_t due = rate == 0 ? 0 : f->body.len * 1000 / rate;
  if (due > took) {
    wait_for(f, due - took);
  } else {
    on_time(&f->timer);
  }
}

static void on_done(void *arg, const struct error *e) {
  struct feeder *f = arg;
  struct fed *fed = &f->torrents[f->at];
  struct error why = {0};
  f->fetch = NULL;
  if (fed->torrent.torrent == NULL) { /* removed meanwhile */
    on_time(&f->timer);
  } else if (f->status != 0 && f->status != 200 && f->status != 206) {
    error_set(&why, f->status == 403 ? ERROR_DENIED : ERROR_FAILED, "the gateway answered %d",
              f->status);
    fail(f, &why);
    if (f->status == 403) {
      f->options.denied(f->options.arg, fed->torrent.tag);
    }
  } else if (e != NULL) {
    fail(f, e);
  } else if (f->body.len != piece_size(&fed->torrent, f->piece)) {
    error_set(&why, ERROR_FAILED, "the gateway sent %zu bytes of a piece of %" PRIu32, f->body.len,
              piece_size(&fed->torrent, f->piece));
    fail(f, &why);
  } else {
    take(f);
  }
}

static int fetch(struct feeder *f, int at, uint32_t piece, struct error *e) {
  static const struct http_fetch_events events = {on_head, on_data, on_done};
  struct fed *fed = &f->torrents[at];
  uint64_t first = (uint64_t)piece * fed->torrent.piece_length;
  char range[64];
  int len = snprintf(range, sizeof range, "bytes=%" PRIu64 "-%" PRIu64, first,
                     first + piece_size(&fed->torrent, piece) - 1);
  const struct http_field field = {SLICE("Range"), slice_of(range, (size_t)len)};
  const struct http_fetch_options options = {.method = "GET",
                                             .url = fed->torrent.url,
                                             .url_of_server = true,
                                             .fields = &field,
                                             .field_count = 1,
                                             .tls = f->options.tls};
  f->at = at;
  f->piece = piece;
  f->status = 0;
  f->begun_ms = clock_monotonic_ms();
  f->body.len = 0;
  f->body.failed = false;
  f->fetch = http_fetch_start(f->options.client, &options, &events, f, e);
  if (f->fetch != NULL) {
    bitfield_set(fed->taken, piece);
  }
  return f->fetch == NULL ? -1 : 0;
}

/* --- which one --- */

static uint64_t patience(const struct feeder *f) {
  uint64_t ms = f->piece_ms * PATIENCE_PIECES;
  return ms < PATIENCE_MIN_MS ? PATIENCE_MIN_MS : ms;
}

/* Chooses among all torrents: a piece of ours, where there are any, each as likely as another. */
static int choose(struct feeder *f, int *at, uint32_t *piece, struct error *e) {
  uint64_t now = clock_monotonic_ms();
  uint32_t own = 0;
  uint32_t orphaned = 0;
  *at = -1;
  for (int i = 0; i < f->count; i++) {
    struct fed *fed = &f->torrents[i];
    struct plan_choice choice;
    const struct plan_view *view =
        fed->torrent.torrent == NULL ? NULL : bittorrent_view(fed->torrent.torrent);
    if (view == NULL) {
      continue;
    }
    if (plan_choose(fed->plan, view, fed->taken, now, patience(f), &f->seed, &choice, e) != 0) {
      return -1;
    }
    uint32_t *sum = choice.own > 0 ? &own : &orphaned;
    uint32_t more = choice.own > 0 ? choice.own : own > 0 ? 0 : choice.orphaned;
    *sum += more;
    if (more > 0 && plan_roll(&f->seed, *sum) < more) {
      *at = i;
      *piece = choice.piece;
    }
  }
  return 0;
}

static void on_time(uv_timer_t *timer) {
  struct feeder *f = timer->data;
  struct error e = {0};
  int at;
  uint32_t piece;
  uv_timer_stop(timer);
  if (f->fetch != NULL) {
    return;
  }
  if (choose(f, &at, &piece, &e) != 0 || (at >= 0 && fetch(f, at, piece, &e) != 0)) {
    f->trouble = e;
    wait_for(f, TROUBLE_MS);
  } else if (at < 0) {
    wait_for(f, WAIT_MS);
  }
}

/* --- what others call --- */

struct feeder *feeder_new(const struct feeder_options *options) {
  struct feeder *f = calloc(1, sizeof *f);
  if (f == NULL) {
    return NULL;
  }
  f->options = *options;
  f->trouble_ms = TROUBLE_MS;
  f->body.limit = TORRENT_PIECE_MAX;
  while (f->seed == 0) {
    if (getrandom(&f->seed, sizeof f->seed, 0) < 0) {
      f->seed = clock_monotonic_ms();
    }
  }
  uv_timer_init(options->loop, &f->timer);
  f->timer.data = f;
  return f;
}

static void on_closed(uv_handle_t *handle) {
  free(handle->data);
}

void feeder_free(struct feeder *f) {
  if (f == NULL) {
    return;
  }
  if (f->fetch != NULL) {
    http_fetch_cancel(f->fetch);
  }
  for (int i = 0; i < f->count; i++) {
    plan_free(f->torrents[i].plan);
    free(f->torrents[i].taken);
  }
  free(f->torrents);
  buf_free(&f->body);
  uv_close((uv_handle_t *)&f->timer, on_closed);
}

int feeder_add(struct feeder *f, const struct feeder_torrent *torrent, struct error *e) {
  struct fed *torrents = reallocarray(f->torrents, (size_t)f->count + 1, sizeof *torrents);
  if (torrents == NULL) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  f->torrents = torrents;
  uint64_t pieces = torrent_piece_count(torrent->size, torrent->piece_length);
  struct fed fed = {
      .torrent = *torrent, .plan = plan_new(), .taken = calloc(1, bitfield_size((uint32_t)pieces))};
  if (fed.plan == NULL || fed.taken == NULL) {
    plan_free(fed.plan);
    free(fed.taken);
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  torrents[f->count] = fed;
  if (f->fetch == NULL) {
    wait_for(f, 0);
  }
  return f->count++;
}

void feeder_landed(struct feeder *f, int torrent, uint32_t piece) {
  struct fed *fed = &f->torrents[torrent];
  bool coming = f->fetch != NULL && f->at == torrent && f->piece == piece;
  if (fed->taken != NULL && !coming) {
    bitfield_clear(fed->taken, piece);
  }
}

void feeder_renew(struct feeder *f, int torrent, const char *url) {
  f->torrents[torrent].torrent.url = url;
  if (f->fetch == NULL && f->trouble.kind != ERROR_NONE) {
    wait_for(f, 0); /* what is left of the pause after a failure is for the old one */
  }
}

void feeder_remove(struct feeder *f, int torrent) {
  struct fed *fed = &f->torrents[torrent];
  fed->torrent.torrent = NULL;
  plan_free(fed->plan);
  fed->plan = NULL;
  free(fed->taken);
  fed->taken = NULL;
}

uint64_t feeder_fetched(const struct feeder *f, int torrent) {
  return f->torrents[torrent].fetched;
}

const struct error *feeder_trouble(const struct feeder *f) {
  return f->trouble.kind == ERROR_NONE ? NULL : &f->trouble;
}
