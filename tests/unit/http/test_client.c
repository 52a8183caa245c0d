#include "http/client.h"

#include "base/buf.h"
#include "support/script.h"
#include "unit/cmocka_all.h"

#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

/* A client and the server it talks to on one loop, and what the one fetch was told. */
struct rig {
  uv_loop_t loop;
  struct http_client *client;
  struct script *script;
  struct http_fetch *fetch;
  uv_timer_t timer;
  char url[128];
  int status;
  uint64_t length;
  bool has_length;
  char type[64];
  size_t fields;
  size_t got;  /* bytes of body, all of the pattern */
  size_t most; /* bytes of the largest piece */
  int heads, dones;
  struct error e;
  bool failed;
  /* what to do in the events */
  bool refuse_head, refuse_data, pause_head, pause_data, cancel_head, cancel_data, stop_data;
  bool start_in_data;
};

static bool on_head(void *arg, const struct http_fetch_answer *a) {
  struct rig *rig = arg;
  rig->heads++;
  rig->status = http_fetch_status(a);
  rig->has_length = http_fetch_length(a, &rig->length);
  struct slice type = http_fetch_field(a, SLICE("content-TYPE"));
  snprintf(rig->type, sizeof rig->type, "%.*s", SLICE_ARG(type));
  while (http_fetch_field_at(a, SLICE("X-Many"), rig->fields).ptr != NULL) {
    rig->fields++;
  }
  if (rig->pause_head) {
    http_fetch_pause(rig->fetch);
  }
  if (rig->cancel_head) {
    http_fetch_cancel(rig->fetch);
  }
  return !rig->refuse_head;
}

static void on_stopped(void *arg) {
  struct rig *rig = arg;
  rig->client = NULL;
}

static void on_done(void *arg, const struct error *e);
static bool on_data(void *arg, struct slice bytes);
static const struct http_fetch_events events = {on_head, on_data, on_done};

static void start(struct rig *rig, const char *method, const char *path, unsigned stall_ms) {
  struct error e = {0};
  snprintf(rig->url, sizeof rig->url, "http://127.0.0.1:%u%s", script_port(rig->script), path);
  const struct http_fetch_options options = {
      .method = method, .url = rig->url, .stall_timeout_ms = stall_ms};
  rig->fetch = http_fetch_start(rig->client, &options, &events, rig, &e);
  assert_string_equal(e.text, "");
  assert_non_null(rig->fetch);
}

static bool on_data(void *arg, struct slice bytes) {
  struct rig *rig = arg;
  for (size_t i = 0; i < bytes.len; i++) {
    if ((unsigned char)bytes.ptr[i] != (rig->got + i) % 251) {
      return false;
    }
  }
  rig->got += bytes.len;
  rig->most = bytes.len > rig->most ? bytes.len : rig->most;
  if (rig->pause_data) {
    http_fetch_pause(rig->fetch);
  }
  if (rig->cancel_data) {
    http_fetch_cancel(rig->fetch);
  }
  if (rig->stop_data) {
    http_client_stop(rig->client, on_stopped, rig);
  }
  if (rig->start_in_data) {
    rig->start_in_data = false;
    rig->got = 0;
    http_fetch_cancel(rig->fetch);
    start(rig, "GET", "/second", 0);
    return true;
  }
  return !rig->refuse_data;
}

static void on_done(void *arg, const struct error *e) {
  struct rig *rig = arg;
  rig->dones++;
  rig->fetch = NULL;
  rig->failed = e != NULL;
  if (e != NULL) {
    rig->e = *e;
  }
}

static struct rig *rig_new(const struct script_answer *answers, size_t count) {
  struct rig *rig = calloc(1, sizeof *rig);
  assert_non_null(rig);
  uv_loop_init(&rig->loop);
  rig->client = http_client_new(&rig->loop);
  rig->script = script_start(&rig->loop, answers, count);
  uv_timer_init(&rig->loop, &rig->timer);
  rig->timer.data = rig;
  return rig;
}

static void rig_free(struct rig *rig) {
  if (rig->client != NULL) {
    http_client_stop(rig->client, on_stopped, rig);
  }
  script_stop(rig->script);
  uv_close((uv_handle_t *)&rig->timer, NULL);
  uv_run(&rig->loop, UV_RUN_DEFAULT);
  assert_null(rig->client);
  assert_int_equal(uv_loop_close(&rig->loop), 0);
  free(rig);
}

