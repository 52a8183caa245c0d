/* How long a token lets its holder go on: sessions, and what a registry token covers (contract,
 * Tokens). */
#include "rig.h"

#include "db/torrent_store.h"
#include "unit/cmocka_all.h"

#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

static int set_up(void **state) {
  *state = rig_new(NULL);
  return 0;
}

static int tear_down(void **state) {
  rig_free(*state);
  return 0;
}

/* Keeps the `tracker id` of the last answer. */
static const char *keep_id(struct rig *rig) {
  struct slice id = rig_get(rig->answer, "tracker id");
  assert_non_null(id.ptr);
  return arena_copy(&rig->arena, id);
}

static void goes_on_after_exp_by_its_own_entry(void **state) {
  struct rig *rig = *state;
  rig_announce_with(rig, rig->token, RIG_QUERY);
  rig_announce_with(rig, rig->token, RIG_QUERY);
  assert_null(rig_get(rig->answer, "tracker id").ptr);
  /* exp and the leeway of 60 s. */
  rig->now = RIG_NOW + 600 + 60;
  rig_announce_with(rig, rig->token, RIG_QUERY);
  rig_assert_welcome(rig);
  assert_null(rig_get(rig->answer, "tracker id").ptr);
  rig_announce_with(rig, rig->token, RIG_QUERY "&event=completed");
  rig_assert_welcome(rig);
  /* Not from elsewhere, nor on another port, nor of another token. */
  rig_from(rig, "10.0.0.2");
  rig_announce_with(rig, rig->token, RIG_QUERY);
  rig_assert_failure(rig, "token expired");
  rig_from(rig, "10.0.0.1");
  rig_announce_with(rig, rig->token,
                    "info_hash=" RIG_HASH "&peer_id=" RIG_PEER
                    "&port=6882&uploaded=0&downloaded=0&left=1");
  rig_assert_failure(rig, "token expired");
  struct token other = rig_claims();
  other.subject = SLICE("somebody else");
  rig_announce_with(rig, rig_sign(rig, &other), RIG_QUERY);
  rig_assert_failure(rig, "token expired");
  /* Until it stops. */
  rig_announce_with(rig, rig->token, RIG_QUERY "&event=stopped");
  rig_assert_welcome(rig);
  rig_announce_with(rig, rig->token, RIG_QUERY);
  rig_assert_failure(rig, "token expired");
}

static void its_entry_proves_nothing_once_it_was_silent(void **state) {
  struct rig *rig = *state;
  rig_announce_with(rig, rig->token, RIG_QUERY);
  rig->now = RIG_NOW + 700;
  rig->tick += RIG_INTERVAL * 5 / 2;
  rig_announce_with(rig, rig->token, RIG_QUERY);
  rig_assert_welcome(rig);
  rig->tick += RIG_INTERVAL * 5 / 2 + 1;
  rig_announce_with(rig, rig->token, RIG_QUERY);
  rig_assert_failure(rig, "token expired");
}

/* A client that is given a new token goes on where it is, without a word of `started`. */
static void a_new_token_is_given_its_own_id(void **state) {
  struct rig *rig = *state;
  rig_announce_with(rig, rig->token, RIG_QUERY);
  const char *id = keep_id(rig);
  struct token later = rig_claims();
  later.expires += 3600;
  const char *token = rig_sign(rig, &later);
  rig_announce_with(rig, token, RIG_QUERY "&trackerid=%s", id);
  const char *own = keep_id(rig);
  rig_announce_with(rig, token, RIG_QUERY "&trackerid=%s", own);
  assert_null(rig_get(rig->answer, "tracker id").ptr);
  rig_from(rig, "10.0.0.2");
  rig->now = RIG_NOW + 3600 + 700;
  rig_announce_with(rig, token, RIG_QUERY "&trackerid=%s", own);
  rig_assert_failure(rig, "token expired");
  rig_from(rig, "10.0.0.1");
  rig_announce_with(rig, token, RIG_QUERY "&event=stopped");
  rig_announce_with(rig, token, RIG_QUERY "&trackerid=%s", own);
  rig_assert_welcome(rig);
}

static void goes_on_after_exp_by_its_tracker_id(void **state) {
  struct rig *rig = *state;
  rig_announce_with(rig, rig->token, RIG_QUERY);
  const char *id = keep_id(rig);
  /* On another tracker with the same key: nothing is stored. */
  struct tracker *first = rig->tracker;
  assert_int_equal(tracker_new(&rig->options, &rig->tracker, NULL), 0);
  tracker_free(first);
  rig->now = RIG_NOW + 700;
  rig_announce_with(rig, rig->token, RIG_QUERY);
  rig_assert_failure(rig, "token expired");
  rig_announce_with(rig, rig->token, RIG_QUERY "&trackerid=x%s", id);
  rig_assert_failure(rig, "token expired");
  rig_from(rig, "10.0.0.2");
  rig_announce_with(rig, rig->token, RIG_QUERY "&trackerid=%s", id);
  rig_assert_failure(rig, "token expired");
  rig_from(rig, "10.0.0.1");
  rig_announce_with(rig, rig->token, RIG_QUERY "&trackerid=%s", id);
  rig_assert_welcome(rig);
  assert_int_equal(rig_number(rig, "incomplete"), 1);
  assert_null(rig_get(rig->answer, "tracker id").ptr);
  /* Now its entry will do. */
  rig_announce_with(rig, rig->token, RIG_QUERY);
  rig_assert_welcome(rig);
  /* With another key it is foreign. */
  rig->options.session_key[31] ^= 1;
  tracker_free(rig->tracker);
  assert_int_equal(tracker_new(&rig->options, &rig->tracker, NULL), 0);
  rig_announce_with(rig, rig->token, RIG_QUERY "&trackerid=%s", id);
  rig_assert_failure(rig, "token expired");
}

