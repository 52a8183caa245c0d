#include "unit/db/steps.h"

#include "db/refresh_store.h"
#include "db/user_store.h"

static const struct slice alice = {"alice", 5}, al = {"al", 2}, password = {"hash of it", 10};

static struct refresh_hash hash_of(uint32_t number) {
  struct refresh_hash hash = {.bytes = "\xff\0\x01"};
  memcpy(hash.bytes + 4, &number, sizeof number);
  return hash;
}

static struct refresh_record record_of(struct slice user) {
  return (struct refresh_record){user, SLICE("registry.example"), SLICE("docker"), 1000, 2000};
}

static void put(struct db_txn *txn, uint32_t number, const struct refresh_record *record) {
  struct refresh_hash hash = hash_of(number);
  struct error e = {0};
  if (refresh_store_put(txn, &hash, record, password, &e) != 0) {
    fail_msg("%s", e.text);
  }
}

static bool has(struct db_txn *txn, uint32_t number, int64_t now) {
  struct refresh_hash hash = hash_of(number);
  struct arena arena = {0};
  struct refresh_record record;
  struct error e = {0};
  int rc = refresh_store_get(txn, &hash, now, &arena, &record, &e);
  assert_true(rc == 0 || e.kind == ERROR_NOT_FOUND);
  arena_free(&arena);
  return rc == 0;
}

static void add_users(struct db_txn *txn, struct arena *arena) {
  (void)arena;
  assert_int_equal(user_store_add(txn, alice, password, 1000, NULL), 0);
  assert_int_equal(user_store_add(txn, al, password, 1000, NULL), 0);
}

static void put_and_get(struct db_txn *txn, struct arena *arena) {
  struct refresh_record record = record_of(alice), got;
  struct refresh_hash hash = hash_of(7);
  put(txn, 7, &record);
  assert_int_equal(refresh_store_get(txn, &hash, 1999, arena, &got, NULL), 0);
  assert_true(slice_equal(got.user, alice));
  assert_true(slice_equal(got.service, record.service));
  assert_true(slice_equal(got.client, record.client));
  assert_int_equal(got.issued, 1000);
  assert_int_equal(got.expires, 2000);
  assert_false(has(txn, 7, 2000)); /* expires */
  assert_true(has(txn, 7, -1));
  assert_false(has(txn, 8, 1000));
  /* Put anew, for somebody else: it is nobody's but theirs. */
  record = record_of(al);
  record.client = (struct slice){0};
  record.expires = 3000;
  put(txn, 7, &record);
  assert_int_equal(refresh_store_get(txn, &hash, 2000, arena, &got, NULL), 0);
  assert_true(slice_equal(got.user, al));
  assert_int_equal(got.client.len, 0);
  assert_int_equal(refresh_store_remove_user(txn, alice, NULL), 0);
  assert_true(has(txn, 7, 2000));
}

static void a_token_is_found_by_its_hash(void **state) {
  struct db *db = must_open(*state);
  struct db_stats stats;
  write_steps(db, add_users);
  write_steps(db, put_and_get);
  check(db, 1 + 2 + 2);
  assert_int_equal(db_stats(db, &stats, NULL), 0);
  assert_int_equal(stats.users, 2);
  assert_int_equal(stats.refresh_tokens, 1);
  db_close(db);
}

