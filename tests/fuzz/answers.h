/* A server on loopback that gives one connection after the other the next of some answers, whatever
 * is asked, and is the proxy of all that libcurl asks for, so that nothing leads anywhere else. */
#pragma once

#include "base/slice.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

#define ANSWERS_SEPARATOR "\n====\n"

static inline void check(bool holds) {
  if (!holds) {
    abort();
  }
}

struct answers_connection {
  uv_tcp_t tcp; /* first, for it is what is closed */
  uv_write_t write;
  uv_shutdown_t shutdown;
  char request[2048];
};

static struct slice answers; /* those that are left */

static inline void answers_on_closed(uv_handle_t *handle) {
  free(handle);
}

static inline void answers_on_shutdown(uv_shutdown_t *shutdown, int status) {
  (void)status;
  uv_close((uv_handle_t *)shutdown->handle, answers_on_closed);
}

static inline void answers_on_written(uv_write_t *write, int status) {
  struct answers_connection *c = (struct answers_connection *)write->handle;
  if (status != 0 || uv_shutdown(&c->shutdown, write->handle, answers_on_shutdown) != 0) {
    uv_close((uv_handle_t *)&c->tcp, answers_on_closed);
  }
}

static inline void answers_on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf) {
  (void)size;
  struct answers_connection *c = (struct answers_connection *)handle;
  *buf = uv_buf_init(c->request, sizeof c->request);
}

/* Takes what is in front of the first separator. */
static inline struct slice answers_next(void) {
  struct slice all = answers, answer = all;
  const char *end = answer.len == 0 ? NULL
                                    : memmem(answer.ptr, answer.len, ANSWERS_SEPARATOR,
                                             sizeof ANSWERS_SEPARATOR - 1);
  answers = slice_of(NULL, 0);
  if (end != NULL) {
    answer.len = (size_t)(end - answer.ptr);
    answers = slice_from(all, answer.len + sizeof ANSWERS_SEPARATOR - 1);
  }
  return answer;
}

/* The first bytes of a request will do for an answer. */
static inline void answers_on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf) {
  (void)buf;
  struct answers_connection *c = (struct answers_connection *)stream;
  uv_read_stop(stream);
  struct slice answer = answers_next();
  uv_buf_t out = {.len = answer.len};
  memcpy(&out.base, &answer.ptr, sizeof out.base); /* libuv has no const one */
  if (len <= 0 || answer.len == 0 ||
      uv_write(&c->write, stream, &out, 1, answers_on_written) != 0) {
    uv_close((uv_handle_t *)stream, answers_on_closed);
  }
}

static inline void answers_on_connection(uv_stream_t *listener, int status) {
  struct answers_connection *c = calloc(1, sizeof *c);
  check(status == 0 && c != NULL && uv_tcp_init(listener->loop, &c->tcp) == 0);
  check(uv_accept(listener, (uv_stream_t *)&c->tcp) == 0);
  check(uv_read_start((uv_stream_t *)&c->tcp, answers_on_alloc, answers_on_read) == 0);
}

/* Listens, and is the proxy of everything that is asked for from here on. */
static inline void answers_listen(uv_loop_t *loop, char url[64]) {
  static uv_tcp_t listener;
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  int len = sizeof at;
  check(uv_tcp_init(loop, &listener) == 0 &&
        uv_tcp_bind(&listener, (const struct sockaddr *)&at, 0) == 0 &&
        uv_listen((uv_stream_t *)&listener, 16, answers_on_connection) == 0 &&
        uv_tcp_getsockname(&listener, (struct sockaddr *)&at, &len) == 0);
  snprintf(url, 64, "http://127.0.0.1:%d", ntohs(at.sin_port));
  setenv("http_proxy", url, 1);
  setenv("https_proxy", url, 1);
  unsetenv("no_proxy");
  unsetenv("NO_PROXY");
}
