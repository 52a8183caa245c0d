#include "http/range.h"

#include "unit/cmocka_all.h"

static void test_ranges(void **state) {
  (void)state;
  static const struct {
    const char *field;
    uint64_t size;
    struct range expected;
  } cases[] = {
      {NULL, 10, {RANGE_WHOLE, 0, 10}},
      {"", 10, {RANGE_WHOLE, 0, 10}},
      {"bytes=0-0", 10, {RANGE_PART, 0, 1}},
      {"bytes=0-9", 10, {RANGE_PART, 0, 10}},
      {"bytes=9-9", 10, {RANGE_PART, 9, 1}},
      {"bytes=9-10", 10, {RANGE_PART, 9, 1}},
      {"bytes=3-", 10, {RANGE_PART, 3, 7}},
      {"bytes=0-", 10, {RANGE_PART, 0, 10}},
      {"bytes=-1", 10, {RANGE_PART, 9, 1}},
      {"bytes=-10", 10, {RANGE_PART, 0, 10}},
      {"bytes=-11", 10, {RANGE_PART, 0, 10}},
      {"BYTES=1-2", 10, {RANGE_PART, 1, 2}},
      {" bytes= 1-2 ", 10, {RANGE_PART, 1, 2}},
      {"bytes=00000000000000000000000001-2", 10, {RANGE_PART, 1, 2}},
      {"bytes=0-18446744073709551615", 10, {RANGE_PART, 0, 10}},
      {"bytes=1-99999999999999999999999999", 10, {RANGE_PART, 1, 9}},
      {"bytes=-99999999999999999999999999", 10, {RANGE_PART, 0, 10}},
      {"bytes=0-", UINT64_MAX, {RANGE_PART, 0, UINT64_MAX}},
      {"bytes=-1", UINT64_MAX, {RANGE_PART, UINT64_MAX - 1, 1}},
      {"bytes=10-", 10, {RANGE_UNSATISFIABLE, 0, 0}},
      {"bytes=10-11", 10, {RANGE_UNSATISFIABLE, 0, 0}},
      {"bytes=99999999999999999999999999-", 10, {RANGE_UNSATISFIABLE, 0, 0}},
      {"bytes=-0", 10, {RANGE_UNSATISFIABLE, 0, 0}},
      {"bytes=0-", 0, {RANGE_UNSATISFIABLE, 0, 0}},
      {"bytes=-1", 0, {RANGE_UNSATISFIABLE, 0, 0}},
      {"bytes=0-0,2-3", 10, {RANGE_WHOLE, 0, 10}},
      {"bytes=0-0,", 10, {RANGE_WHOLE, 0, 10}},
      {"bytes=2-1", 10, {RANGE_WHOLE, 0, 10}},
      {"bytes=-", 10, {RANGE_WHOLE, 0, 10}},
      {"bytes=", 10, {RANGE_WHOLE, 0, 10}},
      {"bytes", 10, {RANGE_WHOLE, 0, 10}},
      {"bytes=5", 10, {RANGE_WHOLE, 0, 10}},
      {"bytes=--5", 10, {RANGE_WHOLE, 0, 10}},
      {"bytes=1--5", 10, {RANGE_WHOLE, 0, 10}},
      {"bytes=+1-5", 10, {RANGE_WHOLE, 0, 10}},
      {"bytes=1 -5", 10, {RANGE_WHOLE, 0, 10}},
      {"bytes=a-b", 10, {RANGE_WHOLE, 0, 10}},
      {"items=0-1", 10, {RANGE_WHOLE, 0, 10}},
      {"bytes:0-1", 10, {RANGE_WHOLE, 0, 10}},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    struct range r = range_parse(slice_str(cases[i].field), cases[i].size);
    const struct range *expected = &cases[i].expected;
    if (r.kind != expected->kind || r.offset != expected->offset || r.length != expected->length) {
      fail_msg("`%s`: kind %d, %llu bytes at %llu", cases[i].field, (int)r.kind,
               (unsigned long long)r.length, (unsigned long long)r.offset);
    }
  }
}

static void test_content(void **state) {
  (void)state;
  char text[RANGE_CONTENT_MAX];
  struct range r = {RANGE_PART, 3, 7};
  assert_true(slice_equal(range_content(&r, 10, text), SLICE("bytes 3-9/10")));
  r = (struct range){RANGE_PART, UINT64_MAX - 1, 1};
  assert_true(
      slice_equal(range_content(&r, UINT64_MAX, text),
                  SLICE("bytes 18446744073709551614-18446744073709551614/18446744073709551615")));
  r = (struct range){.kind = RANGE_UNSATISFIABLE};
  assert_true(slice_equal(range_content(&r, 10, text), SLICE("bytes */10")));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_ranges), cmocka_unit_test(test_content)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
