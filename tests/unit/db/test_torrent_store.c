#include "unit/db/steps.h"

#include "db/torrent_store.h"

#define DIGEST_A "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define DIGEST_B "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static struct torrent_record v1(void) {
  return (struct torrent_record){.format = 1,
                                 .infohash = "one................",
                                 .digest = SLICE(DIGEST_A),
                                 .size = UINT64_C(1) << 40,
                                 .info = SLICE("d4:infoe")};
}

static struct torrent_record hybrid(void) {
  return (struct torrent_record){.format = 3,
                                 .infohash = "hybrid.............",
                                 .infohash_v2 = "HYBRID.........................",
                                 .digest = SLICE(DIGEST_A),
                                 .size = 5,
                                 .info = SLICE("d6:hybride"),
                                 .piece_layers = SLICE("d5:layere")};
}

static void assert_same(const struct torrent_record *a, const struct torrent_record *b) {
  assert_int_equal(a->format, b->format);
  assert_memory_equal(a->infohash, b->infohash, 20);
  assert_memory_equal(a->infohash_v2, b->infohash_v2, 32);
  assert_true(slice_equal(a->digest, b->digest));
  assert_true(a->size == b->size);
  assert_true(slice_equal(a->info, b->info));
  assert_true(slice_equal(a->piece_layers, b->piece_layers));
}

static void put_both(struct db_txn *txn, struct arena *arena) {
  struct torrent_record a = v1(), h = hybrid();
  (void)arena;
  for (int again = 0; again < 2; again++) {
    assert_int_equal(torrent_store_put(txn, &a, NULL), 0);
    assert_int_equal(torrent_store_put(txn, &h, NULL), 0);
  }
}

static void find_both(struct db_txn *txn, struct arena *arena) {
  struct torrent_record a = v1(), h = hybrid(), t;
  struct error e = {0};
  assert_int_equal(torrent_store_get(txn, a.infohash, arena, &t, NULL), 0);
  assert_same(&t, &a);
  assert_int_equal(torrent_store_get(txn, h.infohash, arena, &t, NULL), 0);
  assert_same(&t, &h);
  assert_int_equal(torrent_store_get(txn, h.infohash_v2, arena, &t, NULL), 0);
  assert_same(&t, &h);
  assert_int_equal(torrent_store_find(txn, SLICE(DIGEST_A), 1, arena, &t, NULL), 0);
  assert_same(&t, &a);
  assert_int_equal(torrent_store_find(txn, SLICE(DIGEST_A), 3, arena, &t, NULL), 0);
  assert_same(&t, &h);
  assert_int_equal(torrent_store_find(txn, SLICE(DIGEST_A), 2, arena, &t, &e), -1);
  assert_int_equal(e.kind, ERROR_NOT_FOUND);
  assert_int_equal(torrent_store_find(txn, SLICE(DIGEST_B), 1, arena, &t, &e), -1);
  assert_int_equal(e.kind, ERROR_NOT_FOUND);
  assert_int_equal(torrent_store_find(txn, SLICE("sha256:abc"), 1, arena, &t, &e), -1);
  assert_int_equal(e.kind, ERROR_USAGE);
  const unsigned char nobody[20] = "nobody";
  assert_int_equal(torrent_store_get(txn, nobody, arena, &t, &e), -1);
  assert_int_equal(e.kind, ERROR_NOT_FOUND);
  assert_string_equal(e.text,
                      "no torrent has the infohash 6e6f626f64790000000000000000000000000000");
}

static void a_torrent_is_found_by_infohash_and_digest(void **state) {
  struct db *db = must_open(*state);
  write_steps(db, put_both);
  read_steps(db, find_both);
  check(db, 1 + 2 + 1 + 2);
  db_close(db);
}

