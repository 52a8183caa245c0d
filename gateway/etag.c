#include "gateway/etag.h"

struct slice etag_of(struct slice digest, struct arena *arena) {
  return arena_printf(arena, "\"%.*s\"", SLICE_ARG(digest));
}

/* The tag holds no comma. */
bool etag_known(const struct http_exchange *x, struct slice etag) {
  struct slice rest = http_request_field(x, SLICE("If-None-Match"));
  while (rest.ptr != NULL) {
    struct slice tag = slice_trim(slice_cut(&rest, ','));
    if (slice_starts(tag, SLICE("W/"))) {
      tag = slice_from(tag, 2);
    }
    if (slice_equal(tag, etag) || slice_equal(tag, SLICE("*"))) {
      return true;
    }
  }
  return false;
}
