#include "peer.h"

#include <netinet/in.h>
#include <stdio.h>

static const struct http_limits seconds = {
    .head_timeout_ms = 1000, .idle_timeout_ms = 5000, .send_timeout_ms = 3000};

static void test_kept_until_idle_for_too_long(void **state) {
  (void)state;
  struct peer p;
  peer_open(&p, &seconds);
  peer_feed(&p, GET("/now"));
  http_memory_advance(p.m, 4999);
  assert_false(http_memory_closed(p.m));
  peer_feed(&p, GET("/now"));
  http_memory_advance(p.m, 4999);
  assert_false(http_memory_closed(p.m));
  http_memory_advance(p.m, 1);
  assert_true(http_memory_released(p.m));
  assert_int_equal(peer_count(&p, "HTTP/1.1 "), 2);
  peer_close(&p);
}

static void test_a_head_must_come_in_time(void **state) {
  (void)state;
  struct peer p;
  peer_open(&p, &seconds);
  /* A byte now and then does not help. */
  peer_feed(&p, "GET /");
  for (unsigned i = 0; i < 10; i++) {
    peer_feed(&p, "x");
    http_memory_advance(p.m, 100);
  }
  assert_int_equal(peer_count(&p, "HTTP/1.1 408 "), 1);
  assert_true(http_memory_closed(p.m));
  peer_close(&p);

  /* The time of a second request counts from its own first byte. */
  peer_open(&p, &seconds);
  http_memory_advance(p.m, 900);
  peer_feed(&p, GET("/now"));
  http_memory_advance(p.m, 900);
  peer_feed(&p, "G");
  http_memory_advance(p.m, 900);
  peer_feed(&p, "ET /now HTTP/1.1\r\nHost: a\r\n\r\nG");
  http_memory_advance(p.m, 999);
  assert_int_equal(peer_count(&p, "HTTP/1.1 200 "), 2);
  assert_false(http_memory_closed(p.m));
  http_memory_advance(p.m, 1);
  assert_int_equal(peer_count(&p, "HTTP/1.1 408 "), 1);
  peer_close(&p);

  /* Who says nothing is told nothing. */
  peer_open(&p, &seconds);
  http_memory_advance(p.m, 1000);
  assert_true(http_memory_released(p.m));
  assert_int_equal(http_memory_output(p.m).len, 0);
  peer_close(&p);
}

static void test_a_body_must_come_in_time(void **state) {
  (void)state;
  struct peer p;
  peer_open(&p, &seconds);
  peer_feed(&p, "PUT /dir/ HTTP/1.1\r\nHost: a\r\n");
  http_memory_advance(p.m, 900);
  peer_feed(&p, "Content-Length: 3\r\n\r\n");
  http_memory_advance(p.m, 900);
  peer_feed(&p, "ab");
  assert_int_equal(http_memory_output(p.m).len, 0);
  http_memory_advance(p.m, 100);
  assert_int_equal(peer_count(&p, "HTTP/1.1 408 "), 1);
  assert_true(http_memory_closed(p.m));
  peer_close(&p);
}

static void test_a_handler_has_all_the_time(void **state) {
  (void)state;
  struct peer p;
  peer_open(&p, &seconds);
  peer_feed(&p, GET("/later"));
  http_memory_advance(p.m, 1000000);
  assert_false(http_memory_closed(p.m));
  http_answer(p.x, 200, NULL, 0, SLICE("late"));
  assert_true(peer_ends(&p, "late"));
  http_memory_advance(p.m, 4999);
  assert_false(http_memory_closed(p.m));
  http_memory_advance(p.m, 1);
  assert_true(http_memory_closed(p.m));
  peer_close(&p);
}

