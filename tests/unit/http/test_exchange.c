#include "peer.h"

#include <stdlib.h>

static void test_head_of_an_answer(void **state) {
  (void)state;
  struct peer p;
  peer_open(&p, NULL);
  peer_feed(&p, GET("/later"));
  const struct http_field fields[] = {{SLICE("Content-Type"), SLICE("a/b")},
                                      {SLICE("ETag"), SLICE("\"x\"")}};
  http_answer(p.x, 416, fields, 2, SLICE("12345"));
  assert_int_equal(peer_count(&p, "HTTP/1.1 416 Range Not Satisfiable\r\nDate: "), 1);
  assert_true(
      peer_ends(&p, " GMT\r\nContent-Type: a/b\r\nETag: \"x\"\r\nContent-Length: 5\r\n\r\n12345"));
  assert_int_equal(peer_count(&p, "Connection"), 0);
  peer_close(&p);

  peer_open(&p, NULL);
  peer_feed(&p, "GET /now HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
  assert_true(peer_ends(&p, "Connection: keep-alive\r\n\r\nnow"));
  assert_false(http_memory_closed(p.m));
  peer_feed(&p, "GET /now HTTP/1.0\r\n\r\n");
  assert_true(peer_ends(&p, "Connection: close\r\n\r\nnow"));
  assert_true(http_memory_released(p.m));
  peer_close(&p);
}

static void test_answers_without_a_body(void **state) {
  (void)state;
  struct peer p;
  peer_open(&p, NULL);
  peer_feed(&p, "HEAD /now HTTP/1.1\r\nHost: a\r\n\r\n");
  assert_true(peer_ends(&p, "Content-Length: 3\r\n\r\n"));
  peer_feed(&p, "HEAD /later HTTP/1.1\r\nHost: a\r\n\r\n");
  http_answer_start(p.x, 200, NULL, 0, 1234567890123);
  http_answer_end(p.x);
  assert_true(peer_ends(&p, "Content-Length: 1234567890123\r\n\r\n"));
  const int statuses[] = {204, 304};
  for (size_t i = 0; i < 2; i++) {
    http_memory_clear(p.m);
    peer_feed(&p, GET("/later"));
    http_answer(p.x, statuses[i], NULL, 0, SLICE(""));
    assert_int_equal(peer_count(&p, "Content-Length"), 0);
    assert_true(peer_ends(&p, "\r\n\r\n"));
  }
  peer_feed(&p, GET("/now"));
  assert_true(peer_ends(&p, "now"));
  peer_close(&p);
}

static void test_routes(void **state) {
  (void)state;
  struct peer p;
  peer_open(&p, NULL);
  const struct {
    const char *request;
    const char *expected;
  } cases[] = {
      {GET("/dir/"), "HTTP/1.1 200 "},
      {GET("/dir/a/b"), "HTTP/1.1 200 "},
      {GET("/dir"), "HTTP/1.1 404 "},
      {GET("/now/"), "HTTP/1.1 404 "},
      {GET("/no%77"), "HTTP/1.1 404 "},
      {"HEAD /large HTTP/1.1\r\nHost: a\r\n\r\n", "Allow: GET\r\n"},
      {"POST /dir/x HTTP/1.1\r\nHost: a\r\n\r\n", "Allow: GET, HEAD, PUT\r\n"},
      {"DELETE /dir HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 404 "},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    http_memory_clear(p.m);
    peer_feed(&p, cases[i].request);
    assert_int_equal(peer_count(&p, cases[i].expected), 1);
    assert_false(http_memory_closed(p.m));
  }
  peer_close(&p);
}

static void test_streams(void **state) {
  (void)state;
  struct peer p;
  peer_open(&p, NULL);
  peer_feed(&p, GET("/later"));
  http_answer_start(p.x, 200, NULL, 0, 30);
  for (unsigned i = 1; i <= 3; i++) {
    peer_send(&p, 10);
    assert_int_equal(http_answer_waiting(p.x), 0);
    http_memory_feed(p.m, SLICE(""));
    assert_int_equal(p.proceeds, i);
  }
  http_answer_end(p.x);
  assert_true(peer_ends(&p, "Content-Length: 30\r\n\r\npppppppppppppppppppppppppppppp"));
  peer_feed(&p, GET("/now"));
  assert_true(peer_ends(&p, "now"));
  assert_int_equal(p.abandoned, 0);
  peer_close(&p);
}

static void test_back_pressure(void **state) {
  (void)state;
  struct peer p;
  peer_open(&p, NULL);
  peer_feed(&p, GET("/later") GET("/now"));
  http_memory_take(p.m, 1000);
  http_answer_start(p.x, 200, NULL, 0, 300000);
  peer_send(&p, 100000);
  assert_int_equal(http_memory_output(p.m).len, 1000);
  assert_in_range(http_answer_waiting(p.x), 99000, 100000);
  http_memory_take(p.m, 50000);
  assert_int_equal(p.proceeds, 0);
  /* A second piece without waiting is taken, too. */
  peer_send(&p, 100000);
  assert_in_range(http_answer_waiting(p.x), 149000, 150000);
  http_memory_take(p.m, 100000);
  assert_int_equal(p.proceeds, 0);
  http_memory_take(p.m, SIZE_MAX);
  assert_int_equal(http_answer_waiting(p.x), 0);
  assert_int_equal(p.proceeds, 1);
  peer_send(&p, 100000);
  http_answer_end(p.x);
  http_memory_take(p.m, SIZE_MAX);
  assert_int_equal(peer_count(&p, "p"), 300000);
  assert_true(peer_ends(&p, "now"));
  peer_close(&p);
}

static void test_abandoned_when_the_other_end_goes(void **state) {
  (void)state;
  const struct http_limits limits = {.send_timeout_ms = 1000};
  /* Before an answer: nothing tells. Under way: by the time-out. */
  struct peer p;
  peer_open(&p, &limits);
  peer_feed(&p, GET("/later"));
  http_memory_take(p.m, 500);
  http_answer_start(p.x, 200, NULL, 0, 100000);
  peer_send(&p, 1000);
  http_memory_advance(p.m, 999);
  assert_int_equal(p.abandoned, 0);
  http_memory_advance(p.m, 1);
  assert_int_equal(p.abandoned, 1);
  assert_int_equal(p.proceeds, 0);
  assert_true(http_memory_released(p.m));
  peer_close(&p);
  assert_int_equal(p.abandoned, 1);

  /* By a reset. */
  peer_open(&p, NULL);
  peer_feed(&p, GET("/later"));
  peer_close(&p);
  assert_int_equal(p.abandoned, 1);

  /* Not after the end of the answer, though not all of it has been taken. */
  peer_open(&p, NULL);
  peer_feed(&p, GET("/later"));
  http_memory_take(p.m, 10);
  http_answer(p.x, 200, NULL, 0, SLICE("end"));
  peer_close(&p);
  assert_int_equal(p.abandoned, 0);
}

static void test_given_up(void **state) {
  (void)state;
  /* Before its start and before its first byte: 502, and the connection goes on. */
  for (int started = 0; started <= 1; started++) {
    struct peer p;
    peer_open(&p, NULL);
    peer_feed(&p, GET("/now") GET("/later"));
    if (started) {
      http_answer_start(p.x, 200, NULL, 0, 5);
    }
    http_answer_abort(p.x);
    assert_int_equal(peer_count(&p, "HTTP/1.1 200 "), 1);
    assert_int_equal(peer_count(&p, "HTTP/1.1 502 "), 1);
    peer_feed(&p, GET("/now"));
    assert_true(peer_ends(&p, "now"));
    assert_int_equal(p.abandoned, 0);
    peer_close(&p);
  }
  /* Behind an answer that waits for its reader. */
  struct peer p;
  peer_open(&p, NULL);
  http_memory_take(p.m, 0);
  peer_feed(&p, GET("/large") GET("/later"));
  http_answer_abort(p.x);
  http_memory_take(p.m, SIZE_MAX);
  assert_int_equal(peer_count(&p, "HTTP/1.1 200 "), 1);
  assert_int_equal(peer_count(&p, "HTTP/1.1 502 "), 1);
  assert_false(http_memory_closed(p.m));
  peer_close(&p);
  /* When the head has left, though nothing was sent yet: cut. */
  peer_open(&p, NULL);
  peer_feed(&p, GET("/later"));
  http_answer_start(p.x, 200, NULL, 0, 5);
  peer_feed(&p, GET("/now"));
  assert_true(peer_ends(&p, "\r\n\r\n"));
  http_answer_abort(p.x);
  http_memory_feed(p.m, SLICE(""));
  assert_true(http_memory_released(p.m));
  assert_int_equal(peer_count(&p, "HTTP/1.1 "), 1);
  peer_close(&p);
  /* Later: cut. */
  peer_open(&p, NULL);
  peer_feed(&p, GET("/later"));
  http_answer_start(p.x, 200, NULL, 0, 5);
  peer_send(&p, 4);
  http_answer_abort(p.x);
  http_memory_feed(p.m, SLICE(""));
  assert_true(http_memory_released(p.m));
  assert_true(peer_ends(&p, "\r\n\r\npppp"));
  assert_int_equal(p.abandoned, 0);
  assert_int_equal(p.proceeds, 0);
  peer_close(&p);
}

static void test_fields_of_a_request(void **state) {
  (void)state;
  struct peer p;
  peer_open(&p, NULL);
  peer_feed(&p, "GET /later?q HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nx-a: 2\r\nEmpty:\r\n\r\n");
  /* The slices stay where they are while further requests come in. */
  struct slice value = http_request_field(p.x, SLICE("X-a"));
  for (unsigned i = 0; i < 100; i++) {
    peer_feed(&p, GET("/now"));
  }
  assert_true(slice_equal(value, SLICE("1")));
  assert_int_equal(http_request_field_count(p.x, SLICE("x-A")), 2);
  assert_int_equal(http_request_field_count(p.x, SLICE("x-b")), 0);
  assert_null(http_request_field(p.x, SLICE("x-b")).ptr);
  struct slice empty = http_request_field(p.x, SLICE("empty"));
  assert_non_null(empty.ptr);
  assert_int_equal(empty.len, 0);
  assert_true(slice_equal(http_request_query(p.x), SLICE("q")));
  assert_int_equal(http_request_peer(p.x)->sa_family, AF_INET);
  http_answer(p.x, 200, NULL, 0, SLICE(""));
  peer_close(&p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_head_of_an_answer),
      cmocka_unit_test(test_answers_without_a_body),
      cmocka_unit_test(test_routes),
      cmocka_unit_test(test_streams),
      cmocka_unit_test(test_back_pressure),
      cmocka_unit_test(test_abandoned_when_the_other_end_goes),
      cmocka_unit_test(test_given_up),
      cmocka_unit_test(test_fields_of_a_request),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
