#include "unit/db/fixture.h"

#include "db/revocation_store.h"

#define HEX40 "0102030405060708090a0b0c0d0e0f1011121314"
#define HEX64 HEX40 "aaaaaaaaaaaaaaaaaaaaaaaa"

enum { JTI = 1, SUB, REPOSITORY, INFOHASH, KID };

/* A test's steps run in one write transaction. */
typedef void steps(struct db_txn *txn);

static int run_steps(struct db_txn *txn, void *arg, struct error *e) {
  (void)e;
  (*(steps **)arg)(txn);
  return 0;
}

static void write_steps(struct db *db, steps *run) {
  struct error e = {0};
  if (db_write_now(db, run_steps, &run, &e) != 0) {
    fail_msg("%s", e.text);
  }
}

static struct revocation_record record(uint8_t kind, const char *value, int64_t at, int64_t until,
                                       int64_t expires) {
  return (struct revocation_record){kind, slice_str(value), at, until, expires};
}

static void put(struct db_txn *txn, struct revocation_record r) {
  struct error e = {0};
  if (revocation_store_put(txn, &r, &e) != 0) {
    fail_msg("%s", e.text);
  }
}

static void assert_stored(struct db_txn *txn, struct revocation_record want) {
  struct revocation_record got;
  assert_int_equal(revocation_store_get(txn, want.kind, want.value, &got, NULL), 0);
  assert_int_equal(got.kind, want.kind);
  assert_true(slice_equal(got.value, want.value));
  assert_int_equal(got.at, want.at);
  assert_int_equal(got.until, want.until);
  assert_int_equal(got.expires, want.expires);
}

static void assert_none(struct db_txn *txn, uint8_t kind, const char *value) {
  struct revocation_record got;
  struct error e = {0};
  assert_int_equal(revocation_store_get(txn, kind, slice_str(value), &got, &e), -1);
  assert_int_equal(e.kind, ERROR_NOT_FOUND);
}

/* Beside so many records there is the number of changes. */
static void check(struct db *db, uint64_t expected) {
  uint64_t records, faults;
  struct error e = {0};
  if (db_check(db, &records, &faults, &e) != 0) {
    fail_msg("%s", e.text);
  }
  assert_int_equal(records, expected + 1);
}

static void put_all_kinds(struct db_txn *txn) {
  put(txn, record(JTI, "id", 5, 0, 10));
  put(txn, record(SUB, "r/al", 6, 9, 11));
  put(txn, record(SUB, "r/alice", 7, INT64_MAX, INT64_MAX));
  put(txn, record(REPOSITORY, "r/al", 8, 20, 20));
  put(txn, record(INFOHASH, HEX40, 9, 0, 30));
  put(txn, record(INFOHASH, HEX64, 10, 0, 30));
  put(txn, record(KID, "k", 11, 0, 31));
}

static void find_all_kinds(struct db_txn *txn) {
  assert_stored(txn, record(JTI, "id", 5, 0, 10));
  assert_stored(txn, record(SUB, "r/al", 6, 9, 11));
  assert_stored(txn, record(SUB, "r/alice", 7, INT64_MAX, INT64_MAX));
  assert_stored(txn, record(REPOSITORY, "r/al", 8, 20, 20));
  assert_stored(txn, record(INFOHASH, HEX40, 9, 0, 30));
  assert_stored(txn, record(INFOHASH, HEX64, 10, 0, 30));
  assert_stored(txn, record(KID, "k", 11, 0, 31));
  assert_none(txn, KID, "id");
  assert_none(txn, JTI, "i");
  assert_none(txn, JTI, "id2");
}

static void a_revocation_is_found_by_kind_and_value(void **state) {
  struct db *db = must_open(*state);
  struct db_stats stats;
  write_steps(db, put_all_kinds);
  db_close(db);
  db = must_open(*state);
  write_steps(db, find_all_kinds);
  check(db, 8);
  assert_int_equal(db_stats(db, &stats, NULL), 0);
  assert_int_equal(stats.revocations, 7);
  assert_int_equal(stats.torrents, 0);
  db_close(db);
}

