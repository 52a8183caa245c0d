#include "http/download.h"

#include "http/url.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct http_download {
  struct http_fetch *fetch; /* NULL when it has ended */
  uv_timer_t timer;
  char *what; /* the URL's public part, for errors */
  size_t max;
  struct buf document;
  struct error why; /* it was given up; ERROR_NONE: not */
  http_download_told *told;
  void *arg;
};

static void on_closed(uv_handle_t *handle) {
  struct http_download *d = handle->data;
  buf_free(&d->document);
  free(d->what);
  free(d);
}

__attribute__((format(printf, 2, 3))) static bool give_up(struct http_download *d,
                                                          const char *format, ...) {
  char why[128];
  va_list args;
  va_start(args, format);
  vsnprintf(why, sizeof why, format, args);
  va_end(args);
  error_set(&d->why, ERROR_FAILED, "GET %.300s: %s", d->what, why);
  return false;
}

static void tell(struct http_download *d, const struct error *e) {
  d->told(d->arg, e == NULL ? &d->document : NULL, e);
  uv_close((uv_handle_t *)&d->timer, on_closed);
}

static bool on_head(void *arg, const struct http_fetch_answer *a) {
  struct http_download *d = arg;
  uint64_t length;
  int status = http_fetch_status(a);
  if (status >= 300 && status < 400) {
    return give_up(d, "it answers %d: use the URL that this leads to", status);
  }
  if (status != 200) {
    return give_up(d, "it answers %d", status);
  }
  return http_fetch_length(a, &length) && length > d->max
             ? give_up(d, "it is larger than %zu bytes", d->max)
             : true;
}

static bool on_data(void *arg, struct slice bytes) {
  struct http_download *d = arg;
  if (bytes.len > d->max - d->document.len) {
    return give_up(d, "it is larger than %zu bytes", d->max);
  }
  buf_slice(&d->document, bytes);
  return d->document.failed ? give_up(d, "out of memory") : true;
}

static void on_done(void *arg, const struct error *e) {
  struct http_download *d = arg;
  d->fetch = NULL;
  tell(d, d->why.kind != ERROR_NONE ? &d->why : e);
}

static void on_timeout(uv_timer_t *timer) {
  struct http_download *d = timer->data;
  http_fetch_cancel(d->fetch);
  d->fetch = NULL;
  give_up(d, "it takes too long");
  tell(d, &d->why);
}

struct http_download *http_download_start(struct http_client *client, uv_loop_t *loop,
                                          const struct http_download_options *options,
                                          http_download_told *told, void *arg, struct error *e) {
  static const struct http_fetch_events events = {on_head, on_data, on_done};
  struct http_download *d = calloc(1, sizeof *d);
  if (d == NULL) {
    error_set(e, ERROR_FAILED, "no memory for a request");
    return NULL;
  }
  const struct http_fetch_options fetch = {.method = "GET",
                                           .url = options->url,
                                           .tls = options->tls,
                                           .stall_timeout_ms = options->timeout_ms};
  *d = (struct http_download){.timer = {.data = d}, .max = options->max, .told = told, .arg = arg};
  d->what = http_url_public(options->url, e);
  d->fetch = d->what == NULL ? NULL : http_fetch_start(client, &fetch, &events, d, e);
  if (d->fetch == NULL) {
    free(d->what);
    free(d);
    return NULL;
  }
  uv_timer_init(loop, &d->timer);
  uv_timer_start(&d->timer, on_timeout, options->timeout_ms, 0);
  return d;
}

void http_download_cancel(struct http_download *d) {
  if (d != NULL) {
    http_fetch_cancel(d->fetch);
    uv_close((uv_handle_t *)&d->timer, on_closed);
  }
}
