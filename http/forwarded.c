#include "http/forwarded.h"

/* `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:4711`: there is no
 * specification, and proxies write all of these. */
static bool read_entry(struct slice text, union address *out) {
  struct slice host = text, port = {NULL, 0};
  uint64_t number;
  if (slice_starts(text, SLICE("["))) {
    port = slice_from(text, 1);
    host = slice_cut(&port, ']');
    if (port.ptr == NULL || (port.len > 0 && port.ptr[0] != ':') ||
        memchr(host.ptr, ':', host.len) == NULL) {
      return false;
    }
    port = port.len == 0 ? (struct slice){NULL, 0} : slice_from(port, 1);
  } else if (memchr(text.ptr, '.', text.len) != NULL) {
    struct slice rest = text;
    host = slice_cut(&rest, ':');
    if (rest.ptr != NULL && slice_u64(rest, &number)) {
      port = rest;
    } else {
      host = text; /* ::ffff:192.0.2.1 has both */
    }
  }
  if (port.ptr != NULL && (!slice_u64(port, &number) || number > UINT16_MAX)) {
    return false;
  }
  return address_parse(host, out);
}

/* A socket without addresses, AF_UNSPEC, is a Unix one: who may reach it is up to its permissions.
 */
static bool is_believed(const struct address_range *trusted, size_t count,
                        const union address *address) {
  return address->any.sa_family == AF_UNSPEC || address_range_has(trusted, count, &address->any);
}

enum forwarded forwarded_walk(struct slice value, const struct address_range *trusted, size_t count,
                              union address *client) {
  while (is_believed(trusted, count, client)) {
    size_t at = value.len;
    while (at > 0 && value.ptr[at - 1] != ',') {
      at--;
    }
    const struct slice entry = slice_trim(slice_from(value, at));
    /* An empty entry is no entry (RFC 9110, section 5.6.1). */
    if (entry.len > 0 && !read_entry(entry, client)) {
      return FORWARDED_FAULTY;
    }
    if (at == 0) {
      return is_believed(trusted, count, client) ? FORWARDED_ON : FORWARDED_CLIENT;
    }
    value.len = at - 1;
  }
  return FORWARDED_CLIENT;
}
