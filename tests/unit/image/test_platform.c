#include "image/platform.h"

#include "unit/cmocka_all.h"

static uint64_t distance(const char *have, const char *want) {
  struct arena arena = {0};
  struct image_platform a;
  struct image_platform b;
  assert_int_equal(image_platform_parse(have, &arena, &a, NULL), 0);
  assert_int_equal(image_platform_parse(want, &arena, &b, NULL), 0);
  uint64_t d = image_platform_distance(&a, &b);
  arena_free(&arena);
  return d;
}

static void test_parse(void **state) {
  (void)state;
  struct arena arena = {0};
  struct image_platform p;
  assert_int_equal(image_platform_parse("linux/arm/v7", &arena, &p, NULL), 0);
  assert_string_equal(p.os, "linux");
  assert_string_equal(p.architecture, "arm");
  assert_string_equal(p.variant, "v7");
  assert_int_equal(image_platform_parse("linux/x86_64", &arena, &p, NULL), 0);
  assert_string_equal(p.architecture, "amd64");
  assert_null(p.variant);
  static const char *const bad[] = {"",        "linux",     "linux/",          "/amd64",
                                    "linux//", "Linux/X86", "linux/arm/v7/v8", "linux/arm/",
                                    "a b/c"};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    struct error e = {0};
    assert_int_equal(image_platform_parse(bad[i], &arena, &p, &e), -1);
    assert_int_equal(e.kind, ERROR_USAGE);
  }
  arena_free(&arena);
}

static void test_distance(void **state) {
  (void)state;
  static const struct {
    const char *have, *want;
    uint64_t distance;
  } rows[] = {
      {"linux/amd64", "linux/amd64", 0},
      {"linux/amd64/v1", "linux/amd64", 0},
      {"linux/amd64/v2", "linux/amd64", UINT64_MAX},
      {"linux/amd64/v3", "linux/amd64", UINT64_MAX},
      {"linux/amd64", "linux/amd64/v3", 2},
      {"linux/arm64", "linux/arm64/v8", 0},
      {"linux/arm64/v8", "linux/arm64", 0},
      {"linux/arm64/v9", "linux/arm64", UINT64_MAX},
      {"linux/arm", "linux/arm/v7", 0},
      {"linux/arm/v6", "linux/arm", 1},
      {"linux/arm/v7", "linux/arm/v6", UINT64_MAX},
      {"linux/armhf", "linux/arm", 0},
      {"linux/mips/softfloat", "linux/mips/softfloat", 0},
      {"linux/mips/softfloat", "linux/mips", UINT64_MAX},
      {"linux/amd64", "windows/amd64", UINT64_MAX},
      {"linux/amd64", "linux/arm64", UINT64_MAX},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    if (distance(rows[i].have, rows[i].want) != rows[i].distance) {
      fail_msg("%s for %s", rows[i].have, rows[i].want);
    }
  }
}

static void test_here_runs_here(void **state) {
  (void)state;
  struct image_platform here;
  image_platform_here(&here);
  assert_true(image_platform_distance(&here, &here) == 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_parse),
      cmocka_unit_test(test_distance),
      cmocka_unit_test(test_here_runs_here),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
