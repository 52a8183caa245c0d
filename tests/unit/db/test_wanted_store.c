#include "unit/db/steps.h"

#include "db/wanted_store.h"

#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct wanted_record record_of(const char *repository) {
  return (struct wanted_record){.registry = SLICE("registry.example"),
                                .repository = slice_str(repository),
                                .digest = SLICE(DIGEST),
                                .due = 1000};
}

static void put(struct db_txn *txn, const struct wanted_record *record) {
  struct error e = {0};
  if (wanted_store_put(txn, record, &e) != 0) {
    fail_msg("%s", e.text);
  }
}

struct seen {
  const char *repositories[3];
  const struct wanted_record *last;
  size_t count, stop_after;
};

static bool see(void *arg, const struct wanted_record *record) {
  struct seen *s = arg;
  assert_true(slice_equal(record->registry, SLICE("registry.example")));
  assert_true(slice_equal(record->repository, slice_str(s->repositories[s->count])));
  assert_true(slice_equal(record->digest, SLICE(DIGEST)));
  if (s->last != NULL) {
    assert_int_equal(record->due, s->last->due);
    assert_int_equal(record->tries, s->last->tries);
  }
  return ++s->count != s->stop_after;
}

static void put_three(struct db_txn *txn, struct arena *arena) {
  struct wanted_record b = record_of("team/b"), a = record_of("team/a"), c = record_of("team/c");
  (void)arena;
  put(txn, &b);
  put(txn, &a);
  put(txn, &c);
  put(txn, &b); /* once more */
}

static void see_three(struct db_txn *txn, struct arena *arena) {
  struct seen all = {.repositories = {"team/a", "team/b", "team/c"}}, two = all;
  (void)arena;
  two.stop_after = 2;
  assert_int_equal(wanted_store_each(txn, see, &all, NULL), 0);
  assert_int_equal(all.count, 3);
  assert_int_equal(wanted_store_each(txn, see, &two, NULL), 0);
  assert_int_equal(two.count, 2);
}

static void remove_two(struct db_txn *txn, struct arena *arena) {
  struct wanted_record a = record_of("team/a"), c = record_of("team/c"), b = record_of("team/b");
  struct seen one = {.repositories = {"team/b"}, .last = &b};
  (void)arena;
  assert_int_equal(wanted_store_remove(txn, &a, NULL), 0);
  assert_int_equal(wanted_store_remove(txn, &a, NULL), 0);
  assert_int_equal(wanted_store_remove(txn, &c, NULL), 0);
  b.due = 2000;
  b.tries = 255;
  put(txn, &b);
  assert_int_equal(wanted_store_each(txn, see, &one, NULL), 0);
  assert_int_equal(one.count, 1);
}

static void what_is_wanted_is_there_once_until_removed(void **state) {
  struct db *db = must_open(*state);
  write_steps(db, put_three);
  check(db, 1 + 3);
  read_steps(db, see_three);
  write_steps(db, remove_two);
  check(db, 1 + 1);
  db_close(db);
}

static void assert_refused(struct db_txn *txn, const struct wanted_record *record) {
  struct error e = {0};
  assert_int_equal(wanted_store_put(txn, record, &e), -1);
  assert_int_equal(e.kind, ERROR_USAGE);
  assert_int_equal(wanted_store_remove(txn, record, &e), -1);
  assert_int_equal(e.kind, ERROR_USAGE);
}

