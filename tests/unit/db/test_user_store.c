#include "unit/db/steps.h"

#include "db/refresh_store.h"
#include "db/user_store.h"

enum { PULL = USER_STORE_PULL, PUSH = USER_STORE_PUSH };

static const struct slice alice = {"alice", 5}, al = {"al", 2}, umlaut = {"\xc3\xa4\x20z", 4};

static void add(struct db_txn *txn, struct slice name, const char *password, int64_t now) {
  struct error e = {0};
  if (user_store_add(txn, name, slice_str(password), now, &e) != 0) {
    fail_msg("%s", e.text);
  }
}

static void grant(struct db_txn *txn, struct slice name, const char *pattern, unsigned actions) {
  struct error e = {0};
  if (user_store_grant(txn, name, slice_str(pattern), actions, &e) != 0) {
    fail_msg("%s", e.text);
  }
}

static void add_users(struct db_txn *txn, struct arena *arena) {
  (void)arena;
  add(txn, alice, "hash of alice", 1000);
  add(txn, al, "hash of al", INT64_MAX);
  add(txn, umlaut, "hash of z", -1);
}

static void get_users(struct db_txn *txn, struct arena *arena) {
  struct user_record u;
  struct error e = {0};
  assert_int_equal(user_store_get(txn, alice, arena, &u, &e), 0);
  assert_true(slice_equal(u.name, alice));
  assert_true(slice_equal(u.password, SLICE("hash of alice")));
  assert_int_equal(u.changed, 1000);
  assert_int_equal(u.grant_count, 0);
  assert_int_equal(user_store_get(txn, al, arena, &u, &e), 0);
  assert_true(slice_equal(u.password, SLICE("hash of al")));
  assert_true(u.changed == INT64_MAX);
  assert_int_equal(user_store_get(txn, umlaut, arena, &u, &e), 0);
  assert_int_equal(u.changed, -1);
  static const struct slice none[] = {{"alic", 4},    {"alice2", 6}, {"Alice", 5}, {NULL, 0},
                                      {"alice\0", 6}, {"a:b", 3},    {"\xff", 1}};
  for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
    e = (struct error){0};
    assert_int_equal(user_store_get(txn, none[i], arena, &u, &e), -1);
    assert_int_equal(e.kind, ERROR_NOT_FOUND);
  }
}

static void a_user_is_found_by_name(void **state) {
  struct db *db = must_open(*state);
  write_steps(db, add_users);
  read_steps(db, get_users);
  check(db, 1 + 3);
  db_close(db);
}

static void add_again(struct db_txn *txn, struct arena *arena) {
  struct error e = {0};
  (void)arena;
  assert_int_equal(user_store_add(txn, alice, SLICE("another"), 2000, &e), -1);
  assert_int_equal(e.kind, ERROR_FAILED);
  assert_non_null(strstr(e.text, "alice already"));
  assert_int_equal(user_store_add(txn, SLICE("carol"), SLICE(""), 2000, &e), -1);
}

static void a_user_is_added_once(void **state) {
  struct db *db = must_open(*state);
  write_steps(db, add_users);
  write_steps(db, add_again);
  read_steps(db, get_users);
  check(db, 1 + 3);
  db_close(db);
}

static void set_passwords(struct db_txn *txn, struct arena *arena) {
  struct user_record u;
  struct error e = {0};
  grant(txn, alice, "team/app", PULL);
  assert_int_equal(user_store_set_password(txn, alice, SLICE("new"), 2000, NULL), 0);
  assert_int_equal(user_store_get(txn, alice, arena, &u, NULL), 0);
  assert_true(slice_equal(u.password, SLICE("new")));
  assert_int_equal(u.changed, 2000);
  assert_int_equal(u.grant_count, 1);
  assert_int_equal(user_store_get(txn, al, arena, &u, NULL), 0);
  assert_true(slice_equal(u.password, SLICE("hash of al")));
  assert_int_equal(user_store_set_password(txn, SLICE("bob"), SLICE("new"), 2000, &e), -1);
  assert_int_equal(e.kind, ERROR_NOT_FOUND);
  assert_string_equal(e.text, "there is no user bob");
  assert_int_equal(user_store_set_password(txn, SLICE("b:b"), SLICE("new"), 2000, &e), -1);
  assert_int_equal(e.kind, ERROR_USAGE);
}

