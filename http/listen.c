#include "http/listen.h"

#include "base/cleanup.h"
#include "http/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { FIRST_PASSED_FD = 3, UNIX_MODE = 0660 };

static int set_number(int fd, int level, int option, int number) {
  return setsockopt(fd, level, option, &number, sizeof number);
}

static int set_option(int fd, int level, int option) {
  return set_number(fd, level, option, 1);
}

/* What connections inherit. */
static int set_inherited(int fd) {
  return set_option(fd, IPPROTO_TCP, TCP_NODELAY) != 0 ||
                 set_number(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, HTTP_UNSENT_MAX) != 0
             ? -1
             : 0;
}

static socklen_t size_of(const union address *address) {
  return address->any.sa_family == AF_INET6 ? sizeof address->v6 : sizeof address->v4;
}

int listen_bind(const union address *address, bool shared) {
  int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    return -1;
  }
  if (set_option(fd, SOL_SOCKET, SO_REUSEADDR) != 0 ||
      (shared && set_option(fd, SOL_SOCKET, SO_REUSEPORT) != 0) || set_inherited(fd) != 0 ||
      (address->any.sa_family == AF_INET6 && set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY) != 0) ||
      bind(fd, &address->any, size_of(address)) != 0) {
    int number = errno;
    close(fd);
    errno = number;
    return -1;
  }
  return fd;
}

/* Takes `fd`, also when it fails. */
static int add(struct http_places *places, struct http_place place, struct error *e) {
  struct http_place *items =
      place.name == NULL ? NULL
                         : realloc(places->items, (places->count + 1) * sizeof *places->items);
  if (items == NULL) {
    free(place.name);
    if (place.fd >= 0) {
      close(place.fd);
    }
    return error_set(e, ERROR_FAILED, "listening: out of memory");
  }
  places->items = items;
  places->items[places->count++] = place;
  return 0;
}

/* --- host:port --- */

/* Holds the address for a moment without SO_REUSEPORT, for with it the address of another process
 * of this user could be taken without a word; and writes the port that was free for a port 0. */
static int take_port(union address *address) {
  CLEANUP_FD int fd = listen_bind(address, false);
  socklen_t len = size_of(address);
  return fd < 0 ? -1 : getsockname(fd, &address->any, &len);
}

static int listen_address(const char *text, struct http_places *places, struct error *e) {
  struct http_place place = {.fd = -1};
  char name[ADDRESS_TEXT_MAX];
  if (!address_parse_port(slice_str(text), &place.address)) {
    return error_set(e, ERROR_USAGE,
                     "`%s` is not an address such as 127.0.0.1:8080, [::1]:8080, unix:/path or "
                     "fd:NAME",
                     text);
  }
  if (take_port(&place.address) != 0) {
    return error_errno(e, errno, "listening on %s", text);
  }
  address_print(&place.address.any, name);
  place.name = strdup(name);
  return add(places, place, e);
}

/* --- unix:/path --- */

/* Whether the path is a socket that nobody listens at any more. */
static bool is_left_over(const struct sockaddr_un *address) {
  struct stat s;
  if (lstat(address->sun_path, &s) != 0 || !S_ISSOCK(s.st_mode)) {
    return false;
  }
  /* Somebody who is too busy to accept listens, too: that is told, not waited for. */
  CLEANUP_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  return fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof *address) != 0 &&
         errno == ECONNREFUSED;
}

/* Takes the lock without which nobody replaces what is at a path: a file that is there meanwhile.
 * \return its descriptor, or -1 with errno set. */
static int take_lock(const char *path) {
  for (;;) {
    struct stat locked, there;
    int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
      return -1;
    }
    if (flock(fd, LOCK_EX) != 0 || fstat(fd, &locked) != 0) {
      int number = errno;
      close(fd);
      errno = number;
      return -1;
    }
    if (lstat(path, &there) == 0 && there.st_ino == locked.st_ino) {
      return fd;
    }
    close(fd); /* Who had it has removed it, so that it locks nobody out any more. */
  }
}

static int bind_unix(const char *text, const struct sockaddr_un *address,
                     struct http_places *places, struct error *e) {
  const char *path = address->sun_path;
  struct stat made;
  if (is_left_over(address)) {
    unlink(path);
  }
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const bool bound = fd >= 0 && bind(fd, (const struct sockaddr *)address, sizeof *address) == 0;
  /* Nobody can connect before listen(), so that the mode is right in time. */
  if (!bound || chmod(path, UNIX_MODE) != 0 || lstat(path, &made) != 0 ||
      listen(fd, LISTEN_BACKLOG) != 0) {
    error_errno(e, errno, "listening on %s", text);
    if (fd >= 0) {
      close(fd);
    }
  } else if (add(places, (struct http_place){.name = strdup(text), .fd = fd, .inode = made.st_ino},
                 e) == 0) {
    return 0;
  }
  if (bound) {
    unlink(path);
  }
  return -1;
}