static void run(struct rig *rig) {
  while (rig->dones == 0) {
    uv_run(&rig->loop, UV_RUN_ONCE);
  }
}

static void turn(struct rig *rig, int times) {
  for (int i = 0; i < times; i++) {
    uv_run(&rig->loop, UV_RUN_NOWAIT);
  }
}

#define RIG(...)                                                                                   \
  rig_new((const struct script_answer[]){__VA_ARGS__},                                             \
          sizeof((const struct script_answer[]){__VA_ARGS__}) / sizeof(struct script_answer))

/** One fetch of `/` whose answer must fail with \p why. */
static void fails(const struct script_answer *answer, unsigned stall_ms, const char *why) {
  struct rig *rig = rig_new(answer, 1);
  start(rig, "GET", "/path?token=secret", stall_ms);
  run(rig);
  assert_true(rig->failed);
  assert_int_equal(rig->e.kind, ERROR_FAILED);
  assert_non_null(strstr(rig->e.text, "/path"));
  assert_null(strstr(rig->e.text, "secret"));
  if (strstr(rig->e.text, why) == NULL) {
    fail_msg("`%s` does not say `%s`", rig->e.text, why);
  }
  rig_free(rig);
}

static void get(void **state) {
  (void)state;
  struct rig *rig = RIG({"GET /x HTTP/1.1\r\n", NULL,
                         "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nContent-Type:  a/b \r\n"
                         "X-Many: 1\r\nx-many:\r\nX-MANY: 3\r\n\r\n",
                         1000, SCRIPT_KEEP, 0});
  for (int i = 1; i <= 2; i++) {
    start(rig, "GET", "/x", 0);
    run(rig);
    assert_false(rig->failed);
    assert_int_equal(rig->status, 200);
    assert_true(rig->has_length);
    assert_int_equal(rig->length, 1000);
    assert_int_equal(rig->got, 1000);
    assert_string_equal(rig->type, "a/b");
    assert_int_equal(rig->fields, 3);
    assert_int_equal(rig->heads, i);
    rig->got = rig->fields = 0;
    rig->dones = 0;
  }
  assert_non_null(strstr(script_requests(rig->script), "User-Agent: swarmgate/"));
  assert_non_null(strstr(script_requests(rig->script), "Accept-Encoding: identity\r\n"));
  rig_free(rig);
}

static void head_and_post(void **state) {
  (void)state;
  struct rig *rig =
      RIG({"HEAD ", NULL, "HTTP/1.1 404 No\r\nContent-Length: 5\r\n\r\n", 0, SCRIPT_KEEP, 0},
          {"POST ", "\r\n\r\na=b&c", "HTTP/1.1 204 OK\r\n\r\n", 0, SCRIPT_KEEP, 0});
  start(rig, "HEAD", "/", 0);
  run(rig);
  assert_false(rig->failed);
  assert_int_equal(rig->status, 404);
  assert_int_equal(rig->length, 5);
  assert_int_equal(rig->got, 0);
  rig->dones = 0;
  const struct http_field fields[] = {{SLICE("X-Empty"), SLICE("")}, {SLICE("X-A"), SLICE("b c")}};
  const struct http_fetch_options options = {.method = "POST",
                                             .url = rig->url,
                                             .fields = fields,
                                             .field_count = 2,
                                             .body = SLICE("a=b&c")};
  assert_non_null(http_fetch_start(rig->client, &options, &events, rig, NULL));
  run(rig);
  assert_false(rig->failed);
  assert_int_equal(rig->status, 204);
  assert_false(rig->has_length);
  assert_non_null(strstr(script_requests(rig->script), "\r\nX-Empty:\r\n"));
  assert_non_null(strstr(script_requests(rig->script), "\r\nX-A: b c\r\n"));
  rig_free(rig);
}