static void another_password_is_set(void **state) {
  struct db *db = must_open(*state);
  write_steps(db, add_users);
  write_steps(db, set_passwords);
  check(db, 1 + 3 + 1);
  db_close(db);
}

static void which_names_there_are(void **state) {
  (void)state;
  static char long_name[USER_STORE_NAME_MAX + 1];
  memset(long_name, 'n', sizeof long_name);
  const struct slice good[] = {SLICE("a"),
                               SLICE("a b"),
                               SLICE("a@example.org"),
                               SLICE("-x"),
                               SLICE("\xc3\xa4"),
                               SLICE("\xf0\x9f\x90\xb3"),
                               SLICE("$,;\"'\\*.%"),
                               {long_name, USER_STORE_NAME_MAX}};
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    assert_null(user_store_name_check(good[i]));
  }
  const struct slice bad[] = {{0},
                              SLICE(""),
                              SLICE("a:b"),
                              SLICE(":"),
                              SLICE("a/b"),
                              SLICE("a\n"),
                              SLICE("a\0b"),
                              SLICE("\x1b"),
                              SLICE("\x7f"),
                              SLICE("\xff"),
                              SLICE("a\xc2\x9b"),
                              SLICE("\xc3"),
                              SLICE("\xed\xa0\x80"),
                              {long_name, sizeof long_name}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    assert_non_null(user_store_name_check(bad[i]));
  }
}

static void use_bad_names(struct db_txn *txn, struct arena *arena) {
  static char long_name[1000];
  struct arena unused = {0};
  (void)arena;
  memset(long_name, 'n', sizeof long_name);
  const struct slice bad[] = {
      SLICE("a:b"), SLICE("a\0b"), SLICE("\xff"), {long_name, sizeof long_name}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    struct error e[5] = {0};
    assert_int_equal(user_store_add(txn, bad[i], SLICE("p"), 1, &e[0]), -1);
    assert_int_equal(user_store_set_password(txn, bad[i], SLICE("p"), 1, &e[1]), -1);
    assert_int_equal(user_store_remove(txn, bad[i], &e[2]), -1);
    assert_int_equal(user_store_grant(txn, bad[i], SLICE("a"), PULL, &e[3]), -1);
    assert_int_equal(user_store_ungrant(txn, bad[i], SLICE("a"), PULL, &e[4]), -1);
    for (size_t j = 0; j < sizeof e / sizeof *e; j++) {
      assert_int_equal(e[j].kind, ERROR_USAGE);
      assert_true(slice_utf8(slice_str(e[j].text)));
    }
    assert_int_equal(refresh_store_remove_user(txn, bad[i], NULL), 0);
  }
  arena_free(&unused);
}

static void names_are_bounded_everywhere(void **state) {
  struct db *db = must_open(*state);
  write_steps(db, use_bad_names);
  check(db, 1);
  db_close(db);
}

static void grant_some(struct db_txn *txn, struct arena *arena) {
  struct user_record u;
  struct error e = {0};
  grant(txn, alice, "team/app2", PULL | PUSH);
  grant(txn, alice, "team/app", PULL);
  grant(txn, alice, "*", PULL);
  grant(txn, al, "team/*", PULL | PUSH);
  grant(txn, al, "team/*", PULL); /* is what it is now */
  assert_int_equal(user_store_get(txn, alice, arena, &u, NULL), 0);
  assert_int_equal(u.grant_count, 3);
  static const struct user_grant expected[] = {
      {{"*", 1}, PULL}, {{"team/app", 8}, PULL}, {{"team/app2", 9}, PULL | PUSH}};
  for (size_t i = 0; i < 3; i++) {
    assert_true(slice_equal(u.grants[i].pattern, expected[i].pattern));
    assert_int_equal(u.grants[i].actions, expected[i].actions);
  }
  assert_int_equal(user_store_get(txn, al, arena, &u, NULL), 0);
  assert_int_equal(u.grant_count, 1);
  assert_int_equal(u.grants[0].actions, PULL);
  assert_int_equal(user_store_grant(txn, SLICE("bob"), SLICE("a"), PULL, &e), -1);
  assert_int_equal(e.kind, ERROR_NOT_FOUND);
  assert_int_equal(user_store_grant(txn, alice, SLICE("a*"), PULL, &e), -1);
  assert_int_equal(e.kind, ERROR_USAGE);
  assert_non_null(strstr(e.text, "a*"));
  assert_int_equal(user_store_grant(txn, alice, SLICE("\xff"), PULL, &e), -1);
  assert_true(slice_utf8(slice_str(e.text)));
  static const unsigned bad[] = {0, PUSH, 4, 4 | PULL, 257, ~0U};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    assert_int_equal(user_store_grant(txn, alice, SLICE("a"), bad[i], &e), -1);
    assert_int_equal(e.kind, ERROR_USAGE);
  }
}