static void refuse_some(struct db_txn *txn, struct arena *arena) {
  static char text[REFRESH_STORE_TEXT_MAX + 1];
  struct refresh_hash hash = hash_of(1);
  struct error e = {0};
  (void)arena;
  memset(text, 't', sizeof text);
  struct refresh_record record = record_of(SLICE("bob"));
  assert_int_equal(refresh_store_put(txn, &hash, &record, password, &e), -1);
  assert_int_equal(e.kind, ERROR_DENIED);
  record = record_of(slice_of(text, sizeof text)); /* can be no user's */
  assert_int_equal(refresh_store_put(txn, &hash, &record, password, &e), -1);
  assert_int_equal(e.kind, ERROR_DENIED);
  record = record_of(alice);
  assert_int_equal(refresh_store_put(txn, &hash, &record, SLICE("hash of old"), &e), -1);
  assert_int_equal(e.kind, ERROR_DENIED);
  assert_int_equal(refresh_store_put(txn, &hash, &record, (struct slice){0}, &e), -1);
  assert_int_equal(e.kind, ERROR_DENIED);
  record.service = slice_of(text, sizeof text);
  assert_int_equal(refresh_store_put(txn, &hash, &record, password, &e), -1);
  assert_int_equal(e.kind, ERROR_USAGE);
  record = record_of(alice);
  record.client = slice_of(text, sizeof text);
  assert_int_equal(refresh_store_put(txn, &hash, &record, password, &e), -1);
  assert_int_equal(e.kind, ERROR_USAGE);
  assert_false(has(txn, 1, 1000));
  record.service = record.client = slice_of(text, REFRESH_STORE_TEXT_MAX);
  put(txn, 1, &record);
  assert_true(has(txn, 1, 1000));
}

static void a_token_is_for_a_user_of_that_password(void **state) {
  struct db *db = must_open(*state);
  write_steps(db, add_users);
  write_steps(db, refuse_some);
  check(db, 1 + 2 + 2);
  db_close(db);
}

/* Tokens 0 to 9: the even ones are alice's, the odd ones al's. */
static void put_ten(struct db_txn *txn, struct arena *arena) {
  (void)arena;
  for (uint32_t i = 0; i < 10; i++) {
    struct refresh_record record = record_of(i % 2 == 0 ? alice : al);
    record.expires = 2000 + i;
    put(txn, i, &record);
  }
}

static void assert_left(struct db_txn *txn, bool of_alice, bool of_al) {
  for (uint32_t i = 0; i < 10; i++) {
    assert_int_equal(has(txn, i, 1000), i % 2 == 0 ? of_alice : of_al);
  }
}

static void change_password(struct db_txn *txn, struct arena *arena) {
  struct refresh_hash hash = hash_of(20);
  struct refresh_record record = record_of(alice);
  struct error e = {0};
  (void)arena;
  assert_int_equal(user_store_set_password(txn, alice, SLICE("new hash"), 1000, NULL), 0);
  assert_left(txn, false, true);
  /* Who was let in with the old one comes too late, though issued in the same second. */
  assert_int_equal(refresh_store_put(txn, &hash, &record, password, &e), -1);
  assert_int_equal(e.kind, ERROR_DENIED);
  assert_int_equal(refresh_store_put(txn, &hash, &record, SLICE("new hash"), NULL), 0);
}

static void another_password_makes_them_worthless(void **state) {
  struct db *db = must_open(*state);
  write_steps(db, add_users);
  write_steps(db, put_ten);
  write_steps(db, change_password);
  check(db, 1 + 2 + 2 * 6);
  db_close(db);
}

static void remove_user(struct db_txn *txn, struct arena *arena) {
  (void)arena;
  assert_int_equal(user_store_remove(txn, al, NULL), 0);
  assert_left(txn, true, false);
  assert_int_equal(user_store_add(txn, al, SLICE("new hash"), 1000, NULL), 0);
  assert_left(txn, true, false);
}

static void they_go_with_their_user(void **state) {
  struct db *db = must_open(*state);
  write_steps(db, add_users);
  write_steps(db, put_ten);
  write_steps(db, remove_user);
  check(db, 1 + 2 + 2 * 5);
  db_close(db);
}

