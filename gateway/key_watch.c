#include "gateway/key_watch.h"

#include "base/clock.h"
#include "http/download.h"

#include <stdatomic.h>
#include <stdlib.h>

enum {
  TICK_MS = 1000,
  JWKS_TIMEOUT_MS = 10000, /* of a fetch */
};

/* A URL that keys are fetched from; for one row or several. */
struct source {
  struct source *next;
  struct key_watch *watch;
  char *url;
  bool named;          /* by a row of the keyring in force */
  bool fetched;        /* at least once */
  bool missed;         /* a token named a key that was not there */
  bool failed;         /* and it was logged */
  uint64_t begun, due; /* clock_monotonic_ms(): of the last fetch, of the next; 0: none, now */
  struct http_download *download;
  uv_work_t work;
  bool working;
  struct buf document; /* of the work under way */
  struct error why;
  int result;
  bool changed;
  size_t count; /* of keys that came */
};

struct key_watch {
  struct key_watch_options options;
  struct http_client *client;
  uv_loop_t *loop;
  uv_timer_t timer;
  struct source *sources;
  atomic_bool refresh;
};

struct key_watch *key_watch_new(const struct key_watch_options *options) {
  struct key_watch *w = calloc(1, sizeof *w);
  if (w != NULL) {
    w->options = *options;
    w->timer.data = w;
  }
  return w;
}

static void source_free(struct source *source) {
  buf_free(&source->document);
  free(source->url);
  free(source);
}

void key_watch_free(struct key_watch *w) {
  if (w == NULL) {
    return;
  }
  while (w->sources != NULL) {
    struct source *source = w->sources;
    w->sources = source->next;
    source_free(source);
  }
  free(w);
}

bool key_watch_ready(const struct key_watch *w, struct buf *why) {
  bool ready = true;
  for (const struct source *source = w->sources; source != NULL; source = source->next) {
    if (source->named && !source->fetched) {
      buf_printf(why, "%s%s", ready ? "not fetched yet: " : ", ", source->url);
      ready = false;
    }
  }
  return ready;
}

void key_watch_refresh(struct key_watch *w) {
  atomic_store(&w->refresh, true);
}

/* --- one fetch --- */

static void conclude(struct source *source, const struct error *e) {
  const struct log *log = source->watch->options.log;
  source->due = clock_monotonic_ms() + (e == NULL ? KEY_WATCH_FRESH_MS : KEY_WATCH_PAUSE_MS);
  if (e != NULL && !source->failed) {
    log_write(log, LOG_LEVEL_WARN, "cannot fetch the keys of an issuer: %s%s", e->text,
              source->fetched ? "; those that were there stay trusted" : "");
  } else if (e == NULL && (source->failed || source->changed)) {
    log_write(log, LOG_LEVEL_INFO, "fetched %zu key%s from %s%s", source->count,
              source->count == 1 ? "" : "s", source->url,
              source->changed ? ", not those of before" : "");
  }
  source->failed = e != NULL;
  source->fetched |= e == NULL;
}

static int take(struct source *source, struct error *e) {
  struct keyset set;
  if (keyset_parse(buf_view(&source->document), source->url, &set, e) != 0) {
    return -1;
  }
  int result = set.named ? keyring_replace_fetched(source->watch->options.keyring, source->url,
                                                   &set, clock_now(), &source->changed, e)
                         : error_set(e, ERROR_FAILED, "%s: it is no JWKS", source->url);
  source->count = set.count;
  keyset_free(&set);
  return result;
}

static void take_work(uv_work_t *work) {
  struct source *source = work->data;
  source->why = (struct error){0};
  source->changed = false;
  source->result = take(source, &source->why);
}

static void take_done(uv_work_t *work, int status) {
  struct source *source = work->data;
  (void)status;
  source->working = false;
  buf_free(&source->document);
  conclude(source, source->result == 0 ? NULL : &source->why);
}

