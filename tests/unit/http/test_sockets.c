/* The server on real sockets: several loops, each in a thread, on one address. */
#include "http/server.h"

#include "unit/cmocka_all.h"

#include <fcntl.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
  LOOPS = 3,
  BODY = 8 * 1024 * 1024,
  PIECE = 128 * 1024,
  SPARE_DESCRIPTORS = 9, /* of all loops together, in a flood */
  FLOOD = 20,
  ASKED_IN_FLOOD = 20,
};

struct worker {
  pthread_t thread;
  uv_loop_t loop;
  uv_async_t stop;
  struct http_server *server;
  struct http_route routes[4];
  atomic_uint *answers;
  sem_t *asked, *abandoned; /* of /never */
};

/* A stream of BODY bytes. */
struct stream {
  struct http_exchange *x;
  struct worker *w;
  size_t left;
  char piece[PIECE];
};

static void hello(struct http_exchange *x, void *context) {
  struct worker *w = context;
  atomic_fetch_add(w->answers, 1);
  http_answer(x, 200, NULL, 0, SLICE("hello"));
}

static void length(struct http_exchange *x, void *context) {
  (void)context;
  struct slice body = http_request_body(x);
  http_answer(x, 200, NULL, 0, arena_printf(http_exchange_arena(x), "%zu bytes", body.len));
}

static void on_abandoned(void *arg) {
  struct stream *s = arg;
  sem_post(s->w->abandoned);
  free(s);
}

static void go_on(void *arg) {
  struct stream *s = arg;
  if (s->left == 0) {
    http_answer_end(s->x);
    free(s);
    return;
  }
  s->left -= PIECE;
  http_answer_send(s->x, slice_of(s->piece, PIECE), go_on, s);
}

static void stream(struct http_exchange *x, void *context) {
  struct stream *s = calloc(1, sizeof *s);
  *s = (struct stream){.x = x, .w = context, .left = BODY};
  http_exchange_on_abandoned(x, on_abandoned, s);
  http_answer_start(x, 200, NULL, 0, BODY);
  go_on(s);
}

static void never(struct http_exchange *x, void *context) {
  struct stream *s = calloc(1, sizeof *s);
  *s = (struct stream){.x = x, .w = context};
  sem_post(s->w->asked);
  http_exchange_on_abandoned(x, on_abandoned, s);
}

static void on_stopped(void *arg) {
  (void)arg;
}

static void on_stop(uv_async_t *async) {
  struct worker *w = async->data;
  http_server_stop(w->server, 100, on_stopped, NULL);
  uv_close((uv_handle_t *)async, NULL);
}

static void *run(void *arg) {
  struct worker *w = arg;
  uv_run(&w->loop, UV_RUN_DEFAULT);
  return NULL;
}

struct world {
  struct worker workers[LOOPS];
  struct http_places places;
  atomic_uint answers;
  sem_t asked, abandoned;
};

static int start(void **state, const char *address, struct http_limits limits) {
  struct world *world = calloc(1, sizeof *world);
  sem_init(&world->asked, 0, 0);
  sem_init(&world->abandoned, 0, 0);
  struct error e = {0};
  if (http_listen(address, &world->places, &e) != 0) {
    fail_msg("%s", e.text);
  }
  for (size_t i = 0; i < LOOPS; i++) {
    struct worker *w = &world->workers[i];
    w->answers = &world->answers;
    w->asked = &world->asked;
    w->abandoned = &world->abandoned;
    assert_int_equal(uv_loop_init(&w->loop), 0);
    w->routes[0] = (struct http_route){"GET", "/hello", hello, w};
    w->routes[1] = (struct http_route){"GET", "/stream", stream, w};
    w->routes[2] = (struct http_route){"POST", "/length", length, w};
    w->routes[3] = (struct http_route){"GET", "/never", never, w};
    const struct http_server_options options = {
        .routes = w->routes, .route_count = 4, .limits = limits};
    w->server = http_server_new(&w->loop, &options);
    if (http_server_listen(w->server, &world->places.items[0], &e) != 0) {
      fail_msg("%s", e.text);
    }
    uv_async_init(&w->loop, &w->stop, on_stop);
    w->stop.data = w;
    assert_int_equal(pthread_create(&w->thread, NULL, run, w), 0);
  }
  *state = world;
  return 0;
}

