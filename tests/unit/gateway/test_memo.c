#include "gateway/memo.h"

#include "support/heap.h"
#include "unit/cmocka_all.h"

#include <stdio.h>

static struct memo_key about(struct memo *m, const char *a, const char *b) {
  const struct slice parts[] = {slice_str(a), slice_str(b)};
  struct memo_key key;
  memo_about(m, parts, 2, &key);
  return key;
}

static void remembers_for_a_while(void **state) {
  (void)state;
  struct memo *m = memo_new(8, NULL);
  struct memo_key key = about(m, "alice", "secret");
  uint64_t value = 0;
  assert_non_null(m);
  assert_false(memo_find(m, &key, 1000, &value));
  memo_keep(m, &key, 1060, 7);
  assert_true(memo_find(m, &key, 1059, &value));
  assert_int_equal(value, 7);
  assert_false(memo_find(m, &key, 1060, &value));
  memo_keep(m, &key, 2000, 8);
  assert_true(memo_find(m, &key, 1999, &value));
  assert_int_equal(value, 8);
  assert_int_equal(memo_count(m), 1);
  memo_forget(m, &key);
  memo_forget(m, &key);
  assert_false(memo_find(m, &key, 1000, &value));
  assert_int_equal(memo_count(m), 0);
  memo_free(m);
}

static void tells_parts_apart(void **state) {
  (void)state;
  struct memo *m = memo_new(8, NULL);
  struct memo_key key = about(m, "alice", "secret");
  uint64_t value;
  memo_keep(m, &key, 100, 0);
  key = about(m, "alices", "ecret");
  assert_false(memo_find(m, &key, 0, &value));
  key = about(m, "", "alicesecret");
  assert_false(memo_find(m, &key, 0, &value));
  key = about(m, "alice", "secret");
  assert_true(memo_find(m, &key, 0, &value));
  memo_free(m);
}

/* The key is the process's: nothing tells what was hashed. */
static void has_a_key_of_its_own(void **state) {
  (void)state;
  struct memo *a = memo_new(2, NULL), *b = memo_new(2, NULL);
  struct memo_key one = about(a, "alice", "secret"), two = about(b, "alice", "secret");
  assert_memory_not_equal(one.hash, two.hash, MEMO_HASH);
  memo_free(a);
  memo_free(b);
}

static void first_one_in_goes(void **state) {
  (void)state;
  enum { MAX = 4 };
  struct memo *m = memo_new(MAX, NULL);
  char name[8];
  uint64_t value = 0;
  for (unsigned i = 0; i < 100; i++) {
    snprintf(name, sizeof name, "%u", i);
    struct memo_key key = about(m, name, "");
    memo_keep(m, &key, 1000, i);
    for (unsigned k = 0; k <= i; k++) {
      snprintf(name, sizeof name, "%u", k);
      key = about(m, name, "");
      assert_int_equal(memo_find(m, &key, 0, &value), k + MAX > i);
    }
    assert_int_equal(memo_count(m), i + 1 < MAX ? i + 1 : MAX);
  }
  memo_free(m);
}

/* One that is kept anew is the newest. */
static void kept_anew_stays(void **state) {
  (void)state;
  struct memo *m = memo_new(2, NULL);
  struct memo_key a = about(m, "a", ""), b = about(m, "b", ""), c = about(m, "c", "");
  uint64_t value;
  memo_keep(m, &a, 100, 1);
  memo_keep(m, &b, 100, 2);
  memo_keep(m, &a, 100, 3);
  memo_keep(m, &c, 100, 4);
  assert_true(memo_find(m, &a, 0, &value));
  assert_int_equal(value, 3);
  assert_false(memo_find(m, &b, 0, &value));
  assert_true(memo_find(m, &c, 0, &value));
  memo_free(m);
}

static void flushing_forgets_what_is_asked_now(void **state) {
  (void)state;
  struct memo *m = memo_new(8, NULL);
  struct memo_key kept = about(m, "a", ""), late = about(m, "b", "");
  uint64_t value;
  memo_keep(m, &kept, 100, 0);
  memo_flush(m);
  memo_keep(m, &late, 100, 0);
  assert_int_equal(memo_count(m), 0);
  kept = about(m, "a", "");
  late = about(m, "b", "");
  assert_false(memo_find(m, &kept, 0, &value));
  assert_false(memo_find(m, &late, 0, &value));
  memo_keep(m, &late, 100, 0);
  assert_true(memo_find(m, &late, 0, &value));
  memo_free(m);
}

static int make(void *arg, struct error *e) {
  (void)arg;
  struct memo *m = memo_new(8, e);
  if (m == NULL) {
    return -1;
  }
  memo_free(m);
  return 0;
}

/* A key that could not be made is never found, and keeps nothing. */
static int ask(void *arg, struct error *e) {
  struct memo *m = arg;
  uint64_t value;
  struct memo_key key = about(m, "alice", "secret");
  memo_keep(m, &key, 100, 0);
  bool found = memo_find(m, &key, 0, &value);
  assert_int_equal(found, key.generation != 0);
  memo_forget(m, &key);
  return found ? 0 : error_set(e, ERROR_FAILED, "not remembered");
}

static void memory_runs_out(void **state) {
  (void)state;
  heap_exhaust(make, NULL);
  struct memo *m = memo_new(8, NULL);
  heap_exhaust_openssl(make, NULL);
  heap_exhaust_openssl(ask, m);
  memo_free(m);
}

int main(void) {
  heap_watch_openssl();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(remembers_for_a_while), cmocka_unit_test(tells_parts_apart),
      cmocka_unit_test(has_a_key_of_its_own),  cmocka_unit_test(first_one_in_goes),
      cmocka_unit_test(kept_anew_stays),       cmocka_unit_test(flushing_forgets_what_is_asked_now),
      cmocka_unit_test(memory_runs_out),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
