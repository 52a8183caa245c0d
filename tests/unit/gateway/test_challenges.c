#include "gateway/challenges.h"

#include "unit/cmocka_all.h"

#include <stdio.h>

static void assert_slice(struct slice s, const char *text) {
  if (!slice_equal(s, slice_str(text)) || (s.ptr == NULL) != (text == NULL)) {
    fail_msg("'%.*s' is not '%s'", SLICE_ARG(s), text == NULL ? "(none)" : text);
  }
}

static void narrows(void **state) {
#define MORE ",scope=\"repository:team/app:pull\",error=\"insufficient_scope\""
  static const struct {
    const char *challenge, *narrowed;
  } rows[] = {
      {"Bearer realm=\"https://a/t\",service=\"r\",scope=\"repository:team/app:pull\"",
       "Bearer realm=\"https://a/t\",service=\"r\"" MORE},
      {"Bearer realm=\"https://a/t\"", "Bearer realm=\"https://a/t\"" MORE},
      {"bearer service=r, realm=x, scope=y, error=z", "Bearer realm=\"x\",service=\"r\"" MORE},
      {"Basic realm=\"b\", Bearer realm=\"x\"", "Bearer realm=\"x\"" MORE},
      {"Bearer realm=\"\", Bearer realm=\"x\"", "Bearer realm=\"x\"" MORE},
      {"Bearer realm=\"a\\\"b\\\\c\",service=\"\"",
       "Bearer realm=\"a\\\"b\\\\c\",service=\"\"" MORE},
      {"Basic realm=\"b\"", NULL},
      {"Bearer service=\"r\"", NULL},
      {"Bearer realm=\"x", NULL},
      {"", NULL},
  };
  struct arena arena = {0};
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    assert_slice(challenges_narrow(slice_str(rows[i].challenge), SLICE("team/app"), &arena),
                 rows[i].narrowed);
  }
  arena_free(&arena);
}

static void keeps_a_challenge_for_a_minute(void **state) {
  struct challenges *c = challenges_new();
  (void)state;
  assert_non_null(c);
  assert_slice(challenges_find(c, SLICE("a"), 0), NULL);
  challenges_keep(c, SLICE("a"), SLICE("Basic realm=\"1\""), 1000);
  assert_slice(challenges_find(c, SLICE("a"), 1000), "Basic realm=\"1\"");
  assert_slice(challenges_find(c, SLICE("a"), 60999), "Basic realm=\"1\"");
  assert_slice(challenges_find(c, SLICE("a"), 61000), NULL);
  assert_slice(challenges_find(c, SLICE("b"), 1000), NULL);
  assert_int_equal(CHALLENGES_KEEP_MS, 60000);

  challenges_keep(c, SLICE("a"), SLICE("Basic realm=\"2\""), 2000);
  assert_slice(challenges_find(c, SLICE("a"), 61000), "Basic realm=\"2\"");
  challenges_keep(c, SLICE("a"), slice_of(NULL, 0), 2000); /* a 401 that says nothing */
  assert_slice(challenges_find(c, SLICE("a"), 2000), "");
  challenges_free(c);
  challenges_free(NULL);
}

static void is_bounded(void **state) {
  struct challenges *c = challenges_new();
  char name[16];
  static char long_one[CHALLENGES_BYTES_MAX + 1];
  (void)state;
  assert_non_null(c);
  for (unsigned i = 0; i <= CHALLENGES_MAX; i++) {
    snprintf(name, sizeof name, "r%u", i);
    challenges_keep(c, slice_str(name), SLICE("Basic"), 0);
  }
  assert_slice(challenges_find(c, SLICE("r0"), 0), NULL);
  assert_slice(challenges_find(c, SLICE("r1"), 0), "Basic");
  assert_slice(challenges_find(c, slice_str(name), 0), "Basic");

  memset(long_one, 'x', sizeof long_one);
  challenges_keep(c, SLICE("long"), slice_of(long_one, sizeof long_one), 0);
  assert_slice(challenges_find(c, SLICE("long"), 0), NULL);
  challenges_keep(c, SLICE("long"), slice_of(long_one, sizeof long_one - 1), 0);
  assert_int_equal(challenges_find(c, SLICE("long"), 0).len, CHALLENGES_BYTES_MAX);
  challenges_free(c);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(narrows),
      cmocka_unit_test(keeps_a_challenge_for_a_minute),
      cmocka_unit_test(is_bounded),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
