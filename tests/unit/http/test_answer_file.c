/* Answers that come from a file, over a connection without a socket and over real ones. */
#include "base/buf.h"
#include "http/memory.h"

#include "unit/cmocka_all.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
  SIZE = 5 * 1024 * 1024 + 77,
  TURN = 1024 * 1024, /* as HTTP_TURN_MAX */
  TURNS = 3 * TURN,
  PARTS_MAX = 4,
  CONNECTIONS = 2,
};

/* What `/` answers with: parts of the file, or, where no bytes of it are asked for, "piece". */
struct part {
  uint64_t offset, length;
};

struct world {
  char *bytes; /* what the file holds */
  int fd;
  struct part parts[PARTS_MAX];
  size_t part_count;
  unsigned proceeds, abandoned;
  struct answer *last;
};

struct answer {
  struct http_exchange *x;
  struct world *w;
  size_t next;
  int fd; /* of its own: closed once nothing is to be read any more */
};

static const struct slice piece = {"piece", 5};

static uint64_t length_of(const struct part *part) {
  return part->length == 0 ? piece.len : part->length;
}

static void free_answer(struct answer *a) {
  close(a->fd);
  free(a);
}

static void on_abandoned(void *arg) {
  struct answer *a = arg;
  a->w->abandoned++;
  free_answer(a);
}

static void go_on(void *arg) {
  struct answer *a = arg;
  const struct world *w = a->w;
  if (a->next == w->part_count) {
    http_answer_end(a->x);
    free_answer(a);
    return;
  }
  const struct part *part = &w->parts[a->next++];
  if (part->length == 0) {
    http_answer_send(a->x, piece, go_on, a);
  } else {
    http_answer_send_file(a->x, a->fd, part->offset, part->length, go_on, a);
  }
}

static void on_proceed(void *arg) {
  struct answer *a = arg;
  a->w->proceeds++;
  go_on(a);
}

static void handle(struct http_exchange *x, void *context) {
  struct world *w = context;
  struct answer *a = calloc(1, sizeof *a);
  uint64_t length = 0;
  *a = (struct answer){.x = x, .w = w, .fd = dup(w->fd)};
  for (size_t i = 0; i < w->part_count; i++) {
    length += length_of(&w->parts[i]);
  }
  http_answer_start(x, 200, NULL, 0, length);
  http_exchange_on_abandoned(x, on_abandoned, a);
  w->last = a;
  on_proceed(a);
}

static struct http_server_options options_of(struct world *w) {
  static struct http_route route = {"GET", "/", handle, NULL};
  route.context = w;
  return (struct http_server_options){
      .routes = &route, .route_count = 1, .limits = {.send_timeout_ms = 1000}};
}

static const char request[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

static int make(void **state) {
  struct world *w = calloc(1, sizeof *w);
  char path[] = "/tmp/test_answer_file.XXXXXX";
  w->fd = mkstemp(path);
  assert_true(w->fd >= 0);
  assert_int_equal(unlink(path), 0);
  w->bytes = malloc(SIZE);
  for (size_t i = 0; i < SIZE; i++) {
    w->bytes[i] = (char)(i * 2654435761U >> 13);
  }
  assert_int_equal(write(w->fd, w->bytes, SIZE), SIZE);
  w->parts[0] = (struct part){0, SIZE};
  w->part_count = 1;
  *state = w;
  return 0;
}

static int take_down(void **state) {
  struct world *w = *state;
  close(w->fd);
  free(w->bytes);
  free(w);
  return 0;
}

/* Whether \p output is the head and the first \p most bytes of the body. */
static void assert_body(const struct world *w, struct slice output, uint64_t most) {
  const char *body = memmem(output.ptr, output.len, "\r\n\r\n", 4);
  assert_non_null(body);
  body += 4;
  assert_int_equal(output.len - (size_t)(body - output.ptr), most);
  for (size_t i = 0; i < w->part_count && most > 0; i++) {
    const struct part *part = &w->parts[i];
    const uint64_t length = length_of(part) < most ? length_of(part) : most;
    const char *expected = part->length == 0 ? piece.ptr : w->bytes + part->offset;
    assert_memory_equal(body, expected, length);
    body += length;
    most -= length;
  }
  assert_int_equal(most, 0);
}

static struct http_memory *ask(struct world *w, size_t takes) {
  const struct http_server_options options = options_of(w);
  struct http_memory *m = http_memory_new(NULL, &options, NULL);
  assert_non_null(m);
  http_memory_take(m, takes);
  http_memory_feed(m, slice_str(request));
  return m;
}

/* --- without a socket --- */

static void test_any_part_in_any_steps(void **state) {
  struct world *w = *state;
  static const struct part parts[] = {{0, SIZE}, {0, 1}, {SIZE - 1, 1}, {4095, 70000}, {1, TURN}};
  static const size_t steps[] = {1021, 4096, 300000, SIZE_MAX};
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
    for (size_t j = 0; j < sizeof steps / sizeof *steps; j++) {
      w->parts[0] = parts[i];
      w->proceeds = 0;
      struct http_memory *m = ask(w, steps[j]);
      size_t before = 0;
      while (http_memory_output(m).len > before) {
        before = http_memory_output(m).len;
        http_memory_take(m, steps[j]);
      }
      assert_body(w, http_memory_output(m), parts[i].length);
      assert_int_equal(w->proceeds, 1);
      http_memory_free(m);
    }
  }
  assert_int_equal(w->abandoned, 0);
}