static const struct http_limits short_of_time = {.head_timeout_ms = 200};

static int start_v4(void **state) {
  return start(state, "127.0.0.1:0", short_of_time);
}

static int start_v6(void **state) {
  return start(state, "[::1]:0", short_of_time);
}

/* A socket in a folder of its own; the folder is left to who stops the servers. */
static int start_at_unix(void **state, struct http_limits limits) {
  char folder[] = "/tmp/test_sockets.XXXXXX", address[64];
  assert_non_null(mkdtemp(folder));
  snprintf(address, sizeof address, "unix:%s/socket", folder);
  return start(state, address, limits);
}

static int start_unix(void **state) {
  return start_at_unix(state, short_of_time);
}

static int start_patient_unix(void **state) {
  return start_at_unix(state, (struct http_limits){0});
}

static int start_narrow(void **state) {
  return start(state, "127.0.0.1:0", (struct http_limits){.connections_max = 1});
}

static int stop_servers(void **state) {
  struct world *world = *state;
  for (size_t i = 0; i < LOOPS; i++) {
    struct worker *w = &world->workers[i];
    uv_async_send(&w->stop);
    pthread_join(w->thread, NULL);
    assert_int_equal(uv_loop_close(&w->loop), 0);
  }
  sem_destroy(&world->asked);
  sem_destroy(&world->abandoned);
  http_places_free(&world->places);
  free(world);
  return 0;
}

static int dial_place(const struct http_place *place) {
  struct sockaddr_un local = {.sun_family = AF_UNIX};
  const struct sockaddr *to = &place->address.any;
  socklen_t len = to->sa_family == AF_INET6 ? sizeof place->address.v6 : sizeof place->address.v4;
  if (place->fd >= 0) {
    snprintf(local.sun_path, sizeof local.sun_path, "%s", place->name + sizeof "unix:" - 1);
    to = (const struct sockaddr *)&local;
    len = sizeof local;
  }
  int fd = socket(to->sa_family, SOCK_STREAM, 0);
  assert_true(fd >= 0);
  assert_int_equal(connect(fd, to, len), 0);
  return fd;
}

static int dial(const struct world *world) {
  return dial_place(&world->places.items[0]);
}

static void send_all(int fd, struct slice text) {
  while (text.len > 0) {
    ssize_t n = send(fd, text.ptr, text.len, MSG_NOSIGNAL);
    assert_true(n > 0);
    text = slice_from(text, (size_t)n);
  }
}

/* Reads to the end. \return how many bytes came; the first of them are in \p first. */
static size_t read_all(int fd, char first[static 256]) {
  static const size_t chunk = 65536;
  char *buffer = malloc(chunk);
  size_t total = 0;
  ssize_t n = 0;
  memset(first, 0, 256);
  while ((n = recv(fd, buffer, chunk, 0)) > 0) {
    for (size_t i = 0; i < (size_t)n && total + i < 255; i++) {
      first[total + i] = buffer[i];
    }
    total += (size_t)n;
  }
  assert_int_equal(n, 0);
  free(buffer);
  return total;
}

