// LINKS http base
/* A Range field after eight bytes of size. What is to be sent lies within the representation, and
 * asked for again in the canonical spelling, it is the same part. */
#include "http/range.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
  if (!holds) {
    abort();
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  uint64_t whole = 0;
  if (size < sizeof whole) {
    return 0;
  }
  memcpy(&whole, data, sizeof whole);
  struct range r = range_parse(slice_of(data + sizeof whole, size - sizeof whole), whole);
  check(r.kind != RANGE_WHOLE || (r.offset == 0 && r.length == whole));
  check(r.kind != RANGE_UNSATISFIABLE || (r.offset == 0 && r.length == 0));
  if (r.kind == RANGE_PART) {
    check(r.length > 0 && r.offset < whole && r.length <= whole - r.offset);
    char text[64];
    snprintf(text, sizeof text, "bytes=%" PRIu64 "-%" PRIu64, r.offset, r.offset + r.length - 1);
    struct range again = range_parse(slice_str(text), whole);
    check(again.kind == RANGE_PART && again.offset == r.offset && again.length == r.length);
  }
  char content[RANGE_CONTENT_MAX];
  if (r.kind != RANGE_WHOLE) {
    check(range_content(&r, whole, content).len < sizeof content);
  }
  return 0;
}