static void put_others(struct db_txn *txn, struct arena *arena) {
  struct torrent_record t = v1(), got, bad;
  struct error e = {0};
  bad = t;
  bad.info = SLICE("d4:othee");
  assert_int_equal(torrent_store_put(txn, &bad, &e), -1);
  assert_int_equal(e.kind, ERROR_FAILED);
  assert_non_null(strstr(e.text, "another torrent"));
  bad = t;
  bad.digest = SLICE(DIGEST_B);
  assert_int_equal(torrent_store_put(txn, &bad, NULL), -1);
  bad = t;
  bad.digest = SLICE("md5:aa");
  assert_int_equal(torrent_store_put(txn, &bad, &e), -1);
  assert_int_equal(e.kind, ERROR_USAGE);
  struct torrent_record h = hybrid();
  h.piece_layers = (struct slice){0}; /* does not take away what is known */
  assert_int_equal(torrent_store_put(txn, &h, NULL), 0);
  assert_int_equal(torrent_store_get(txn, h.infohash, arena, &got, NULL), 0);
  assert_int_equal(got.piece_layers.len, 9);
}

static void another_torrent_of_that_infohash_is_refused(void **state) {
  struct db *db = must_open(*state);
  write_steps(db, put_both);
  write_steps(db, put_others);
  read_steps(db, find_both);
  check(db, 6);
  db_close(db);
}

static void allow_some(struct db_txn *txn, struct arena *arena) {
  struct torrent_record a = v1(), h = hybrid();
  struct error e = {0};
  (void)arena;
  assert_int_equal(torrent_store_allow(txn, a.infohash, SLICE("reg:5000"), SLICE("team/app"), NULL),
                   0);
  assert_int_equal(torrent_store_allow(txn, a.infohash, SLICE("reg:5000"), SLICE("team/app"), NULL),
                   0);
  assert_int_equal(torrent_store_allow(txn, a.infohash, SLICE("reg"), SLICE("team/app2"), NULL), 0);
  assert_int_equal(torrent_store_allow(txn, h.infohash_v2, SLICE("reg"), SLICE("team/app"), NULL),
                   0);
  const unsigned char nobody[20] = "nobody";
  assert_int_equal(torrent_store_allow(txn, nobody, SLICE("reg"), SLICE("team/app"), &e), -1);
  assert_int_equal(e.kind, ERROR_NOT_FOUND);
}

static void ask_some(struct db_txn *txn, struct arena *arena) {
  struct torrent_record a = v1(), h = hybrid();
  (void)arena;
  assert_true(torrent_store_allowed(txn, a.infohash, SLICE("reg:5000"), SLICE("team/app")));
  assert_true(torrent_store_allowed(txn, a.infohash, SLICE("reg"), SLICE("team/app2")));
  assert_true(torrent_store_allowed(txn, h.infohash, SLICE("reg"), SLICE("team/app")));
  assert_true(torrent_store_allowed(txn, h.infohash_v2, SLICE("reg"), SLICE("team/app")));
  static const struct slice no[][2] = {
      {{"reg", 3}, {"team/app", 8}},       {{"reg:5000", 8}, {"team/app2", 9}},
      {{"reg:5000", 8}, {"team", 4}},      {{"reg:5000", 8}, {"", 0}},
      {{"", 0}, {"team/app", 8}},          {{"reg:5000\0team", 13}, {"app", 3}},
      {{"reg:5000", 8}, {"team/ap\0", 8}},
  };
  for (size_t i = 0; i < sizeof no / sizeof *no; i++) {
    assert_false(torrent_store_allowed(txn, a.infohash, no[i][0], no[i][1]));
  }
}

static void a_right_is_of_one_registry_and_repository(void **state) {
  struct db *db = must_open(*state);
  write_steps(db, put_both);
  write_steps(db, allow_some);
  read_steps(db, ask_some);
  check(db, 6 + 3);
  db_close(db);
}

static void allow_long_names(struct db_txn *txn, struct arena *arena) {
  static char text[300];
  struct torrent_record a = v1();
  struct error e = {0};
  (void)arena;
  memset(text, 'n', sizeof text);
  for (size_t registry = 234; registry <= 236; registry++) {
    for (size_t repository = 254; repository <= 256; repository++) {
      bool fits = registry <= TORRENT_STORE_REGISTRY_MAX && repository <= 255;
      struct slice r = {text, registry}, n = {text, repository};
      assert_int_equal(torrent_store_allow(txn, a.infohash, r, n, &e), fits ? 0 : -1);
      assert_int_equal(torrent_store_allowed(txn, a.infohash, r, n), fits);
    }
  }
  assert_int_equal(e.kind, ERROR_USAGE);
}

