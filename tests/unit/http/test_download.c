#include "http/download.h"

#include "support/script.h"
#include "unit/cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>

enum { LONG_MS = 60000 };

struct rig {
  uv_loop_t loop;
  struct http_client *client;
  struct script *script;
  int told;
  bool failed;
  struct buf document; /* a copy */
  struct error e;
};

static void on_told(void *arg, struct buf *document, const struct error *e) {
  struct rig *rig = arg;
  rig->told++;
  rig->failed = e != NULL;
  if (e != NULL) {
    assert_null(document);
    rig->e = *e;
    return;
  }
  assert_non_null(document);
  buf_slice(&rig->document, buf_view(document));
}

static struct rig *rig_new(const struct script_answer *answer) {
  struct rig *rig = calloc(1, sizeof *rig);
  assert_non_null(rig);
  uv_loop_init(&rig->loop);
  rig->client = http_client_new(&rig->loop);
  rig->script = script_start(&rig->loop, answer, 1);
  return rig;
}

static void on_stopped(void *arg) {
  (void)arg;
}

static void rig_free(struct rig *rig) {
  http_client_stop(rig->client, on_stopped, NULL);
  script_stop(rig->script);
  uv_run(&rig->loop, UV_RUN_DEFAULT);
  assert_int_equal(uv_loop_close(&rig->loop), 0);
  buf_free(&rig->document);
  free(rig);
}

static struct http_download *start(struct rig *rig, size_t max, unsigned timeout_ms) {
  char url[128];
  struct error e = {0};
  snprintf(url, sizeof url, "http://127.0.0.1:%u/keys?secret=1", script_port(rig->script));
  const struct http_download_options options = {.url = url, .max = max, .timeout_ms = timeout_ms};
  struct http_download *d =
      http_download_start(rig->client, &rig->loop, &options, on_told, rig, &e);
  assert_string_equal(e.text, "");
  return d;
}

static void run(struct rig *rig) {
  while (rig->told == 0) {
    uv_run(&rig->loop, UV_RUN_ONCE);
  }
}

/** One download that must fail with \p why. */
static void fails(const struct script_answer *answer, size_t max, unsigned timeout_ms,
                  const char *why) {
  struct rig *rig = rig_new(answer);
  start(rig, max, timeout_ms);
  run(rig);
  assert_true(rig->failed);
  assert_int_equal(rig->e.kind, ERROR_FAILED);
  assert_non_null(strstr(rig->e.text, "/keys"));
  assert_null(strstr(rig->e.text, "secret"));
  if (strstr(rig->e.text, why) == NULL) {
    fail_msg("`%s` does not say `%s`", rig->e.text, why);
  }
  rig_free(rig);
}

static void comes_whole(void **state) {
  (void)state;
  const struct script_answer answers[] = {
      {"GET /keys", NULL, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", 100000, SCRIPT_KEEP,
       0},
      {"GET /keys", NULL, "HTTP/1.1 200 OK\r\n\r\n", 100000, SCRIPT_CLOSE, 0}};
  for (size_t i = 0; i < 2; i++) {
    struct rig *rig = rig_new(&answers[i]);
    start(rig, 100000, LONG_MS);
    run(rig);
    assert_false(rig->failed);
    assert_int_equal(rig->document.len, 100000);
    assert_int_equal((unsigned char)rig->document.ptr[99999], 99999 % 251);
    rig_free(rig);
  }
}

static void more_than_there_is_room_for(void **state) {
  (void)state;
  const struct script_answer said = {
      NULL, NULL, "HTTP/1.1 200 OK\r\nContent-Length: 100001\r\n\r\n", 1, SCRIPT_HOLD, 0};
  const struct script_answer unsaid = {NULL,   NULL,        "HTTP/1.1 200 OK\r\n\r\n",
                                       100001, SCRIPT_HOLD, 0};
  fails(&said, 100000, LONG_MS, "larger than 100000 bytes");
  fails(&unsaid, 100000, LONG_MS, "larger than 100000 bytes");
}

static void other_statuses(void **state) {
  (void)state;
  fails(&(struct script_answer){NULL, NULL, "HTTP/1.1 404 No\r\nContent-Length: 1\r\n\r\n", 1,
                                SCRIPT_KEEP, 0},
        100, LONG_MS, "answers 404");
  fails(&(struct script_answer){NULL, NULL,
                                "HTTP/1.1 302 No\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n", 0,
                                SCRIPT_KEEP, 0},
        100, LONG_MS, "use the URL that this leads to");
  fails(&(struct script_answer){NULL, NULL, "HTTP/1.1 204 No\r\n\r\n", 0, SCRIPT_KEEP, 0}, 100,
        LONG_MS, "answers 204");
}

static void a_cut_answer(void **state) {
  (void)state;
  fails(&(struct script_answer){NULL, NULL, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", 8,
                                SCRIPT_CLOSE, 0},
        100, LONG_MS, "bytes remaining");
  fails(&(struct script_answer){NULL, NULL, "", 0, SCRIPT_CLOSE, 0}, 100, LONG_MS, "");
}

static void no_answer_in_time(void **state) {
  (void)state;
  fails(&(struct script_answer){NULL, NULL, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", 8,
                                SCRIPT_HOLD, 0},
        100, 50, "");
}

static void cancelled(void **state) {
  (void)state;
  const struct script_answer answer = {
      NULL, NULL, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", 8, SCRIPT_HOLD, 0};
  struct rig *rig = rig_new(&answer);
  http_download_cancel(NULL);
  http_download_cancel(start(rig, 100, LONG_MS)); /* before anything is sent */
  struct http_download *d = start(rig, 100, LONG_MS);
  while (script_sent(rig->script) < 8) {
    uv_run(&rig->loop, UV_RUN_ONCE);
  }
  http_download_cancel(d);
  uv_run(&rig->loop, UV_RUN_NOWAIT);
  assert_int_equal(rig->told, 0);
  rig_free(rig);
}

static void what_cannot_start(void **state) {
  (void)state;
  const struct script_answer none = {0};
  struct rig *rig = rig_new(&none);
  const struct http_download_options bad = {.url = "http://u:p@a/", .max = 1, .timeout_ms = 1};
  struct error e = {0};
  assert_null(http_download_start(rig->client, &rig->loop, &bad, on_told, rig, &e));
  assert_int_equal(e.kind, ERROR_USAGE);
  rig_free(rig);
}

int main(void) {
  setenv("no_proxy", "*", 1);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(comes_whole),       cmocka_unit_test(more_than_there_is_room_for),
      cmocka_unit_test(other_statuses),    cmocka_unit_test(a_cut_answer),
      cmocka_unit_test(no_answer_in_time), cmocka_unit_test(cancelled),
      cmocka_unit_test(what_cannot_start),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
