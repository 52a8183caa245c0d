#include "bencode/reader.h"

#include "unit/cmocka_all.h"

#include <stdlib.h>

/* Walks all of `input`: a letter a token, `!` for a fault. */
static const char *shape(struct slice input, char *out, size_t cap) {
  static const char letters[] = {'!', 'i', 's', 'l', 'd', 'e', '.'};
  struct bencode_reader r = bencode_reader(input);
  size_t n = 0;
  for (;;) {
    struct bencode_token t = bencode_next(&r);
    assert_true(n + 1 < cap);
    out[n++] = letters[t.type];
    if (t.type == BENCODE_DONE || t.type == BENCODE_ERROR) {
      out[n] = '\0';
      return out;
    }
  }
}

static void test_shapes(void **state) {
  (void)state;
  static const struct {
    const char *input, *shape;
  } cases[] = {
      {"i0e", "i."},
      {"i-1e", "i."},
      {"0:", "s."},
      {"3:abc", "s."},
      {"le", "le."},
      {"de", "de."},
      {"li1e1:ae", "lise."},
      {"d0:i1e1:ai2ee", "dsisie."},
      {"d1:ad1:bleee", "dsdsleee."},
      {"ld1:ai1eed1:ai1eee", "ldsiedsiee."},
  };
  char out[64];
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    assert_string_equal(shape(slice_str(cases[i].input), out, sizeof out), cases[i].shape);
  }
}

static void test_refused(void **state) {
  (void)state;
  static const char *const inputs[] = {
      "",
      "e",
      "x",
      "-1:a",
      " i1e",
      /* integers */
      "i",
      "ie",
      "i-e",
      "i-0e",
      "i01e",
      "i-01e",
      "i+1e",
      "i 1e",
      "i1",
      "i1.0e",
      "i9223372036854775808e",
      "i-9223372036854775809e",
      "i99999999999999999999999999e",
      /* strings */
      "1:",
      "3:ab",
      "03:abc",
      "00:",
      "3",
      "3abc",
      ":",
      "18446744073709551615:a",
      "18446744073709551616:a",
      "9223372036854775807:a",
      /* containers */
      "l",
      "d",
      "li1e",
      "d1:a",
      "d1:ae",
      "di1ei1ee",
      "dlelee",
      "d1:ai1e1:ai2ee",
      "d1:bi1e1:ai2ee",
      "d2:aai1e1:ai2ee",
      "d0:i1e0:i2ee",
      /* more than one value */
      "i1ei2e",
      "lee",
      "i1e ",
      "de\n",
  };
  char out[64];
  for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
    const char *got = shape(slice_str(inputs[i]), out, sizeof out);
    if (got[strlen(got) - 1] != '!') {
      fail_msg("%s was read as %s", inputs[i], got);
    }
  }
}

/* Whatever a good input is cut to, the cut is a fault and no read goes beyond it. */
static void test_cuts(void **state) {
  (void)state;
  static const char whole[] = "d1:ai-12e2:bbl3:xyzdeee";
  char out[64];
  for (size_t len = 0; len < sizeof whole - 1; len++) {
    char *exact = malloc(len + 1);
    assert_non_null(exact);
    memcpy(exact, whole, len);
    const char *got = shape(slice_of(exact, len), out, sizeof out);
    assert_int_equal(got[strlen(got) - 1], '!');
    free(exact);
  }
  assert_string_equal(shape(SLICE(whole), out, sizeof out), "dsislsdeee.");
}

static void test_values(void **state) {
  (void)state;
  struct bencode_reader r =
      bencode_reader(SLICE("li9223372036854775807ei-9223372036854775808e4:a\0bce"));
  assert_int_equal(bencode_next(&r).type, BENCODE_LIST);
  struct bencode_token t = bencode_next(&r);
  assert_true(t.integer == INT64_MAX);
  assert_int_equal(t.offset, 1);
  t = bencode_next(&r);
  assert_true(t.integer == INT64_MIN);
  t = bencode_next(&r);
  assert_true(slice_equal(t.string, SLICE("a\0bc")));
  assert_int_equal(bencode_next(&r).type, BENCODE_END);
  assert_int_equal(bencode_next(&r).type, BENCODE_DONE);
  assert_int_equal(bencode_next(&r).type, BENCODE_DONE);
}

static void test_fault_sticks(void **state) {
  (void)state;
  struct bencode_reader r = bencode_reader(SLICE("li1e1:"));
  assert_int_equal(bencode_next(&r).type, BENCODE_LIST);
  assert_int_equal(bencode_next(&r).type, BENCODE_INTEGER);
  assert_null(r.fault);
  for (int i = 0; i < 3; i++) {
    assert_int_equal(bencode_next(&r).type, BENCODE_ERROR);
    assert_non_null(r.fault);
    assert_false(bencode_skip(&r, NULL));
  }
}

static void test_depth(void **state) {
  (void)state;
  char deep[2 * (BENCODE_DEPTH_MAX + 1)];
  char out[sizeof deep + 2];
  for (size_t depth = BENCODE_DEPTH_MAX; depth <= BENCODE_DEPTH_MAX + 1; depth++) {
    memset(deep, 'l', depth);
    memset(deep + depth, 'e', depth);
    const char *got = shape(slice_of(deep, 2 * depth), out, sizeof out);
    assert_int_equal(got[strlen(got) - 1], depth > BENCODE_DEPTH_MAX ? '!' : '.');
  }
  memset(deep, 'd', sizeof deep);
  assert_string_equal(shape(slice_of(deep, sizeof deep), out, sizeof out), "d!");
}

static void test_skip(void **state) {
  (void)state;
  struct bencode_reader r = bencode_reader(SLICE("d1:ad1:bli1eee1:c3:xyze"));
  struct slice raw;
  bencode_next(&r);
  assert_true(slice_equal(bencode_next(&r).string, SLICE("a")));
  assert_true(bencode_skip(&r, &raw));
  assert_true(slice_equal(raw, SLICE("d1:bli1eee")));
  assert_true(slice_equal(bencode_next(&r).string, SLICE("c")));
  assert_true(bencode_skip(&r, &raw));
  assert_true(slice_equal(raw, SLICE("3:xyz")));
  assert_int_equal(bencode_next(&r).type, BENCODE_END);
  assert_int_equal(bencode_next(&r).type, BENCODE_DONE);

  r = bencode_reader(SLICE("li1ee"));
  assert_true(bencode_skip(&r, &raw));
  assert_true(slice_equal(raw, SLICE("li1ee")));
  assert_int_equal(bencode_next(&r).type, BENCODE_DONE);
}

static void test_skip_of_nothing(void **state) {
  (void)state;
  struct bencode_reader r = bencode_reader(SLICE("le"));
  bencode_next(&r);
  assert_false(bencode_skip(&r, NULL));
  assert_string_equal(r.fault, "no value here");

  r = bencode_reader(SLICE("i1e"));
  assert_true(bencode_skip(&r, NULL));
  assert_false(bencode_skip(&r, NULL));

  r = bencode_reader(SLICE("d1:ae"));
  bencode_next(&r);
  bencode_next(&r);
  assert_false(bencode_skip(&r, NULL));
  assert_string_equal(r.fault, "a key without a value");

  r = bencode_reader(SLICE("ll"));
  assert_false(bencode_skip(&r, NULL));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_shapes), cmocka_unit_test(test_refused),
      cmocka_unit_test(test_cuts),   cmocka_unit_test(test_values),
      cmocka_unit_test(test_depth),  cmocka_unit_test(test_fault_sticks),
      cmocka_unit_test(test_skip),   cmocka_unit_test(test_skip_of_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
