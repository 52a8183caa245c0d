#include "base/buf.h"

#include "unit/cmocka_all.h"

static void test_append(void **state) {
  (void)state;
  struct buf b = {0};
  buf_append(&b, "ab", 2);
  buf_append(&b, NULL, 0);
  buf_slice(&b, SLICE("c\0d"));
  buf_slice(&b, (struct slice){NULL, 0});
  buf_str(&b, "ef");
  buf_printf(&b, "%d%s", 12, "");
  assert_false(b.failed);
  assert_true(slice_equal(buf_view(&b), SLICE("abc\0def12")));
  buf_free(&b);
  assert_null(b.ptr);
  assert_int_equal(b.len, 0);
}

static void test_growth(void **state) {
  (void)state;
  struct buf b = {0};
  for (unsigned i = 0; i < 100000; i++) {
    buf_append(&b, &(char){(char)(i % 251)}, 1);
  }
  assert_int_equal(b.len, 100000);
  assert_false(b.failed);
  for (unsigned i = 0; i < 100000; i++) {
    assert_int_equal(b.ptr[i], (char)(i % 251));
  }
  buf_free(&b);
}

static void test_reserve(void **state) {
  (void)state;
  struct buf b = {0};
  char *at = buf_reserve(&b, 1000);
  assert_non_null(at);
  assert_int_equal(b.len, 0);
  memset(at, 'x', 1000);
  b.len += 1000;
  at = buf_reserve(&b, 5000);
  assert_ptr_equal(at, b.ptr + 1000);
  assert_int_equal(b.ptr[999], 'x');
  buf_free(&b);
}

static void test_limit(void **state) {
  (void)state;
  struct buf b = {.limit = 4};
  buf_str(&b, "abcd");
  assert_false(b.failed);
  buf_str(&b, "e");
  assert_true(b.failed);
  /* Sticks, even for what would fit. */
  buf_consume(&b, 4);
  buf_str(&b, "f");
  buf_printf(&b, "g");
  assert_null(buf_reserve(&b, 1));
  assert_int_equal(b.len, 0);
  buf_free(&b);
  assert_false(b.failed);
  assert_int_equal(b.limit, 4);
  buf_str(&b, "abcd");
  assert_false(b.failed);
  buf_free(&b);
}

static void test_overflow(void **state) {
  (void)state;
  struct buf b = {0};
  buf_str(&b, "abc");
  assert_null(buf_reserve(&b, SIZE_MAX));
  assert_true(b.failed);
  assert_int_equal(b.len, 3);
  buf_free(&b);
}

static void test_consume(void **state) {
  (void)state;
  struct buf b = {0};
  buf_str(&b, "abcdef");
  buf_consume(&b, 0);
  assert_int_equal(b.len, 6);
  buf_consume(&b, 2);
  assert_true(slice_equal(buf_view(&b), SLICE("cdef")));
  buf_consume(&b, 4);
  assert_int_equal(b.len, 0);
  buf_str(&b, "gh");
  buf_consume(&b, 3);
  assert_int_equal(b.len, 0);
  buf_free(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_append),   cmocka_unit_test(test_growth),
      cmocka_unit_test(test_reserve),  cmocka_unit_test(test_limit),
      cmocka_unit_test(test_overflow), cmocka_unit_test(test_consume),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