static void remove_some(struct db_txn *txn, struct arena *arena) {
  struct refresh_hash hash = hash_of(4);
  struct error e = {0};
  uint64_t count = 77;
  (void)arena;
  assert_int_equal(refresh_store_remove(txn, &hash, NULL), 0);
  assert_false(has(txn, 4, 1000));
  assert_int_equal(refresh_store_remove(txn, &hash, &e), -1);
  assert_int_equal(e.kind, ERROR_NOT_FOUND);
  assert_int_equal(refresh_store_remove_expired(txn, 1999, &count, NULL), 0);
  assert_int_equal(count, 0);
  assert_int_equal(refresh_store_remove_expired(txn, 2006, &count, NULL), 0);
  assert_int_equal(count, 6); /* 0 to 6 but 4 */
  for (uint32_t i = 0; i < 10; i++) {
    assert_int_equal(has(txn, i, 0), i > 6);
  }
  assert_int_equal(refresh_store_remove_user(txn, alice, NULL), 0);
  assert_false(has(txn, 8, 0));
  assert_true(has(txn, 7, 0) && has(txn, 9, 0));
  assert_int_equal(refresh_store_remove_user(txn, alice, NULL), 0);
  assert_int_equal(refresh_store_remove_user(txn, SLICE("bob"), NULL), 0);
}

static void they_are_removed(void **state) {
  struct db *db = must_open(*state);
  write_steps(db, add_users);
  write_steps(db, put_ten);
  write_steps(db, remove_some);
  check(db, 1 + 2 + 2 * 2);
  db_close(db);
}

static void put_many(struct db_txn *txn, struct arena *arena) {
  struct refresh_record record = record_of(al);
  (void)arena;
  put(txn, 999999, &record);
  record = record_of(alice);
  for (uint32_t i = 0; i < REFRESH_STORE_USER_MAX; i++) {
    record.issued = 5000 + (i * 7919) % REFRESH_STORE_USER_MAX; /* in no order */
    put(txn, i, &record);
  }
}

static void put_beyond(struct db_txn *txn, struct arena *arena) {
  struct refresh_record record = record_of(alice);
  (void)arena;
  record.issued = 9999;
  for (uint32_t i = 0; i < 3; i++) {
    put(txn, 100000 + i, &record);
  }
  for (uint32_t i = 0; i < REFRESH_STORE_USER_MAX; i++) {
    assert_int_equal(has(txn, i, 1000), (i * 7919) % REFRESH_STORE_USER_MAX >= 3);
  }
  put(txn, 100000, &record); /* takes no more room */
  assert_true(has(txn, 100001, 1000) && has(txn, 999999, 1000));
}

static void a_users_tokens_are_bounded(void **state) {
  struct db *db = must_open(*state);
  write_steps(db, add_users);
  write_steps(db, put_many);
  write_steps(db, put_beyond);
  check(db, 1 + 2 + 2 * (REFRESH_STORE_USER_MAX + 1));
  db_close(db);
}

struct seen {
  size_t tokens, stop_after;
};

static bool see(void *arg, const struct refresh_hash *token, const struct refresh_record *record) {
  struct seen *s = arg;
  struct refresh_hash expected = hash_of((uint32_t)s->tokens);
  assert_memory_equal(token, &expected, sizeof expected);
  assert_int_equal(record->expires, 2000 + s->tokens);
  return ++s->tokens != s->stop_after;
}

static void see_each(struct db_txn *txn, struct arena *arena) {
  struct seen all = {0}, three = {.stop_after = 3};
  (void)arena;
  assert_int_equal(refresh_store_each(txn, see, &all, NULL), 0);
  assert_int_equal(all.tokens, 10);
  assert_int_equal(refresh_store_each(txn, see, &three, NULL), 0);
  assert_int_equal(three.tokens, 3);
}

static void each_is_visited(void **state) {
  struct db *db = must_open(*state);
  write_steps(db, add_users);
  write_steps(db, put_ten);
  read_steps(db, see_each);
  db_close(db);
}

static void put_record(struct db_txn *txn, enum table table, struct slice key, struct slice value) {
  assert_int_equal(table_put(txn, table, key, value, NULL), 0);
}

/* Says of a token that it is a user's, issued at 1000 and so many. */
static void put_holder(struct db_txn *txn, const char *user, uint32_t number, unsigned char more) {
  unsigned char key[TABLE_KEY_MAX];
  struct refresh_hash hash = hash_of(number);
  const unsigned char issued[8] = {(unsigned char)(0xe8 + more), 3};
  size_t len = strlen(user) + 1;
  memcpy(key, user, len);
  memcpy(key + len, hash.bytes, sizeof hash.bytes);
  put_record(txn, TABLE_HOLDERS, slice_of(key, len + sizeof hash.bytes), slice_of(issued, 8));
}

