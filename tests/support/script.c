#include "support/script.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE = 64 * 1024, REQUEST_MAX = 64 * 1024, ANSWERS_MAX = 32, LOG_MAX = 1024 * 1024 };

struct script {
  uv_tcp_t listener;
  struct peer *peers;
  unsigned port;
  struct script_answer answers[ANSWERS_MAX];
  unsigned given[ANSWERS_MAX];
  size_t count;
  char *log; /* of LOG_MAX bytes */
  size_t log_len;
  size_t sent;
  bool stopping;
};

struct peer {
  uv_tcp_t tcp;
  uv_write_t write;
  struct script *script;
  struct peer *previous, *next;
  char request[REQUEST_MAX + 1];
  size_t used;
  const struct script_answer *answer; /* being given */
  char *reply;                        /* its copy: libuv wants one that is not const */
  size_t left, piece;
  char pattern[PIECE + 251];
};

static void release(struct script *script) {
  if (script->stopping && script->peers == NULL && script->listener.data == NULL) {
    free(script->log);
    free(script);
  }
}

static void on_peer_closed(uv_handle_t *handle) {
  struct peer *peer = handle->data;
  struct script *script = peer->script;
  if (peer->previous != NULL) {
    peer->previous->next = peer->next;
  } else {
    script->peers = peer->next;
  }
  if (peer->next != NULL) {
    peer->next->previous = peer->previous;
  }
  free(peer->reply);
  free(peer);
  release(script);
}

static void peer_close(struct peer *peer) {
  if (!uv_is_closing((uv_handle_t *)&peer->tcp)) {
    uv_close((uv_handle_t *)&peer->tcp, on_peer_closed);
  }
}

static void peer_look(struct peer *peer);

static void on_sent(uv_write_t *write, int status) {
  struct peer *peer = write->data;
  const struct script_answer *answer = peer->answer;
  if (status != 0) {
    peer_close(peer);
    return;
  }
  peer->script->sent += peer->piece;
  peer->left -= peer->piece;
  if (peer->left > 0) {
    size_t at = answer->body - peer->left;
    peer->piece = peer->left < PIECE ? peer->left : PIECE;
    uv_buf_t bytes = uv_buf_init(peer->pattern + at % 251, (unsigned)peer->piece);
    uv_write(&peer->write, (uv_stream_t *)&peer->tcp, &bytes, 1, on_sent);
  } else if (answer->then == SCRIPT_CLOSE) {
    peer_close(peer);
  } else if (answer->then == SCRIPT_KEEP) {
    peer->answer = NULL;
    peer_look(peer);
  }
}

static const struct script_answer *choose(struct script *script, const char *request) {
  for (size_t i = 0; i < script->count; i++) {
    const struct script_answer *a = &script->answers[i];
    if ((a->request == NULL || strncmp(request, a->request, strlen(a->request)) == 0) &&
        (a->with == NULL || strstr(request, a->with) != NULL) &&
        (a->times == 0 || script->given[i] < a->times)) {
      script->given[i]++;
      return a;
    }
  }
  return NULL;
}

/** \return the length of the request that is there whole; 0 when it is not. */
static size_t request_len(const struct peer *peer) {
  const char *end = strstr(peer->request, "\r\n\r\n");
  if (end == NULL) {
    return 0;
  }
  size_t len = (size_t)(end - peer->request) + 4;
  const char *body = strstr(peer->request, "Content-Length: ");
  if (body != NULL && body < end) {
    len += strtoul(body + strlen("Content-Length: "), NULL, 10);
  }
  return len <= peer->used ? len : 0;
}