static void a_user_has_grants(void **state) {
  struct db *db = must_open(*state);
  write_steps(db, add_users);
  write_steps(db, grant_some);
  check(db, 1 + 3 + 4);
  db_close(db);
}

static unsigned granted(struct db_txn *txn, struct arena *arena, const char *pattern) {
  struct user_record u;
  assert_int_equal(user_store_get(txn, alice, arena, &u, NULL), 0);
  for (size_t i = 0; i < u.grant_count; i++) {
    if (slice_equal(u.grants[i].pattern, slice_str(pattern))) {
      return u.grants[i].actions;
    }
  }
  return 0;
}

static void ungrant_some(struct db_txn *txn, struct arena *arena) {
  struct error e = {0};
  static const struct {
    unsigned had, taken, left;
  } cases[] = {{PULL, PULL, 0},           {PULL, PUSH, PULL},
               {PULL, PULL | PUSH, 0},    {PULL | PUSH, PULL | PUSH, 0},
               {PULL | PUSH, PUSH, PULL}, {PULL | PUSH, PULL, 0}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    grant(txn, alice, "team/app", cases[i].had);
    assert_int_equal(user_store_ungrant(txn, alice, SLICE("team/app"), cases[i].taken, NULL), 0);
    assert_int_equal(granted(txn, arena, "team/app"), cases[i].left);
    /* One whose pattern goes on, and others' */
    assert_int_equal(granted(txn, arena, "team/app2"), PULL | PUSH);
  }
  assert_int_equal(user_store_ungrant(txn, alice, SLICE("team/app"), PULL, &e), -1);
  assert_int_equal(e.kind, ERROR_NOT_FOUND);
  assert_string_equal(e.text, "alice has no grant of team/app");
  /* It is about the pattern, not about what it matches. */
  assert_int_equal(user_store_ungrant(txn, alice, SLICE("team/*"), PULL, &e), -1);
  assert_int_equal(user_store_ungrant(txn, SLICE("bob"), SLICE("*"), PULL, &e), -1);
  assert_string_equal(e.text, "there is no user bob");
  assert_int_equal(user_store_ungrant(txn, alice, SLICE(""), PULL, &e), -1);
  assert_int_equal(e.kind, ERROR_USAGE);
}

static void grants_are_taken_back(void **state) {
  struct db *db = must_open(*state);
  write_steps(db, add_users);
  write_steps(db, grant_some);
  write_steps(db, ungrant_some);
  check(db, 1 + 3 + 3);
  db_close(db);
}

static void fill_a_key(struct db_txn *txn, struct arena *arena) {
  static char text[USER_STORE_NAME_MAX + 1];
  struct user_record u;
  memset(text, 'n', USER_STORE_NAME_MAX);
  struct slice longest = {text, USER_STORE_NAME_MAX};
  add(txn, longest, "p", 1);
  grant(txn, longest, text, PULL);
  assert_int_equal(user_store_get(txn, longest, arena, &u, NULL), 0);
  assert_int_equal(u.grant_count, 1);
  assert_int_equal(u.grants[0].pattern.len, 255);
}

static void the_longest_names_fit(void **state) {
  struct db *db = must_open(*state);
  write_steps(db, fill_a_key);
  check(db, 3);
  db_close(db);
}

static void remove_al(struct db_txn *txn, struct arena *arena) {
  struct user_record u;
  struct error e = {0};
  assert_int_equal(user_store_remove(txn, al, NULL), 0);
  assert_int_equal(user_store_get(txn, al, arena, &u, NULL), -1);
  assert_int_equal(user_store_remove(txn, al, &e), -1);
  assert_int_equal(e.kind, ERROR_NOT_FOUND);
  /* alice, whose name begins so, is as before. */
  assert_int_equal(user_store_get(txn, alice, arena, &u, NULL), 0);
  assert_int_equal(u.grant_count, 3);
  /* A user of that name who comes later does not inherit. */
  add(txn, al, "p", 1);
  assert_int_equal(user_store_get(txn, al, arena, &u, NULL), 0);
  assert_int_equal(u.grant_count, 0);
}