static int listen_unix(const char *text, struct http_places *places, struct error *e) {
  const char *path = text + sizeof "unix:" - 1;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  char lock[sizeof address.sun_path + sizeof ".lock"];
  if (path[0] != '/' || strlen(path) >= sizeof address.sun_path) {
    return error_set(e, ERROR_USAGE, "`%s` is not a path from / on, of at most %zu bytes", text,
                     sizeof address.sun_path - 1);
  }
  memcpy(address.sun_path, path, strlen(path) + 1);
  snprintf(lock, sizeof lock, "%s.lock", path);
  CLEANUP_FD int fd = take_lock(lock);
  if (fd < 0) {
    return error_errno(e, errno, "listening on %s: cannot lock it by %s", text, lock);
  }
  int status = bind_unix(text, &address, places, e);
  unlink(lock);
  return status;
}

/* --- fd:NAME --- */

static bool env_number(const char *name, uint64_t *out) {
  return slice_u64(slice_str(getenv(name)), out);
}

static int option(int fd, int name) {
  int value = 0;
  socklen_t len = sizeof value;
  return getsockopt(fd, SOL_SOCKET, name, &value, &len) == 0 ? value : -1;
}

/* Of a family whose peers are known by their address, or are believed as a Unix socket's are. */
static bool is_listening_stream(int fd) {
  const int family = option(fd, SO_DOMAIN);
  return option(fd, SO_ACCEPTCONN) == 1 && option(fd, SO_TYPE) == SOCK_STREAM &&
         (family == AF_INET || family == AF_INET6 || family == AF_UNIX);
}

/* Who connects to a Unix socket is believed, so that it must not be for everybody. */
static int check_permissions(const char *text, int fd, struct error *e) {
  struct sockaddr_un address = {.sun_family = AF_UNSPEC};
  socklen_t len = sizeof address;
  char path[sizeof address.sun_path + 1] = "";
  struct stat file;
  if (option(fd, SO_DOMAIN) != AF_UNIX) {
    return 0;
  }
  if (getsockname(fd, (struct sockaddr *)&address, &len) == 0) {
    memcpy(path, address.sun_path, sizeof address.sun_path);
  }
  if (path[0] == '\0') {
    return error_set(e, ERROR_FAILED,
                     "%s: the socket that was passed has no file, so that everybody may connect: "
                     "give it a path",
                     text);
  }
  if (stat(path, &file) != 0) {
    return error_errno(e, errno, "%s: cannot tell who may connect to %s", text, path);
  }
  return (file.st_mode & S_IWOTH) == 0
             ? 0
             : error_set(e, ERROR_FAILED,
                         "%s: everybody may connect to %s (mode %04o), and say for whom; set "
                         "SocketMode=0660 and SocketGroup= in the .socket unit",
                         text, path, (unsigned)file.st_mode & 07777U);
}

static int listen_passed(const char *text, struct http_places *places, struct error *e) {
  const struct slice wanted = slice_str(text + sizeof "fd:" - 1);
  const size_t before = places->count;
  uint64_t pid, count;
  struct slice names = slice_str(getenv("LISTEN_FDNAMES"));
  if (!env_number("LISTEN_PID", &pid) || pid != (uint64_t)getpid() ||
      !env_number("LISTEN_FDS", &count) || count > HTTP_PASSED_MAX) {
    count = 0;
  }
  for (int fd = FIRST_PASSED_FD; fd < FIRST_PASSED_FD + (int)count && names.ptr != NULL; fd++) {
    if (!slice_equal(slice_cut(&names, ':'), wanted)) {
      continue;
    }
    if (!is_listening_stream(fd)) {
      return error_set(e, ERROR_FAILED, "%s: what was passed is no stream socket that listens",
                       text);
    }
    if (check_permissions(text, fd, e) != 0) {
      return -1;
    }
    set_inherited(fd); /* fails for a Unix socket, which needs it not */
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (own < 0) {
      return error_errno(e, errno, "listening on %s", text);
    }
    if (add(places, (struct http_place){.name = strdup(text), .fd = own}, e) != 0) {
      return -1;
    }
  }
  return places->count > before
             ? 0
             : error_set(e, ERROR_FAILED,
                         "%s: no socket of that name was passed; start the program by a .socket "
                         "unit with FileDescriptorName=%.*s",
                         text, SLICE_ARG(wanted));
}

/* --- all --- */

int http_listen(const char *address, struct http_places *places, struct error *e) {
  const struct slice text = slice_str(address);
  return slice_starts(text, SLICE("unix:")) ? listen_unix(address, places, e)
         : slice_starts(text, SLICE("fd:")) ? listen_passed(address, places, e)
                                            : listen_address(address, places, e);
}

/* A Unix socket that is ours: no name, no connection. */
static void close_unix(struct http_place *place) {
  const char *path = place->name + sizeof "unix:" - 1;
  struct stat there;
  /* The number is not given to another file while our socket is open. */
  if (lstat(path, &there) == 0 && there.st_ino == place->inode) {
    unlink(path);
  }
  close(place->fd);
  place->fd = -1;
  place->inode = 0;
}

void http_places_close(struct http_places *places) {
  for (size_t i = 0; i < places->count; i++) {
    if (places->items[i].inode != 0) {
      close_unix(&places->items[i]);
    }
  }
}

void http_places_free(struct http_places *places) {
  http_places_close(places);
  for (size_t i = 0; i < places->count; i++) {
    if (places->items[i].fd >= 0) {
      close(places->items[i].fd);
    }
    free(places->items[i].name);
  }
  free(places->items);
  *places = (struct http_places){0};
}
