#include "http/range.h"

#include <inttypes.h>
#include <stdio.h>

/* A number of a range; one that does not fit 64 bits lies beyond any size. */
static bool read_position(struct slice digits, uint64_t *out) {
  for (size_t i = 0; i < digits.len; i++) {
    if (digits.ptr[i] < '0' || digits.ptr[i] > '9') {
      return false;
    }
  }
  if (!slice_u64(digits, out)) {
    *out = UINT64_MAX;
  }
  return digits.len > 0;
}

/* From offset to what fits of length, which is 0 only where offset is the size. */
static struct range part(uint64_t offset, uint64_t length, uint64_t size) {
  if (offset >= size) {
    return (struct range){.kind = RANGE_UNSATISFIABLE};
  }
  uint64_t rest = size - offset;
  return (struct range){RANGE_PART, offset, length < rest ? length : rest};
}

struct range range_parse(struct slice field, uint64_t size) {
  const struct range whole = {RANGE_WHOLE, 0, size};
  const struct slice unit = SLICE("bytes=");
  field = slice_trim(field);
  if (!slice_equal_nocase(slice_of(field.ptr, field.len < unit.len ? field.len : unit.len), unit)) {
    return whole;
  }
  struct slice last_text = slice_trim(slice_from(field, unit.len));
  struct slice first_text = slice_cut(&last_text, '-');
  if (last_text.ptr == NULL) {
    return whole;
  }
  uint64_t first = 0;
  uint64_t last = UINT64_MAX;
  if (first_text.len == 0) {
    uint64_t suffix = 0;
    if (!read_position(last_text, &suffix)) {
      return whole;
    }
    return part(suffix < size ? size - suffix : 0, suffix, size);
  }
  if (!read_position(first_text, &first) ||
      (last_text.len > 0 && !read_position(last_text, &last)) || last < first) {
    return whole;
  }
  return part(first, last - first == UINT64_MAX ? UINT64_MAX : last - first + 1, size);
}

struct slice range_content(const struct range *r, uint64_t size, char out[RANGE_CONTENT_MAX]) {
  int len = r->kind == RANGE_PART
                ? snprintf(out, RANGE_CONTENT_MAX, "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64,
                           r->offset, r->offset + r->length - 1, size)
                : snprintf(out, RANGE_CONTENT_MAX, "bytes */%" PRIu64, size);
  return slice_of(out, (size_t)len);
}

bool range_is(const struct range *r, uint64_t size, struct slice field) {
  char want[RANGE_CONTENT_MAX];
  struct slice full = range_content(r, size, want);
  struct slice head = full;
  head.len = (size_t)((const char *)memrchr(full.ptr, '/', full.len) - full.ptr) + 1;
  return slice_equal(field, full) ||
         (slice_starts(field, head) && slice_equal(slice_from(field, head.len), SLICE("*")));
}