static void test_a_reader_must_go_on_reading(void **state) {
  (void)state;
  struct peer p;
  peer_open(&p, &seconds);
  http_memory_take(p.m, 100);
  peer_feed(&p, GET("/large"));
  for (unsigned i = 0; i < 5; i++) {
    http_memory_advance(p.m, 2900);
    assert_false(http_memory_closed(p.m));
    http_memory_take(p.m, 4096);
  }
  http_memory_advance(p.m, 2900);
  http_memory_advance(p.m, 3000);
  assert_true(http_memory_released(p.m));
  peer_close(&p);
}

static void test_a_reader_must_not_trickle(void **state) {
  (void)state;
  struct peer p;
  peer_open(&p, &seconds);
  http_memory_take(p.m, 100);
  peer_feed(&p, GET("/large"));
  for (unsigned i = 0; i < 3; i++) {
    http_memory_advance(p.m, 999);
    assert_false(http_memory_closed(p.m));
    http_memory_take(p.m, 1365); /* 4095 in all */
  }
  http_memory_advance(p.m, 3);
  assert_true(http_memory_released(p.m));
  peer_close(&p);
}

static void test_a_head_behind_an_answer_has_its_time(void **state) {
  (void)state;
  struct peer p;
  peer_open(&p, &seconds);
  http_memory_take(p.m, 100);
  peer_feed(&p, GET("/large") "GET /no");
  http_memory_advance(p.m, 2900);
  http_memory_take(p.m, SIZE_MAX);
  http_memory_advance(p.m, 999);
  assert_false(http_memory_closed(p.m));
  http_memory_advance(p.m, 1);
  assert_int_equal(peer_count(&p, "HTTP/1.1 408 "), 1);
  peer_close(&p);
}

/* What is left of an answer may be gone once it is written, and the word of it comes later. */
static void test_a_write_ends_after_its_bytes_are_gone(void **state) {
  (void)state;
  for (int refused = 0; refused < 2; refused++) {
    struct peer p;
    peer_open(&p, NULL);
    http_memory_take(p.m, 10);
    http_memory_catch_up(p.m);
    peer_feed(&p, refused ? "nonsense\r\n\r\n" : GET("/large"));
    assert_int_equal(peer_count(&p, refused ? "HTTP/1.1 400 " : "HTTP/1.1 200 "), 1);
    assert_false(http_memory_closed(p.m));
    http_memory_take(p.m, SIZE_MAX);
    if (!refused) {
      peer_feed(&p, GET("/now"));
      assert_true(peer_ends(&p, "now"));
    }
    assert_int_equal(http_memory_closed(p.m), refused);
    peer_close(&p);
  }
}

static void test_pipelined_requests_wait_their_turn(void **state) {
  (void)state;
  struct peer p;
  peer_open(&p, NULL);
  peer_feed(&p, GET("/now") GET("/later") GET("/now") GET("/later") GET("/no"));
  assert_int_equal(peer_count(&p, "HTTP/1.1 "), 1);
  assert_int_equal(p.later, 1);
  http_answer(p.x, 200, NULL, 0, SLICE("one"));
  http_memory_feed(p.m, SLICE("")); /* lets the loop run */
  assert_int_equal(peer_count(&p, "HTTP/1.1 "), 3);
  assert_int_equal(p.later, 2);
  peer_feed(&p, GET("/now"));
  http_answer(p.x, 200, NULL, 0, SLICE("two"));
  http_memory_feed(p.m, SLICE(""));
  assert_int_equal(peer_count(&p, "HTTP/1.1 200 "), 5);
  assert_int_equal(peer_count(&p, "HTTP/1.1 404 "), 1);
  assert_true(peer_ends(&p, "now"));
  peer_close(&p);
}

