// LINKS image http base PkgConfig::UV
/* A registry that answers with anything: behind a first byte, which says what is asked for, the
 * answers to one connection after the other. Redirects and realms lead nowhere else, for the same
 * socket is the proxy for all. Done is told once, after a head once, and a body of the right
 * length.
 */
#include "image/registry.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SEPARATOR "\n====\n"
enum { HEAD = 1, BLOB = 2, LOGIN = 4, DELEGATED = 8, RANGED = 16 };

static void check(bool holds) {
  if (!holds) {
    abort();
  }
}

/* --- the registry --- */

struct connection {
  uv_tcp_t tcp; /* first, for it is what is closed */
  uv_write_t write;
  uv_shutdown_t shutdown;
  char request[2048];
};

static struct slice answers; /* those that are left */

static void on_closed(uv_handle_t *handle) {
  free(handle);
}

static void on_shutdown(uv_shutdown_t *shutdown, int status) {
  (void)status;
  uv_close((uv_handle_t *)shutdown->handle, on_closed);
}

static void on_written(uv_write_t *write, int status) {
  struct connection *c = (struct connection *)write->handle;
  if (status != 0 || uv_shutdown(&c->shutdown, write->handle, on_shutdown) != 0) {
    uv_close((uv_handle_t *)&c->tcp, on_closed);
  }
}

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf) {
  (void)size;
  struct connection *c = (struct connection *)handle;
  *buf = uv_buf_init(c->request, sizeof c->request);
}

/* The first bytes of a request will do for an answer. */
static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf) {
  (void)buf;
  struct connection *c = (struct connection *)stream;
  uv_read_stop(stream);
  const char *end =
      answers.len == 0 ? NULL : memmem(answers.ptr, answers.len, SEPARATOR, sizeof SEPARATOR - 1);
  struct slice answer = answers;
  answers = slice_of(NULL, 0);
  if (end != NULL) {
    answers = slice_from(answer, (size_t)(end - answer.ptr) + sizeof SEPARATOR - 1);
    answer.len = (size_t)(end - answer.ptr);
  }
  uv_buf_t out = {.base = (char *)(uintptr_t)answer.ptr, .len = answer.len};
  if (len <= 0 || answer.len == 0 || uv_write(&c->write, stream, &out, 1, on_written) != 0) {
    uv_close((uv_handle_t *)stream, on_closed);
  }
}

static void on_connection(uv_stream_t *listener, int status) {
  struct connection *c = calloc(1, sizeof *c);
  check(status == 0 && c != NULL && uv_tcp_init(listener->loop, &c->tcp) == 0);
  check(uv_accept(listener, (uv_stream_t *)&c->tcp) == 0);
  check(uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read) == 0);
}

/* Listens, and is the proxy of everything that is asked for from here on. */
static void listen_on(uv_loop_t *loop, char url[64]) {
  static uv_tcp_t listener;
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  int len = sizeof at;
  check(uv_tcp_init(loop, &listener) == 0 &&
        uv_tcp_bind(&listener, (const struct sockaddr *)&at, 0) == 0 &&
        uv_listen((uv_stream_t *)&listener, 16, on_connection) == 0 &&
        uv_tcp_getsockname(&listener, (struct sockaddr *)&at, &len) == 0);
  snprintf(url, 64, "http://127.0.0.1:%d", ntohs(at.sin_port));
  setenv("http_proxy", url, 1);
  setenv("https_proxy", url, 1);
  unsetenv("no_proxy");
  unsetenv("NO_PROXY");
}

/* --- what is told --- */

struct told {
  bool head, done, has_length, get;
  int status;
  uint64_t length, bytes;
};

static bool on_head(void *arg, const struct registry_answer *a) {
  struct told *told = arg;
  check(!told->head && !told->done && a->status >= 100);
  told->head = true;
  told->status = a->status;
  told->has_length = a->has_length;
  told->length = a->length;
  return true;
}

static bool on_data(void *arg, struct slice bytes) {
  struct told *told = arg;
  check(told->head && !told->done && bytes.len > 0);
  told->bytes += bytes.len;
  return true;
}

static void on_done(void *arg, const struct error *e) {
  struct told *told = arg;
  check(!told->done && (e == NULL || e->kind != ERROR_NONE));
  check(e != NULL || told->head);
  check(e != NULL || !told->get || !told->has_length || told->status == 304 ||
        told->bytes == told->length);
  told->done = true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static uv_loop_t loop;
  static struct http_client *client;
  static char url[64], user[] = "ann", password[] = "secret";
  if (client == NULL) {
    check(uv_loop_init(&loop) == 0);
    listen_on(&loop, url);
    client = http_client_new(&loop);
    check(client != NULL && signal(SIGPIPE, SIG_IGN) != SIG_ERR);
  }
  unsigned how = size == 0 ? 0 : data[0];
  answers = slice_from(slice_of(data, size), 1);
  const struct image_credentials credentials = {.username = user, .password = password};
  const struct registry_options options = {.url = url,
                                           .credentials = (how & LOGIN) != 0 ? &credentials : NULL};
  struct registry *registry = registry_new(client, &options, NULL);
  const char *digest = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
  const struct registry_get get = {
      .method = (how & HEAD) != 0 ? "HEAD" : "GET",
      .repository = "team/app",
      .manifest = (how & BLOB) != 0 ? NULL : "latest",
      .blob = digest,
      .ranged = (how & (RANGED | BLOB | HEAD)) == (RANGED | BLOB),
      .last = 99,
      .authorization = (how & DELEGATED) != 0 ? SLICE("Bearer x") : (struct slice){NULL, 0}};
  static const struct registry_events events = {on_head, on_data, on_done};
  struct told told = {.get = (how & HEAD) == 0};
  check(registry != NULL && registry_start(registry, &get, &events, &told, NULL) != NULL);
  while (!told.done) {
    uv_run(&loop, UV_RUN_ONCE);
  }
  registry_free(registry);
  return 0;
}
