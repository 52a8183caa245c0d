#include "gateway/subscription.h"

#include "auth/revocation_feed.h"
#include "base/clock.h"
#include "http/download.h"

#include <stdatomic.h>
#include <stdlib.h>

enum {
  POLL_MS = 2000,
  LIST_TIMEOUT_MS = 30000, /* of the largest list, over a slow line */
};

struct subscription {
  struct subscription_options options;
  atomic_int_least64_t issued; /* `iat` of the list that was taken last; 0: none was */
  /* Of the loop. */
  struct http_client *client;
  uv_loop_t *loop;
  uv_timer_t timer;
  struct http_download *download; /* NULL: none is under way */
  uv_work_t work;
  bool working;
  struct buf document; /* of the work under way */
  struct error why;    /* of the same */
  int result;
  bool taken, failed, stale; /* and it was logged */
};

struct subscription *subscription_new(const struct subscription_options *options) {
  struct subscription *s = calloc(1, sizeof *s);
  if (s != NULL) {
    s->options = *options;
    s->timer.data = s;
    s->work.data = s;
    revocations_set_fresh(options->revocations, INT64_MIN);
  }
  return s;
}

void subscription_free(struct subscription *s) {
  if (s != NULL) {
    buf_free(&s->document);
    free(s);
  }
}

int subscription_take(struct subscription *s, struct slice jws, int64_t now, struct error *e) {
  struct revocation_list list;
  int64_t issued = 0;
  struct keyring_state *keys = keyring_hold(s->options.keyring);
  int result =
      revocation_feed_read(&keys->trust, jws, atomic_load(&s->issued), now, &list, &issued, e);
  keyring_release(keys);
  if (result != 0) {
    return -1;
  }
  struct revocation_set *set = revocation_set_new(&list, now);
  revocation_list_free(&list);
  if (set == NULL) {
    return error_set(e, ERROR_FAILED, "cannot read the list of revocations: out of memory");
  }
  revocations_replace(s->options.revocations, set);
  atomic_store(&s->issued, issued);
  revocations_set_fresh(s->options.revocations, issued + REVOCATION_FEED_LIFE);
  return 0;
}

bool subscription_ready(const struct subscription *s, int64_t now, struct buf *why) {
  int64_t issued = atomic_load(&s->issued);
  if (revocations_fresh(s->options.revocations, now)) {
    return true;
  }
  if (issued == 0) {
    buf_printf(why, "no list of revocations has come from %s yet", s->options.url);
  } else {
    buf_printf(why, "the list of revocations from %s is %lld s old", s->options.url,
               (long long)(now - issued));
  }
  buf_str(why, ": no session goes on past its token's exp");
  return false;
}

/* --- every two seconds --- */

static void log_failure(struct subscription *s, const struct error *e) {
  if (!s->failed) {
    log_write(s->options.log, LOG_LEVEL_WARN,
              "cannot take the revocations of another machine: %s%s", e->text,
              atomic_load(&s->issued) == 0 ? "" : "; those that were taken before stay in force");
  }
  s->failed = true;
}

static void log_success(struct subscription *s) {
  if (!s->taken) {
    log_write(s->options.log, LOG_LEVEL_INFO, "took the first list of revocations from %s",
              s->options.url);
  } else if (s->failed) {
    log_write(s->options.log, LOG_LEVEL_INFO, "the revocations of %s are taken again",
              s->options.url);
  }
  s->taken = true;
  s->failed = false;
}

static void log_age(struct subscription *s) {
  struct buf why = {0};
  bool stale = !subscription_ready(s, clock_now(), &why);
  if (stale && !s->stale) {
    log_write(s->options.log, LOG_LEVEL_ERROR, "%.*s", SLICE_ARG(buf_view(&why)));
  } else if (!stale && s->stale) {
    log_write(s->options.log, LOG_LEVEL_INFO, "sessions go on again");
  }
  s->stale = stale;
  buf_free(&why);
}

/* A poll has ended. */
static void conclude(struct subscription *s, const struct error *e) {
  if (e == NULL) {
    log_success(s);
  } else {
    log_failure(s, e);
  }
  log_age(s);
}

static void take_work(uv_work_t *work) {
  struct subscription *s = work->data;
  s->why = (struct error){0};
  s->result = subscription_take(s, buf_view(&s->document), clock_now(), &s->why);
}

static void take_done(uv_work_t *work, int status) {
  struct subscription *s = work->data;
  (void)status;
  s->working = false;
  buf_free(&s->document);
  conclude(s, s->result == 0 ? NULL : &s->why);
}

static void on_downloaded(void *arg, struct buf *document, const struct error *e) {
  struct subscription *s = arg;
  s->download = NULL;
  if (e != NULL) {
    conclude(s, e);
    return;
  }
  s->document = *document;
  *document = (struct buf){0};
  s->working = uv_queue_work(s->loop, &s->work, take_work, take_done) == 0;
  if (!s->working) {
    buf_free(&s->document);
  }
}

static void on_timer(uv_timer_t *timer) {
  struct subscription *s = timer->data;
  const struct http_download_options options = {
      .url = s->options.url, .max = REVOCATION_FEED_MAX, .timeout_ms = LIST_TIMEOUT_MS};
  struct error e = {0};
  if (s->download != NULL || s->working) {
    return;
  }
  s->download = http_download_start(s->client, s->loop, &options, on_downloaded, s, &e);
  if (s->download == NULL) {
    conclude(s, &e);
  }
}

void subscription_start(struct subscription *s, uv_loop_t *loop, struct http_client *client) {
  s->loop = loop;
  s->client = client;
  uv_timer_init(loop, &s->timer);
  uv_timer_start(&s->timer, on_timer, 0, POLL_MS);
}

void subscription_stop(struct subscription *s) {
  http_download_cancel(s->download);
  s->download = NULL;
  uv_close((uv_handle_t *)&s->timer, NULL);
}
