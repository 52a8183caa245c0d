// LINKS base
/* Texts that stand for bytes and numbers: one text a value where the encoding is canonical, and
 * what is written is read back. The first byte picks which. */
#include "base/base64.h"
#include "base/hex.h"
#include "base/units.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
  if (!holds) {
    abort();
  }
}

static void check_base64(enum base64_alphabet alphabet, struct slice text) {
  char *bytes = malloc(text.len / 4 * 3 + 2), *again = malloc(BASE64_SPACE(text.len));
  size_t len = 0;
  if (base64_decode(alphabet, text, bytes, &len)) {
    check(base64_encode(alphabet, bytes, len, again) == text.len);
    check(text.len == 0 || memcmp(again, text.ptr, text.len) == 0);
  }
  struct slice encoded = slice_of(again, base64_encode(alphabet, text.ptr, text.len, again));
  char *back = malloc(encoded.len / 4 * 3 + 2);
  check(base64_decode(alphabet, encoded, back, &len) && slice_equal(slice_of(back, len), text));
  free(bytes);
  free(again);
  free(back);
}

static void check_hex(struct slice text) {
  char *bytes = malloc(text.len / 2 + 1), *again = malloc(2 * text.len + 1);
  if (hex_decode(text, bytes, text.len / 2)) {
    check(text.len % 2 == 0);
    hex_encode(bytes, text.len / 2, again);
    check(slice_equal_nocase(slice_of(again, text.len), text));
  }
  hex_encode(text.ptr, text.len, again);
  char *back = malloc(text.len + 1);
  check(hex_decode(slice_of(again, 2 * text.len), back, text.len));
  check(slice_equal(slice_of(back, text.len), text));
  free(bytes);
  free(again);
  free(back);
}

static void check_numbers(struct slice text) {
  char out[UNITS_TEXT_MAX], decimal[24];
  uint64_t value = 0, again = 0;
  if (slice_u64(text, &value)) {
    snprintf(decimal, sizeof decimal, "%llu", (unsigned long long)value);
    check(slice_u64(slice_str(decimal), &again) && again == value);
  }
  if (units_size(text, &value)) {
    check(value <= INT64_MAX);
    units_print_size(value, out);
    snprintf(decimal, sizeof decimal, "%lluB", (unsigned long long)value);
    check(units_size(slice_str(decimal), &again) && again == value);
  }
  if (units_duration(text, &value)) {
    check(value <= UINT64_C(100) * 366 * 24 * 60 * 60 * 1000);
    units_print_duration(value / 1000, out);
    snprintf(decimal, sizeof decimal, "%llums", (unsigned long long)value);
    check(units_duration(slice_str(decimal), &again) && again == value);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct slice text = slice_from(slice_of(data, size), 1);
  switch (size == 0 ? 0 : data[0]) {
  case 'b':
    check_base64(BASE64_STANDARD, text);
    break;
  case 'u':
    check_base64(BASE64_URL, text);
    break;
  case 'h':
    check_hex(text);
    break;
  default:
    check_numbers(text);
    break;
  }
  return 0;
}
