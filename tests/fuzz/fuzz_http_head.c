// LINKS http base PkgConfig::UV
/* What a connection gets, in any cuts. The answers are the same in whatever cuts it came, and each
 * is HTTP with the length it says. */
#include "http/memory.h"

#include <stdio.h>
#include <stdlib.h>

enum { INPUT_MAX = 64 * 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
  if (!holds) {
    abort();
  }
}

static void echo(struct http_exchange *x, void *context) {
  (void)context;
  struct slice text =
      arena_printf(http_exchange_arena(x), "%.*s?%.*s:%.*s", SLICE_ARG(http_request_path(x)),
                   SLICE_ARG(http_request_query(x)), SLICE_ARG(http_request_field(x, SLICE("x"))));
  http_answer(x, 200, NULL, 0, http_request_body(x).len > 0 ? http_request_body(x) : text);
}

/* Feeds pieces of 1 to \p most bytes; the sizes follow from \p seed. Dates are blanked. */
static struct http_memory *answer(const uint8_t *data, size_t size, size_t most, uint32_t seed) {
  static const struct http_route routes[] = {{"GET", "/", echo, NULL}, {"POST", "/", echo, NULL}};
  const struct http_server_options options = {
      .routes = routes, .route_count = 2, .limits = {.head_max = 600, .body_max = 64}};
  struct http_memory *m = http_memory_new(NULL, &options, NULL);
  check(m != NULL);
  for (size_t at = 0; at < size;) {
    seed = seed * 1664525 + 1013904223;
    size_t n = 1 + (seed >> 8) % most;
    n = n < size - at ? n : size - at;
    http_memory_feed(m, slice_of(data + at, n));
    at += n;
  }
  return m;
}

/* Takes one answer off the front. */
static void read_answer(struct slice *rest) {
  check(slice_starts(*rest, SLICE("HTTP/1.1 ")) && rest->len > 13);
  bool interim = rest->ptr[9] == '1';
  uint64_t length = 0;
  for (struct slice line = slice_cut(rest, '\n'); line.len > 1; line = slice_cut(rest, '\n')) {
    check(slice_ends(line, SLICE("\r")) && rest->ptr != NULL);
    if (slice_starts(line, SLICE("Content-Length: "))) {
      check(slice_u64(slice_of(line.ptr + 16, line.len - 17), &length) && !interim);
    }
  }
  check(length <= rest->len);
  *rest = slice_from(*rest, (size_t)length);
}

static bool same_but_dates(struct slice a, struct slice b) {
  while (a.ptr != NULL && b.ptr != NULL) {
    struct slice left = slice_cut(&a, '\n');
    struct slice right = slice_cut(&b, '\n');
    if (!slice_equal(left, right) &&
        !(slice_starts(left, SLICE("Date: ")) && slice_starts(right, SLICE("Date: ")))) {
      return false;
    }
  }
  return a.ptr == b.ptr;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size > INPUT_MAX) {
    return 0;
  }
  uint32_t seed = 1;
  for (size_t i = 0; i < size; i++) {
    seed = seed * 31 + data[i];
  }
  struct http_memory *whole = answer(data, size, size + 1, seed);
  struct http_memory *bytes = answer(data, size, 1, seed);
  struct http_memory *cuts = answer(data, size, 16, seed);
  struct slice output = http_memory_output(whole);
  check(same_but_dates(output, http_memory_output(bytes)));
  check(same_but_dates(output, http_memory_output(cuts)));
  check(http_memory_closed(whole) == http_memory_closed(bytes));
  check(http_memory_closed(whole) == http_memory_closed(cuts));
  /* An answer to HEAD has a length and no body. */
  while (output.len > 0 && memmem(data, size, "HEAD", 4) == NULL) {
    read_answer(&output);
  }
  http_memory_free(whole);
  http_memory_free(bytes);
  http_memory_free(cuts);
  return 0;
}