static void on_downloaded(void *arg, struct buf *document, const struct error *e) {
  struct source *source = arg;
  source->download = NULL;
  if (e != NULL) {
    conclude(source, e);
    return;
  }
  source->document = *document;
  *document = (struct buf){0};
  source->working = uv_queue_work(source->watch->loop, &source->work, take_work, take_done) == 0;
  if (!source->working) {
    buf_free(&source->document);
  }
}

static void fetch(struct source *source, uint64_t now) {
  const struct key_watch *w = source->watch;
  const struct http_download_options options = {
      .url = source->url, .max = KEYSET_BYTES_MAX, .timeout_ms = JWKS_TIMEOUT_MS};
  struct error e = {0};
  source->begun = now;
  source->missed = false;
  source->download = http_download_start(w->client, w->loop, &options, on_downloaded, source, &e);
  if (source->download == NULL) {
    conclude(source, &e);
  }
}

/* --- once a second --- */

static bool is_idle(const struct source *source) {
  return source->download == NULL && !source->working;
}

static struct source *find(struct key_watch *w, const char *url) {
  struct source *source = w->sources;
  while (source != NULL && strcmp(source->url, url) != 0) {
    source = source->next;
  }
  return source;
}

/* Without memory it is tried again in a second. */
static struct source *add(struct key_watch *w, const char *url) {
  struct source *source = calloc(1, sizeof *source);
  if (source != NULL && (source->url = strdup(url)) == NULL) {
    free(source);
    source = NULL;
  }
  if (source != NULL) {
    source->watch = w;
    source->work.data = source;
    source->next = w->sources;
    w->sources = source;
  }
  return source;
}

static void look_at(struct key_watch *w, struct trust_source *row) {
  struct source *source = find(w, row->url);
  if (source == NULL && (source = add(w, row->url)) == NULL) {
    return;
  }
  source->named = true;
  source->missed |= atomic_exchange(&row->missed, false);
}

/* What the rows of the keyring in force want, which a reload may have changed. */
static void look_at_rows(struct key_watch *w) {
  struct keyring_state *state = keyring_hold(w->options.keyring);
  for (struct source *source = w->sources; source != NULL; source = source->next) {
    source->named = false;
  }
  for (size_t i = 0; i < state->trust.count; i++) {
    if (state->trust.rows[i].source != NULL) {
      look_at(w, state->trust.rows[i].source);
    }
  }
  keyring_release(state);
}

static void drop_unnamed(struct key_watch *w) {
  for (struct source **at = &w->sources; *at != NULL;) {
    struct source *source = *at;
    if (!source->named && is_idle(source)) {
      *at = source->next;
      source_free(source);
    } else {
      at = &source->next;
    }
  }
}

static bool is_due(const struct source *source, uint64_t now) {
  bool rested = source->begun == 0 || now >= source->begun + KEY_WATCH_PAUSE_MS;
  return now >= source->due || (source->missed && rested);
}

static void on_timer(uv_timer_t *timer) {
  struct key_watch *w = timer->data;
  uint64_t now = clock_monotonic_ms();
  bool refresh = atomic_exchange(&w->refresh, false);
  look_at_rows(w);
  drop_unnamed(w);
  for (struct source *source = w->sources; source != NULL; source = source->next) {
    source->due = refresh ? now : source->due;
    if (source->named && is_idle(source) && is_due(source, now)) {
      fetch(source, now);
    }
  }
}

void key_watch_start(struct key_watch *w, uv_loop_t *loop, struct http_client *client) {
  w->loop = loop;
  w->client = client;
  uv_timer_init(loop, &w->timer);
  uv_timer_start(&w->timer, on_timer, 0, TICK_MS);
}

void key_watch_stop(struct key_watch *w) {
  for (struct source *source = w->sources; source != NULL; source = source->next) {
    http_download_cancel(source->download);
    source->download = NULL;
  }
  uv_close((uv_handle_t *)&w->timer, NULL);
}
