/*
 * Sockets as libuv has them. Each is one connection: channel_open() takes it or not; after that any
 * end, ours or theirs, goes through close_socket() and on_closed(), where its memory is kept for
 * the next.
 *
 * What the kernel takes ahead of a slow reader is bounded by what connections inherit from their
 * listener, HTTP_UNSENT_MAX, which a fast one gets rid of: for him it is only more work.
 */
#include "http/internal.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <unistd.h>

enum {
  SPARE_SOCKETS_MAX = 256,
  PIECES_MAX = 4,
  MOMENT_MS = 100, /* in which a fast reader makes room for what waits */
};

/* What libuv takes for a stream socket, by its family. */
union stream {
  uv_handle_t handle;
  uv_stream_t any;
  uv_tcp_t tcp;
  uv_pipe_t pipe;
};

struct socket {
  struct http_connection connection;
  union stream stream;
  uv_write_t write;
  uv_shutdown_t shutdown;
  uint64_t since; /* uv_now() when that write began */
  bool fast;      /* the kernel may take as much as it likes */
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
  listeners_resume(s);
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

/* As fast as what waited was taken. What cannot be set is left as it is. */
static void bound_unsent(struct socket *socket) {
  const bool fast = uv_now(socket->stream.handle.loop) - socket->since < MOMENT_MS;
  int fd = -1;
  if (fast != socket->fast && uv_fileno(&socket->stream.handle, &fd) == 0) {
    const int most = fast ? 0 : HTTP_UNSENT_MAX; /* 0: the system's own bound */
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &most, sizeof most);
    socket->fast = fast;
  }
}

static void on_written(uv_write_t *write, int status) {
  struct socket *socket = write->data;
  if (status == 0) {
    bound_unsent(socket);
  }
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

static ssize_t try_send_file(struct http_connection *c, struct slice head,
                             const struct file_part *file, size_t length) {
  int fd = -1;
  ssize_t n = 0;
  uv_fileno(&socket_of(c)->stream.handle, &fd);
  if (head.len > 0) {
    do { /* MSG_MORE: the file's first bytes go into the same packet */
      n = send(fd, head.ptr, head.len, MSG_MORE | MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
      return errno == EAGAIN ? 0 : -1;
    }
    if ((size_t)n < head.len) {
      return n;
    }
  }
  off_t offset = (off_t)file->offset;
  do {
    n = sendfile(fd, file->fd, &offset, length);
  } while (n < 0 && errno == EINTR);
  return (ssize_t)head.len + (n < 0 ? 0 : n); /* What fails fails again in other ways. */
}

static void write_all(struct http_connection *c, struct slice bytes) {
  struct socket *socket = socket_of(c);
  uv_buf_t buf = buffer_of(bytes);
  socket->write.data = socket;
  socket->since = uv_now(c->server->loop);
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
  union stream *stream = &socket_of(c)->stream;
  bool reset = c->recalled && stream->handle.type == UV_TCP && !uv_is_closing(&stream->handle);
  if (!reset || uv_tcp_close_reset(&stream->tcp, on_closed) != 0) {
    close_stream(stream, on_closed);
  }
}

static const struct transport tcp_transport = {
    .try_write = try_write,
    .try_send_file = try_send_file,
    .write = write_all,
    .unsent = unsent,
    .read = set_read,
    .end = end,
    .close = close_socket,
};

bool tcp_open(struct http_server *s, int fd, bool pipe, const struct sockaddr *peer) {
  struct socket *socket = take_socket(s);
  if (socket == NULL) {
    close(fd);
    return false;
  }
  union stream *stream = &socket->stream;
  socket->connection.server = s;
  socket->fast = false;
  init_stream(s->loop, pipe, stream);
  stream->handle.data = socket;
  s->open_handles++;
  int code = pipe ? uv_pipe_open(&stream->pipe, fd) : uv_tcp_open(&stream->tcp, fd);
  if (code != 0) {
    close(fd);
  }
  if (code != 0 || !channel_open(&socket->connection, s, &tcp_transport, peer)) {
    close_stream(stream, on_refused_closed);
  }
  return true;
}
