/*
 * Listeners: sockets that libuv polls and that are accepted from here. libuv's own way of accepting
 * takes a connection before it asks whether there is room, and tries for ever when there are no
 * descriptors; here nothing is taken beyond a limit. Then all listeners of the server rest until a
 * connection has closed, and those who wait stay with the kernel, or with the server of another
 * loop that shares the socket.
 */
#include "http/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

enum {
  ACCEPT_BATCH = 64,       /* connections taken from a listener in one turn of the loop */
  ACCEPT_AGAIN_MS = 100,   /* until it is tried anew where no connection's end can be waited for */
  GIVE_WAY_MS = 500,       /* idle for less, a connection does not give way to another */
  COMPLAIN_MS = 10 * 1000, /* between two lines in the log */
};

struct listener {
  uv_poll_t poll;
  struct http_server *server;
  struct link all;
  int fd;    /* of its own, though it may be of a socket that others listen at, too */
  bool pipe; /* a Unix socket */
};

static void complain(struct http_server *s, const char *what, const char *why) {
  uint64_t now = server_now(s);
  if (s->log != NULL && (s->accept_complained == 0 || now - s->accept_complained >= COMPLAIN_MS)) {
    s->accept_complained = now;
    log_write(s->log, LOG_LEVEL_WARN, "http: %s: %s", what, why);
  }
}

static bool is_full(const struct http_server *s) {
  return s->connection_count >= s->limits.connections_max;
}

static void rest(struct http_server *s) {
  s->accept_rests = true;
  for (struct link *l = s->listeners.next; l != &s->listeners; l = l->next) {
    uv_poll_stop(&LINK_OWNER(l, struct listener, all)->poll);
  }
}

static void on_accept_timer(uv_timer_t *timer) {
  listeners_resume(timer->data);
}

/* What is short may be in other hands than this server's: none of its ends need bring it back. */
static void rest_for_a_while(struct http_server *s, const char *why) {
  complain(s, "a connection cannot be accepted", why);
  rest(s);
  uv_timer_start(&s->accept_timer, on_accept_timer, ACCEPT_AGAIN_MS, 0);
}

/* Has the one that has waited longest give way, which frees its descriptor at once. Who has just
 * come is given the time to ask. */
static bool make_room(struct http_server *s, const char *why) {
  struct http_connection *oldest = server_oldest_idle(s);
  if (oldest == NULL || server_waited(oldest) < GIVE_WAY_MS) {
    return false;
  }
  complain(s, "connections that wait are closed for others", why);
  connection_cut(oldest);
  return true;
}

/* The kernel wants a descriptor before it looks whether there is a connection. */
static bool is_readable(int fd) {
  struct pollfd one = {.fd = fd, .events = POLLIN};
  return poll(&one, 1, 0) > 0;
}

/* \return whether to try again at once. */
static bool after_failure(struct listener *listener, int number) {
  struct http_server *s = listener->server;
  switch (number) {
  case EAGAIN:
    return false;
  case EINTR:
  case ECONNABORTED:
  case EPROTO:
  case EPERM: /* of that connection alone, which is gone */
    return true;
  case EMFILE:
  case ENFILE:
  case ENOBUFS:
  case ENOMEM:
    if (!is_readable(listener->fd)) {
      return false;
    }
    if (make_room(s, uv_strerror(-number))) {
      return true;
    }
    break;
  default:
    break;
  }
  rest_for_a_while(s, uv_strerror(-number));
  return false;
}

/* Takes one of those that wait. \return whether there may be another. */
static bool accept_one(struct listener *listener) {
  struct http_server *s = listener->server;
  union address peer = {0}; /* which a Unix socket has not */
  socklen_t len = sizeof peer;
  int fd = accept4(listener->fd, &peer.any, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) {
    return after_failure(listener, errno);
  }
  if (!tcp_open(s, fd, listener->pipe, &peer.any)) {
    rest_for_a_while(s, "out of memory");
    return false;
  }
  return true;
}