static void test_many_connections(void **state) {
  struct world *world = *state;
  char first[256];
  for (unsigned i = 0; i < 200; i++) {
    int fd = dial(world);
    send_all(fd, SLICE("GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
    read_all(fd, first);
    assert_non_null(strstr(first, "\r\n\r\nhello"));
    close(fd);
  }
  assert_int_equal(atomic_load(&world->answers), 200);
}

/* Beyond the limit they wait, and are served as others go. */
static void test_connections_that_wait_are_served(void **state) {
  int fds[4 * LOOPS];
  char first[256];
  for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
    fds[i] = dial(*state);
  }
  for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
    send_all(fds[i], SLICE("GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
  }
  for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
    read_all(fds[i], first);
    assert_non_null(strstr(first, "\r\n\r\nhello"));
    close(fds[i]);
  }
}

/* From a process of its own, which has descriptors. \return its exit status: 0 when all of
 * ASKED_IN_FLOOD requests were answered while the others, who have sent \p each, stayed open. */
static int flood_and_ask(const struct world *world, struct slice each) {
  const struct slice request = SLICE("GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  const struct timeval patience = {.tv_sec = 60};
  char first[256];
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  for (unsigned i = 0; i < FLOOD; i++) {
    int fd = dial(world);
    send(fd, each.ptr, each.len, MSG_NOSIGNAL);
  }
  for (unsigned i = 0; i < ASKED_IN_FLOOD; i++) {
    int fd = dial(world);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (send(fd, request.ptr, request.len, MSG_NOSIGNAL) != (ssize_t)request.len ||
        recv(fd, first, sizeof first, 0) <= 12 || memcmp(first, "HTTP/1.1 200", 12) != 0) {
      return 1;
    }
    close(fd);
  }
  return 0;
}

static void out_of_descriptors(struct world *world, struct slice each) {
  struct rlimit before;
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
  int next = dup(0);
  assert_true(next >= 0);
  close(next);
  const struct rlimit few = {.rlim_cur = (rlim_t)next + SPARE_DESCRIPTORS,
                             .rlim_max = before.rlim_max};
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
  pid_t client = fork();
  if (client == 0) {
    _exit(flood_and_ask(world, each));
  }
  int status = -1;
  assert_int_equal(waitpid(client, &status, 0), client);
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
  assert_int_equal(status, 0);
}

/* Those that say nothing give way, long before their time is up. */
static void test_out_of_descriptors_by_idle_connections(void **state) {
  out_of_descriptors(*state, SLICE(""));
}

/* There is nobody to give way until their time is up. */
static void test_out_of_descriptors_by_busy_connections(void **state) {
  out_of_descriptors(*state, SLICE("GET /hel"));
}

static void test_every_byte_in_its_own_packet(void **state) {
  char first[256];
  int fd = dial(*state);
  struct slice request = SLICE("POST /length HTTP/1.0\r\nContent-Length: 10\r\n\r\n0123456789");
  for (size_t i = 0; i < request.len; i++) {
    send_all(fd, slice_of(request.ptr + i, 1));
  }
  read_all(fd, first);
  assert_non_null(strstr(first, "\r\n\r\n10 bytes"));
  close(fd);
}

static void test_a_stream_to_a_slow_reader(void **state) {
  char first[256];
  int fd = dial(*state);
  send_all(fd, SLICE("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n"
                     "GET /hello HTTP/1.0\r\n\r\n"));
  size_t total = read_all(fd, first);
  assert_non_null(strstr(first, "Content-Length: 8388608\r\n"));
  assert_in_range(total, BODY + 150, BODY + 300);
  close(fd);
}

static void test_a_refusal_can_be_read(void **state) {
  /* More is sent than the server reads before it refuses. */
  char first[256];
  int fd = dial(*state);
  static char zeros[512 * 1024];
  send_all(fd, SLICE("NONSENSE\r\n\r\n"));
  send_all(fd, slice_of(zeros, sizeof zeros));
  shutdown(fd, SHUT_WR);
  read_all(fd, first);
  assert_int_equal(strncmp(first, "HTTP/1.1 400 ", 13), 0);
  close(fd);
}

static void test_a_slow_head_is_refused(void **state) {
  char first[256];
  int fd = dial(*state);
  send_all(fd, SLICE("GET /hel"));
  read_all(fd, first);
  assert_int_equal(strncmp(first, "HTTP/1.1 408 ", 13), 0);
  close(fd);
}

static void test_who_goes_away_abandons(void **state) {
  struct world *world = *state;
  int fd = dial(world);
  send_all(fd, SLICE("GET /never HTTP/1.1\r\nHost: a\r\n\r\n"));
  sem_wait(&world->asked);
  /* With SO_LINGER 0 the close is a reset. */
  struct linger linger = {.l_onoff = 1};
  assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
  close(fd);
  sem_wait(&world->abandoned);
}

static void test_stops_while_answering(void **state) {
  /* It is the server that cuts it; else its loop would go on for ever. */
  int fd = dial(*state);
  send_all(fd, SLICE("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n"));
  char byte = 0;
  assert_int_equal(recv(fd, &byte, 1, 0), 1);
  assert_int_equal(stop_servers(state), 0);
  close(fd);
}

static void test_addresses(void **state) {
  (void)state;
  struct http_places places = {0};
  static const char *const wrong[] = {
      "",       ":80",     "127.0.0.1",   "127.0.0.1:",    "127.0.0.1:65536", "127.0.0.1:-1",
      "::1:80", "[::1]",   "[::1]80",     "localhost:80",  "127.0.0.1:80x",   "[127.0.0.1]:80",
      "[]:80",  "[::1:80", "1.2.3.4.5:6", "127.0.0.1: 80", "[fe80::1%lo]x:1", "256.0.0.1:80",
      "unix:",  "unix:x",  "unix:./x"};
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    struct error e = {0};
    assert_int_equal(http_listen(wrong[i], &places, &e), -1);
    assert_int_equal(e.kind, ERROR_USAGE);
  }
  assert_int_equal(places.count, 0);
}

static int stop_unix(void **state) {
  const struct world *world = *state;
  char path[64];
  snprintf(path, sizeof path, "%s", world->places.items[0].name + sizeof "unix:" - 1);
  assert_int_equal(stop_servers(state), 0);
  assert_int_equal(access(path, F_OK), -1);
  *strrchr(path, '/') = '\0';
  return rmdir(path);
}

static void test_a_unix_socket_is_ours_alone(void **state) {
  const struct world *world = *state;
  const char *name = world->places.items[0].name, *path = name + sizeof "unix:" - 1;
  struct http_places places = {0};
  struct error e = {0};
  struct stat before, after;
  assert_int_equal(stat(path, &before), 0);
  assert_int_equal(before.st_mode & 0777, 0660);
  /* Somebody listens there. */
  assert_int_equal(http_listen(name, &places, &e), -1);
  assert_int_equal(e.kind, ERROR_FAILED);
  assert_non_null(strstr(e.text, name));
  assert_int_equal(stat(path, &after), 0);
  assert_int_equal(before.st_ino, after.st_ino);
  /* What is no socket stays, and what a server has left behind is replaced. */
  char other[80], left[80];
  snprintf(other, sizeof other, "unix:%s.file", path);
  snprintf(left, sizeof left, "unix:%s.left", path);
  close(open(other + 5, O_CREAT | O_WRONLY, 0600));
  assert_int_equal(http_listen(other, &places, &e), -1);
  assert_int_equal(access(other + 5, F_OK), 0);
  assert_int_equal(unlink(other + 5), 0);
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "%s", left + 5);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
  assert_int_equal(listen(fd, 0), 0);
  int waits = socket(AF_UNIX, SOCK_STREAM, 0);
  assert_int_equal(connect(waits, (const struct sockaddr *)&address, sizeof address), 0);
  /* Somebody is too busy to accept. */
  assert_int_equal(http_listen(left, &places, &e), -1);
  assert_int_equal(access(left + 5, F_OK), 0);
  close(waits);
  close(fd);
  assert_int_equal(http_listen(left, &places, &e), 0);
  http_places_free(&places);
  assert_int_equal(access(left + 5, F_OK), -1);
  /* So does what somebody else has put there meanwhile. */
  assert_int_equal(http_listen(left, &places, &e), 0);
  assert_int_equal(unlink(left + 5), 0);
  fd = socket(AF_UNIX, SOCK_STREAM, 0);
  assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
  http_places_free(&places);
  assert_int_equal(unlink(left + 5), 0);
  close(fd);
}