static void a_user_goes_with_the_grants(void **state) {
  struct db *db = must_open(*state);
  write_steps(db, add_users);
  write_steps(db, grant_some);
  write_steps(db, remove_al);
  check(db, 1 + 3 + 3);
  db_close(db);
}

struct seen {
  size_t users, grants, stop_after;
  char names[64];
};

static bool see(void *arg, const struct user_record *u) {
  struct seen *s = arg;
  s->users++;
  s->grants += u->grant_count;
  snprintf(s->names + strlen(s->names), sizeof s->names - strlen(s->names), "%.*s ",
           SLICE_ARG(u->name));
  return s->users != s->stop_after;
}

static void see_each(struct db_txn *txn, struct arena *arena) {
  struct seen all = {0}, one = {.stop_after = 1};
  (void)arena;
  assert_int_equal(user_store_each(txn, see, &all, NULL), 0);
  assert_string_equal(all.names, "al alice \xc3\xa4 z ");
  assert_int_equal(all.grants, 4);
  assert_int_equal(user_store_each(txn, see, &one, NULL), 0);
  assert_int_equal(one.users, 1);
}

static void each_comes_by_name(void **state) {
  struct db *db = must_open(*state);
  write_steps(db, add_users);
  write_steps(db, grant_some);
  read_steps(db, see_each);
  db_close(db);
}

static void put_damage(struct db_txn *txn, struct arena *arena) {
  (void)arena;
  static const struct {
    enum table table;
    struct slice key, value;
  } records[] = {
      {TABLE_USERS, {"a:b", 3}, {"12345678\1\0\0\0p", 13}},
      {TABLE_USERS, {"short", 5}, {"1234567", 7}},
      {TABLE_USERS, {"empty", 5}, {"12345678\0\0\0\0", 12}},
      {TABLE_USERS, {"long", 4}, {"12345678\1\0\0\0px", 14}},
      {TABLE_GRANTS, {"alice\0a*", 8}, {"\1", 1}},
      {TABLE_GRANTS, {"alice", 5}, {"\1", 1}},
      {TABLE_GRANTS, {"alice\0push", 10}, {"\2", 1}},
      {TABLE_GRANTS, {"alice\0none", 10}, {"\0", 1}},
      {TABLE_GRANTS, {"alice\0more", 10}, {"\7", 1}},
      {TABLE_GRANTS, {"alice\0long", 10}, {"\1\1", 2}},
      {TABLE_GRANTS, {"alice\0empty", 11}, {"", 0}},
      {TABLE_GRANTS, {"bob\0a", 5}, {"\1", 1}},
  };
  for (size_t i = 0; i < sizeof records / sizeof *records; i++) {
    assert_int_equal(table_put(txn, records[i].table, records[i].key, records[i].value, NULL), 0);
  }
}

static void meet_damage(struct db_txn *txn, struct arena *arena) {
  struct user_record u;
  struct seen seen = {0};
  struct error e = {0};
  assert_int_equal(user_store_get(txn, alice, arena, &u, &e), -1);
  assert_int_equal(e.kind, ERROR_FAILED);
  e = (struct error){0};
  assert_int_equal(user_store_get(txn, SLICE("empty"), arena, &u, &e), -1);
  assert_int_equal(e.kind, ERROR_FAILED);
  e = (struct error){0};
  assert_int_equal(user_store_each(txn, see, &seen, &e), -1);
  assert_int_equal(e.kind, ERROR_FAILED);
}

static void check_finds_what_is_in_another_form(void **state) {
  struct db *db = must_open(*state);
  uint64_t records, faults;
  struct error e = {0};
  write_steps(db, add_users);
  write_steps(db, put_damage);
  assert_int_equal(db_check(db, &records, &faults, &e), -1);
  assert_non_null(strstr(e.text, "users"));
  assert_int_equal(records, 1 + 3 + 12);
  assert_int_equal(faults, 12);
  read_steps(db, meet_damage);
  db_close(db);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_user_is_found_by_name),
      TEST(a_user_is_added_once),
      TEST(another_password_is_set),
      cmocka_unit_test(which_names_there_are),
      TEST(names_are_bounded_everywhere),
      TEST(a_user_has_grants),
      TEST(grants_are_taken_back),
      TEST(the_longest_names_fit),
      TEST(a_user_goes_with_the_grants),
      TEST(each_comes_by_name),
      TEST(check_finds_what_is_in_another_form),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