static void ends_with_its_session(void **state) {
  struct rig *rig = *state;
  rig_announce_with(rig, rig->token, RIG_QUERY);
  const char *id = keep_id(rig);
  rig->now = RIG_NOW + 86400 - 11;
  rig_announce_with(rig, rig->token, RIG_QUERY "&trackerid=%s", id);
  rig_assert_welcome(rig);
  rig->now++;
  rig_announce_with(rig, rig->token, RIG_QUERY "&trackerid=%s", id);
  rig_assert_failure(rig, "token expired");
}

static void a_session_is_bounded_by_session_max(void **state) {
  struct rig *rig = *state;
  struct token longer = rig_claims();
  longer.session = RIG_NOW + 864000;
  const char *token = rig_sign(rig, &longer);
  rig_announce_with(rig, token, RIG_QUERY);
  rig->now = RIG_NOW - 10 + 86400 - 1;
  rig_announce_with(rig, token, RIG_QUERY);
  rig_assert_welcome(rig);
  rig->now++;
  rig_announce_with(rig, token, RIG_QUERY);
  rig_assert_failure(rig, "token expired");
}

static void without_a_session_exp_is_the_end(void **state) {
  struct rig *rig = *state;
  struct token plain = rig_claims();
  plain.session = 0;
  const char *token = rig_sign(rig, &plain);
  rig_announce_with(rig, token, RIG_QUERY);
  const char *id = keep_id(rig);
  rig->now = RIG_NOW + 660;
  rig_announce_with(rig, token, RIG_QUERY "&trackerid=%s", id);
  rig_assert_failure(rig, "token expired");
}

/* A client keeps one id for a tracker; its announces over both families go into it. */
static void an_id_gathers_addresses(void **state) {
  struct rig *rig = *state;
  rig_announce_with(rig, rig->token, RIG_QUERY);
  const char *v4_id = keep_id(rig);
  rig_from(rig, "2001:db8::1");
  rig_announce_with(rig, rig->token, RIG_QUERY "&trackerid=%s", v4_id);
  const char *both = keep_id(rig);
  assert_string_not_equal(v4_id, both);
  /* Both first announces at once: the last id wins, and takes up the other address later. */
  rig_from(rig, "2001:db8::1");
  rig_announce_with(rig, rig->token, RIG_QUERY "&trackerid=%s", v4_id);
  assert_string_equal(keep_id(rig), both);
  /* The one that holds the address is not given again. */
  rig_announce_with(rig, rig->token, RIG_QUERY "&trackerid=%s", both);
  assert_null(rig_get(rig->answer, "tracker id").ptr);
  rig_announce_with(rig, rig->token, RIG_QUERY "&trackerid=%s", "foreign");
  assert_null(rig_get(rig->answer, "tracker id").ptr);
  /* A session goes on, but adds nothing. */
  rig->now = RIG_NOW + 700;
  rig_announce_with(rig, rig->token, RIG_QUERY "&trackerid=%s", v4_id);
  rig_assert_welcome(rig);
  assert_null(rig_get(rig->answer, "tracker id").ptr);
  struct tracker *first = rig->tracker;
  assert_int_equal(tracker_new(&rig->options, &rig->tracker, NULL), 0);
  tracker_free(first);
  rig_announce_with(rig, rig->token, RIG_QUERY "&trackerid=%s", both);
  rig_assert_welcome(rig);
  rig_from(rig, "10.0.0.1");
  rig_announce_with(rig, rig->token, RIG_QUERY "&trackerid=%s", both);
  rig_assert_welcome(rig);
  rig_from(rig, "10.0.0.2");
  rig_announce_with(rig, rig->token, RIG_QUERY "&trackerid=%s", both);
  rig_assert_failure(rig, "token expired");
}

static void a_restarted_client_gets_its_id_anew(void **state) {
  struct rig *rig = *state;
  rig_announce_with(rig, rig->token, RIG_QUERY);
  const char *id = keep_id(rig);
  rig_announce_with(rig, rig->token, RIG_QUERY "&event=started");
  assert_string_equal(keep_id(rig), id);
}

/* --- scrape --- */

