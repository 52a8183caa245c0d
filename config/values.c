#include "config/values.h"

#include "base/address.h"
#include "base/repository.h"

#include <arpa/inet.h>

enum {
  REGISTRY_NAME_MAX = 235,         /* what the database has room for in a key */
  UNIX_MAX = sizeof "unix:" + 107, /* unix(7): a path has 108 bytes with its NUL */
};

static bool is_port(struct slice text) {
  uint64_t port;
  return text.len <= 5 && slice_u64(text, &port) && port >= 1 && port <= UINT16_MAX;
}

static bool is_address(int family, struct slice text) {
  char address[INET6_ADDRSTRLEN];
  unsigned char bytes[16];
  if (text.len >= sizeof address) {
    return false;
  }
  memcpy(address, text.ptr, text.len);
  address[text.len] = '\0';
  return strlen(address) == text.len && inet_pton(family, address, bytes) == 1;
}

/* Cuts `[address]` off the front of `rest`; the brackets are taken off. */
static bool cut_brackets(struct slice *rest, struct slice *address) {
  const char *end = rest->len == 0 ? NULL : memchr(rest->ptr, ']', rest->len);
  if (end == NULL || rest->ptr[0] != '[') {
    return false;
  }
  *address = slice_of(rest->ptr + 1, (size_t)(end - rest->ptr) - 1);
  *rest = slice_from(*rest, address->len + 2);
  return true;
}

const char *value_listen(struct slice text) {
  if (slice_starts(text, SLICE("unix:"))) {
    return slice_starts(text, SLICE("unix:/")) && text.len < UNIX_MAX
               ? NULL
               : "is not unix: and a path from / on, of at most 107 bytes";
  }
  if (slice_starts(text, SLICE("fd:"))) {
    return text.len > 3 && memchr(text.ptr + 3, ':', text.len - 3) == NULL
               ? NULL
               : "is not fd: and a socket's name, such as fd:tracker";
  }
  struct slice address, port = text;
  int family = AF_INET;
  if (cut_brackets(&port, &address)) {
    family = AF_INET6;
    if (!slice_starts(port, SLICE(":"))) {
      return "has no port; write [::1]:6969";
    }
    port = slice_from(port, 1);
  } else {
    address = slice_cut(&port, ':');
  }
  if (!is_address(family, address)) {
    return "does not begin with a literal address; write one such as 127.0.0.1:6969, [::1]:6969, "
           "or "
           "0.0.0.0:6969 for all";
  }
  return is_port(port) ? NULL : "needs a port from 1 to 65535 behind the address";
}

const char *value_address(struct slice text) {
  return is_address(AF_INET, text) || is_address(AF_INET6, text)
             ? NULL
             : "is not a literal address, such as 10.0.0.7 or 2001:db8::7";
}

static bool is_host(struct slice text) {
  for (size_t i = 0; i < text.len; i++) {
    char c = text.ptr[i];
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
          c == '-' || c == '_')) {
      return false;
    }
  }
  return text.len > 0 && text.len <= 253;
}

static bool is_authority(struct slice rest) {
  struct slice host;
  if (cut_brackets(&rest, &host)) {
    return is_address(AF_INET6, host) &&
           (rest.len == 0 || (rest.ptr[0] == ':' && is_port(slice_from(rest, 1))));
  }
  host = slice_cut(&rest, ':');
  return is_host(host) && (rest.ptr == NULL || is_port(rest));
}

const char *value_url(struct slice text) {
  struct slice rest = text;
  if (slice_starts(text, SLICE("http://"))) {
    rest = slice_from(text, 7);
  } else if (slice_starts(text, SLICE("https://"))) {
    rest = slice_from(text, 8);
  } else {
    return "is not a URL that begins with http:// or https://";
  }
  for (size_t i = 0; i < rest.len; i++) {
    if (rest.ptr[i] <= ' ' || rest.ptr[i] >= 0x7f) {
      return "is not a URL: blanks and letters outside ASCII are written as %XX";
    }
    if (rest.ptr[i] == '?' || rest.ptr[i] == '#') {
      return "must have no query and no fragment";
    }
  }
  struct slice authority = slice_cut(&rest, '/');
  if (authority.len > 0 && memchr(authority.ptr, '@', authority.len) != NULL) {
    return "must not hold a user name or password";
  }
  return is_authority(authority) ? NULL : "has no host, or a port that is not 1 to 65535";
}

const char *value_registry_url(struct slice text) {
  const char *wrong = value_url(text);
  if (wrong != NULL) {
    return wrong;
  }
  while (slice_ends(text, SLICE("/"))) {
    text.len--;
  }
  return slice_ends(slice_from(text, strlen("https://")), SLICE("/v2"))
             ? "is not the registry's root: leave out /v2/, which is added to it"
             : NULL;
}

const char *value_range(struct slice text) {
  struct address_range range;
  return address_range_parse(text, &range);
}

const char *value_registry(struct slice text) {
  if (text.len > REGISTRY_NAME_MAX) {
    return "is longer than 235 bytes";
  }
  for (size_t i = 0; i < text.len; i++) {
    if (text.ptr[i] <= ' ' || text.ptr[i] >= 0x7f || text.ptr[i] == '/') {
      return "is not a registry's name, such as registry.example or localhost:5000";
    }
  }
  return NULL;
}

const char *value_pattern(struct slice text) {
  return repository_pattern_check(text);
}

bool value_is_url(struct slice text) {
  return slice_starts(text, SLICE("http://")) || slice_starts(text, SLICE("https://"));
}

const char *value_keys(struct slice text) {
  const char *scheme = text.len == 0 ? NULL : memmem(text.ptr, text.len, "://", 3);
  return value_is_url(text) ? value_url(text)
         : scheme != NULL   ? "is neither a file nor a URL that begins with http:// or https://"
                            : NULL;
}

const char *value_store(struct slice text) {
  return slice_equal(text, SLICE("memory")) ? NULL
         : slice_starts(text, SLICE("redis://"))
             ? "Redis is not supported yet; write memory, or leave it out"
             : "is not memory, which is all there is yet";
}

const char *value_authorise(struct slice text) {
  return slice_equal(text, SLICE("delegate")) || slice_equal(text, SLICE("token"))
             ? NULL
             : "is neither delegate nor token";
}

size_t value_distance(struct slice a, struct slice b, size_t limit) {
  size_t row[33]; /* of the table of all prefixes, the one before the current */
  if (b.len >= sizeof row / sizeof *row || a.len >= b.len + limit) {
    return limit;
  }
  for (size_t j = 0; j <= b.len; j++) {
    row[j] = j;
  }
  for (size_t i = 1; i <= a.len; i++) {
    size_t corner = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.len; j++) {
      size_t change = corner + (a.ptr[i - 1] != b.ptr[j - 1]);
      size_t add = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
      corner = row[j];
      row[j] = change < add ? change : add;
    }
  }
  return row[b.len] < limit ? row[b.len] : limit;
}
