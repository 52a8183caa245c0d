#include "unit/gateway/issuer.h"

#include "unit/cmocka_all.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { REPEAT_MS = 2 };

/* --- what the linker puts in the place of others; --wrap makes the names --- */
/* NOLINTBEGIN(cert-dcl51-cpp) */

static struct buf logged;

void __wrap_log_write(const struct log *log, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void __wrap_log_write(const struct log *log, enum log_level level, const char *format, ...) {
  char line[2048];
  va_list args;
  va_start(args, format);
  vsnprintf(line, sizeof line, format, args);
  va_end(args);
  (void)log;
  (void)level;
  buf_printf(&logged, "%s\n", line);
}

unsigned issuer_logged(const char *text) {
  unsigned count = 0;
  buf_append(&logged, "", 1);
  for (const char *at = logged.ptr; (at = strstr(at, text)) != NULL; at++) {
    count++;
  }
  logged.len--;
  return count;
}

int __real_uv_timer_start(uv_timer_t *timer, uv_timer_cb cb, uint64_t timeout, uint64_t repeat);
int __wrap_uv_timer_start(uv_timer_t *timer, uv_timer_cb cb, uint64_t timeout, uint64_t repeat);
/* What comes back every so often does so at once. */
int __wrap_uv_timer_start(uv_timer_t *timer, uv_timer_cb cb, uint64_t timeout, uint64_t repeat) {
  return __real_uv_timer_start(timer, cb, repeat == 0 ? timeout : 0, repeat == 0 ? 0 : REPEAT_MS);
}

/* NOLINTEND(cert-dcl51-cpp) */

/* --- the server --- */

static void handle(struct http_exchange *x, void *context) {
  struct issuer *issuer = context;
  issuer->asked++;
  if (issuer->status != 0) {
    http_answer(x, issuer->status, NULL, 0, issuer->answer);
  }
}

void issuer_open(struct issuer *issuer) {
  struct error e = {0};
  setenv("no_proxy", "*", 1);
  assert_int_equal(uv_loop_init(&issuer->loop), 0);
  issuer->client = http_client_new(&issuer->loop);
  issuer->route = (struct http_route){"GET", "/", handle, issuer};
  issuer->status = 200;
  const struct http_server_options options = {
      .routes = &issuer->route, .route_count = 1, .log = &issuer->log};
  issuer->server = http_server_new(&issuer->loop, &options);
  assert_non_null(issuer->server);
  if (http_listen("127.0.0.1:0", &issuer->places, &e) != 0 ||
      http_server_listen(issuer->server, &issuer->places.items[0], &e) != 0) {
    fail_msg("%s", e.text);
  }
  snprintf(issuer->url, sizeof issuer->url, "http://%s/path", issuer->places.items[0].name);
}

static void on_client_stopped(void *arg) {
  (void)arg;
}

void issuer_close(struct issuer *issuer) {
  http_client_stop(issuer->client, on_client_stopped, NULL);
  http_server_stop(issuer->server, 0, NULL, NULL);
  uv_run(&issuer->loop, UV_RUN_DEFAULT);
  assert_int_equal(uv_loop_close(&issuer->loop), 0);
  http_places_free(&issuer->places);
  buf_free(&logged);
}

void issuer_await(struct issuer *issuer, unsigned asked) {
  while (issuer->asked < asked) {
    uv_run(&issuer->loop, UV_RUN_ONCE);
  }
}
