/*
 * The one file of the server that libuv's callbacks for sockets arrive in.
 *
 * A listener accepts, and a socket is one connection from then on: channel_open() takes it or
 * not; after that any end, ours or theirs, goes through close_socket() and on_closed(), where its
 * memory is kept for the next. When accept fails for want of descriptors, libuv drops the
 * connections that wait, by a descriptor it keeps in reserve, and this file says so in the log.
 */
#include "http/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { SPARE_SOCKETS_MAX = 256, COMPLAIN_MS = 10 * 1000, PIECES_MAX = 4 };

/* What libuv takes for a stream socket, by its family. */
union stream {
  uv_handle_t handle;
  uv_stream_t any;
  uv_tcp_t tcp;
  uv_pipe_t pipe;
};

struct listener {
  union stream stream;
  struct http_server *server;
  struct link all;
  bool waiting; /* a connection is there that the limit keeps out for now */
};

struct socket {
  struct http_connection connection;
  union stream stream;
  uv_write_t write;
  uv_shutdown_t shutdown;
  struct socket *next_spare;
};

static struct socket *socket_of(struct http_connection *c) {
  return LINK_OWNER(c, struct socket, connection);
}

static void init_stream(uv_loop_t *loop, bool pipe, union stream *stream) {
  if (pipe) {
    uv_pipe_init(loop, &stream->pipe, 0);
  } else {
    uv_tcp_init(loop, &stream->tcp);
  }
}

static void close_stream(union stream *stream, uv_close_cb closed) {
  if (!uv_is_closing(&stream->handle)) {
    uv_close(&stream->handle, closed);
  }
}

/* --- a connection's socket --- */

static struct socket *take_socket(struct http_server *s) {
  struct socket *socket = s->spare_sockets;
  if (socket == NULL) {
    return malloc(sizeof *socket);
  }
  s->spare_sockets = socket->next_spare;
  s->spare_socket_count--;
  return socket;
}

static void keep_socket(struct http_server *s, struct socket *socket) {
  if (s->spare_socket_count == SPARE_SOCKETS_MAX) {
    free(socket);
    return;
  }
  socket->next_spare = s->spare_sockets;
  s->spare_sockets = socket;
  s->spare_socket_count++;
}

void tcp_free_spares(struct http_server *s) {
  for (struct socket *socket = s->spare_sockets; socket != NULL;) {
    struct socket *next = socket->next_spare;
    free(socket);
    socket = next;
  }
}

/* Of a connection that was never opened. */
static void on_refused_closed(uv_handle_t *handle) {
  struct socket *socket = handle->data;
  struct http_server *s = socket->connection.server;
  keep_socket(s, socket);
  server_handle_closed(s);
}

static void on_closed(uv_handle_t *handle) {
  struct socket *socket = handle->data;
  struct http_server *s = socket->connection.server;
  channel_closed(&socket->connection);
  keep_socket(s, socket);
  tcp_accept_waiting(s);
  server_handle_closed(s);
}

static void on_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
  (void)suggested;
  const struct socket *socket = handle->data;
  *buf = uv_buf_init(socket->connection.server->read_buffer, HTTP_READ_SIZE);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
  struct socket *socket = stream->data;
  if (n > 0) {
    channel_received(&socket->connection, slice_of(buf->base, (size_t)n));
  } else if (n == UV_EOF) {
    channel_received_end(&socket->connection);
  } else if (n < 0) {
    connection_cut(&socket->connection);
  }
}

static void on_written(uv_write_t *write, int status) {
  struct socket *socket = write->data;
  channel_sent(&socket->connection, status == 0);
}

/* libuv's type does not say that what is sent is not written to. */
static uv_buf_t buffer_of(struct slice bytes) {
  const union {
    const char *is;
    char *asked;
  } base = {bytes.ptr};
  return (uv_buf_t){.base = base.asked, .len = bytes.len};
}

static ssize_t try_write(struct http_connection *c, const struct slice *pieces, size_t count) {
  uv_buf_t bufs[PIECES_MAX];
  unsigned used = 0;
  for (size_t i = 0; i < count && used < PIECES_MAX; i++) {
    if (pieces[i].len > 0) {
      bufs[used++] = buffer_of(pieces[i]);
    }
  }
  if (used == 0) {
    return 0;
  }
  int n = uv_try_write(&socket_of(c)->stream.any, bufs, used);
  return n == UV_EAGAIN ? 0 : n;
}

static void write_all(struct http_connection *c, struct slice bytes) {
  struct socket *socket = socket_of(c);
  uv_buf_t buf = buffer_of(bytes);
  socket->write.data = socket;
  /* It fails for handles and requests that are in no state to be used, which these never are. */
  uv_write(&socket->write, &socket->stream.any, &buf, 1, on_written);
}

static size_t unsent(struct http_connection *c) {
  return uv_stream_get_write_queue_size(&socket_of(c)->stream.any);
}

