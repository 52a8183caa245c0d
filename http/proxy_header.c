#include "http/proxy_header.h"

enum {
  LINE_MAX_V1 = 107, /* with its CR LF; section 2.1 */
  FIXED_V2 = 16,     /* signature, command, family, length; section 2.2 */
};

/* Whether `bytes` begin with `start`, or may do so once there are more. */
static enum proxy_header begins(struct slice bytes, struct slice start) {
  const size_t len = bytes.len < start.len ? bytes.len : start.len;
  return !slice_equal(slice_of(bytes.ptr, len), slice_of(start.ptr, len)) ? PROXY_NONE
         : len < start.len                                                ? PROXY_MORE
                                                                          : PROXY_CLIENT;
}

static void set_port(union address *a, uint64_t port) {
  if (a->any.sa_family == AF_INET) {
    a->v4.sin_port = htons((uint16_t)port);
  } else {
    a->v6.sin6_port = htons((uint16_t)port);
  }
}

static bool read_port(struct slice text, uint64_t *port) {
  return slice_u64(text, port) && *port <= UINT16_MAX && (text.ptr[0] != '0' || text.len == 1);
}

/* An address that is written as its family is. */
static bool read_address(struct slice text, bool v6, union address *out) {
  const bool colon = memchr(text.ptr, ':', text.len) != NULL;
  return colon == v6 && address_parse(text, out);
}

/* What is between `PROXY ` and the line's end. */
static enum proxy_header read_words(struct slice rest, union address *client) {
  struct slice words[5];
  size_t count = 0;
  while (count < 5 && rest.ptr != NULL) {
    words[count++] = slice_cut(&rest, ' ');
  }
  if (slice_equal(words[0], SLICE("UNKNOWN"))) {
    return PROXY_UNKNOWN; /* and what follows it does not matter */
  }
  const bool v6 = slice_equal(words[0], SLICE("TCP6"));
  union address from, to;
  uint64_t port, own;
  if (count < 5 || rest.ptr != NULL || (!v6 && !slice_equal(words[0], SLICE("TCP4"))) ||
      !read_address(words[1], v6, &from) || !read_address(words[2], v6, &to) ||
      !read_port(words[3], &port) || !read_port(words[4], &own)) {
    return PROXY_FAULTY;
  }
  set_port(&from, port);
  *client = from;
  return PROXY_CLIENT;
}

static enum proxy_header read_v1(struct slice bytes, size_t *size, union address *client) {
  const size_t start = sizeof "PROXY " - 1;
  const struct slice seen = slice_of(bytes.ptr, bytes.len < LINE_MAX_V1 ? bytes.len : LINE_MAX_V1);
  const char *end = memchr(seen.ptr, '\n', seen.len);
  if (end == NULL) {
    return seen.len < LINE_MAX_V1 ? PROXY_MORE : PROXY_FAULTY;
  }
  const size_t len = (size_t)(end - seen.ptr);
  if (seen.ptr[len - 1] != '\r') {
    return PROXY_FAULTY;
  }
  *size = len + 1;
  return read_words(slice_of(seen.ptr + start, len - 1 - start), client);
}

static enum proxy_header read_v2(struct slice bytes, size_t *size, union address *client) {
  if (bytes.len < FIXED_V2) {
    return PROXY_MORE;
  }
  const unsigned char *b = (const unsigned char *)bytes.ptr;
  const size_t len = (size_t)b[14] << 8 | b[15];
  const unsigned version = b[12] >> 4, command = b[12] & 15;
  if (version != 2 || command > 1 || FIXED_V2 + len > PROXY_HEADER_MAX) {
    return PROXY_FAULTY;
  }
  if (bytes.len < FIXED_V2 + len) {
    return PROXY_MORE;
  }
  *size = FIXED_V2 + len;
  const unsigned char *from = b + FIXED_V2;
  union address a = {0};
  if (command == 0) {
    return PROXY_LOCAL;
  }
  switch (b[13]) {
  case 0x11: /* TCP over IPv4: two addresses, two ports */
    if (len < 12) {
      return PROXY_FAULTY;
    }
    a.v4.sin_family = AF_INET;
    memcpy(&a.v4.sin_addr, from, 4);
    memcpy(&a.v4.sin_port, from + 8, 2);
    break;
  case 0x21: /* over IPv6 */
    if (len < 36) {
      return PROXY_FAULTY;
    }
    a.v6.sin6_family = AF_INET6;
    memcpy(&a.v6.sin6_addr, from, 16);
    memcpy(&a.v6.sin6_port, from + 32, 2);
    break;
  default: /* datagrams, Unix sockets, what is not known: not an address that can be used */
    return PROXY_UNKNOWN;
  }
  *client = address_of(&a.any);
  return PROXY_CLIENT;
}

enum proxy_header proxy_header_read(struct slice bytes, size_t *size, union address *client) {
  /* The second holds NUL and LF, so that no line of text looks like it. */
  switch (begins(bytes, SLICE("PROXY "))) {
  case PROXY_MORE:
    return PROXY_MORE;
  case PROXY_CLIENT:
    return read_v1(bytes, size, client);
  default:
    break;
  }
  enum proxy_header v2 = begins(bytes, SLICE("\r\n\r\n\0\r\nQUIT\n"));
  return v2 == PROXY_CLIENT ? read_v2(bytes, size, client) : v2;
}