static void peer_look(struct peer *peer) {
  struct script *script = peer->script;
  size_t len = request_len(peer);
  if (peer->answer != NULL || len == 0) {
    return;
  }
  assert(script->log_len + len < LOG_MAX);
  char *request = script->log + script->log_len;
  memcpy(request, peer->request, len);
  script->log_len += len;
  memmove(peer->request, peer->request + len, peer->used - len + 1);
  peer->used -= len;
  peer->answer = choose(script, request);
  if (peer->answer == NULL) {
    peer_close(peer);
    return;
  }
  peer->left = peer->answer->body;
  peer->piece = 0;
  peer->write.data = peer;
  free(peer->reply);
  peer->reply = strdup(peer->answer->reply);
  assert(peer->reply != NULL);
  uv_buf_t bytes = uv_buf_init(peer->reply, (unsigned)strlen(peer->reply));
  uv_write(&peer->write, (uv_stream_t *)&peer->tcp, &bytes, 1, on_sent);
}

static void on_room(uv_handle_t *handle, size_t size, uv_buf_t *out) {
  (void)size;
  struct peer *peer = handle->data;
  *out = uv_buf_init(peer->request + peer->used, (unsigned)(REQUEST_MAX - peer->used));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *bytes) {
  (void)bytes;
  struct peer *peer = stream->data;
  if (n < 0) {
    peer_close(peer);
    return;
  }
  peer->used += (size_t)n;
  peer->request[peer->used] = '\0';
  peer_look(peer);
}

static void on_connection(uv_stream_t *listener, int status) {
  struct script *script = listener->data;
  assert(status == 0);
  struct peer *peer = calloc(1, sizeof *peer);
  assert(peer != NULL);
  for (size_t i = 0; i < sizeof peer->pattern; i++) {
    peer->pattern[i] = (char)(i % 251);
  }
  peer->script = script;
  uv_tcp_init(listener->loop, &peer->tcp);
  peer->tcp.data = peer;
  uv_accept(listener, (uv_stream_t *)&peer->tcp);
  uv_tcp_nodelay(&peer->tcp, 1);
  peer->next = script->peers;
  if (peer->next != NULL) {
    peer->next->previous = peer;
  }
  script->peers = peer;
  uv_read_start((uv_stream_t *)&peer->tcp, on_room, on_read);
}

struct script *script_start(uv_loop_t *loop, const struct script_answer *answers, size_t count) {
  struct script *script = calloc(1, sizeof *script);
  assert(script != NULL && count <= ANSWERS_MAX);
  script->log = calloc(1, LOG_MAX);
  assert(script->log != NULL);
  for (size_t i = 0; i < count; i++) {
    script->answers[i] = answers[i];
  }
  script->count = count;
  struct sockaddr_in address;
  int len = sizeof address;
  uv_ip4_addr("127.0.0.1", 0, &address);
  uv_tcp_init(loop, &script->listener);
  script->listener.data = script;
  int bound = uv_tcp_bind(&script->listener, (const struct sockaddr *)&address, 0);
  int listening = uv_listen((uv_stream_t *)&script->listener, 128, on_connection);
  assert(bound == 0 && listening == 0);
  (void)bound, (void)listening;
  uv_tcp_getsockname(&script->listener, (struct sockaddr *)&address, &len);
  script->port = ntohs(address.sin_port);
  return script;
}

unsigned script_port(const struct script *script) {
  return script->port;
}

const char *script_requests(const struct script *script) {
  return script->log;
}

unsigned script_count(const struct script *script, const char *request) {
  unsigned count = 0;
  for (const char *at = script->log; (at = strstr(at, request)) != NULL; at++) {
    count += at == script->log || at[-1] == '\n';
  }
  return count;
}

size_t script_sent(const struct script *script) {
  return script->sent;
}

static void on_listener_closed(uv_handle_t *handle) {
  struct script *script = handle->data;
  handle->data = NULL;
  release(script);
}

void script_stop(struct script *script) {
  script->stopping = true;
  for (struct peer *peer = script->peers; peer != NULL; peer = peer->next) {
    peer_close(peer);
  }
  uv_close((uv_handle_t *)&script->listener, on_listener_closed);
}
