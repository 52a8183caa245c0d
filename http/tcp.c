/*
 * The one file of the server that libuv's callbacks for sockets arrive in.
 *
 * A listener accepts, and a socket is one connection from then on: connection_open() takes it or
 * not; after that any end, ours or theirs, goes through close_socket() and on_closed(), where its
 * memory is kept for the next. When accept fails for want of descriptors, libuv drops the
 * connections that wait, by a descriptor it keeps in reserve, and this file says so in the log.
 */
#include "http/internal.h"

#include "base/cleanup.h"

#include <netinet/tcp.h>
#include <stdlib.h>

enum { BACKLOG = 1024, SPARE_SOCKETS_MAX = 256, COMPLAIN_MS = 10 * 1000, PIECES_MAX = 4 };

struct listener {
  uv_tcp_t tcp;
  struct http_server *server;
  struct link all;
  bool waiting; /* a connection is there that the limit keeps out for now */
};

struct socket {
  struct http_connection connection;
  uv_tcp_t tcp;
  uv_write_t write;
  uv_shutdown_t shutdown;
  struct socket *next_spare;
};

static struct socket *socket_of(struct http_connection *c) {
  return LINK_OWNER(c, struct socket, connection);
}

static void close_handle(void *handle, uv_close_cb closed) {
  if (!uv_is_closing(handle)) {
    uv_close(handle, closed);
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
  connection_closed(&socket->connection);
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
    connection_received(&socket->connection, slice_of(buf->base, (size_t)n));
  } else if (n == UV_EOF) {
    connection_received_end(&socket->connection);
  } else if (n < 0) {
    connection_cut(&socket->connection);
  }
}

static void on_written(uv_write_t *write, int status) {
  struct socket *socket = write->data;
  connection_sent(&socket->connection, status == 0);
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
  int n = uv_try_write((uv_stream_t *)&socket_of(c)->tcp, bufs, used);
  return n == UV_EAGAIN ? 0 : n;
}

static void write_all(struct http_connection *c, struct slice bytes) {
  struct socket *socket = socket_of(c);
  uv_buf_t buf = buffer_of(bytes);
  socket->write.data = socket;
  /* It fails for handles and requests that are in no state to be used, which these never are. */
  uv_write(&socket->write, (uv_stream_t *)&socket->tcp, &buf, 1, on_written);
}

static size_t unsent(struct http_connection *c) {
  return uv_stream_get_write_queue_size((const uv_stream_t *)&socket_of(c)->tcp);
}

static void set_read(struct http_connection *c, bool on) {
  uv_stream_t *stream = (uv_stream_t *)&socket_of(c)->tcp;
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
  uv_shutdown(&socket->shutdown, (uv_stream_t *)&socket->tcp, on_ended);
}

static void close_socket(struct http_connection *c) {
  close_handle(&socket_of(c)->tcp, on_closed);
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
  socket->connection.server = s;
  uv_tcp_init(s->loop, &socket->tcp);
  socket->tcp.data = socket;
  s->open_handles++;
  struct sockaddr_storage peer;
  int len = sizeof peer;
  if (uv_accept((uv_stream_t *)&listener->tcp, (uv_stream_t *)&socket->tcp) != 0 ||
      uv_tcp_getpeername(&socket->tcp, (struct sockaddr *)&peer, &len) != 0 ||
      !connection_open(&socket->connection, s, &tcp_transport, (struct sockaddr *)&peer)) {
    close_handle(&socket->tcp, on_refused_closed);
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
    close_handle(&LINK_OWNER(l, struct listener, all)->tcp, on_listener_closed);
  }
}

static socklen_t address_size(const struct sockaddr *address) {
  return address->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

static int set_option(int fd, int level, int option) {
  const int on = 1;
  return setsockopt(fd, level, option, &on, sizeof on);
}

/* A bound socket; -1 with errno set. Connections inherit TCP_NODELAY, which saves a call each. */
static int bind_socket(const struct sockaddr *address, bool shared) {
  int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    return -1;
  }
  if (set_option(fd, SOL_SOCKET, SO_REUSEADDR) != 0 ||
      (shared && set_option(fd, SOL_SOCKET, SO_REUSEPORT) != 0) ||
      set_option(fd, IPPROTO_TCP, TCP_NODELAY) != 0 ||
      (address->sa_family == AF_INET6 && set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY) != 0) ||
      bind(fd, address, address_size(address)) != 0) {
    int number = errno;
    close(fd);
    errno = number;
    return -1;
  }
  return fd;
}

int http_server_listen_at(struct http_server *server, const struct sockaddr *address,
                          struct error *e) {
  struct listener *listener = calloc(1, sizeof *listener);
  if (listener == NULL) {
    return error_set(e, ERROR_FAILED, "listening: out of memory");
  }
  listener->server = server;
  uv_tcp_init(server->loop, &listener->tcp);
  listener->tcp.data = listener;
  server->open_handles++;
  link_init(&listener->all);
  link_append(&server->listeners, &listener->all);
  int fd = bind_socket(address, true);
  int code = fd < 0 ? -errno : uv_tcp_open(&listener->tcp, fd);
  if (code != 0 && fd >= 0) {
    close(fd);
  }
  if (code == 0) {
    code = uv_listen((uv_stream_t *)&listener->tcp, BACKLOG, on_connection);
  }
  if (code != 0) {
    close_handle(&listener->tcp, on_listener_closed);
    return error_set(e, ERROR_FAILED, "listening: %s", uv_strerror(code));
  }
  return 0;
}

/* `host:port` or `[v6]:port`. */
static int read_address(const char *text, struct sockaddr_storage *out) {
  struct slice host = slice_str(text);
  const char *colon = strrchr(text, ':');
  uint64_t port = 0;
  if (colon == NULL || !slice_u64(slice_str(colon + 1), &port) || port > UINT16_MAX) {
    return -1;
  }
  host.len = (size_t)(colon - text);
  bool v6 = host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']';
  if (v6) {
    host = slice_of(host.ptr + 1, host.len - 2);
  }
  char name[64]; /* an IPv6 address takes 45 */
  if (host.len >= sizeof name) {
    return -1;
  }
  memcpy(name, host.ptr, host.len);
  name[host.len] = '\0';
  *out = (struct sockaddr_storage){0};
  return v6 ? uv_ip6_addr(name, (int)port, (struct sockaddr_in6 *)out)
            : uv_ip4_addr(name, (int)port, (struct sockaddr_in *)out);
}

/* Holds the address for a moment without SO_REUSEPORT, for with it the address of another process
 * of this user could be taken without a word; and writes the port that was free for a port 0. */
static int take_port(struct sockaddr *address) {
  CLEANUP_FD int fd = bind_socket(address, false);
  socklen_t len = address_size(address);
  return fd < 0 ? -1 : getsockname(fd, address, &len);
}

int http_server_listen(struct http_server *server, const char *address,
                       struct sockaddr_storage *bound, struct error *e) {
  struct sockaddr_storage storage;
  struct sockaddr *any = (struct sockaddr *)&storage;
  if (read_address(address, &storage) != 0) {
    return error_set(e, ERROR_USAGE, "`%s` is not an address such as 127.0.0.1:8080 or [::1]:8080",
                     address);
  }
  if (take_port(any) != 0) {
    return error_errno(e, errno, "listening on %s", address);
  }
  if (http_server_listen_at(server, any, e) != 0) {
    return error_context(e, "%s", address);
  }
  if (bound != NULL) {
    *bound = storage;
  }
  return 0;
}
