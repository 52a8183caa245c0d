#include "http/query.h"

#include "unit/cmocka_all.h"

static void test_pairs(void **state) {
  (void)state;
  struct slice rest = SLICE("&a=1&&b&=c&d=e=f&a=");
  static const struct {
    const char *name, *value;
  } expected[] = {{"a", "1"}, {"b", NULL}, {"", "c"}, {"d", "e=f"}, {"a", ""}};
  struct slice name;
  struct slice value;
  for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
    assert_true(query_next(&rest, &name, &value));
    assert_true(slice_equal(name, slice_str(expected[i].name)));
    assert_true(slice_equal(value, slice_str(expected[i].value)));
    assert_int_equal(value.ptr == NULL, expected[i].value == NULL);
  }
  assert_false(query_next(&rest, &name, &value));
  assert_false(query_next(&rest, &name, &value));
  rest = SLICE("");
  assert_false(query_next(&rest, &name, &value));
  rest = (struct slice){NULL, 0};
  assert_false(query_next(&rest, &name, &value));
}

static void test_decode(void **state) {
  (void)state;
  char out[16];
  size_t len = 0;
  assert_true(query_decode(SLICE("a%20b+%fF%00%2B"), out, sizeof out, &len));
  assert_true(slice_equal(slice_of(out, len), SLICE("a b+\xff\0+")));
  assert_true(query_decode(SLICE(""), out, 0, &len));
  assert_int_equal(len, 0);

  static const char *const wrong[] = {"%", "a%", "%1", "%g0", "%0g", "%%30", "a%2", "% 1"};
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    assert_false(query_decode(slice_str(wrong[i]), out, sizeof out, &len));
  }

  /* Room counts what is decoded. */
  assert_true(query_decode(SLICE("%41%42"), out, 2, &len));
  assert_false(query_decode(SLICE("%41%42c"), out, 2, &len));

  char same[] = "%41b%43";
  assert_true(query_decode(slice_str(same), same, sizeof same, &len));
  assert_true(slice_equal(slice_of(same, len), SLICE("AbC")));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_pairs), cmocka_unit_test(test_decode)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