/** What follows the answer to a HEAD must not answer the next request. */
static void a_head_ends_its_connection(void **state) {
  (void)state;
  struct rig *rig =
      RIG({"HEAD ", NULL, "HTTP/1.1 404 No\r\n\r\n", 0, SCRIPT_HOLD, 0},
          {"GET ", NULL, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0, SCRIPT_KEEP, 0});
  start(rig, "HEAD", "/", 0);
  run(rig);
  assert_int_equal(rig->status, 404);
  rig->dones = 0;
  start(rig, "GET", "/", 2000);
  run(rig);
  assert_false(rig->failed);
  assert_int_equal(rig->status, 200);
  rig_free(rig);
}

static void chunks_interim_answers_and_trailers(void **state) {
  (void)state;
  struct rig *rig =
      RIG({NULL, NULL,
           "HTTP/1.1 100 Continue\r\nX-Many: no\r\n\r\nHTTP/1.1 103 Hints\r\nX-Many: no\r\n\r\n"
           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Many: 1\r\n\r\n"
           "0\r\nX-Many: 2\r\n\r\n",
           0, SCRIPT_KEEP, 0});
  start(rig, "GET", "/", 0);
  run(rig);
  assert_false(rig->failed);
  assert_int_equal(rig->heads, 1);
  assert_int_equal(rig->fields, 1);
  assert_false(rig->has_length);
  rig_free(rig);
}

static void what_cannot_start(void **state) {
  (void)state;
  struct rig *rig = RIG({0});
  const struct http_field newline = {SLICE("X"), SLICE("a\r\nEvil: 1")};
  const struct http_field nul = {SLICE("X"), SLICE("a\0b")};
  const struct http_field colon = {SLICE("X:"), SLICE("a")};
  const struct http_field blank = {SLICE("X "), SLICE("a")};
  const struct http_field empty = {SLICE(""), SLICE("a")};
  const char *good = "http://127.0.0.1:1/";
  const struct http_fetch_options bad[] = {
      {.method = "GET", .url = "127.0.0.1:1/"},
      {.method = "GET", .url = "ftp://127.0.0.1:1/"},
      {.method = "GET", .url = "http://a:secret@127.0.0.1:1/"},
      {.method = "BREW", .url = good},
      {.method = "GET", .url = good, .fields = &newline, .field_count = 1},
      {.method = "GET", .url = good, .fields = &nul, .field_count = 1},
      {.method = "GET", .url = good, .fields = &colon, .field_count = 1},
      {.method = "GET", .url = good, .fields = &blank, .field_count = 1},
      {.method = "GET", .url = good, .fields = &empty, .field_count = 1},
  };
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    struct error e = {0};
    assert_null(http_fetch_start(rig->client, &bad[i], &events, rig, &e));
    assert_int_equal(e.kind, ERROR_USAGE);
    assert_null(strstr(e.text, "secret"));
  }
  rig_free(rig);
}

static void no_connection(void **state) {
  (void)state;
  struct rig *rig = RIG({0});
  struct script *gone = script_start(&rig->loop, NULL, 0);
  snprintf(rig->url, sizeof rig->url, "http://127.0.0.1:%u/x?secret", script_port(gone));
  script_stop(gone);
  turn(rig, 3);
  const struct http_fetch_options options = {.method = "GET", .url = rig->url};
  assert_non_null(http_fetch_start(rig->client, &options, &events, rig, NULL));
  run(rig);
  assert_true(rig->failed);
  assert_int_equal(rig->heads, 0);
  assert_null(strstr(rig->e.text, "secret"));
  rig_free(rig);
}

/** A listener whose queue is full takes no notice of who else wants to connect. */
static void a_connection_that_nobody_takes(void **state) {
  (void)state;
  struct rig *rig = RIG({0});
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t size = sizeof at;
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  int first = socket(AF_INET, SOCK_STREAM, 0);
  assert_int_equal(bind(listener, (const struct sockaddr *)&at, size), 0);
  assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &size), 0);
  assert_int_equal(listen(listener, 0), 0);
  assert_int_equal(connect(first, (const struct sockaddr *)&at, size), 0);
  snprintf(rig->url, sizeof rig->url, "http://127.0.0.1:%u/", ntohs(at.sin_port));
  const struct http_fetch_options options = {
      .method = "GET", .url = rig->url, .connect_timeout_ms = 50};
  assert_non_null(http_fetch_start(rig->client, &options, &events, rig, NULL));
  run(rig);
  assert_true(rig->failed);
  assert_int_equal(rig->heads, 0);
  assert_non_null(strstr(rig->e.text, "Timeout"));
  close(first);
  close(listener);
  rig_free(rig);
}