/* --- servers that start at once --- */

enum { RACERS = 4, RACES = 200 };

struct racer {
  pthread_t thread;
  const char *address;
  pthread_barrier_t *start;
  struct http_places places;
  bool won;
};

static void *race(void *arg) {
  struct racer *r = arg;
  pthread_barrier_wait(r->start);
  r->won = http_listen(r->address, &r->places, NULL) == 0;
  return NULL;
}

/* Each finds what a server has left behind, one replaces it. */
static void test_one_of_several_has_a_unix_socket(void **state) {
  (void)state;
  char folder[] = "/tmp/test_sockets.XXXXXX", address[64];
  pthread_barrier_t at_once;
  assert_non_null(mkdtemp(folder));
  snprintf(address, sizeof address, "unix:%s/socket", folder);
  pthread_barrier_init(&at_once, NULL, RACERS);
  for (unsigned round = 0; round < RACES; round++) {
    struct sockaddr_un left = {.sun_family = AF_UNIX};
    snprintf(left.sun_path, sizeof left.sun_path, "%s", address + 5);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&left, sizeof left), 0);
    close(fd);
    struct racer racers[RACERS] = {0};
    unsigned won = 0;
    for (size_t i = 0; i < RACERS; i++) {
      racers[i].address = address;
      racers[i].start = &at_once;
      assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
    }
    for (size_t i = 0; i < RACERS; i++) {
      pthread_join(racers[i].thread, NULL);
      won += racers[i].won;
    }
    for (size_t i = 0; i < RACERS; i++) {
      http_places_free(&racers[i].places);
    }
    assert_int_equal(won, 1);
    assert_int_equal(access(address + 5, F_OK), -1);
  }
  pthread_barrier_destroy(&at_once);
  assert_int_equal(rmdir(folder), 0); /* which holds nothing else either */
}