static void test_parts_and_pieces_in_order(void **state) {
  struct world *w = *state;
  static const struct part parts[] = {{0, 0}, {70000, 100}, {0, 0}, {3, TURNS}};
  memcpy(w->parts, parts, sizeof parts);
  w->part_count = PARTS_MAX;
  static const size_t steps[] = {100001, SIZE_MAX};
  for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
    struct http_memory *m = ask(w, steps[i]);
    for (unsigned j = 0; j < 40; j++) {
      http_memory_take(m, steps[i]);
    }
    assert_body(w, http_memory_output(m), 2 * piece.len + 100 + TURNS);
    /* The connection goes on. */
    w->part_count = 1;
    http_memory_take(m, SIZE_MAX);
    http_memory_clear(m);
    http_memory_feed(m, slice_str(request));
    assert_body(w, http_memory_output(m), piece.len);
    w->part_count = PARTS_MAX;
    http_memory_free(m);
  }
  assert_int_equal(w->abandoned, 0);
}

/* Before it is sent, and while a reader keeps it waiting. */
static void test_a_file_that_has_become_shorter(void **state) {
  struct world *w = *state;
  assert_int_equal(ftruncate(w->fd, TURN + 100), 0);
  struct http_memory *m = ask(w, SIZE_MAX);
  assert_true(http_memory_released(m));
  assert_body(w, http_memory_output(m), TURN + 100);
  assert_int_equal(w->abandoned, 1);
  http_memory_free(m);

  w->parts[0].length = TURN;
  m = ask(w, 50000);
  assert_int_equal(ftruncate(w->fd, 10), 0);
  assert_false(http_memory_released(m));
  http_memory_take(m, SIZE_MAX);
  assert_true(http_memory_released(m));
  assert_int_equal(w->abandoned, 2);
  http_memory_free(m);
  assert_int_equal(w->proceeds, 2); /* those that began */
}

static void test_a_file_that_cannot_be_read(void **state) {
  struct world *w = *state;
  const int readable = w->fd, terminal = dup(STDERR_FILENO);
  char path[] = "/tmp/test_answer_file.XXXXXX", line[512] = "";
  const int lines = mkstemp(path);
  assert_int_equal(unlink(path), 0);
  const struct log log = {.level = LOG_LEVEL_ERROR};
  struct http_server_options options = options_of(w);
  options.log = &log;
  w->fd = open("/dev/null", O_WRONLY);
  struct http_memory *m = http_memory_new(NULL, &options, NULL);
  dup2(lines, STDERR_FILENO);
  http_memory_feed(m, slice_str(request));
  dup2(terminal, STDERR_FILENO);
  assert_true(http_memory_released(m));
  assert_int_equal(w->abandoned, 1);
  assert_true(pread(lines, line, sizeof line - 1, 0) > 0);
  assert_non_null(strstr(line, "127.0.0.1:40000 is cut"));
  assert_non_null(strstr(line, "Bad file descriptor"));
  http_memory_free(m);
  close(w->fd);
  close(lines);
  close(terminal);
  w->fd = readable;
}