static void a_proxy_s_password_is_not_told(void **state) {
  (void)state;
  static const char *const proxies[] = {"http://u:secret@bad host:1/",
                                        "http://u:secret@127.0.0.1:99999",
                                        "foo://u:secret@127.0.0.1:1", "u:secret@"};
  for (size_t i = 0; i < sizeof proxies / sizeof proxies[0]; i++) {
    struct rig *rig = RIG({NULL, NULL, "", 0, 0, 0});
    unsetenv("no_proxy");
    setenv("http_proxy", proxies[i], 1);
    start(rig, "GET", "/", 0);
    run(rig);
    unsetenv("http_proxy"); /* or the tests after one that fails would ask it too */
    setenv("no_proxy", "*", 1);
    assert_true(rig->failed);
    assert_non_null(strstr(rig->e.text, "proxy"));
    assert_null(strstr(rig->e.text, "secret"));
    rig_free(rig);
  }
}

static void a_cut_body_is_an_error(void **state) {
  (void)state;
  fails(&(struct script_answer){NULL, NULL, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", 999,
                                SCRIPT_CLOSE, 0},
        0, "1 bytes remaining");
  fails(&(struct script_answer){NULL, NULL,
                                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n", 3,
                                SCRIPT_CLOSE, 0},
        0, "transfer closed");
  fails(&(struct script_answer){NULL, NULL, "HTTP/1.1 200 OK\r\nContent-Le", 0, SCRIPT_CLOSE, 0}, 0,
        "");
  fails(&(struct script_answer){NULL, NULL, "", 0, SCRIPT_CLOSE, 0}, 0, "");
}

