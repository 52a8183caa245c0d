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
  TROUBLE_MS = 500, /* after a failure of the gateway, doubled each time */
  TROUBLE_MAX_MS = 15000,
  FAILURES_MAX = 2,      /* in a row, and the gateway counts as away */
  AWAY_MS = 10 * 1000,   /* for so long, with an origin to go to meanwhile */
  PATIENCE_PIECES = 4,   /* how many times as long as a piece takes nothing may come of a peer */
  PATIENCE_MIN_MS = 500, /* a piece may come out of the page cache in no time */
  MEET_MS = 1000,      /* so long a peer that the tracker has named may take to introduce itself */
  HOLD_MS = 1000,      /* for so long the tracker may name peers, before we take to be alone, */
  HOLD_MORE_MS = 3000, /* and up to so much longer, each node for another time */
  SCRAPE_PEERS = 16,   /* who has so many may not see all there are, and asks the tracker */
  SCRAPE_MS = 1000,    /* so long after the first look, when most will have come */
  SCRAPE_AGAIN_MS = 5000,
  PIECE_TIME_SHARE = 4, /* one in so many is what the last piece's time counts */
};

struct fed {
  struct feeder_torrent torrent; /* without .torrent: removed, and free for another */
  struct plan *plan;
  unsigned char *taken;   /* pieces that are being fetched or checked */
  uint64_t held_until_ms; /* unless there is a peer; 0: not */
  bool told;              /* the tracker has named some, or none */
  uint64_t scrape_at_ms;  /* 0: not looked at yet */
  struct feeder_fetched fetched;
};

struct feeder {
  struct feeder_options options;
  struct fed *torrents;
  int count;
  int live; /* not removed */
  uv_timer_t timer;
  uint64_t seed;
  uint64_t piece_ms; /* how long a piece takes, smoothed; 0: none has come yet */
  uint64_t pause_ms; /* after the last failure; 0: there is no trouble */
  struct error trouble;
  bool of_origin; /* that was */

  unsigned failures;      /* of the gateway, in a row */
  uint64_t gateway_at_ms; /* when it is tried again, unless the origin fails before */
  uint64_t again_at_ms;   /* when it may be, then */