static void names_are_bounded(void **state) {
  struct db *db = must_open(*state);
  write_steps(db, put_both);
  write_steps(db, allow_long_names);
  check(db, 6 + 4);
  db_close(db);
}

static void remove_hybrid(struct db_txn *txn, struct arena *arena) {
  struct torrent_record h = hybrid(), t;
  struct error e = {0};
  assert_int_equal(torrent_store_remove(txn, h.infohash_v2, NULL), 0);
  assert_int_equal(torrent_store_get(txn, h.infohash, arena, &t, NULL), -1);
  assert_int_equal(torrent_store_get(txn, h.infohash_v2, arena, &t, NULL), -1);
  assert_int_equal(torrent_store_find(txn, SLICE(DIGEST_A), 3, arena, &t, NULL), -1);
  assert_false(torrent_store_allowed(txn, h.infohash, SLICE("reg"), SLICE("team/app")));
  assert_false(torrent_store_allowed(txn, h.infohash_v2, SLICE("reg"), SLICE("team/app")));
  assert_int_equal(torrent_store_remove(txn, h.infohash, &e), -1);
  assert_int_equal(e.kind, ERROR_NOT_FOUND);
}

static void remove_v1(struct db_txn *txn, struct arena *arena) {
  struct torrent_record a = v1(), later = v1(), t;
  later.infohash[0] = 'X'; /* the same blob by pieces of another length */
  assert_int_equal(torrent_store_put(txn, &later, NULL), 0);
  assert_int_equal(torrent_store_find(txn, a.digest, 1, arena, &t, NULL), 0);
  assert_int_equal(t.infohash[0], 'X');
  assert_int_equal(torrent_store_remove(txn, a.infohash, NULL), 0);
  assert_int_equal(torrent_store_find(txn, a.digest, 1, arena, &t, NULL), 0);
  assert_int_equal(t.infohash[0], 'X');
  assert_int_equal(torrent_store_remove(txn, later.infohash, NULL), 0);
}

static void remove_leaves_nothing(void **state) {
  struct db *db = must_open(*state);
  write_steps(db, put_both);
  write_steps(db, allow_some);
  write_steps(db, remove_hybrid);
  check(db, 1 + 1 + 1 + 2);
  write_steps(db, remove_v1);
  check(db, 1);
  db_close(db);
}

/* What is registered, as `infohash[0]/registry/repository ` each. */
struct rights {
  char text[256];
  size_t count, stop_after;
};

static bool add_right(void *arg, const unsigned char infohash[20], struct slice registry,
                      struct slice repository) {
  struct rights *r = arg;
  size_t len = strlen(r->text);
  snprintf(r->text + len, sizeof r->text - len, "%c:%.*s/%.*s ", infohash[0], SLICE_ARG(registry),
           SLICE_ARG(repository));
  return ++r->count != r->stop_after;
}

static void assert_rights(struct db_txn *txn, const char *expected) {
  struct rights r = {0};
  assert_int_equal(torrent_store_each_right(txn, add_right, &r, NULL), 0);
  assert_string_equal(r.text, expected);
}

static void see_rights(struct db_txn *txn, struct arena *arena) {
  struct rights one = {.stop_after = 1};
  (void)arena;
  assert_rights(txn, "h:reg/team/app o:reg/team/app2 o:reg:5000/team/app ");
  assert_int_equal(torrent_store_each_right(txn, add_right, &one, NULL), 0);
  assert_int_equal(one.count, 1);
}

static void each_right_is_seen(void **state) {
  struct db *db = must_open(*state);
  write_steps(db, put_both);
  write_steps(db, allow_some);
  read_steps(db, see_rights);
  db_close(db);
}

static void disallow(struct db_txn *txn, const unsigned char *infohash, const char *registry,
                     const char *repository) {
  struct error e = {0};
  if (torrent_store_disallow(txn, infohash, slice_str(registry), slice_str(repository), &e) != 0) {
    fail_msg("%s", e.text);
  }
}