static void test_given_up(void **state) {
  struct world *w = *state;
  /* By the reader … */
  struct http_memory *m = ask(w, 10);
  http_memory_free(m);
  assert_int_equal(w->abandoned, 1);
  /* … and by who answers: no more of the file is read. */
  m = ask(w, 50000);
  http_answer_abort(w->last->x);
  http_memory_take(m, SIZE_MAX);
  free_answer(w->last);
  assert_true(http_memory_released(m));
  assert_in_range(http_memory_output(m).len, 50000, 50000 + 4096);
  assert_int_equal(w->abandoned, 1);
  http_memory_free(m);
}

/* 4 KiB within each send_timeout, as of any answer. */
static void test_a_reader_must_go_on(void **state) {
  struct world *w = *state;
  struct http_memory *m = ask(w, 1000);
  for (unsigned i = 0; i < 5; i++) {
    http_memory_advance(m, 999);
    assert_false(http_memory_released(m));
    http_memory_take(m, 8192);
  }
  http_memory_advance(m, 999);
  http_memory_take(m, 1000);
  assert_false(http_memory_released(m));
  http_memory_advance(m, 1);
  assert_true(http_memory_released(m));
  assert_int_equal(w->abandoned, 1);
  http_memory_free(m);
}

/* None sends more than a turn's bytes before the other has had its turn. */
static void test_turns(void **state) {
  struct world *w = *state;
  const struct http_server_options options = options_of(w);
  uv_loop_t loop;
  assert_int_equal(uv_loop_init(&loop), 0);
  struct http_server *server = http_server_new(&loop, &options);
  struct http_memory *m[CONNECTIONS];
  for (size_t i = 0; i < CONNECTIONS; i++) {
    m[i] = http_memory_connect(server, NULL);
    http_memory_feed(m[i], slice_str(request));
    assert_in_range(http_memory_output(m[i]).len, TURN, TURN + 300);
  }
  for (size_t turn = 2; turn * TURN < SIZE; turn++) {
    uv_run(&loop, UV_RUN_NOWAIT);
    for (size_t i = 0; i < CONNECTIONS; i++) {
      assert_in_range(http_memory_output(m[i]).len, turn * TURN, turn * TURN + 300);
    }
  }
  uv_run(&loop, UV_RUN_NOWAIT);
  uv_run(&loop, UV_RUN_NOWAIT);
  for (size_t i = 0; i < CONNECTIONS; i++) {
    assert_body(w, http_memory_output(m[i]), SIZE);
    http_memory_free(m[i]);
  }
  http_server_stop(server, 0, NULL, NULL);
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(uv_loop_close(&loop), 0);
}

/* --- sockets: the server's loop and the peer take turns in this thread --- */

struct served {
  uv_loop_t loop;
  struct http_server *server;
  struct http_places places;
  int peer;
};