  /* What is under way: of the gateway, or of the origin. */
  struct http_fetch *fetch;
  struct registry_request *request;
  struct origin *asked; /* NULL: the gateway */
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

static bool is_busy(const struct feeder *f) {
  return f->fetch != NULL || f->request != NULL;
}

static bool is_right_head(struct feeder *f, int status, struct slice content_range) {
  const struct feeder_torrent *t = &f->torrents[f->at].torrent;
  const struct range range = {.kind = RANGE_PART,
                              .offset = (uint64_t)f->piece * t->piece_length,
                              .length = piece_size(t, f->piece)};
  f->status = status;
  /* A range that is the whole may be answered as such. */
  return status == 206 ? range_is(&range, t->size, content_range)
                       : status == 200 && range.length == t->size;
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
  struct error why = *e;
  if (f->asked != NULL && f->trouble.kind != ERROR_NONE && !f->of_origin) {
    error_context(&why, "%.300s; then", f->trouble.text); /* why the origin was asked at all */
  }
  f->trouble = why;
  f->of_origin = f->asked != NULL;
  let_go(f);
  if (f->pause_ms == 0) {
    f->pause_ms = TROUBLE_MS;
  } else if (!f->of_origin) {
    f->pause_ms = f->pause_ms * 2 < TROUBLE_MAX_MS ? f->pause_ms * 2 : TROUBLE_MAX_MS;
  }
  wait_for(f, f->pause_ms);
}

static int take(struct feeder *f, struct error *e) {
  struct fed *fed = &f->torrents[f->at];
  uint64_t took = clock_monotonic_ms() - f->begun_ms;
  if (bittorrent_give(fed->torrent.torrent, f->piece, buf_view(&f->body), e) != 0) {
    return -1;
  }
  f->piece_ms =
      f->piece_ms == 0 ? took : (f->piece_ms * (PIECE_TIME_SHARE - 1) + took) / PIECE_TIME_SHARE;
  f->pause_ms = 0;
  f->trouble = (struct error){0};
  uint64_t rate = f->options.rate;
  uint64_t due = rate == 0 ? 0 : f->body.len * 1000 / rate;
  if (due > took) {
    wait_for(f, due - took);
  } else {
    on_time(&f->timer);
  }
  return 0;
}

/* An answer has ended, of \p whom. \return 0 when its piece was taken. */
static int end_answer(struct feeder *f, const char *whom, const struct error *e) {
  struct fed *fed = &f->torrents[f->at];
  struct error why = {0};
  if (f->status != 0 && f->status != 200 && f->status != 206) {
    error_set(&why, f->status == 403 ? ERROR_DENIED : ERROR_FAILED, "the %s answered %d", whom,
              f->status);
  } else if (e != NULL) {
    why = *e;
  } else if (f->body.len != piece_size(&fed->torrent, f->piece)) {
    error_set(&why, ERROR_FAILED, "the %s sent %zu bytes of a piece of %" PRIu32, whom, f->body.len,
              piece_size(&fed->torrent, f->piece));
  } else if (take(f, &why) == 0) {
    return 0;
  } else if (why.kind == ERROR_MISMATCH) {
    error_set(&why, ERROR_MISMATCH, "the %s sent bytes that the torrent does not say", whom);
  }
  fail(f, &why);
  return -1;
}

/* --- of the gateway --- */

static bool on_gateway_head(void *arg, const struct http_fetch_answer *a) {
  return is_right_head(arg, http_fetch_status(a), http_fetch_field(a, SLICE("Content-Range")));
}

static void on_gateway_done(void *arg, const struct error *e) {
  struct feeder *f = arg;
  struct fed *fed = &f->torrents[f->at];
  f->fetch = NULL;
  size_t len = f->body.len;           /* the next one may begin within */
  if (fed->torrent.torrent == NULL) { /* removed meanwhile */
    on_time(&f->timer);
  } else if (end_answer(f, "gateway", e) == 0) {
    f->failures = 0;
    fed->fetched.from_gateway += len;
  } else if (f->status == 403) {
    f->options.denied(f->options.arg, fed->torrent.tag);
  } else if (++f->failures >= FAILURES_MAX) {
    f->gateway_at_ms = clock_monotonic_ms() + AWAY_MS;
    f->again_at_ms = clock_monotonic_ms() + f->pause_ms;
    if (fed->torrent.origin != NULL) {
      wait_for(f, 0);
    }
  }
}

static int ask_gateway(struct feeder *f, uint64_t first, uint64_t last, struct error *e) {
  static const struct http_fetch_events events = {on_gateway_head, on_data, on_gateway_done};
  char range[64];
  int len = snprintf(range, sizeof range, "bytes=%" PRIu64 "-%" PRIu64, first, last);
  const struct http_field field = {SLICE("Range"), slice_of(range, (size_t)len)};
  const struct http_fetch_options options = {.method = "GET",
                                             .url = f->torrents[f->at].torrent.url,
                                             .url_of_server = true,
                                             .fields = &field,
                                             .field_count = 1,
                                             .tls = f->options.tls};
  f->fetch = http_fetch_start(f->options.client, &options, &events, f, e);
  return f->fetch == NULL ? -1 : 0;
}

/* --- of the origin --- */

static bool on_origin_head(void *arg, const struct registry_answer *a) {
  return is_right_head(arg, a->status, a->content_range);
}

/* Both take turns, with the gateway's pause: where nobody can reach the registry, a gateway that is
 * well again soon has to be found before readers give up. */
static void turn_to_gateway(struct feeder *f) {
  uint64_t now = clock_monotonic_ms();
  f->gateway_at_ms = now;
  wait_for(f, f->again_at_ms > now ? f->again_at_ms - now : 0);
}

static void on_origin_done(void *arg, const struct error *e) {
  struct feeder *f = arg;
  struct fed *fed = &f->torrents[f->at];
  f->request = NULL;
  size_t len = f->body.len;
  if (fed->torrent.torrent == NULL) {
    on_time(&f->timer);
  } else if (end_answer(f, "registry", e) == 0) {
    fed->fetched.from_origin += len;
  } else {
    origin_failed(f->asked);
    turn_to_gateway(f);
  }
}

static int ask_origin(struct feeder *f, uint64_t first, uint64_t last, struct error *e) {
  static const struct registry_events events = {on_origin_head, on_data, on_origin_done};
  f->request =
      origin_start(f->asked, f->torrents[f->at].torrent.digest, first, last, &events, f, e);
  return f->request == NULL ? -1 : 0;
}

/* Away for longer than it takes to start anew: the registry itself is asked meanwhile. */
static bool is_gateway_away(const struct feeder *f) {
  return f->failures >= FAILURES_MAX && clock_monotonic_ms() < f->gateway_at_ms;
}

static int fetch(struct feeder *f, int at, uint32_t piece, struct error *e) {
  struct fed *fed = &f->torrents[at];
  uint64_t first = (uint64_t)piece * fed->torrent.piece_length;
  uint64_t last = first + piece_size(&fed->torrent, piece) - 1;
  f->at = at;
  f->piece = piece;
  f->status = 0;
  f->begun_ms = clock_monotonic_ms();
  f->body.len = 0;
  f->body.failed = false;
  f->asked = is_gateway_away(f) ? fed->torrent.origin : NULL;
  int result = f->asked != NULL ? ask_origin(f, first, last, e) : ask_gateway(f, first, last, e);
  if (result == 0) {
    bitfield_set(fed->taken, piece);
  }
  return result;
}

/* --- which one --- */

static uint64_t patience(const struct feeder *f) {
  uint64_t ms = f->piece_ms * PATIENCE_PIECES;
  return ms < PATIENCE_MIN_MS ? PATIENCE_MIN_MS : ms;
}

/* While the gateway is away those that have an origin go on, and the others do not hold them up. */
static bool is_put_off(const struct feeder *f, const struct fed *fed) {
  bool any = false;
  for (int i = 0; i < f->count; i++) {
    any |= f->torrents[i].torrent.torrent != NULL && f->torrents[i].torrent.origin != NULL;
  }
  return any && fed->torrent.origin == NULL && is_gateway_away(f);
}

/* What the tracker said to those who came first is soon no more so. */
static void count_swarm(struct fed *fed, const struct plan_view *view, uint64_t now) {
  if (fed->scrape_at_ms == 0) {
    fed->scrape_at_ms = now + SCRAPE_MS;
  } else if (now >= fed->scrape_at_ms && view->peer_count >= SCRAPE_PEERS) {
    fed->scrape_at_ms = now + SCRAPE_AGAIN_MS;
    bittorrent_scrape(fed->torrent.torrent);
  }
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
    const struct plan_view *view = fed->torrent.torrent == NULL || is_put_off(f, fed)
                                       ? NULL
                                       : bittorrent_view(fed->torrent.torrent);
    if (view == NULL || (view->peer_count == 0 && now < fed->held_until_ms)) {
      continue;
    }
    count_swarm(fed, view, now);
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
  if (is_busy(f) || f->live == 0) {
    return;
  }
  if (choose(f, &at, &piece, &e) != 0 || (at >= 0 && fetch(f, at, piece, &e) != 0)) {
    f->trouble = e;
    f->of_origin = true; /* or worse */
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
  if (f->request != NULL) {
    registry_cancel(f->request);
  }
  for (int i = 0; i < f->count; i++) {
    plan_free(f->torrents[i].plan);
    free(f->torrents[i].taken);
  }
  free(f->torrents);
  buf_free(&f->body);
  uv_close((uv_handle_t *)&f->timer, on_closed);
}

/* A place for one more: not that of a piece which is still coming. \return -1 without memory. */
static int find_place(struct feeder *f) {
  for (int i = 0; i < f->count; i++) {
    if (f->torrents[i].torrent.torrent == NULL && (!is_busy(f) || f->at != i)) {
      return i;
    }
  }
  struct fed *torrents = reallocarray(f->torrents, (size_t)f->count + 1, sizeof *torrents);
  if (torrents == NULL) {
    return -1;
  }
  f->torrents = torrents;
  torrents[f->count] = (struct fed){0};
  return f->count++;
}

int feeder_add(struct feeder *f, const struct feeder_torrent *torrent, struct error *e) {
  int place = find_place(f);
  if (place < 0) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  uint64_t pieces = torrent_piece_count(torrent->size, torrent->piece_length);
  struct fed fed = {.torrent = *torrent,
                    .held_until_ms =
                        clock_monotonic_ms() + HOLD_MS + plan_roll(&f->seed, HOLD_MORE_MS),
                    .plan = plan_new(),
                    .taken = calloc(1, bitfield_size((uint32_t)pieces))};
  if (fed.plan == NULL || fed.taken == NULL) {
    plan_free(fed.plan);
    free(fed.taken);
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  f->torrents[place] = fed;
  f->live++;
  if (!is_busy(f)) {
    wait_for(f, 0);
  }
  return place;
}

void feeder_landed(struct feeder *f, int torrent, uint32_t piece) {
  struct fed *fed = &f->torrents[torrent];
  bool coming = is_busy(f) && f->at == torrent && f->piece == piece;
  if (fed->taken != NULL && !coming) {
    bitfield_clear(fed->taken, piece);
  }
}

void feeder_met(struct feeder *f, int torrent, uint32_t peers) {
  struct fed *fed = &f->torrents[torrent];
  if (!fed->told) {
    fed->told = true;
    fed->held_until_ms = peers == 0 ? 0 : clock_monotonic_ms() + MEET_MS;
  }
}

void feeder_want(struct feeder *f, int torrent, uint32_t piece) {
  plan_want(f->torrents[torrent].plan, piece);
}

void feeder_renew(struct feeder *f, int torrent, const char *url) {
  f->torrents[torrent].torrent.url = url;
  if (!is_busy(f) && f->trouble.kind != ERROR_NONE) {
    wait_for(f, 0); /* what is left of the pause after a failure is for the old one */
  }
}

void feeder_turn_to(struct feeder *f, int torrent, struct origin *origin) {
  f->torrents[torrent].torrent.origin = origin;
  if (f->request != NULL && f->at == torrent && f->asked != origin) {
    registry_cancel(f->request);
    f->request = NULL;
    let_go(f);
    wait_for(f, 0);
  }
}

void feeder_remove(struct feeder *f, int torrent) {
  struct fed *fed = &f->torrents[torrent];
  feeder_turn_to(f, torrent, NULL);
  fed->torrent.torrent = NULL;
  f->live--;
  plan_free(fed->plan);
  fed->plan = NULL;
  free(fed->taken);
  fed->taken = NULL;
}

struct feeder_fetched feeder_fetched(const struct feeder *f, int torrent) {
  return f->torrents[torrent].fetched;
}

const struct error *feeder_trouble(const struct feeder *f) {
  return f->trouble.kind == ERROR_NONE ? NULL : &f->trouble;
}

bool feeder_hopes(const struct feeder *f, int torrent) {
  bool comes = is_busy(f) && (f->status == 200 || f->status == 206);
  return comes || (f->torrents[torrent].torrent.origin != NULL &&
                   (f->trouble.kind == ERROR_NONE || !f->of_origin));
}
