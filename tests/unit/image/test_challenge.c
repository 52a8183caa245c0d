#include "image/challenge.h"

#include "unit/cmocka_all.h"

static void is(struct slice s, const char *expected) {
  assert_true(slice_equal(s, slice_str(expected)));
  assert_true((s.ptr == NULL) == (expected == NULL));
}

/** Reads the \p index-th challenge of a field; false when there is none. */
static bool nth(const char *field, int index, struct arena *arena, struct challenge *out) {
  struct slice rest = slice_str(field);
  bool there = false;
  for (int i = 0; i <= index; i++) {
    there = challenge_next(&rest, arena, out);
  }
  return there;
}

static void bearer(void **state) {
  (void)state;
  struct arena arena = {0};
  struct challenge c;
  assert_true(nth("Bearer realm=\"https://auth.example/token?a=b,c\",service=\"reg.example\","
                  "scope=\"repository:a/b:pull,push\",error=\"insufficient_scope\"",
                  0, &arena, &c));
  assert_int_equal(c.scheme, CHALLENGE_BEARER);
  is(c.realm, "https://auth.example/token?a=b,c");
  is(c.service, "reg.example");
  is(c.scope, "repository:a/b:pull,push");
  is(c.error, "insufficient_scope");
  arena_free(&arena);
}

static void spellings(void **state) {
  (void)state;
  static const char *const fields[] = {
      "BEARER REALM=x",          "bearer  realm = \"x\"",
      ", ,Bearer realm=x , ",    "Bearer charset=\"a\\\"b\", realm=\"\\x\"",
      "Bearer realm=x, realm=y", "Bearer realm=\"x\",Basic realm=\"y\"",
  };
  for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
    struct arena arena = {0};
    struct challenge c;
    assert_true(nth(fields[i], 0, &arena, &c));
    assert_int_equal(c.scheme, CHALLENGE_BEARER);
    is(c.realm, "x");
    is(c.service, NULL);
    arena_free(&arena);
  }
}

static void several(void **state) {
  (void)state;
  static const char field[] = "Negotiate, NTLM abc/+==, Digest realm=\"a, Bearer realm=b\", qop=x, "
                              "Basic realm=\"\", Bearer realm=\"r\\\\\\\"\"";
  struct arena arena = {0};
  struct challenge c;
  for (int i = 0; i < 3; i++) {
    assert_true(nth(field, i, &arena, &c));
    assert_int_equal(c.scheme, CHALLENGE_OTHER);
  }
  is(c.realm, "a, Bearer realm=b");
  assert_true(nth(field, 3, &arena, &c));
  assert_int_equal(c.scheme, CHALLENGE_BASIC);
  is(c.realm, "");
  assert_true(nth(field, 4, &arena, &c));
  assert_int_equal(c.scheme, CHALLENGE_BEARER);
  is(c.realm, "r\\\"");
  assert_false(nth(field, 5, &arena, &c));
  arena_free(&arena);
}

static void bad(void **state) {
  (void)state;
  static const char *const fields[] = {
      "",
      " , ",
      "\"Bearer\" realm=x",
      "Bearer realm=\"x",
      "=",
      "Bearer realm=\"x\\",
      "Bearer realm=\"x\\\"",
      "Bearer realm=\"x\"y",
      "Bearer realm=\"x\" service=\"y\"",
      "Bearer realm=[x]",
  };
  for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
    struct arena arena = {0};
    struct challenge c;
    assert_false(nth(fields[i], 0, &arena, &c));
    arena_free(&arena);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(bearer),
      cmocka_unit_test(spellings),
      cmocka_unit_test(several),
      cmocka_unit_test(bad),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