/* Who was looked at comes last when there is room for one again. */
static void move_back(struct listener *listener) {
  link_remove(&listener->all);
  link_append(&listener->server->listeners, &listener->all);
}

static void on_readable(uv_poll_t *poll, int status, int events) {
  struct listener *listener = poll->data;
  struct http_server *s = listener->server;
  (void)events;
  if (status != 0) {
    rest_for_a_while(s, uv_strerror(status));
  } else if (is_full(s)) {
    complain(s, "no connection is accepted for now", "as many are open as the limit allows");
    rest(s);
  } else {
    move_back(listener);
    for (unsigned i = 0; i < ACCEPT_BATCH && !is_full(s) && accept_one(listener); i++) {
    }
  }
}

static void look_at(struct listener *listener) {
  /* It fails for handles that are closing or descriptors that are another's, which these are not.
   */
  uv_poll_start(&listener->poll, UV_READABLE, on_readable);
}

void listeners_resume(struct http_server *s) {
  if (!s->accept_rests || s->stopping || is_full(s)) {
    return;
  }
  s->accept_rests = false;
  uv_timer_stop(&s->accept_timer);
  /* A turn for each, in order: of those that are polled the same could be first every time. */
  const struct link *last = s->listeners.prev;
  struct link *next;
  do {
    next = s->listeners.next;
    move_back(LINK_OWNER(next, struct listener, all));
    accept_one(LINK_OWNER(next, struct listener, all));
  } while (next != last && !is_full(s) && !s->accept_rests);
  for (struct link *l = s->listeners.next; l != &s->listeners && !s->accept_rests; l = l->next) {
    look_at(LINK_OWNER(l, struct listener, all));
  }
}

static void on_listener_closed(uv_handle_t *handle) {
  struct listener *listener = handle->data;
  struct http_server *s = listener->server;
  link_remove(&listener->all);
  free(listener);
  server_handle_closed(s);
}

void listeners_close(struct http_server *s) {
  uv_timer_stop(&s->accept_timer);
  for (struct link *l = s->listeners.next; l != &s->listeners; l = l->next) {
    struct listener *listener = LINK_OWNER(l, struct listener, all);
    uv_close((uv_handle_t *)&listener->poll, on_listener_closed);
    close(listener->fd);
  }
}

/* \return a descriptor of a socket that listens there, or -1 with errno set. */
static int listen_at(const struct http_place *place) {
  if (place->fd >= 0) {
    return fcntl(place->fd, F_DUPFD_CLOEXEC, 0);
  }
  int fd = listen_bind(&place->address, true);
  if (fd >= 0 && listen(fd, LISTEN_BACKLOG) != 0) {
    int number = errno;
    close(fd);
    errno = number;
    return -1;
  }
  return fd;
}

/* Takes `fd` over, also when it fails. */
static int add_listener(struct http_server *s, int fd) {
  struct listener *listener = calloc(1, sizeof *listener);
  int family = AF_UNSPEC;
  socklen_t len = sizeof family;
  int code = listener == NULL                                            ? UV_ENOMEM
             : getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &len) != 0 ? -errno
                                                                         : 0;
  if (code == 0) {
    code = uv_poll_init(s->loop, &listener->poll, fd);
  }
  if (code != 0) {
    close(fd);
    free(listener);
    return code;
  }
  listener->poll.data = listener;
  listener->server = s;
  listener->fd = fd;
  listener->pipe = family == AF_UNIX;
  link_init(&listener->all);
  link_append(&s->listeners, &listener->all);
  s->open_handles++;
  look_at(listener);
  return 0;
}

int http_server_listen(struct http_server *server, const struct http_place *place,
                       struct error *e) {
  int fd = listen_at(place);
  int code = fd < 0 ? -errno : add_listener(server, fd);
  return code == 0
             ? 0
             : error_set(e, ERROR_FAILED, "listening on %s: %s", place->name, uv_strerror(code));
}
