#include "base/hex.h"

#include "unit/cmocka_all.h"

static void test_round(void **state) {
  (void)state;
  unsigned char all[256];
  unsigned char back[256];
  char text[2 * sizeof all + 1];
  for (size_t i = 0; i < sizeof all; i++) {
    all[i] = (unsigned char)i;
  }
  hex_encode(all, sizeof all, text);
  assert_int_equal(strlen(text), 512);
  assert_memory_equal(text, "000102030405060708090a0b0c0d0e0f10", 34);
  assert_string_equal(text + 508, "feff");
  assert_true(hex_decode(slice_str(text), back, sizeof back));
  assert_memory_equal(back, all, sizeof all);
  hex_encode(NULL, 0, text);
  assert_string_equal(text, "");
  assert_true(hex_decode((struct slice){NULL, 0}, back, 0));
}

static void test_case(void **state) {
  (void)state;
  unsigned char out[3];
  assert_true(hex_decode(SLICE("aBcDeF"), out, 3));
  assert_memory_equal(out, "\xab\xcd\xef", 3);
}

static void test_refused(void **state) {
  (void)state;
  unsigned char out[4];
  assert_false(hex_decode(SLICE("abc"), out, 2));
  assert_false(hex_decode(SLICE("abcde"), out, 2));
  assert_false(hex_decode(SLICE("abcdef"), out, 2));
  assert_false(hex_decode(SLICE(""), out, 1));
  assert_false(hex_decode(SLICE("0x12"), out, 2));
  assert_false(hex_decode(SLICE("12 4"), out, 2));
  assert_false(hex_decode(SLICE("123g"), out, 2));
  assert_false(hex_decode(SLICE("g123"), out, 2));
  assert_false(hex_decode(SLICE("12\0"
                                "4"),
                          out, 2));
}

static void test_digit(void **state) {
  (void)state;
  static const char lower[] = "0123456789abcdef";
  static const char upper[] = "0123456789ABCDEF";
  for (int c = 0; c < 256; c++) {
    const char *in_lower = c == 0 ? NULL : strchr(lower, c);
    const char *in_upper = c == 0 ? NULL : strchr(upper, c);
    int want = in_lower != NULL   ? (int)(in_lower - lower)
               : in_upper != NULL ? (int)(in_upper - upper)
                                  : -1;
    assert_int_equal(hex_digit((char)c), want);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_round),
      cmocka_unit_test(test_case),
      cmocka_unit_test(test_refused),
      cmocka_unit_test(test_digit),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