static void put_damage(struct db_txn *txn, struct arena *arena) {
#define TIMES "12345678\0\0\0\0\0\0\0\1"
#define NONE  "\0\0\0\0"
  static const char token[] = TIMES "\5\0\0\0alice" NONE NONE,
                    bobs[] = TIMES "\3\0\0\0bob" NONE NONE, nobodys[] = TIMES NONE NONE NONE;
  struct refresh_hash hashes[5];
  (void)arena;
  for (uint32_t i = 0; i < 5; i++) {
    hashes[i] = hash_of(100 + i);
  }
  put_record(txn, TABLE_REFRESH, slice_of(&hashes[0], 32), slice_of(token, sizeof token - 1));
  put_record(txn, TABLE_REFRESH, slice_of(&hashes[1], 31), slice_of(token, sizeof token - 1));
  put_record(txn, TABLE_REFRESH, slice_of(&hashes[2], 32), slice_of(token, sizeof token - 2));
  put_record(txn, TABLE_REFRESH, slice_of(&hashes[3], 32), slice_of(bobs, sizeof bobs - 1));
  put_record(txn, TABLE_REFRESH, slice_of(&hashes[4], 32), slice_of(nobodys, sizeof nobodys - 1));
  put_holder(txn, "bob", 103, 0);
  put_holder(txn, "alice", 200, 0); /* which is not there */
  put_holder(txn, "alice", 1, 0);   /* which is al's */
  put_holder(txn, "al", 3, 1);      /* which was issued before */
  put_holder(txn, "al", 201, 0);    /* which is not there either */
  put_holder(txn, "", 5, 0);
  put_record(txn, TABLE_HOLDERS, slice_of("alice\0short", 11), slice_of(TIMES, 8));
  put_record(txn, TABLE_HOLDERS, slice_of("alice", 5), slice_of(TIMES, 8));
}

static bool see_any(void *arg, const struct refresh_hash *token,
                    const struct refresh_record *record) {
  (void)arg, (void)token, (void)record;
  return true;
}

static int try_remove_user(struct db_txn *txn, void *arg, struct error *e) {
  return user_store_remove(txn, *(const struct slice *)arg, e);
}

static int try_remove_expired(struct db_txn *txn, void *arg, struct error *e) {
  return refresh_store_remove_expired(txn, 5000, arg, e);
}

static int try_each(struct db_txn *txn, void *arg, struct error *e) {
  return refresh_store_each(txn, see_any, arg, e);
}

static void check_finds_what_is_in_another_form(void **state) {
  struct db *db = must_open(*state);
  uint64_t records, faults, count;
  struct slice names[] = {alice, al};
  struct error e = {0};
  write_steps(db, add_users);
  write_steps(db, put_ten);
  write_steps(db, put_damage);
  assert_int_equal(db_check(db, &records, &faults, &e), -1);
  assert_int_equal(records, 1 + 2 + 20 + 5 + 7);
  assert_int_equal(faults, 5 + 8);
  for (size_t i = 0; i < 2; i++) {
    assert_int_equal(db_write_now(db, try_remove_user, &names[i], &e), -1);
    assert_int_equal(e.kind, ERROR_FAILED);
  }
  assert_int_equal(db_write_now(db, try_remove_expired, &count, &e), -1);
  assert_int_equal(e.kind, ERROR_FAILED);
  assert_int_equal(db_read(db, try_each, NULL, &e), -1);
  assert_int_equal(e.kind, ERROR_FAILED);
  db_close(db);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_token_is_found_by_its_hash),
      TEST(a_token_is_for_a_user_of_that_password),
      TEST(another_password_makes_them_worthless),
      TEST(they_go_with_their_user),
      TEST(they_are_removed),
      TEST(a_users_tokens_are_bounded),
      TEST(each_is_visited),
      TEST(check_finds_what_is_in_another_form),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