static void more_body_than_said_is_not_told(void **state) {
  (void)state;
  struct rig *rig =
      RIG({NULL, NULL, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", 1000, SCRIPT_KEEP, 0});
  start(rig, "GET", "/", 0);
  run(rig);
  assert_int_equal(rig->got, 10);
  rig_free(rig);
}

static void bad_heads(void **state) {
  (void)state;
  struct buf many = {0};
  buf_str(&many, "HTTP/1.1 200 OK\r\n");
  for (int i = 0; i <= HTTP_ANSWER_FIELDS_MAX; i++) {
    buf_str(&many, "A: b\r\n");
  }
  buf_append(&many, "\r\n", 3);
  struct buf large = {0};
  buf_str(&large, "HTTP/1.1 200 OK\r\n");
  for (int i = 0; i < 70; i++) {
    buf_printf(&large, "A: %01000d\r\n", i);
  }
  buf_append(&large, "\r\n", 3);
  struct buf endless = {0};
  buf_str(&endless, "HTTP/1.1 200 OK\r\nA: ");
  for (int i = 0; i < 300; i++) {
    buf_printf(&endless, "%01000d", i);
  }
  buf_append(&endless, "\r\n\r\n", 5);
  const char *const heads[] = {
      "garbage\r\n\r\n",
      "HTTP/9.9 200 OK\r\n\r\n",
      "HTTP/x yes\r\nContent-Length: 0\r\n\r\n", /* a 200 to libcurl */
      "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
      "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
      "HTTP/1.1 200 OK\r\n: no name\r\n\r\n",
      "HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n",
      "HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\nbody",
      many.ptr,
      large.ptr,
      endless.ptr,
  };
  for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
    fails(&(struct script_answer){NULL, NULL, heads[i], 0, SCRIPT_CLOSE, 0}, 0, "");
  }
  buf_free(&many);
  buf_free(&large);
  buf_free(&endless);
}

static void stalls(void **state) {
  (void)state;
  fails(&(struct script_answer){NULL, NULL, "", 0, SCRIPT_HOLD, 0}, 50, "no answer");
  fails(&(struct script_answer){NULL, NULL, "HTTP/1.1 200 OK\r\nConte", 0, SCRIPT_HOLD, 0}, 50,
        "no answer");
  fails(&(struct script_answer){NULL, NULL, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", 500,
                                SCRIPT_HOLD, 0},
        50, "stalled");
}

static void on_timer_resume(uv_timer_t *timer) {
  struct rig *rig = timer->data;
  if (rig->fetch != NULL) {
    http_fetch_resume(rig->fetch);
  }
}

/** A big body, paused at every piece: it arrives whole, and in between the socket is not read. */
static void pause_and_resume(void **state) {
  (void)state;
  const size_t whole = 20000000;
  struct rig *rig = RIG(
      {NULL, NULL, "HTTP/1.1 200 OK\r\nContent-Length: 20000000\r\n\r\n", whole, SCRIPT_KEEP, 0});
  rig->pause_data = true;
  start(rig, "GET", "/", 0);
  while (rig->got == 0) {
    uv_run(&rig->loop, UV_RUN_ONCE);
  }
  size_t first = rig->got;
  turn(rig, 1000);
  assert_int_equal(rig->got, first);
  assert_true(script_sent(rig->script) < whole);
  uv_timer_start(&rig->timer, on_timer_resume, 0, 0);
  while (rig->dones == 0) {
    if (!uv_is_active((uv_handle_t *)&rig->timer)) {
      uv_timer_start(&rig->timer, on_timer_resume, 0, 0);
    }
    uv_run(&rig->loop, UV_RUN_ONCE);
  }
  assert_false(rig->failed);
  assert_int_equal(rig->got, whole);
  assert_true(rig->most <= 16384);
  rig_free(rig);
}

/** Paused longer than the stall timeout; then the rest comes. */
static void a_pause_is_no_stall(void **state) {
  (void)state;
  struct rig *rig = RIG(
      {NULL, NULL, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", 100000, SCRIPT_KEEP, 0});
  rig->pause_data = true;
  start(rig, "GET", "/", 50);
  while (rig->got == 0) {
    uv_run(&rig->loop, UV_RUN_ONCE);
  }
  rig->pause_data = false;
  uv_timer_start(&rig->timer, on_timer_resume, 150, 0);
  run(rig);
  assert_false(rig->failed);
  assert_int_equal(rig->got, 100000);
  rig_free(rig);
}

/** Nor when it was paused before there was a connection; what stalls is told after the resume. */
static void a_pause_before_the_connection(void **state) {
  (void)state;
  struct rig *rig = RIG({NULL, NULL, "", 0, SCRIPT_HOLD, 0});
  start(rig, "GET", "/", 50);
  http_fetch_pause(rig->fetch);
  while (script_requests(rig->script)[0] == '\0') {
    uv_run(&rig->loop, UV_RUN_ONCE);
  }
  uv_timer_start(&rig->timer, on_timer_resume, 150, 0);
  while (uv_is_active((uv_handle_t *)&rig->timer)) {
    assert_int_equal(rig->dones, 0);
    uv_run(&rig->loop, UV_RUN_ONCE);
  }
  run(rig);
  assert_true(rig->failed);
  rig_free(rig);
}

/** After a resume the stall counts again. */
static void a_stall_after_a_pause(void **state) {
  (void)state;
  struct rig *rig =
      RIG({NULL, NULL, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", 50, SCRIPT_HOLD, 0});
  rig->pause_data = true;
  start(rig, "GET", "/", 50);
  while (rig->got == 0) {
    uv_run(&rig->loop, UV_RUN_ONCE);
  }
  uv_timer_start(&rig->timer, on_timer_resume, 0, 0);
  run(rig);
  assert_true(rig->failed);
  assert_non_null(strstr(rig->e.text, "stalled"));
  rig_free(rig);
}

/** Bodies of every size around a piece, in head, data or both; the end is told after the resume. */
static void a_pause_holds_the_end(void **state) {
  (void)state;
  static const size_t sizes[] = {0, 1, 100, 16383, 16384, 16385, 40000};
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    for (int where = 1; where <= 3; where++) {
      char reply[64];
      snprintf(reply, sizeof reply, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", sizes[i]);
      struct rig *rig = RIG({NULL, NULL, reply, sizes[i], SCRIPT_CLOSE, 0});
      rig->pause_head = (where & 1) != 0;
      rig->pause_data = (where & 2) != 0;
      start(rig, "GET", "/", 0);
      while (rig->heads == 0) {
        uv_run(&rig->loop, UV_RUN_ONCE);
      }
      if (rig->pause_head) {
        turn(rig, 100);
        assert_int_equal(rig->got, 0);
        assert_int_equal(rig->dones, 0);
      }
      while (rig->dones == 0) {
        size_t got = rig->got;
        turn(rig, 20);
        assert_true(!rig->pause_data || rig->got - got <= 16384);
        if (rig->fetch != NULL) {
          http_fetch_resume(rig->fetch);
          assert_int_equal(rig->dones, 0);
        }
      }
      assert_false(rig->failed);
      assert_int_equal(rig->got, sizes[i]);
      rig_free(rig);
    }
  }
}

static void giving_up(void **state) {
  (void)state;
  static const struct script_answer answer = {
      NULL, NULL, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", 100000, SCRIPT_KEEP, 0};
  for (int in_data = 0; in_data <= 2; in_data++) {
    struct rig *rig = rig_new(&answer, 1);
    rig->refuse_head = in_data == 0;
    rig->refuse_data = in_data >= 1;
    rig->pause_head = in_data == 2; /* what was kept back is refused while it is resumed */
    start(rig, "GET", "/", 0);
    while (rig->pause_head && rig->heads == 0) {
      uv_run(&rig->loop, UV_RUN_ONCE);
    }
    turn(rig, 50);
    if (rig->fetch != NULL) {
      http_fetch_resume(rig->fetch);
    }
    run(rig);
    assert_true(rig->failed);
    assert_non_null(strstr(rig->e.text, "given up"));
    turn(rig, 50);
    assert_int_equal(rig->dones, 1);
    rig_free(rig);
  }
}

static void cancelling(void **state) {
  (void)state;
  static const struct script_answer answer = {
      NULL, NULL, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", 100000, SCRIPT_KEEP, 0};
  for (int when = 0; when < 6; when++) {
    struct rig *rig = rig_new(&answer, 1);
    rig->cancel_head = when == 1;
    rig->cancel_data = when == 2 || when == 3;
    rig->pause_data = when == 3 || when == 4;
    rig->stop_data = when == 5;
    start(rig, "GET", "/", 0);
    if (when == 0) {
      http_fetch_cancel(rig->fetch);
    }
    while (when > 0 && (when == 1 ? rig->heads == 0 : rig->got == 0)) {
      uv_run(&rig->loop, UV_RUN_ONCE);
    }
    size_t got = rig->got;
    if (when == 4) {
      http_fetch_resume(rig->fetch);
      http_fetch_cancel(rig->fetch);
    }
    turn(rig, 100);
    assert_int_equal(rig->dones, 0);
    assert_int_equal(rig->got, got);
    rig_free(rig);
  }
}

static void starting_within_an_event(void **state) {
  (void)state;
  struct rig *rig = RIG(
      {NULL, NULL, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", 100000, SCRIPT_KEEP, 0});
  rig->start_in_data = true;
  start(rig, "GET", "/first", 0);
  run(rig);
  assert_false(rig->failed);
  assert_int_equal(rig->dones, 1);
  assert_int_equal(rig->got, 100000);
  rig_free(rig);
}

int main(void) {
  signal(SIGPIPE, SIG_IGN);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(get),
      cmocka_unit_test(head_and_post),
      cmocka_unit_test(a_head_ends_its_connection),
      cmocka_unit_test(chunks_interim_answers_and_trailers),
      cmocka_unit_test(what_cannot_start),
      cmocka_unit_test(no_connection),
      cmocka_unit_test(a_connection_that_nobody_takes),
      cmocka_unit_test(a_proxy_s_password_is_not_told),
      cmocka_unit_test(a_cut_body_is_an_error),
      cmocka_unit_test(more_body_than_said_is_not_told),
      cmocka_unit_test(bad_heads),
      cmocka_unit_test(stalls),
      cmocka_unit_test(pause_and_resume),
      cmocka_unit_test(a_pause_is_no_stall),
      cmocka_unit_test(a_pause_before_the_connection),
      cmocka_unit_test(a_stall_after_a_pause),
      cmocka_unit_test(a_pause_holds_the_end),
      cmocka_unit_test(giving_up),
      cmocka_unit_test(cancelling),
      cmocka_unit_test(starting_within_an_event),
  };
  setenv("no_proxy", "*", 1);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