static void serve(struct served *s, struct world *w, const char *address) {
  const struct http_server_options options = options_of(w);
  struct error e = {0};
  *s = (struct served){0};
  assert_int_equal(uv_loop_init(&s->loop), 0);
  s->server = http_server_new(&s->loop, &options);
  assert_int_equal(http_listen(address, &s->places, &e), 0);
  const struct http_place *place = &s->places.items[0];
  assert_int_equal(http_server_listen(s->server, place, &e), 0);
  struct sockaddr_un local = {.sun_family = AF_UNIX};
  const struct sockaddr *to = &place->address.any;
  socklen_t len = sizeof place->address.v4;
  if (strncmp(address, "unix:", 5) == 0) {
    snprintf(local.sun_path, sizeof local.sun_path, "%s", address + 5);
    to = (const struct sockaddr *)&local;
    len = sizeof local;
  }
  const int small = 4096;
  s->peer = socket(to->sa_family, SOCK_STREAM, 0);
  setsockopt(s->peer, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  assert_int_equal(connect(s->peer, to, len), 0);
  assert_int_equal(send(s->peer, request, strlen(request), MSG_NOSIGNAL), strlen(request));
}

static void stop(struct served *s) {
  http_server_stop(s->server, 0, NULL, NULL);
  uv_run(&s->loop, UV_RUN_DEFAULT);
  assert_int_equal(uv_loop_close(&s->loop), 0);
  http_places_free(&s->places);
  close(s->peer);
}

/* Until that many bytes of the body and the whole head are there, or nothing more comes. */
static void receive(struct served *s, struct buf *got, size_t body) {
  size_t wanted = SIZE_MAX;
  char bytes[20000];
  ssize_t n = 1;
  while (n != 0 && got->len < wanted) {
    uv_run(&s->loop, UV_RUN_NOWAIT);
    n = recv(s->peer, bytes, sizeof bytes, MSG_DONTWAIT);
    assert_true(n >= 0 || errno == EAGAIN || errno == ECONNRESET);
    buf_append(got, bytes, n > 0 ? (size_t)n : 0);
    const char *end =
        got->len == 0 ? NULL : memmem(got->ptr, got->len < 1024 ? got->len : 1024, "\r\n\r\n", 4);
    wanted = end == NULL ? SIZE_MAX : (size_t)(end + 4 - got->ptr) + body;
    n = n < 0 && errno == ECONNRESET ? 0 : n;
  }
}

static void over_socket(struct world *w, const char *address) {
  struct served s;
  struct buf got = {0};
  serve(&s, w, address);
  for (unsigned i = 0; i < 2; i++) { /* kept open */
    receive(&s, &got, SIZE);
    assert_body(w, buf_view(&got), SIZE);
    got.len = 0;
    send(s.peer, request, strlen(request), MSG_NOSIGNAL);
  }
  /* Cut in the middle. */
  w->abandoned = 0;
  receive(&s, &got, TURN);
  assert_int_equal(ftruncate(w->fd, SIZE / 2), 0);
  receive(&s, &got, SIZE);
  assert_int_equal(w->abandoned, 1);
  assert_true(got.len < SIZE);
  assert_int_equal(pwrite(w->fd, w->bytes, SIZE, 0), SIZE);
  buf_free(&got);
  stop(&s);
  /* The peer goes away, or the server stops, in the middle. */
  for (unsigned i = 0; i < 2; i++) {
    w->abandoned = 0;
    serve(&s, w, address);
    receive(&s, &got, TURN);
    if (i == 0) {
      close(s.peer);
      s.peer = -1;
      while (w->abandoned == 0) {
        uv_run(&s.loop, UV_RUN_ONCE);
      }
    }
    buf_free(&got);
    stop(&s);
    assert_int_equal(w->abandoned, 1);
  }
}

static void test_over_tcp(void **state) {
  over_socket(*state, "127.0.0.1:0");
}

static void test_over_a_unix_socket(void **state) {
  char folder[] = "/tmp/test_answer_file.XXXXXX", address[64];
  assert_non_null(mkdtemp(folder));
  snprintf(address, sizeof address, "unix:%s/socket", folder);
  over_socket(*state, address);
  assert_int_equal(rmdir(folder), 0);
}

int main(void) {
  signal(SIGPIPE, SIG_IGN);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_any_part_in_any_steps, make, take_down),
      cmocka_unit_test_setup_teardown(test_parts_and_pieces_in_order, make, take_down),
      cmocka_unit_test_setup_teardown(test_a_file_that_has_become_shorter, make, take_down),
      cmocka_unit_test_setup_teardown(test_a_file_that_cannot_be_read, make, take_down),
      cmocka_unit_test_setup_teardown(test_given_up, make, take_down),
      cmocka_unit_test_setup_teardown(test_a_reader_must_go_on, make, take_down),
      cmocka_unit_test_setup_teardown(test_turns, make, take_down),
      cmocka_unit_test_setup_teardown(test_over_tcp, make, take_down),
      cmocka_unit_test_setup_teardown(test_over_a_unix_socket, make, take_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
