// LINKS http base
/* The PROXY protocol: of a header cut anywhere more is asked for, and what follows it changes
 * nothing. */
#include "http/proxy_header.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
  if (!holds) {
    abort();
  }
}

static bool same(const union address *a, const union address *b) {
  char left[ADDRESS_TEXT_MAX], right[ADDRESS_TEXT_MAX];
  address_print(&a->any, left);
  address_print(&b->any, right);
  return strcmp(left, right) == 0;
}

/* From memory that is exactly as large, so that a read beyond it is seen. */
static enum proxy_header read_copy(const uint8_t *data, size_t len, size_t *size,
                                   union address *client) {
  char *copy = malloc(len == 0 ? 1 : len);
  memcpy(copy, data, len);
  enum proxy_header found = proxy_header_read(slice_of(copy, len), size, client);
  free(copy);
  return found;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  union address client = {0}, again = {0};
  size_t len = 0, cut_len = 0;
  enum proxy_header found = read_copy(data, size, &len, &client);
  bool whole = found == PROXY_CLIENT || found == PROXY_UNKNOWN || found == PROXY_LOCAL;
  check(!whole || (len > 0 && len <= size && len <= PROXY_HEADER_MAX));
  check(found != PROXY_MORE || size < PROXY_HEADER_MAX);
  check(found != PROXY_CLIENT || client.any.sa_family == AF_INET ||
        client.any.sa_family == AF_INET6);
  for (size_t cut = 0; cut < size && cut <= 256; cut++) {
    enum proxy_header part = read_copy(data, cut, &cut_len, &again);
    check(whole && cut < len ? part == PROXY_MORE : part == PROXY_MORE || part == found);
  }
  if (whole) {
    check(read_copy(data, len, &cut_len, &again) == found && cut_len == len);
    check(found != PROXY_CLIENT || same(&again, &client));
  }
  return 0;
}
