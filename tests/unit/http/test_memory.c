/* Memory that runs out, and memory that is not asked for. */
#include "http/memory.h"

#include "support/heap.h"
#include "unit/http/tls_client.h"

#include <stdio.h>
#include <unistd.h>

static struct files files;

enum { LENGTH = 10000 };

/* A server with TLS and room for one connection. */
struct world {
  uv_loop_t loop;
  struct http_tls *tls;
  struct http_server *server;
};

static int make(void **state) {
  static struct world w;
  files_new(&files);
  files_issue(&files, "a", 0, -60, 3600);
  w.tls = files_load(&files, "a");
  const struct http_server_options options = {.tls = w.tls, .limits = {.connections_max = 1}};
  assert_int_equal(uv_loop_init(&w.loop), 0);
  w.server = http_server_new(&w.loop, &options);
  assert_non_null(w.server);
  *state = &w;
  return 0;
}

static int take_down(void **state) {
  struct world *w = *state;
  http_server_stop(w->server, 0, NULL, NULL);
  uv_run(&w->loop, UV_RUN_DEFAULT);
  assert_int_equal(uv_loop_close(&w->loop), 0);
  http_tls_free(w->tls);
  files_free(&files);
  return 0;
}

/* Of a flood, each that a limit keeps out costs as little as can be. */
static void who_is_kept_out_costs_no_tls(void **state) {
  const struct world *w = *state;
  struct http_memory *one = http_memory_connect(w->server, NULL);
  assert_non_null(one);
  heap_fail(HEAP_NONE, 0);
  assert_null(http_memory_connect(w->server, NULL));
  assert_int_equal(heap_allocations(), 1); /* http_memory_connect()'s own */
  http_memory_free(one);
}

static int connect_once(void *arg, struct error *e) {
  struct http_memory *m = http_memory_connect(arg, NULL);
  if (m == NULL) {
    return error_set(e, ERROR_FAILED, "not let in");
  }
  http_memory_free(m);
  return 0;
}

/* It leaves nothing behind, no place among the connections either. */
static void a_connection_without_memory(void **state) {
  const struct world *w = *state;
  heap_exhaust(connect_once, w->server);
  heap_exhaust_openssl(connect_once, w->server);
}

static int listen_once(void *arg, struct error *e) {
  struct http_places places = {0};
  int status = http_listen(arg, &places, e);
  http_places_free(&places);
  return status;
}

/* Nor a socket that nobody listens at. */
static void a_unix_socket_without_memory(void **state) {
  char address[128];
  snprintf(address, sizeof address, "unix:%s", files_path(&files, "socket"));
  (void)state;
  heap_exhaust(listen_once, address);
  for (unsigned failing = 0; failing < 2; failing++) {
    heap_fail(failing == 0 ? HEAP_NONE : HEAP_REST, 0);
    listen_once(address, NULL);
    heap_fail(HEAP_NONE, 0);
    assert_int_equal(access(files_path(&files, "socket"), F_OK), -1);
  }
}

/* --- answers from a file --- */

struct answer {
  struct http_exchange *x;
  int fd;
  bool begun, whole;
  unsigned ended;
};

static void on_abandoned(void *arg) {
  ((struct answer *)arg)->ended++;
}

static void on_proceed(void *arg) {
  struct answer *a = arg;
  a->ended++;
  a->whole = true;
  http_answer_end(a->x);
}

static void answer_file(struct http_exchange *x, void *context) {
  struct answer *a = context;
  a->x = x;
  a->begun = true;
  http_answer_start(x, 200, NULL, 0, LENGTH);
  http_exchange_on_abandoned(x, on_abandoned, a);
  http_answer_send_file(x, a->fd, 0, LENGTH, on_proceed, a);
}

static int ask_once(void *arg, struct error *e) {
  struct answer answer = {.fd = *(const int *)arg};
  const struct http_route route = {"GET", "/", answer_file, &answer};
  const struct http_server_options options = {.routes = &route, .route_count = 1};
  struct http_memory *m = http_memory_new(NULL, &options, NULL);
  if (m == NULL) {
    return error_set(e, ERROR_FAILED, "not let in");
  }
  http_memory_take(m, 1000);
  http_memory_feed(m, SLICE("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
  http_memory_take(m, SIZE_MAX);
  /* Whole or cut, who answers is told once. */
  assert_true(answer.whole || http_memory_closed(m));
  assert_true(answer.ended == answer.begun);
  http_memory_free(m);
  return answer.whole ? 0 : error_set(e, ERROR_FAILED, "cut");
}

static void an_answer_from_a_file_without_memory(void **state) {
  (void)state;
  FILE *file = tmpfile();
  int fd = fileno(file);
  assert_int_equal(ftruncate(fd, LENGTH), 0);
  heap_exhaust(ask_once, &fd);
  fclose(file);
}

int main(void) {
  heap_watch_openssl();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(who_is_kept_out_costs_no_tls, make, take_down),
      cmocka_unit_test_setup_teardown(a_connection_without_memory, make, take_down),
      cmocka_unit_test_setup_teardown(a_unix_socket_without_memory, make, take_down),
      cmocka_unit_test(an_answer_from_a_file_without_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
