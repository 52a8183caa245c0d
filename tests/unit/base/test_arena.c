#include "base/arena.h"

#include "unit/cmocka_all.h"

#include <stdalign.h>

static void test_alloc(void **state) {
  (void)state;
  struct arena a = {0};
  static const size_t sizes[] = {0, 1, 7, 8, 15, 16, 17, 1000, 4095, 4096, 4097, 100000, 3};
  unsigned char *last = NULL;
  for (size_t round = 0; round < 20; round++) {
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
      unsigned char *p = arena_alloc(&a, sizes[i]);
      assert_non_null(p);
      assert_int_equal((uintptr_t)p % alignof(max_align_t), 0);
      for (size_t n = 0; n < sizes[i]; n++) {
        assert_int_equal(p[n], 0);
      }
      memset(p, 0xee, sizes[i]);
      assert_true(last == NULL || *last == 0xee); /* the one before it is untouched */
      last = sizes[i] == 0 ? last : p;
    }
  }
  arena_free(&a);
  assert_null(a.blocks);
}

static void test_too_large(void **state) {
  (void)state;
  struct arena a = {0};
  assert_null(arena_alloc(&a, SIZE_MAX));
  assert_null(arena_alloc(&a, SIZE_MAX - 16));
  assert_non_null(arena_alloc(&a, 1));
  arena_free(&a);
}

static void test_copy(void **state) {
  (void)state;
  struct arena a = {0};
  assert_string_equal(arena_copy(&a, SLICE("copy")), "copy");
  assert_string_equal(arena_copy(&a, (struct slice){NULL, 0}), "");
  const char *p = arena_copy(&a, SLICE("a\0b"));
  assert_memory_equal(p, "a\0b", 4);
  arena_free(&a);
}

static void test_printf(void **state) {
  (void)state;
  struct arena a = {0};
  struct slice s = arena_printf(&a, "%s-%d", "x", 42);
  assert_true(slice_equal(s, SLICE("x-42")));
  assert_int_equal(s.ptr[s.len], '\0');
  s = arena_printf(&a, "%*s", 10000, "");
  assert_int_equal(s.len, 10000);
  arena_free(&a);
}

/* What was used before comes zeroed, and one block is taken up again. */
static void test_reset(void **state) {
  (void)state;
  struct arena a = {0};
  arena_reset(&a);
  unsigned char *first = arena_alloc(&a, 64);
  assert_non_null(first);
  memset(first, 0xee, 64);
  arena_reset(&a);
  unsigned char *again = arena_alloc(&a, 64);
  assert_ptr_equal(again, first);
  assert_int_equal(again[0], 0);
  assert_int_equal(again[63], 0);

  /* A large block is not kept, and neither are several. */
  assert_non_null(arena_alloc(&a, 100000));
  arena_reset(&a);
  assert_null(a.blocks);
  for (int i = 0; i < 10; i++) {
    assert_non_null(arena_alloc(&a, 3000));
  }
  arena_reset(&a);
  assert_non_null(a.blocks);
  assert_int_equal(a.used, 0);
  arena_free(&a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_alloc),  cmocka_unit_test(test_too_large), cmocka_unit_test(test_copy),
      cmocka_unit_test(test_printf), cmocka_unit_test(test_reset),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
