// LINKS http base PkgConfig::UV
/* The head of an answer, line by line as libcurl hands it out: what is taken keeps its bounds, and
 * a name that is asked for is found as often as it is there. */
#include "http/fetch_answer.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
  if (!holds) {
    abort();
  }
}

static void check_fields(const struct http_fetch_answer *a) {
  check(a->count <= HTTP_ANSWER_FIELDS_MAX && a->bytes <= HTTP_ANSWER_HEAD_MAX);
  for (size_t i = 0; i < a->count; i++) {
    struct slice name = a->fields[i].name, value = a->fields[i].value;
    check(name.len > 0 && memchr(name.ptr, ':', name.len) == NULL);
    check(value.ptr != NULL && slice_equal(slice_trim(value), value));
    check(memchr(value.ptr, '\n', value.len) == NULL);
    size_t found = 0;
    bool met = false;
    for (; http_fetch_field_at(a, name, found).ptr != NULL; found++) {
      met |= http_fetch_field_at(a, name, found).ptr == value.ptr;
    }
    check(met && found <= a->count);
    check(http_fetch_field(a, name).ptr == http_fetch_field_at(a, name, 0).ptr);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct http_fetch_answer a = {0};
  struct slice rest = slice_of(data, size);
  uint64_t length = 0;
  bool trailer = false;
  while (rest.len > 0) {
    const char *end = memchr(rest.ptr, '\n', rest.len);
    size_t len = end == NULL ? rest.len : (size_t)(end - rest.ptr) + 1;
    struct slice line = slice_of(rest.ptr, len);
    if ((trailer ? fetch_answer_trailer : fetch_answer_line)(&a, line) != NULL) {
      break;
    }
    check_fields(&a);
    rest = slice_from(rest, len);
    trailer |= slice_equal(line, SLICE("\r\n")) && !slice_starts(rest, SLICE("HTTP/"));
  }
  if (http_fetch_length(&a, &length)) {
    check(http_fetch_field(&a, SLICE("content-length")).len > 0);
    check(http_fetch_field(&a, SLICE("transfer-encoding")).ptr == NULL);
  }
  arena_free(&a.arena);
  return 0;
}
