// LINKS http base
/* A query: its pairs lie within it and put together again are the same pairs; what is decoded is no
 * longer than what was sent; and any bytes written as a form are read back. */
#include "http/query.h"
#include "http/url.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
  if (!holds) {
    abort();
  }
}

/* In place and elsewhere decoding gives the same; what is refused is refused with any room. */
static void check_decode(struct slice text) {
  size_t len = 0, again = 0;
  char *copy = malloc(text.len + 1), *out = malloc(text.len + 1);
  memcpy(copy, text.len == 0 ? "" : text.ptr, text.len);
  bool good = query_decode(text, out, text.len, &len);
  check(good == query_decode(slice_of(copy, text.len), copy, text.len, &again));
  if (good) {
    check(len == again && len <= text.len && memcmp(out, copy, len) == 0);
    check(query_decode(text, copy, len, &again) && again == len);
    check(len == 0 || !query_decode(text, copy, len - 1, &again));
    check((len == text.len) == (text.len == 0 || memchr(text.ptr, '%', text.len) == NULL));
  } else {
    check(memchr(text.ptr, '%', text.len) != NULL);
  }
  free(copy);
  free(out);
}

static void check_form(struct slice value) {
  struct buf form = {0};
  struct slice name, read;
  char *out = malloc(3 * value.len + 1);
  size_t len = 0;
  http_form_append(&form, "a", SLICE("1"));
  http_form_append(&form, "b", value);
  struct slice rest = buf_view(&form);
  check(query_next(&rest, &name, &read) && slice_equal(read, SLICE("1")));
  check(query_next(&rest, &name, &read) && slice_equal(name, SLICE("b")));
  check(query_decode(read, out, 3 * value.len, &len));
  check(slice_equal(slice_of(out, len), value) && !query_next(&rest, &name, &read));
  free(out);
  buf_free(&form);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct slice query = slice_of(data, size), rest = query, name, value;
  struct buf joined = {0};
  size_t pairs = 0;
  for (; query_next(&rest, &name, &value); pairs++) {
    check(name.len + value.len > 0 || value.ptr != NULL);
    check(memchr(name.ptr, '=', name.len) == NULL);
    check_decode(name);
    check_decode(value);
    buf_str(&joined, "&");
    buf_slice(&joined, name);
    buf_str(&joined, value.ptr == NULL ? "" : "=");
    buf_slice(&joined, value);
  }
  check(joined.len <= size + 1);
  for (rest = buf_view(&joined); query_next(&rest, &name, &value); pairs--) {
  }
  check(pairs == 0);
  check_form(query);
  buf_free(&joined);
  return 0;
}