static void scrapes_after_exp_within_a_session(void **state) {
  struct rig *rig = *state;
  const char *more = "&info_hash=" RIG_HASH;
  rig_announce_with(rig, rig->token, RIG_QUERY);
  const char *id = keep_id(rig);
  rig->now = RIG_NOW + 700;
  rig_scrape_with(rig, rig->token, more);
  rig_assert_welcome(rig);
  rig_from(rig, "10.0.0.2");
  rig_scrape_with(rig, rig->token, more);
  rig_assert_failure(rig, "token expired");
  rig_from(rig, "10.0.0.1");
  rig_scrape_with(rig, rig->token, "&info_hash=aaaaaaaaaaaaaaaaaaaa");
  rig_assert_failure(rig, "token expired");
  rig_announce_with(rig, rig->token, RIG_QUERY "&event=stopped");
  rig_scrape_with(rig, rig->token, more);
  rig_assert_failure(rig, "token expired");
  rig_scrape_with(rig, rig->token, arena_printf(&rig->arena, "%s&trackerid=%s", more, id).ptr);
  rig_assert_welcome(rig);
  rig->now = RIG_NOW + 86400;
  rig_scrape_with(rig, rig->token, arena_printf(&rig->arena, "%s&trackerid=%s", more, id).ptr);
  rig_assert_failure(rig, "token expired");
}

/* --- registry tokens --- */

static int register_torrent(struct db_txn *txn, void *arg, struct error *e) {
  struct torrent_record record = {.format = 1,
                                  .digest = SLICE("sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e46"
                                                  "49b934ca495991b7852b855"),
                                  .size = 1,
                                  .info = SLICE("de")};
  (void)arg;
  memcpy(record.infohash, RIG_HASH, INFOHASH);
  return torrent_store_put(txn, &record, e) == 0 &&
                 torrent_store_allow(txn, record.infohash, SLICE("registry.example"),
                                     SLICE("library/x"), e) == 0
             ? 0
             : -1;
}

static void remove_folder(const char *path) {
  DIR *dir = opendir(path);
  for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
    char child[512];
    snprintf(child, sizeof child, "%s/%s", path, entry->d_name);
    if (entry->d_name[0] != '.' && unlink(child) != 0) {
      remove_folder(child);
    }
  }
  if (dir != NULL) {
    closedir(dir);
  }
  rmdir(path);
}

static void a_registry_token_covers_what_is_registered(void **state) {
  (void)state;
  char folder[] = "/tmp/swarmgate-test-XXXXXX";
  assert_non_null(mkdtemp(folder));
  struct error e = {0};
  struct db *db = NULL;
  assert_int_equal(db_open(folder, &db, &e), 0);
  assert_int_equal(db_write_now(db, register_torrent, NULL, &e), 0);
  struct rig *rig = rig_new(NULL);
  struct token_access access[] = {{SLICE("library/y"), SCOPE_PULL},
                                  {SLICE("library/x"), SCOPE_PULL}};
  struct token claims = {.kind = TOKEN_REGISTRY,
                         .issuer = SLICE("issuer"),
                         .audience = SLICE("tracker"),
                         .issued = RIG_NOW,
                         .expires = RIG_NOW + 600,
                         .access = access,
                         .access_count = 2};
  const char *token = rig_sign(rig, &claims);
  claims.access_count = 1;
  const char *narrow = rig_sign(rig, &claims);
  /* Without a database nothing is covered. */
  rig_announce_with(rig, token, RIG_QUERY);
  rig_assert_failure(rig, "not authorised for this torrent");
  rig->options.db = db;
  tracker_free(rig->tracker);
  assert_int_equal(tracker_new(&rig->options, &rig->tracker, NULL), 0);
  rig_announce_with(rig, narrow, RIG_QUERY);
  rig_assert_failure(rig, "not authorised for this torrent");
  rig_announce_with(rig, token, RIG_QUERY);
  rig_assert_welcome(rig);
  /* Its exp is the end. */
  rig->now = RIG_NOW + 700;
  rig_announce_with(rig, token, RIG_QUERY);
  rig_assert_failure(rig, "token expired");
  /* Where registry tokens are not taken, it is none. */
  rig->now = RIG_NOW;
  rig->options.kinds = TOKEN_SWARM;
  tracker_free(rig->tracker);
  assert_int_equal(tracker_new(&rig->options, &rig->tracker, NULL), 0);
  rig_announce_with(rig, token, RIG_QUERY);
  rig_assert_failure(rig, "token invalid");
  rig_free(rig);
  db_close(db);
  remove_folder(folder);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(goes_on_after_exp_by_its_own_entry),
      TEST(its_entry_proves_nothing_once_it_was_silent),
      TEST(a_new_token_is_given_its_own_id),
      TEST(goes_on_after_exp_by_its_tracker_id),
      TEST(ends_with_its_session),
      TEST(a_session_is_bounded_by_session_max),
      TEST(without_a_session_exp_is_the_end),
      TEST(an_id_gathers_addresses),
      TEST(a_restarted_client_gets_its_id_anew),
      TEST(scrapes_after_exp_within_a_session),
      cmocka_unit_test(a_registry_token_covers_what_is_registered),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
