#include "base/slice.h"

#include "unit/cmocka_all.h"

static const struct slice none = {NULL, 0};

static void test_make(void **state) {
  (void)state;
  assert_int_equal(SLICE("a\0b").len, 3);
  assert_int_equal(slice_str("abc").len, 3);
  assert_int_equal(slice_str(NULL).len, 0);
  assert_null(slice_str(NULL).ptr);
}

static void test_equal(void **state) {
  (void)state;
  assert_true(slice_equal(SLICE("abc"), SLICE("abc")));
  assert_true(slice_equal(SLICE("a\0b"), SLICE("a\0b")));
  assert_false(slice_equal(SLICE("a\0b"), SLICE("a\0c")));
  assert_false(slice_equal(SLICE("abc"), SLICE("ab")));
  assert_false(slice_equal(SLICE("abc"), SLICE("abC")));
  assert_true(slice_equal(none, SLICE("")));
  assert_true(slice_equal(none, none));
  assert_false(slice_equal(none, SLICE("a")));
}

static void test_equal_nocase(void **state) {
  (void)state;
  assert_true(slice_equal_nocase(SLICE("Content-Length"), SLICE("cONTENT-lENGTH")));
  assert_true(slice_equal_nocase(none, SLICE("")));
  assert_false(slice_equal_nocase(SLICE("ab"), SLICE("abc")));
  /* Only letters of ASCII fold: not what lies 32 apart beside them, nor bytes beyond. */
  assert_false(slice_equal_nocase(SLICE("@"), SLICE("`")));
  assert_false(slice_equal_nocase(SLICE("["), SLICE("{")));
  assert_false(slice_equal_nocase(SLICE("\xc0"), SLICE("\xe0")));
  assert_true(slice_equal_nocase(SLICE("azAZ"), SLICE("AZaz")));
}

static void test_compare(void **state) {
  (void)state;
  static const struct slice ascending[] = {{NULL, 0},  {"\0", 1}, {"A", 1}, {"a", 1},
                                           {"a\0", 2}, {"aa", 2}, {"b", 1}, {"\xff", 1}};
  const size_t count = sizeof ascending / sizeof *ascending;
  for (size_t i = 0; i < count; i++) {
    for (size_t j = 0; j < count; j++) {
      int order = slice_compare(ascending[i], ascending[j]);
      assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
    }
  }
}

static void test_starts_and_ends(void **state) {
  (void)state;
  assert_true(slice_starts(SLICE("sha256:ab"), SLICE("sha256:")));
  assert_true(slice_starts(SLICE("ab"), SLICE("ab")));
  assert_true(slice_starts(SLICE("ab"), none));
  assert_true(slice_starts(none, none));
  assert_false(slice_starts(SLICE("a"), SLICE("ab")));
  assert_false(slice_starts(SLICE("ba"), SLICE("a")));
  assert_true(slice_ends(SLICE("a.torrent"), SLICE(".torrent")));
  assert_true(slice_ends(SLICE("ab"), SLICE("ab")));
  assert_true(slice_ends(SLICE("ab"), none));
  assert_false(slice_ends(SLICE("b"), SLICE("ab")));
  assert_false(slice_ends(SLICE("ab"), SLICE("a")));
}

static void test_from(void **state) {
  (void)state;
  assert_true(slice_equal(slice_from(SLICE("abc"), 0), SLICE("abc")));
  assert_true(slice_equal(slice_from(SLICE("abc"), 2), SLICE("c")));
  assert_int_equal(slice_from(SLICE("abc"), 3).len, 0);
  assert_int_equal(slice_from(SLICE("abc"), SIZE_MAX).len, 0);
  assert_int_equal(slice_from(none, 1).len, 0);
}

static void test_trim(void **state) {
  (void)state;
  assert_true(slice_equal(slice_trim(SLICE(" \t a b\t ")), SLICE("a b")));
  assert_true(slice_equal(slice_trim(SLICE("ab")), SLICE("ab")));
  assert_int_equal(slice_trim(SLICE(" \t ")).len, 0);
  assert_int_equal(slice_trim(none).len, 0);
  assert_true(slice_equal(slice_trim(SLICE("\na\r")), SLICE("\na\r")));
}

