#include "http/internal.h"

#include "base/hex.h"

/* Whether all of it is ASCII letters, digits and those marks. */
static bool consists_of(struct slice s, const char *marks) {
  for (size_t i = 0; i < s.len; i++) {
    char c = s.ptr[i];
    bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (!alnum && (c == '\0' || strchr(marks, c) == NULL)) {
      return false;
    }
  }
  return true;
}

/* An IPv6 address without its brackets, a port perhaps behind it: libtorrent and qBittorrent write
 * that for `http://[::1]:6969/`. */
static bool is_bare_v6(struct slice host) {
  size_t colons = 0;
  bool shortened = false;
  for (size_t i = 0; i < host.len; i++) {
    char c = host.ptr[i];
    if (hex_digit(c) < 0 && c != '.' && c != ':') {
      return false;
    }
    colons += c == ':';
    shortened = shortened || (c == ':' && i > 0 && host.ptr[i - 1] == ':');
  }
  return shortened || colons >= 7;
}

bool target_is_host(struct slice host) {
  if (is_bare_v6(host)) {
    return true;
  }
  const bool literal = slice_starts(host, SLICE("["));
  struct slice rest = host;
  struct slice name = slice_cut(&rest, literal ? ']' : ':');
  if (literal) {
    if (rest.ptr == NULL || (rest.len > 0 && rest.ptr[0] != ':')) {
      return false;
    }
    name = slice_from(name, 1);
    rest = slice_from(rest, rest.len > 0 ? 1 : 0);
  }
  uint64_t port = 0;
  return consists_of(name, literal ? ":." : "-._~!$&'()*+,;=") &&
         (rest.len == 0 || (slice_u64(rest, &port) && port <= UINT16_MAX));
}

int target_split(struct http_exchange *x) {
  struct span path = x->target;
  struct slice target = slice_of(x->head.ptr + path.at, path.len);
  if (target.len == 0 || memchr(target.ptr, '#', target.len) != NULL) {
    return request_refuse(x, 400, "the request's target is not a path or an http URL");
  }
  if (target.ptr[0] != '/') {
    size_t scheme =
        slice_equal_nocase(slice_of(target.ptr, target.len < 7 ? target.len : 7), SLICE("http://"))
            ? 7
        : slice_equal_nocase(slice_of(target.ptr, target.len < 8 ? target.len : 8),
                             SLICE("https://"))
            ? 8
            : 0;
    size_t end = scheme;
    while (end < target.len && target.ptr[end] != '/' && target.ptr[end] != '?') {
      end++;
    }
    if (scheme == 0 || end == scheme ||
        !target_is_host(slice_of(target.ptr + scheme, end - scheme))) {
      return request_refuse(x, 400, "the request's target is not a path or an http URL");
    }
    path.at += (uint32_t)end;
    path.len -= (uint32_t)end;
    target = slice_from(target, end);
  }
  const char *mark = target.len == 0 ? NULL : memchr(target.ptr, '?', target.len);
  x->path = path;
  x->query = (struct span){path.at + path.len, 0};
  if (mark != NULL) {
    x->path.len = (uint32_t)(mark - target.ptr);
    x->query = (struct span){path.at + x->path.len + 1, path.len - x->path.len - 1};
  }
  if (x->path.len == 0) {
    /* http://host and http://host?query ask for `/`. */
    x->path = (struct span){(uint32_t)x->head.len, 1};
    buf_append(&x->head, "/", 1);
  }
  return x->head.failed ? request_refuse(x, 503, "out of memory") : 0;
}