/* A torrent that nobody was given yet does not go. */
static void disallow_unsaid(struct db_txn *txn, struct arena *arena) {
  struct torrent_record a = v1();
  (void)arena;
  disallow(txn, a.infohash, "reg", "team/app");
}

static void disallow_some(struct db_txn *txn, struct arena *arena) {
  struct torrent_record a = v1(), h = hybrid(), t;
  disallow(txn, a.infohash, "reg", "team/app"); /* what was not said */
  disallow(txn, a.infohash, "reg:5000", "");
  assert_rights(txn, "h:reg/team/app o:reg/team/app2 o:reg:5000/team/app ");
  disallow(txn, a.infohash, "reg:5000", "team/app");
  assert_rights(txn, "h:reg/team/app o:reg/team/app2 ");
  assert_int_equal(torrent_store_get(txn, a.infohash, arena, &t, NULL), 0);
  assert_int_equal(torrent_store_get(txn, h.infohash, arena, &t, NULL), 0);
}

static void disallow_the_last(struct db_txn *txn, struct arena *arena) {
  struct torrent_record a = v1(), h = hybrid(), t;
  struct error e = {0};
  disallow(txn, h.infohash_v2, "reg", "team/app");
  assert_int_equal(torrent_store_get(txn, h.infohash, arena, &t, NULL), -1);
  assert_int_equal(torrent_store_get(txn, a.infohash, arena, &t, NULL), 0);
  disallow(txn, a.infohash, "reg", "team/app2");
  assert_int_equal(torrent_store_disallow(txn, a.infohash, SLICE("reg"), SLICE("team/app2"), &e),
                   -1);
  assert_int_equal(e.kind, ERROR_NOT_FOUND);
}

/* A blob may have a torrent of each format, registered to as many. */
static void disallow_a_blob(struct db_txn *txn, struct arena *arena) {
  struct torrent_record a = v1();
  struct error e = {0};
  (void)arena;
  const struct slice blob = SLICE(DIGEST_A), registry = SLICE("reg"), app = SLICE("team/app");
  assert_int_equal(torrent_store_allow(txn, a.infohash, registry, app, NULL), 0);
  assert_rights(txn, "h:reg/team/app o:reg/team/app o:reg/team/app2 o:reg:5000/team/app ");
  assert_true(torrent_store_allowed_blob(txn, blob, registry, app));
  assert_false(torrent_store_allowed_blob(txn, blob, registry, SLICE("team")));
  assert_false(torrent_store_allowed_blob(txn, SLICE(DIGEST_B), registry, app));
  assert_false(torrent_store_allowed_blob(txn, SLICE("x"), registry, app));
  assert_int_equal(torrent_store_disallow_blob(txn, SLICE(DIGEST_B), registry, app, NULL), 0);
  assert_int_equal(torrent_store_disallow_blob(txn, SLICE("x"), registry, app, &e), -1);
  assert_int_equal(e.kind, ERROR_USAGE);
  assert_int_equal(torrent_store_disallow_blob(txn, blob, registry, app, NULL), 0);
  assert_rights(txn, "o:reg/team/app2 o:reg:5000/team/app ");
  assert_false(torrent_store_allowed_blob(txn, blob, registry, app));
  assert_true(torrent_store_allowed_blob(txn, blob, registry, SLICE("team/app2")));
}

static void a_blob_is_taken_back_in_all_formats(void **state) {
  struct db *db = must_open(*state);
  write_steps(db, put_both);
  write_steps(db, allow_some);
  write_steps(db, disallow_a_blob);
  check(db, 1 + 2 + 2); /* the hybrid is gone */
  db_close(db);
}

static void a_torrent_goes_with_its_last_right(void **state) {
  struct db *db = must_open(*state);
  write_steps(db, put_both);
  write_steps(db, disallow_unsaid);
  check(db, 6);
  write_steps(db, allow_some);
  write_steps(db, disallow_some);
  check(db, 6 + 2);
  write_steps(db, disallow_the_last);
  check(db, 1);
  db_close(db);
}