static void test_a_place_that_is_taken_is_refused(void **state) {
  (void)state;
  uv_loop_t loop;
  struct error e = {0};
  struct http_places places = {0};
  assert_int_equal(uv_loop_init(&loop), 0);
  const struct http_server_options options = {0};
  struct http_server *server = http_server_new(&loop, &options);
  assert_int_equal(http_listen("127.0.0.1:0", &places, &e), 0);
  assert_int_equal(http_server_listen(server, &places.items[0], &e), 0);
  char address[64];
  snprintf(address, sizeof address, "%s", places.items[0].name);
  assert_int_equal(http_listen(address, &places, &e), -1);
  assert_int_equal(e.kind, ERROR_FAILED);
  assert_non_null(strstr(e.text, address));
  http_server_stop(server, 0, NULL, NULL);
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(uv_loop_close(&loop), 0);
  http_places_free(&places);
}

/* --- two places of one server, in the test's own thread --- */

enum { QUEUE = 10 };

struct turns {
  unsigned crowd, before_lonely;
};

static void on_crowd(struct http_exchange *x, void *context) {
  ((struct turns *)context)->crowd++;
  http_answer(x, 200, NULL, 0, SLICE(""));
}

static void on_lonely(struct http_exchange *x, void *context) {
  struct turns *turns = context;
  turns->before_lonely = turns->crowd;
  http_answer(x, 200, NULL, 0, SLICE(""));
  uv_stop(http_exchange_loop(x));
}

