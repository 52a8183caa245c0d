/* What the kernel holds for a reader, on real sockets; the server's clock is moved by hand. */
#include "http/server.h"

#include "unit/cmocka_all.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
  MEBIBYTE = 1024 * 1024,
  LENGTH = 64 * MEBIBYTE,
  UNSENT_MAX = 256 * 1024, /* as HTTP_UNSENT_MAX */
  TURNS = 20000,           /* of the loop, after which nothing happens by itself any more */
};

static uint64_t now = 1000;

/* The linker's --wrap makes the name. NOLINTBEGIN(cert-dcl51-cpp) */
uint64_t __wrap_uv_now(const uv_loop_t *loop);
uint64_t __wrap_uv_now(const uv_loop_t *loop) {
  (void)loop;
  return now;
}
/* NOLINTEND(cert-dcl51-cpp) */

struct world {
  uv_loop_t loop;
  struct http_server *server;
  struct http_places places;
  struct http_route route;
  int file, client;
  struct http_exchange *x;
};

static void on_sent(void *arg) {
  struct world *w = arg;
  http_answer_end(w->x);
}

static void on_abandoned(void *arg) {
  struct world *w = arg;
  w->x = NULL;
}

static void handle(struct http_exchange *x, void *context) {
  struct world *w = context;
  w->x = x;
  http_exchange_on_abandoned(x, on_abandoned, w);
  http_answer_start(x, 200, NULL, 0, LENGTH);
  http_answer_send_file(x, w->file, 0, LENGTH, on_sent, w);
}

static void run_loop(struct world *w) {
  for (unsigned i = 0; i < TURNS; i++) {
    uv_run(&w->loop, UV_RUN_NOWAIT);
  }
}

/* Has asked for the file; the other end's kernel holds next to nothing of it. */
static int start(void **state) {
  static const char request[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  struct world *w = calloc(1, sizeof *w);
  struct error e = {0};
  const int few = 4096;
  assert_non_null(w);
  w->file = memfd_create("blob", MFD_CLOEXEC);
  assert_int_equal(ftruncate(w->file, LENGTH), 0);
  assert_int_equal(uv_loop_init(&w->loop), 0);
  w->route = (struct http_route){"GET", "/", handle, w};
  const struct http_server_options options = {.routes = &w->route, .route_count = 1};
  w->server = http_server_new(&w->loop, &options);
  assert_non_null(w->server);
  if (http_listen("127.0.0.1:0", &w->places, &e) != 0 ||
      http_server_listen(w->server, &w->places.items[0], &e) != 0) {
    fail_msg("%s", e.text);
  }
  w->client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal(setsockopt(w->client, SOL_SOCKET, SO_RCVBUF, &few, sizeof few), 0);
  assert_int_equal(
      connect(w->client, &w->places.items[0].address.any, sizeof w->places.items[0].address.v4), 0);
  assert_int_equal(write(w->client, request, strlen(request)), strlen(request));
  while (w->x == NULL) {
    uv_run(&w->loop, UV_RUN_ONCE);
  }
  *state = w;
  return 0;
}

static int stop(void **state) {
  struct world *w = *state;
  close(w->client);
  http_server_stop(w->server, 0, NULL, NULL);
  uv_run(&w->loop, UV_RUN_DEFAULT);
  assert_int_equal(uv_loop_close(&w->loop), 0);
  http_places_free(&w->places);
  close(w->file);
  free(w);
  return 0;
}

static void look(uv_handle_t *handle, void *arg) {
  int fd = -1, listens = 0;
  socklen_t size = sizeof listens;
  if (handle->type == UV_TCP && uv_fileno(handle, &fd) == 0 &&
      getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens == 0) {
    size = sizeof(int);
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, arg, &size), 0);
  }
}

/* The bound of the server's end of the connection. */
static int unsent_max(struct world *w) {
  int most = -1;
  uv_walk(&w->loop, look, &most);
  return most;
}

static size_t take(struct world *w) {
  static char bytes[MEBIBYTE];
  ssize_t n = recv(w->client, bytes, sizeof bytes, MSG_DONTWAIT);
  uv_run(&w->loop, UV_RUN_NOWAIT);
  return n > 0 ? (size_t)n : 0;
}

static void little_is_held_for_a_slow_reader(void **state) {
  struct world *w = *state;
  run_loop(w);
  const size_t taken = LENGTH - http_answer_waiting(w->x);
  assert_in_range(taken, 1, UNSENT_MAX + UNSENT_MAX / 2);
  assert_int_equal(unsent_max(w), UNSENT_MAX);
}

static void a_fast_reader_has_what_there_is(void **state) {
  struct world *w = *state;
  for (size_t taken = 0; taken < LENGTH / 8;) {
    taken += take(w);
  }
  assert_int_equal(unsent_max(w), 0);
  run_loop(w);
  now += 100; /* in which nothing was taken */
  for (size_t taken = 0; unsent_max(w) == 0 && taken < LENGTH / 2;) {
    taken += take(w);
  }
  assert_int_equal(unsent_max(w), UNSENT_MAX);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(little_is_held_for_a_slow_reader, start, stop),
      cmocka_unit_test_setup_teardown(a_fast_reader_has_what_there_is, start, stop),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