static void set_read(struct http_connection *c, bool on) {
  uv_stream_t *stream = &socket_of(c)->stream.any;
  if (on) {
    uv_read_start(stream, on_buffer, on_read);
  } else {
    uv_read_stop(stream);
  }
}

static void on_ended(uv_shutdown_t *shutdown, int status) {
  (void)shutdown;
  (void)status; /* When it fails the other end is gone, and reading says so. */
}

static void end(struct http_connection *c) {
  struct socket *socket = socket_of(c);
  uv_shutdown(&socket->shutdown, &socket->stream.any, on_ended);
}

static void close_socket(struct http_connection *c) {
  close_stream(&socket_of(c)->stream, on_closed);
}

static const struct transport tcp_transport = {
    .try_write = try_write,
    .write = write_all,
    .unsent = unsent,
    .read = set_read,
    .end = end,
    .close = close_socket,
};

/* --- listeners --- */

static void complain(struct http_server *s, const char *what, const char *why) {
  uint64_t now = server_now(s);
  if (s->log != NULL && (s->accept_complained == 0 || now - s->accept_complained >= COMPLAIN_MS)) {
    s->accept_complained = now;
    log_write(s->log, LOG_LEVEL_WARN, "http: %s: %s", what, why);
  }
}

static void accept_one(struct listener *listener) {
  struct http_server *s = listener->server;
  listener->waiting = s->connection_count >= s->limits.connections_max;
  if (listener->waiting) {
    complain(s, "no connection is accepted for now", "as many are open as the limit allows");
    return;
  }
  struct socket *socket = take_socket(s);
  if (socket == NULL) {
    listener->waiting = true;
    complain(s, "a connection cannot be accepted", "out of memory");
    return;
  }
  const bool pipe = listener->stream.handle.type == UV_NAMED_PIPE;
  socket->connection.server = s;
  init_stream(s->loop, pipe, &socket->stream);
  socket->stream.handle.data = socket;
  s->open_handles++;
  union address peer = {0}; /* which a Unix socket has not */
  int len = sizeof peer;
  if (uv_accept(&listener->stream.any, &socket->stream.any) != 0 ||
      (!pipe && uv_tcp_getpeername(&socket->stream.tcp, &peer.any, &len) != 0) ||
      !channel_open(&socket->connection, s, &tcp_transport, &peer.any)) {
    close_stream(&socket->stream, on_refused_closed);
  }
}

static void on_connection(uv_stream_t *stream, int status) {
  struct listener *listener = stream->data;
  if (status == 0) {
    accept_one(listener);
  } else {
    complain(listener->server, "a connection cannot be accepted", uv_strerror(status));
  }
}

void tcp_accept_waiting(struct http_server *s) {
  for (struct link *l = s->listeners.next; l != &s->listeners; l = l->next) {
    struct listener *listener = LINK_OWNER(l, struct listener, all);
    if (listener->waiting && !s->stopping) {
      accept_one(listener);
    }
  }
}

static void on_listener_closed(uv_handle_t *handle) {
  struct listener *listener = handle->data;
  struct http_server *s = listener->server;
  link_remove(&listener->all);
  free(listener);
  server_handle_closed(s);
}

void tcp_close_listeners(struct http_server *s) {
  for (struct link *l = s->listeners.next; l != &s->listeners; l = l->next) {
    close_stream(&LINK_OWNER(l, struct listener, all)->stream, on_listener_closed);
  }
}

int http_server_listen(struct http_server *server, const struct http_place *place,
                       struct error *e) {
  struct listener *listener = calloc(1, sizeof *listener);
  if (listener == NULL) {
    return error_set(e, ERROR_FAILED, "listening on %s: out of memory", place->name);
  }
  int fd =
      place->fd >= 0 ? fcntl(place->fd, F_DUPFD_CLOEXEC, 0) : listen_bind(&place->address, true);
  int code = fd < 0 ? -errno : 0;
  int family = AF_UNSPEC;
  socklen_t len = sizeof family;
  if (code == 0 && getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &len) != 0) {
    code = -errno;
  }
  const bool pipe = family == AF_UNIX;
  listener->server = server;
  init_stream(server->loop, pipe, &listener->stream);
  listener->stream.handle.data = listener;
  server->open_handles++;
  link_init(&listener->all);
  link_append(&server->listeners, &listener->all);
  if (code == 0) {
    code = pipe ? uv_pipe_open(&listener->stream.pipe, fd) : uv_tcp_open(&listener->stream.tcp, fd);
  }
  if (code != 0 && fd >= 0) {
    close(fd);
  }
  if (code == 0) {
    code = uv_listen(&listener->stream.any, LISTEN_BACKLOG, on_connection);
  }
  if (code != 0) {
    close_stream(&listener->stream, on_listener_closed);
    return error_set(e, ERROR_FAILED, "listening on %s: %s", place->name, uv_strerror(code));
  }
  return 0;
}
