/*
 * Asks a web server for a file, whole or in ranges one after the other, over a few connections that
 * are kept, until so many bytes have come. What it prints, `bytes=… failures=…`, is for webseed.py.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 1024, HEAD_MAX = 2048, READ_SIZE = 256 * 1024 };

struct load {
  const char *target;
  uint16_t port;
  uint64_t file_size, range; /* a range of 0: the whole */
  uint64_t wanted;           /* bytes of bodies */
  unsigned connections;
  SSL_CTX *tls; /* NULL: plain */
  int epoll;
  uint64_t offset, asked, got;
  unsigned failures, open;
};

struct connection {
  int fd;
  SSL *ssl;
  char head[HEAD_MAX];
  size_t head_size;
  uint64_t length, left; /* of the body */
};

static void die(const char *what) {
  fprintf(stderr, "rangeload: %s: %s\n", what, strerror(errno));
  exit(1);
}

static bool send_all(struct connection *c, const char *text, size_t len) {
  return c->ssl != NULL ? SSL_write(c->ssl, text, (int)len) == (int)len
                        : send(c->fd, text, len, MSG_NOSIGNAL) == (ssize_t)len;
}

static void ask(struct load *l, struct connection *c) {
  char request[HEAD_MAX], range[64] = "";
  c->length = l->range == 0 ? l->file_size : l->range;
  if (l->range != 0) {
    snprintf(range, sizeof range, "Range: bytes=%ju-%ju\r\n", (uintmax_t)l->offset,
             (uintmax_t)(l->offset + l->range - 1));
    l->offset = l->offset + 2 * l->range <= l->file_size ? l->offset + l->range : 0;
  }
  int len = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n%s\r\n",
                     l->target, range);
  c->head_size = 0;
  c->left = 0;
  l->asked += c->length;
  l->failures += !send_all(c, request, (size_t)len);
}

static void dial(struct load *l, struct connection *c) {
  const struct sockaddr_in to = {.sin_family = AF_INET,
                                 .sin_port = htons(l->port),
                                 .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
  c->fd = socket(AF_INET, SOCK_STREAM, 0);
  if (c->fd < 0 || connect(c->fd, (const struct sockaddr *)&to, sizeof to) != 0) {
    die("connect");
  }
  if (l->tls != NULL) {
    c->ssl = SSL_new(l->tls);
    SSL_set_fd(c->ssl, c->fd);
    if (SSL_connect(c->ssl) != 1) {
      die("handshake");
    }
  }
  struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = c}};
  epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &event);
  l->open++;
}

static void hang_up(struct load *l, struct connection *c) {
  SSL_free(c->ssl);
  close(c->fd);
  l->open--;
}

/* Takes the head off what came. \return the bytes left of it, or -1 when it is no good answer. */
static ssize_t read_head(struct connection *c, const char *bytes, size_t size) {
  const size_t before = c->head_size;
  const size_t room = sizeof c->head - 1 - before, n = size < room ? size : room;
  memcpy(c->head + before, bytes, n);
  c->head_size += n;
  c->head[c->head_size] = '\0';
  const char *end = strstr(c->head, "\r\n\r\n");
  if (end == NULL) {
    return c->head_size == sizeof c->head - 1 ? -1 : 0;
  }
  const char *field = strstr(c->head, "Content-Length: ");
  if (strncmp(c->head, "HTTP/1.1 20", 11) != 0 || field == NULL ||
      strtoull(field + 16, NULL, 10) != c->length) {
    return -1;
  }
  c->left = c->length;
  return (ssize_t)(size - ((size_t)(end + 4 - c->head) - before));
}

static bool take(struct load *l, struct connection *c, const char *bytes, size_t size) {
  if (c->left == 0) {
    ssize_t n = read_head(c, bytes, size);
    if (n < 0) {
      return false;
    }
    size = (size_t)n;
  }
  if (size > c->left) {
    return false;
  }
  c->left -= size;
  l->got += size;
  return true;
}

static void receive(struct load *l, struct connection *c) {
  static char bytes[READ_SIZE];
  do {
    ssize_t n = c->ssl != NULL ? SSL_read(c->ssl, bytes, sizeof bytes)
                               : recv(c->fd, bytes, sizeof bytes, 0);
    if (n <= 0 || !take(l, c, bytes, (size_t)n)) {
      l->failures++;
      hang_up(l, c);
      return;
    }
  } while (c->ssl != NULL && SSL_pending(c->ssl) > 0);
  if (c->head_size > 0 && c->left == 0) {
    if (l->asked < l->wanted) {
      ask(l, c);
    } else {
      hang_up(l, c);
    }
  }
}

static void run(struct load *l) {
  struct connection *all = calloc(l->connections, sizeof *all);
  struct epoll_event events[64];
  l->epoll = epoll_create1(0);
  for (unsigned i = 0; i < l->connections; i++) {
    dial(l, &all[i]);
  }
  for (unsigned i = 0; i < l->connections; i++) {
    ask(l, &all[i]);
  }
  while (l->open > 0) {
    int n = epoll_wait(l->epoll, events, 64, -1);
    for (int i = 0; i < n; i++) {
      receive(l, events[i].data.ptr);
    }
  }
  close(l->epoll);
  free(all);
}

static SSL_CTX *make_tls(void) {
  SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
  SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256");
  return ctx;
}

int main(int argc, char **argv) {
  struct load l = {.target = "/f", .connections = 16};
  int option;
  while ((option = getopt(argc, argv, "p:u:f:r:n:c:s")) != -1) {
    switch (option) {
    case 'p':
      l.port = (uint16_t)strtoul(optarg, NULL, 10);
      break;
    case 'u':
      l.target = optarg;
      break;
    case 'f':
      l.file_size = strtoull(optarg, NULL, 10);
      break;
    case 'r':
      l.range = strtoull(optarg, NULL, 10);
      break;
    case 'n':
      l.wanted = strtoull(optarg, NULL, 10);
      break;
    case 'c':
      l.connections = (unsigned)strtoul(optarg, NULL, 10);
      break;
    case 's':
      l.tls = make_tls();
      break;
    default:
      return 2;
    }
  }
  if (l.port == 0 || l.file_size == 0 || l.connections == 0 || l.connections > CONNECTIONS_MAX) {
    fprintf(stderr,
            "usage: rangeload -p PORT -f SIZE -n BYTES [-u TARGET] [-r RANGE] [-c CONNECTIONS] "
            "[-s: TLS]\n");
    return 2;
  }
  run(&l);
  printf("bytes=%ju failures=%u\n", (uintmax_t)l.got, l.failures);
  SSL_CTX_free(l.tls);
  return 0;
}