/* While a crowd waits at one place, who comes to the other has its turn all the same. */
static void take_turns(size_t crowded) {
  uv_loop_t loop;
  struct turns turns = {.before_lonely = QUEUE};
  const struct http_route routes[] = {{"GET", "/crowd", on_crowd, &turns},
                                      {"GET", "/lonely", on_lonely, &turns}};
  const struct http_server_options options = {
      .routes = routes, .route_count = 2, .limits = {.connections_max = 1}};
  struct http_places places = {0};
  int fds[QUEUE + 1];
  assert_int_equal(uv_loop_init(&loop), 0);
  struct http_server *server = http_server_new(&loop, &options);
  for (size_t i = 0; i < 2; i++) {
    assert_int_equal(http_listen("127.0.0.1:0", &places, NULL), 0);
    assert_int_equal(http_server_listen(server, &places.items[i], NULL), 0);
  }
  for (size_t i = 0; i < QUEUE; i++) {
    fds[i] = dial_place(&places.items[crowded]);
    send_all(fds[i], SLICE("GET /crowd HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
  }
  fds[QUEUE] = dial_place(&places.items[1 - crowded]);
  send_all(fds[QUEUE], SLICE("GET /lonely HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_in_range(turns.before_lonely, 0, 2);
  http_server_stop(server, 0, NULL, NULL);
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(uv_loop_close(&loop), 0);
  http_places_free(&places);
  for (size_t i = 0; i <= QUEUE; i++) {
    close(fds[i]);
  }
}

static void test_a_crowd_keeps_nobody_out(void **state) {
  (void)state;
  take_turns(0);
  take_turns(1);
}

/* Of a socket that loops share, none takes what it has no room for from another. */
static void test_a_full_loop_leaves_it_to_others(void **state) {
  (void)state;
  uv_loop_t loops[2];
  struct http_server *servers[2];
  struct turns turns = {0};
  const struct http_route route = {"GET", "/crowd", on_crowd, &turns};
  const struct http_server_options options = {
      .routes = &route, .route_count = 1, .limits = {.connections_max = 1}};
  char folder[] = "/tmp/test_sockets.XXXXXX", address[64];
  struct http_places places = {0};
  int fds[2];
  assert_non_null(mkdtemp(folder));
  snprintf(address, sizeof address, "unix:%s/socket", folder);
  assert_int_equal(http_listen(address, &places, NULL), 0);
  for (size_t i = 0; i < 2; i++) {
    assert_int_equal(uv_loop_init(&loops[i]), 0);
    servers[i] = http_server_new(&loops[i], &options);
    assert_int_equal(http_server_listen(servers[i], &places.items[0], NULL), 0);
  }
  for (unsigned i = 0; i < 2; i++) {
    fds[i] = dial_place(&places.items[0]);
    send_all(fds[i], SLICE("GET /crowd HTTP/1.1\r\nHost: a\r\n\r\n"));
    for (unsigned turn = 0; turn < 5; turn++) { /* the first is asked first, full or not */
      uv_run(&loops[0], UV_RUN_NOWAIT);
    }
    uv_run(&loops[1], UV_RUN_NOWAIT);
    uv_run(&loops[1], UV_RUN_NOWAIT);
    assert_int_equal(turns.crowd, i + 1);
  }
  for (size_t i = 0; i < 2; i++) {
    http_server_stop(servers[i], 0, NULL, NULL);
    uv_run(&loops[i], UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loops[i]), 0);
    close(fds[i]);
  }
  http_places_free(&places);
  assert_int_equal(rmdir(folder), 0);
}

int main(void) {
  signal(SIGPIPE, SIG_IGN);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_many_connections, start_v4, stop_servers),
      cmocka_unit_test_setup_teardown(test_many_connections, start_v6, stop_servers),
      cmocka_unit_test_setup_teardown(test_connections_that_wait_are_served, start_narrow,
                                      stop_servers),
      cmocka_unit_test_setup_teardown(test_out_of_descriptors_by_idle_connections,
                                      start_patient_unix, stop_unix),
      cmocka_unit_test_setup_teardown(test_out_of_descriptors_by_busy_connections, start_unix,
                                      stop_unix),
      cmocka_unit_test_setup_teardown(test_out_of_descriptors_by_busy_connections, start_v4,
                                      stop_servers),
      cmocka_unit_test_setup_teardown(test_every_byte_in_its_own_packet, start_v4, stop_servers),
      cmocka_unit_test_setup_teardown(test_a_stream_to_a_slow_reader, start_v4, stop_servers),
      cmocka_unit_test_setup_teardown(test_a_refusal_can_be_read, start_v4, stop_servers),
      cmocka_unit_test_setup_teardown(test_a_slow_head_is_refused, start_v4, stop_servers),
      cmocka_unit_test_setup_teardown(test_who_goes_away_abandons, start_v4, stop_servers),
      cmocka_unit_test_setup(test_stops_while_answering, start_v4),
      cmocka_unit_test_setup_teardown(test_many_connections, start_unix, stop_unix),
      cmocka_unit_test_setup_teardown(test_a_stream_to_a_slow_reader, start_unix, stop_unix),
      cmocka_unit_test_setup_teardown(test_a_unix_socket_is_ours_alone, start_unix, stop_unix),
      cmocka_unit_test(test_a_crowd_keeps_nobody_out),
      cmocka_unit_test(test_a_full_loop_leaves_it_to_others),
      cmocka_unit_test(test_addresses),
      cmocka_unit_test(test_one_of_several_has_a_unix_socket),
      cmocka_unit_test(test_a_place_that_is_taken_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