static void put_again(struct db_txn *txn) {
  put(txn, record(SUB, "a", 10, 20, 30));
  put(txn, record(SUB, "a", 5, 15, 25)); /* says no more than what is there */
  assert_stored(txn, record(SUB, "a", 10, 20, 30));
  put(txn, record(SUB, "a", 11, 12, 29));
  assert_stored(txn, record(SUB, "a", 11, 20, 30));
  put(txn, record(SUB, "a", 11, 40, 50));
  assert_stored(txn, record(SUB, "a", 11, 40, 50));
  put(txn, record(SUB, "a", 4, INT64_MAX, INT64_MAX));
  assert_stored(txn, record(SUB, "a", 11, INT64_MAX, INT64_MAX));
  put(txn, record(SUB, "a", 12, 13, 60));
  assert_stored(txn, record(SUB, "a", 12, INT64_MAX, INT64_MAX));
  assert_int_equal(revocation_store_remove(txn, SUB, SLICE("a"), NULL), 0);
  put(txn, record(SUB, "a", 3, 4, 5));
  assert_stored(txn, record(SUB, "a", 3, 4, 5));
}

static void nothing_goes_back(void **state) {
  struct db *db = must_open(*state);
  write_steps(db, put_again);
  check(db, 2);
  db_close(db);
}

static void remove_some(struct db_txn *txn) {
  struct error e = {0};
  assert_int_equal(revocation_store_remove(txn, SUB, SLICE("r/al"), NULL), 0);
  assert_none(txn, SUB, "r/al");
  assert_stored(txn, record(SUB, "r/alice", 7, INT64_MAX, INT64_MAX));
  assert_stored(txn, record(REPOSITORY, "r/al", 8, 20, 20));
  assert_int_equal(revocation_store_remove(txn, SUB, SLICE("r/al"), &e), -1);
  assert_int_equal(e.kind, ERROR_NOT_FOUND);
  assert_string_equal(e.text, "r/al is not revoked");
  assert_int_equal(revocation_store_remove(txn, SUB, SLICE(""), &e), -1);
  assert_int_equal(e.kind, ERROR_USAGE);
}

static void removing_takes_no_other(void **state) {
  struct db *db = must_open(*state);
  write_steps(db, put_all_kinds);
  write_steps(db, remove_some);
  check(db, 7);
  db_close(db);
}

static void drop_at_20(struct db_txn *txn) {
  assert_int_equal(revocation_store_drop(txn, 20, NULL), 0);
  assert_none(txn, JTI, "id");
  assert_none(txn, SUB, "r/al");
  assert_none(txn, REPOSITORY, "r/al");
  assert_stored(txn, record(SUB, "r/alice", 7, INT64_MAX, INT64_MAX));
  assert_stored(txn, record(INFOHASH, HEX64, 10, 0, 30));
}

static void drop_in_the_far_future(struct db_txn *txn) {
  assert_int_equal(revocation_store_drop(txn, INT64_MAX - 1, NULL), 0);
}

static void what_expired_is_dropped(void **state) {
  struct db *db = must_open(*state);
  write_steps(db, put_all_kinds);
  write_steps(db, drop_at_20);
  check(db, 1 + 4);
  write_steps(db, drop_in_the_far_future);
  check(db, 1 + 1); /* the ban */
  db_close(db);
}

static int find_generation(struct db_txn *txn, void *arg, struct error *e) {
  return revocation_store_generation(txn, arg, e);
}

static uint64_t generation(struct db *db) {
  uint64_t found = 0;
  assert_int_equal(db_read(db, find_generation, &found, NULL), 0);
  return found;
}

static void remove_one(struct db_txn *txn) {
  assert_int_equal(revocation_store_remove(txn, SUB, SLICE("r/al"), NULL), 0);
}