static void put_large(struct db_txn *txn, struct arena *arena) {
  struct torrent_record t = v1(), got;
  size_t size = 20 * mib;
  char *bytes = malloc(size);
  memset(bytes, 'x', size);
  t.info = slice_of(bytes, size);
  assert_int_equal(torrent_store_put(txn, &t, NULL), 0);
  assert_int_equal(torrent_store_get(txn, t.infohash, arena, &got, NULL), 0);
  assert_true(slice_equal(got.info, t.info));
  t.infohash[0] = 'L';
  t.info.len = (size_t)1 << 40; /* is not read */
  assert_int_equal(torrent_store_put(txn, &t, NULL), -1);
  free(bytes);
}

static void large_torrents_are_kept_within_a_bound(void **state) {
  struct db *db = must_open(*state);
  write_steps(db, put_large);
  check(db, 3);
  db_close(db);
}

struct seen {
  size_t torrents, names, stop_after;
};

static bool see(void *arg, const struct torrent_record *t, const struct slice *registries,
                const struct slice *repositories, size_t count) {
  struct seen *s = arg;
  s->torrents++;
  s->names += count;
  if (t->format == 3) {
    assert_int_equal(count, 40);
    for (size_t i = 0; i < count; i++) { /* by name */
      char expected[32];
      snprintf(expected, sizeof expected, "team/app%02zu", i);
      assert_true(slice_equal(registries[i], SLICE("reg")));
      assert_true(slice_equal(repositories[i], slice_str(expected)));
    }
  }
  return s->torrents != s->stop_after;
}

static void see_each(struct db_txn *txn, struct arena *arena) {
  struct torrent_record h = hybrid();
  struct seen seen = {0}, one = {.stop_after = 1};
  (void)arena;
  for (int i = 39; i >= 0; i--) {
    char name[32];
    snprintf(name, sizeof name, "team/app%02d", i);
    assert_int_equal(torrent_store_allow(txn, h.infohash, SLICE("reg"), slice_str(name), NULL), 0);
  }
  assert_int_equal(torrent_store_each(txn, see, &seen, NULL), 0);
  assert_int_equal(seen.torrents, 2);
  assert_int_equal(seen.names, 40);
  assert_int_equal(torrent_store_each(txn, see, &one, NULL), 0);
  assert_int_equal(one.torrents, 1);
}

static void each_has_its_repositories(void **state) {
  struct db *db = must_open(*state);
  write_steps(db, put_both);
  write_steps(db, see_each);
  db_close(db);
}

static void break_references(struct db_txn *txn, struct arena *arena) {
  (void)arena;
  assert_int_equal(table_remove(txn, TABLE_TORRENTS, slice_of("hybrid", 6), NULL), 0);
  assert_int_equal(table_put(txn, TABLE_TORRENTS, SLICE("short"), SLICE("\x01"), NULL), 0);
  assert_int_equal(table_put(txn, TABLE_READABLE, SLICE("one................"), SLICE(""), NULL),
                   0);
}

static void check_finds_what_refers_to_nothing(void **state) {
  struct db *db = must_open(*state);
  uint64_t records, faults;
  struct error e = {0};
  write_steps(db, put_both);
  write_steps(db, allow_some);
  write_steps(db, break_references);
  assert_int_equal(db_check(db, &records, &faults, &e), -1);
  assert_int_equal(e.kind, ERROR_FAILED);
  assert_non_null(strstr(e.text, "torrents")); /* the first */
  assert_int_equal(records, 10);
  /* The short torrent and right, and the hybrid's alias, digest and right. */
  assert_int_equal(faults, 5);
  db_close(db);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_torrent_is_found_by_infohash_and_digest),
      TEST(another_torrent_of_that_infohash_is_refused),
      TEST(a_right_is_of_one_registry_and_repository),
      TEST(names_are_bounded),
      TEST(remove_leaves_nothing),
      TEST(each_right_is_seen),
      TEST(a_torrent_goes_with_its_last_right),
      TEST(a_blob_is_taken_back_in_all_formats),
      TEST(large_torrents_are_kept_within_a_bound),
      TEST(each_has_its_repositories),
      TEST(check_finds_what_refers_to_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