static void test_reading_stops_while_enough_is_there(void **state) {
  (void)state;
  struct peer p;
  peer_open(&p, NULL);
  peer_feed(&p, GET("/later"));
  unsigned fed = 0;
  while (http_memory_feed(p.m, SLICE(GET("/now"))) > 0) {
    fed++;
    assert_true(fed < 16 * 1024);
  }
  assert_true(fed * strlen(GET("/now")) >= 16384);
  http_answer(p.x, 200, NULL, 0, SLICE("one"));
  http_memory_take(p.m, SIZE_MAX);
  assert_int_equal(peer_count(&p, "HTTP/1.1 200 "), fed + 1);
  peer_feed(&p, GET("/now"));
  assert_int_equal(peer_count(&p, "HTTP/1.1 200 "), fed + 2);
  peer_close(&p);
}

static void test_who_does_not_read_is_not_served(void **state) {
  (void)state;
  struct peer p;
  peer_open(&p, NULL);
  http_memory_take(p.m, 0);
  unsigned fed = 0;
  while (http_memory_feed(p.m, SLICE(GET("/large"))) > 0) {
    fed++;
    assert_true(fed < 16 * 1024);
  }
  /* Two answers are made and the rest is held back as requests. */
  http_memory_take(p.m, SIZE_MAX);
  assert_int_equal(peer_count(&p, "HTTP/1.1 200 "), fed);
  peer_close(&p);
}

static void test_the_head_is_bounded(void **state) {
  (void)state;
  const struct http_limits limits = {.head_max = 500};
  for (int beyond = 0; beyond <= 1; beyond++) {
    struct peer p;
    peer_open(&p, &limits);
    /* 35 bytes stand around the value. */
    char head[600];
    int len = snprintf(head, sizeof head, "GET /now HTTP/1.1\r\nHost: a\r\nX: %0*d\r\n\r\n",
                       500 - 35 + beyond, 0);
    assert_int_equal(len, 500 + beyond);
    peer_feed(&p, head);
    assert_int_equal(peer_count(&p, beyond ? "HTTP/1.1 431 " : "HTTP/1.1 200 "), 1);
    assert_int_equal(http_memory_closed(p.m), beyond);
    peer_close(&p);
  }
}

static void test_fields_are_bounded(void **state) {
  (void)state;
  for (int beyond = 0; beyond <= 1; beyond++) {
    struct peer p;
    peer_open(&p, NULL);
    peer_feed(&p, "GET /now HTTP/1.1\r\nHost: a\r\n");
    for (int i = 0; i < 99 + beyond; i++) {
      peer_feed(&p, "X: y\r\n");
      if (http_memory_closed(p.m)) {
        break;
      }
    }
    http_memory_feed(p.m, SLICE("\r\n"));
    assert_int_equal(peer_count(&p, beyond ? "HTTP/1.1 431 " : "HTTP/1.1 200 "), 1);
    peer_close(&p);
  }
}

static void test_lingers_after_a_refusal(void **state) {
  (void)state;
  struct peer p;
  peer_open(&p, NULL);
  peer_feed(&p, "?\r\n\r\nmore of it");
  assert_true(http_memory_closed(p.m));
  assert_false(http_memory_released(p.m));
  peer_feed(&p, GET("/now"));
  assert_int_equal(peer_count(&p, "HTTP/1.1 "), 1);
  http_memory_feed_end(p.m);
  assert_true(http_memory_released(p.m));
  peer_close(&p);

  /* Not for ever, … */
  peer_open(&p, NULL);
  peer_feed(&p, "?\r\n\r\n");
  http_memory_advance(p.m, 2000);
  assert_true(http_memory_released(p.m));
  peer_close(&p);

  /* … and not for any number of bytes. */
  peer_open(&p, NULL);
  peer_feed(&p, "?\r\n\r\n");
  static const char zeros[100000];
  for (unsigned i = 0; i < 11; i++) {
    http_memory_feed(p.m, slice_of(zeros, sizeof zeros));
  }
  assert_true(http_memory_released(p.m));
  peer_close(&p);
}