static void refuse_some(struct db_txn *txn, struct arena *arena) {
  static char text[WANTED_STORE_REPOSITORY_MAX + 1];
  const struct slice long_one = slice_of(text, WANTED_STORE_REPOSITORY_MAX),
                     too_long = slice_of(text, WANTED_STORE_REPOSITORY_MAX + 1),
                     longest_registry = slice_of(text, WANTED_STORE_REGISTRY_MAX);
  struct wanted_record w = record_of("");
  (void)arena;
  memset(text, 't', sizeof text);
  assert_refused(txn, &w);
  w.repository = slice_of("a\0b", 3);
  assert_refused(txn, &w);
  w.repository = too_long;
  assert_refused(txn, &w);
  w.repository = long_one;
  w.registry = (struct slice){0};
  assert_refused(txn, &w);
  w.registry = slice_of(text, WANTED_STORE_REGISTRY_MAX + 1);
  assert_refused(txn, &w);
  w.registry = longest_registry;
  w.digest = SLICE("latest");
  assert_refused(txn, &w);
  w.digest = slice_of(DIGEST, 70);
  assert_refused(txn, &w);
  w.digest = SLICE("sha512:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
  assert_refused(txn, &w);
  w.digest = SLICE(DIGEST);
  put(txn, &w); /* the longest there is */
}

static void what_can_be_no_manifest_is_refused(void **state) {
  struct db *db = must_open(*state);
  write_steps(db, refuse_some);
  check(db, 1 + 1);
  db_close(db);
}

static void put_many(struct db_txn *txn, struct arena *arena) {
  char name[16];
  (void)arena;
  for (int i = 0; i < WANTED_STORE_MAX; i++) {
    snprintf(name, sizeof name, "r%d", i);
    struct wanted_record w = record_of(name);
    put(txn, &w);
  }
}

static void put_beyond(struct db_txn *txn, struct arena *arena) {
  struct wanted_record more = record_of("more"), old = record_of("r7");
  struct error e = {0};
  (void)arena;
  assert_int_equal(wanted_store_put(txn, &more, &e), -1);
  assert_int_equal(e.kind, ERROR_DENIED);
  put(txn, &old);
  assert_int_equal(wanted_store_remove(txn, &old, NULL), 0);
  put(txn, &more);
}

static void their_number_is_bounded(void **state) {
  struct db *db = must_open(*state);
  write_steps(db, put_many);
  write_steps(db, put_beyond);
  check(db, 1 + WANTED_STORE_MAX);
  db_close(db);
}

static void put_of_registries(struct db_txn *txn, struct arena *arena) {
  static const char *const registries[] = {"a", "b", "b:5000", "registry", "registry.example", "z"};
  (void)arena;
  for (size_t i = 0; i < sizeof registries / sizeof *registries; i++) {
    for (int n = 0; n < 2; n++) {
      struct wanted_record w = record_of(n == 0 ? "team/a" : "team/b");
      w.registry = slice_str(registries[i]);
      put(txn, &w);
    }
  }
}

static void keep_one(struct db_txn *txn, struct arena *arena) {
  const struct slice known[] = {SLICE("c"), SLICE("registry.example")};
  struct seen two = {.repositories = {"team/a", "team/b"}};
  uint64_t removed = 77;
  (void)arena;
  assert_int_equal(wanted_store_keep(txn, known, 2, &removed, NULL), 0);
  assert_int_equal(removed, 10);
  assert_int_equal(wanted_store_each(txn, see, &two, NULL), 0);
  assert_int_equal(two.count, 2);
  assert_int_equal(wanted_store_keep(txn, known, 2, &removed, NULL), 0);
  assert_int_equal(removed, 0);
  assert_int_equal(wanted_store_keep(txn, NULL, 0, &removed, NULL), 0);
  assert_int_equal(removed, 2);
}

static void what_other_registries_want_goes(void **state) {
  struct db *db = must_open(*state);
  write_steps(db, put_of_registries);
  check(db, 1 + 12);
  write_steps(db, keep_one);
  check(db, 1);
  db_close(db);
}

static void put_damage(struct db_txn *txn, struct arena *arena) {
  static const char no_digest[] = "registry\0team/a\0"
                                  "sha256:0123",
                    good[] = "r\0a\0" DIGEST, no_registry[] = "\0a\0" DIGEST;
  (void)arena;
  const struct slice nine = SLICE("123456789");
  assert_int_equal(
      table_put(txn, TABLE_WANTED, slice_of(no_digest, sizeof no_digest - 1), nine, NULL), 0);
  assert_int_equal(
      table_put(txn, TABLE_WANTED, slice_of(no_registry, sizeof no_registry - 1), nine, NULL), 0);
  assert_int_equal(
      table_put(txn, TABLE_WANTED, slice_of(good, sizeof good - 1), SLICE("12345678"), NULL), 0);
}

static bool see_any(void *arg, const struct wanted_record *record) {
  (void)arg, (void)record;
  return true;
}

static int try_each(struct db_txn *txn, void *arg, struct error *e) {
  return wanted_store_each(txn, see_any, arg, e);
}

static int try_keep(struct db_txn *txn, void *arg, struct error *e) {
  uint64_t removed;
  (void)arg;
  return wanted_store_keep(txn, NULL, 0, &removed, e);
}

static void check_finds_what_is_in_another_form(void **state) {
  struct db *db = must_open(*state);
  uint64_t records, faults;
  struct error e = {0};
  write_steps(db, put_damage);
  assert_int_equal(db_check(db, &records, &faults, &e), -1);
  assert_int_equal(records, 1 + 3);
  assert_int_equal(faults, 3);
  assert_int_equal(db_read(db, try_each, NULL, &e), -1);
  assert_int_equal(e.kind, ERROR_FAILED);
  assert_int_equal(db_write_now(db, try_keep, NULL, &e), -1);
  assert_int_equal(e.kind, ERROR_FAILED);
  db_close(db);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(what_is_wanted_is_there_once_until_removed),
      TEST(what_can_be_no_manifest_is_refused),
      TEST(their_number_is_bounded),
      TEST(what_other_registries_want_goes),
      TEST(check_finds_what_is_in_another_form),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