static void test_cut(void **state) {
  (void)state;
  static const struct {
    const char *text;
    const char *parts[4]; /* NULL after the last */
  } cases[] = {
      {"a,bc,d", {"a", "bc", "d", NULL}},
      {"a", {"a", NULL}},
      {"a,", {"a", "", NULL}},
      {",a", {"", "a", NULL}},
      {",,", {"", "", "", NULL}},
      {"", {"", NULL}},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct slice rest = slice_str(cases[i].text);
    size_t n = 0;
    while (rest.ptr != NULL) {
      assert_non_null(cases[i].parts[n]);
      assert_true(slice_equal(slice_cut(&rest, ','), slice_str(cases[i].parts[n])));
      n++;
    }
    assert_null(cases[i].parts[n]);
  }
}

static void test_u64(void **state) {
  (void)state;
  uint64_t n = 77;
  static const char *const refused[] = {"",    " ",
                                        "-0",  "-1",
                                        "+1",  " 1",
                                        "1 ",  "1a",
                                        "0x1", "18446744073709551616",
                                        "1.",  "/",
                                        ":",   "184467440737095516150"};
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
    assert_false(slice_u64(slice_str(refused[i]), &n));
  }
  assert_false(slice_u64(SLICE("1\0"), &n));
  assert_false(slice_u64(none, &n));
  assert_int_equal(n, 77);
  assert_true(slice_u64(SLICE("0"), &n) && n == 0);
  assert_true(slice_u64(SLICE("007"), &n) && n == 7);
  assert_true(slice_u64(SLICE("18446744073709551615"), &n) && n == UINT64_MAX);
}

static void test_control(void **state) {
  (void)state;
  static const struct {
    struct slice text;
    size_t control;
  } rows[] = {
      {{"", 0}, 0},         {{"\0", 1}, 1},        {{"\x1f", 1}, 1},     {{" ", 1}, 0},
      {{"~", 1}, 0},        {{"\x7f", 1}, 1},      {{"\x1b[", 2}, 1},    {{"a\n", 2}, 0},
      {{"\xc2\x80", 2}, 2}, {{"\xc2\x9b[", 3}, 2}, {{"\xc2\x9f", 2}, 2}, {{"\xc2\xa0", 2}, 0},
      {{"\xc2\x9b", 1}, 0}, {{"\xc3\x9b", 2}, 0},  {{"\x9b", 1}, 0},     {{"\xff", 1}, 0},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    assert_int_equal(slice_control(rows[i].text), rows[i].control);
  }
}

static void test_utf8(void **state) {
  (void)state;
  static const struct slice good[] = {{NULL, 0},
                                      {"a\0\x7f", 3},
                                      {"\xc2\x80", 2},
                                      {"\xdf\xbf", 2},
                                      {"\xe0\xa0\x80", 3},
                                      {"\xed\x9f\xbf", 3},
                                      {"\xee\x80\x80", 3},
                                      {"\xef\xbf\xbf", 3},
                                      {"\xf0\x90\x80\x80", 4},
                                      {"\xf4\x8f\xbf\xbf", 4},
                                      {"\xc3\xa4z\xe2\x82\xac", 6}};
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    assert_true(slice_utf8(good[i]));
  }
  static const char *const bad[] = {"\x80", /* one that continues nothing */
                                    "\xbf",
                                    "\xc2",
                                    "\xe2\x82",
                                    "\xf0\x90\x80", /* cut */
                                    "\xc2z",
                                    "\xe2\x82z",
                                    "\xe2z\x82",
                                    "\xc2\xc2",
                                    "\xc0\x80",
                                    "\xc1\xbf",
                                    "\xe0\x9f\xbf",
                                    "\xf0\x8f\xbf\xbf", /* too long */
                                    "\xed\xa0\x80",
                                    "\xed\xbf\xbf", /* surrogates */
                                    "\xf4\x90\x80\x80",
                                    "\xf5\x80\x80\x80", /* beyond U+10FFFF */
                                    "\xf8\x88\x80\x80\x80",
                                    "\xfe",
                                    "\xff",
                                    "a\xff"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    assert_false(slice_utf8(slice_str(bad[i])));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_make),
      cmocka_unit_test(test_equal),
      cmocka_unit_test(test_equal_nocase),
      cmocka_unit_test(test_compare),
      cmocka_unit_test(test_starts_and_ends),
      cmocka_unit_test(test_from),
      cmocka_unit_test(test_trim),
      cmocka_unit_test(test_cut),
      cmocka_unit_test(test_control),
      cmocka_unit_test(test_utf8),
      cmocka_unit_test(test_u64),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