static void test_lingers_when_more_came_than_was_answered(void **state) {
  (void)state;
  struct peer p;
  peer_open(&p, NULL);
  peer_feed(&p, "GET /later HTTP/1.0\r\n\r\n" GET("/now"));
  http_answer(p.x, 200, NULL, 0, SLICE("late"));
  assert_true(peer_ends(&p, "late"));
  assert_true(http_memory_closed(p.m));
  assert_false(http_memory_released(p.m));
  http_memory_feed_end(p.m);
  assert_true(http_memory_released(p.m));
  peer_close(&p);
}

static void test_closes_at_once_when_all_was_read(void **state) {
  (void)state;
  struct peer p;
  peer_open(&p, NULL);
  peer_feed(&p, "GET /now HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  assert_true(http_memory_released(p.m));
  assert_int_equal(peer_count(&p, "Connection: close\r\n"), 1);
  peer_close(&p);

  peer_open(&p, NULL);
  peer_feed(&p, "GET /now HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nX");
  assert_true(http_memory_closed(p.m));
  assert_false(http_memory_released(p.m));
  peer_close(&p);
}

static void test_half_closed_is_answered(void **state) {
  (void)state;
  struct peer p;
  peer_open(&p, NULL);
  peer_feed(&p, GET("/now") GET("/later") GET("/now"));
  http_memory_feed_end(p.m);
  assert_false(http_memory_closed(p.m));
  http_answer(p.x, 200, NULL, 0, SLICE("one"));
  http_memory_take(p.m, SIZE_MAX);
  assert_int_equal(peer_count(&p, "HTTP/1.1 200 "), 3);
  assert_true(http_memory_released(p.m));
  peer_close(&p);

  peer_open(&p, NULL);
  peer_feed(&p, "GET /now HTTP/1.1\r\nHost");
  http_memory_feed_end(p.m);
  assert_int_equal(peer_count(&p, "HTTP/1.1 400 "), 1);
  assert_true(http_memory_released(p.m));
  peer_close(&p);

  peer_open(&p, NULL);
  http_memory_feed_end(p.m);
  assert_true(http_memory_released(p.m));
  assert_int_equal(http_memory_output(p.m).len, 0);
  peer_close(&p);
}

static void on_stopped(void *arg) {
  *(bool *)arg = true;
}

static void count(struct http_exchange *x, void *context) {
  (*(unsigned *)context)++;
  http_answer(x, 200, NULL, 0, SLICE(""));
}

static void test_connections_are_bounded(void **state) {
  (void)state;
  uv_loop_t loop;
  assert_int_equal(uv_loop_init(&loop), 0);
  unsigned asked = 0;
  const struct http_route route = {"GET", "/", count, &asked};
  const struct http_server_options options = {
      .routes = &route,
      .route_count = 1,
      .limits = {.connections_max = 5, .per_address_max = 2, .idle_timeout_ms = 1}};
  struct http_server *server = http_server_new(&loop, &options);
  struct http_memory *m[6];
  for (unsigned i = 0; i < 6; i++) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)(1000 + i)),
                                  .sin_addr = {.s_addr = htonl(0x7f000001 + i / 3)}};
    m[i] = http_memory_connect(server, (const struct sockaddr *)&address);
    /* The third of an address is one too many. */
    assert_int_equal(m[i] == NULL, i % 3 == 2);
  }
  struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  m[2] = http_memory_connect(server, (const struct sockaddr *)&address);
  assert_non_null(m[2]);
  address.sin6_addr.s6_addr[0] = 1;
  assert_null(http_memory_connect(server, (const struct sockaddr *)&address));
  http_memory_free(m[0]);
  m[0] = http_memory_connect(server, NULL);
  assert_non_null(m[0]);
  for (unsigned i = 0; i < 5; i++) {
    http_memory_feed(m[i], SLICE("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
  }
  assert_int_equal(asked, 5);
  bool stopped = false;
  http_server_stop(server, 1000, on_stopped, &stopped);
  for (unsigned i = 0; i < 5; i++) {
    assert_true(http_memory_released(m[i]));
    http_memory_free(m[i]);
  }
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_true(stopped);
  assert_int_equal(uv_loop_close(&loop), 0);
}

/* A server whose handler leaves the exchange where the test finds it. */
struct waiting {
  struct http_exchange *x;
  unsigned abandoned;
};

static void on_abandoned(void *arg) {
  ((struct waiting *)arg)->abandoned++;
}

static void wait_for_it(struct http_exchange *x, void *context) {
  ((struct waiting *)context)->x = x;
  http_exchange_on_abandoned(x, on_abandoned, context);
}

enum when { NEVER, AFTER, AROUND }; /* the answer, and the stop */

static void test_stops_with_grace(void **state) {
  (void)state;
  for (enum when answered = NEVER; answered <= AROUND; answered++) {
    uv_loop_t loop;
    assert_int_equal(uv_loop_init(&loop), 0);
    struct waiting w = {0};
    const struct http_route route = {"GET", "/", wait_for_it, &w};
    const struct http_server_options options = {.routes = &route, .route_count = 1};
    struct http_server *server = http_server_new(&loop, &options);
    struct http_memory *busy = http_memory_connect(server, NULL);
    struct http_memory *idle = http_memory_connect(server, NULL);
    http_memory_feed(busy, SLICE("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    if (answered == AROUND) {
      http_answer_start(w.x, 200, NULL, 0, 3);
    }
    bool stopped = false;
    http_memory_advance(busy, 0); /* from now on the clock stands */
    http_server_stop(server, 500, on_stopped, &stopped);
    uv_run(&loop, UV_RUN_NOWAIT);
    assert_true(http_memory_released(idle));
    assert_false(http_memory_closed(busy));
    assert_false(stopped);
    assert_null(http_memory_connect(server, NULL));
    if (answered == AFTER) {
      http_answer(w.x, 200, NULL, 0, SLICE("end"));
      assert_true(slice_ends(http_memory_output(busy), SLICE("Connection: close\r\n\r\nend")));
    } else if (answered == AROUND) {
      http_answer_send(w.x, SLICE("end"), NULL, NULL);
      http_answer_end(w.x);
      assert_true(slice_ends(http_memory_output(busy), SLICE("Length: 3\r\n\r\nend")));
    } else {
      http_memory_advance(busy, 499);
      assert_false(http_memory_closed(busy));
      http_memory_advance(busy, 1);
      assert_int_equal(http_memory_output(busy).len, 0);
    }
    assert_int_equal(w.abandoned, answered == NEVER);
    assert_true(http_memory_released(busy));
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_true(stopped);
    http_memory_free(busy);
    http_memory_free(idle);
    assert_int_equal(uv_loop_close(&loop), 0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_kept_until_idle_for_too_long),
      cmocka_unit_test(test_a_head_must_come_in_time),
      cmocka_unit_test(test_a_body_must_come_in_time),
      cmocka_unit_test(test_a_handler_has_all_the_time),
      cmocka_unit_test(test_a_reader_must_go_on_reading),
      cmocka_unit_test(test_a_reader_must_not_trickle),
      cmocka_unit_test(test_a_head_behind_an_answer_has_its_time),
      cmocka_unit_test(test_a_write_ends_after_its_bytes_are_gone),
      cmocka_unit_test(test_pipelined_requests_wait_their_turn),
      cmocka_unit_test(test_reading_stops_while_enough_is_there),
      cmocka_unit_test(test_who_does_not_read_is_not_served),
      cmocka_unit_test(test_the_head_is_bounded),
      cmocka_unit_test(test_fields_are_bounded),
      cmocka_unit_test(test_lingers_after_a_refusal),
      cmocka_unit_test(test_lingers_when_more_came_than_was_answered),
      cmocka_unit_test(test_closes_at_once_when_all_was_read),
      cmocka_unit_test(test_half_closed_is_answered),
      cmocka_unit_test(test_connections_are_bounded),
      cmocka_unit_test(test_stops_with_grace),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