static void change_nothing(struct db_txn *txn) {
  assert_int_equal(revocation_store_drop(txn, 1, NULL), 0);
  assert_int_equal(revocation_store_remove(txn, SUB, SLICE("nobody"), NULL), -1);
}

static void changes_are_counted(void **state) {
  static steps *const changes[] = {put_all_kinds, remove_one, put_again, drop_at_20};
  struct db *db = must_open(*state);
  struct numbered other = {.number = 1, .size = 10};
  uint64_t last = generation(db);
  assert_int_equal(last, 1);
  for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
    write_steps(db, changes[i]);
    assert_true(generation(db) > last);
    last = generation(db);
    write_steps(db, change_nothing);
    assert_int_equal(db_write_now(db, put_numbered, &other, NULL), 0);
    assert_int_equal(generation(db), last);
    db_close(db);
    db = must_open(*state);
    assert_int_equal(generation(db), last);
  }
  db_close(db);
}

struct visited {
  char text[256];
  size_t most;
};

static bool visit(void *arg, const struct revocation_record *r) {
  struct visited *v = arg;
  size_t len = strlen(v->text);
  snprintf(v->text + len, sizeof v->text - len, "%d %.*s %d; ", r->kind, SLICE_ARG(r->value),
           (int)r->at);
  return --v->most > 0;
}

static void visit_all(struct db_txn *txn) {
  struct visited all = {.most = 100}, two = {.most = 2};
  assert_int_equal(revocation_store_each(txn, visit, &all, NULL), 0);
  assert_string_equal(all.text, "1 id 5; 2 r/al 6; 2 r/alice 7; 3 r/al 8; 4 " HEX40 " 9; 4 " HEX64
                                " 10; 5 k 11; ");
  assert_int_equal(revocation_store_each(txn, visit, &two, NULL), 0);
  assert_string_equal(two.text, "1 id 5; 2 r/al 6; ");
}

static void all_are_visited_by_kind_and_value(void **state) {
  struct db *db = must_open(*state);
  write_steps(db, put_all_kinds);
  write_steps(db, visit_all);
  db_close(db);
}

static void put_what_can_be_none(struct db_txn *txn) {
  static char longest[REVOCATION_STORE_VALUE_MAX + 2];
  memset(longest, 'v', sizeof longest - 1);
  const struct revocation_record bad[] = {
      record(0, "a", 1, 0, 2),
      record(6, "a", 1, 0, 2),
      record(JTI, "", 1, 0, 2),
      record(JTI, longest, 1, 0, 2),
      {JTI, SLICE("a\0b"), 1, 0, 2},
      record(INFOHASH, "abc", 1, 0, 2),
      record(INFOHASH, "A102030405060708090a0b0c0d0e0f1011121314", 1, 0, 2),
      record(INFOHASH, "g102030405060708090a0b0c0d0e0f1011121314", 1, 0, 2),
      record(INFOHASH, "/102030405060708090a0b0c0d0e0f1011121314", 1, 0, 2),
      record(INFOHASH, HEX40 "0", 1, 0, 2),
      record(JTI, "a", 0, 0, 2),
      record(JTI, "a", -1, 0, 2),
      record(JTI, "a", 1, -1, 2),
      record(JTI, "a", 1, 0, 1),
      record(SUB, "a", 1, 3, 2),
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    struct error e = {0};
    assert_int_equal(revocation_store_put(txn, &bad[i], &e), -1);
    assert_int_equal(e.kind, ERROR_USAGE);
  }
  longest[REVOCATION_STORE_VALUE_MAX] = '\0';
  put(txn, record(JTI, longest, 1, 0, 2));
  assert_stored(txn, record(JTI, longest, 1, 0, 2));
}

static void what_can_be_none_is_refused(void **state) {
  struct db *db = must_open(*state);
  write_steps(db, put_what_can_be_none);
  check(db, 2);
  db_close(db);
}

static void fill(struct db_txn *txn) {
  char value[16];
  struct error e = {0};
  for (int i = 0; i < REVOCATION_STORE_MAX; i++) {
    snprintf(value, sizeof value, "%d", i);
    put(txn, record(JTI, value, 1, 0, i < 10 ? 2 : 3));
  }
  const struct revocation_record more = record(JTI, "x", 1, 0, 3), same = record(JTI, "5", 2, 0, 3);
  assert_int_equal(revocation_store_put(txn, &more, &e), -1);
  assert_int_equal(e.kind, ERROR_FAILED);
  assert_non_null(strstr(e.text, "65536"));
  put(txn, same);
  assert_int_equal(revocation_store_drop(txn, 2, NULL), 0); /* and there is room again */
  put(txn, more);
}

static void there_is_room_for_so_many(void **state) {
  struct db *db = must_open(*state);
  write_steps(db, fill);
  check(db, 1 + REVOCATION_STORE_MAX - 9 + 1);
  db_close(db);
}

struct bytes {
  struct slice key, value;
};

static int put_bytes(struct db_txn *txn, void *arg, struct error *e) {
  const struct bytes *b = arg;
  return table_put(txn, TABLE_REVOCATIONS, b->key, b->value, e);
}

static int remove_all(struct db_txn *txn, void *arg, struct error *e) {
  (void)arg;
  return table_remove(txn, TABLE_REVOCATIONS, (struct slice){0}, e);
}

static int visit_damaged(struct db_txn *txn, void *arg, struct error *e) {
  return revocation_store_each(txn, visit, arg, e);
}

static void other_forms_are_faults(void **state) {
#define TIMES "\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0"
  struct bytes bad[] = {{SLICE("\1"), SLICE(TIMES)},
                        {SLICE("\1\0"), SLICE(TIMES)},
                        {SLICE("\1ab"), SLICE(TIMES)},
                        {SLICE("\6a\0"), SLICE(TIMES)},
                        {SLICE("\0a\0"), SLICE(TIMES)},
                        {SLICE("\4a\0"), SLICE(TIMES)},
                        {SLICE("\1a\0b\0"), SLICE(TIMES)},
                        {SLICE("\1a\0"), SLICE("")},
                        {SLICE("\1a\0"), SLICE(TIMES "\0")},
                        {SLICE("\1a\0"), slice_of(TIMES, 23)},
                        {SLICE("\1a\0"), SLICE("\3"
                                               "\0\0\0\0\0\0\0"
                                               "\0\0\0\0\0\0\0\0"
                                               "\2\0\0\0\0\0\0\0")}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    struct db *db = must_open(*state);
    struct visited v = {.most = 100};
    struct error e = {0};
    uint64_t records, faults;
    struct bytes good = {SLICE("\1a\0"), SLICE(TIMES)};
    assert_int_equal(db_write_now(db, put_bytes, &good, NULL), 0);
    assert_int_equal(db_read(db, visit_damaged, &v, NULL), 0);
    assert_string_equal(v.text, "1 a 1; ");
    assert_int_equal(db_write_now(db, put_bytes, &bad[i], NULL), 0);
    assert_int_equal(db_check(db, &records, &faults, &e), -1);
    assert_int_equal(faults, 1);
    assert_non_null(strstr(e.text, "revocations"));
    assert_int_equal(db_read(db, visit_damaged, &v, &e), -1);
    assert_int_equal(e.kind, ERROR_FAILED);
    assert_non_null(strstr(e.text, "form"));
    assert_int_equal(db_write_now(db, remove_all, NULL, NULL), 0);
    db_close(db);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_revocation_is_found_by_kind_and_value),
      TEST(nothing_goes_back),
      TEST(removing_takes_no_other),
      TEST(what_expired_is_dropped),
      TEST(changes_are_counted),
      TEST(all_are_visited_by_kind_and_value),
      TEST(what_can_be_none_is_refused),
      TEST(there_is_room_for_so_many),
      TEST(other_forms_are_faults),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
