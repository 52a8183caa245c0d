/* The revoked at the tracker: refused, and out of the lists that others get. */
#include "rig.h"

#include "tracker/swarm.h"

#include "unit/cmocka_all.h"

#include <stdatomic.h>
#include <stdio.h>

enum { PEERS = 3 * SWARM_SLICE, SWARMS = 500 };

static struct revocations *revocations;

static void with_revocations(struct tracker_options *o) {
  revocations = revocations_new();
  assert_non_null(revocations);
  o->revocations = revocations;
  o->max_peers = PEERS + 1;
}

static int set_up(void **state) {
  *state = rig_new(with_revocations);
  return 0;
}

static int tear_down(void **state) {
  rig_free(*state);
  revocations_free(revocations);
  return 0;
}

static void put_in_force(enum revocation_kind kind, const char *value) {
  struct revocation_list list = {0};
  const struct revocation like = {.kind = kind, .at = RIG_NOW, .expires = INT64_MAX};
  assert_int_equal(revocation_list_add(&list, &like, slice_str(value), NULL), 0);
  struct revocation_set *set = revocation_set_new(&list, RIG_NOW);
  assert_non_null(set);
  revocations_replace(revocations, set);
  revocation_list_free(&list);
}

static const char *token_of(struct rig *rig, const char *sub, int64_t issued, int64_t expires) {
  struct token claims = rig_claims();
  claims.subject = slice_str(sub);
  claims.issued = issued;
  claims.expires = expires;
  return rig_sign(rig, &claims);
}

static void refuses_a_revoked_token(void **state) {
  struct rig *rig = *state;
  const char *alice = token_of(rig, "alice", RIG_NOW - 10, RIG_NOW + 600);
  const char *later = token_of(rig, "alice", RIG_NOW + 10, RIG_NOW + 600);
  const char *bob = token_of(rig, "bob", RIG_NOW - 10, RIG_NOW + 600);
  const char *old = token_of(rig, "alice", RIG_NOW - 900, RIG_NOW - 300);
  rig_announce_with(rig, alice, RIG_QUERY);
  rig_assert_welcome(rig);
  put_in_force(REVOCATION_SUB, "alice");
  rig_announce_with(rig, alice, RIG_QUERY);
  rig_assert_failure(rig, "token revoked");
  rig_announce_with(rig, alice, RIG_QUERY "&event=stopped");
  rig_assert_failure(rig, "token revoked");
  rig_announce_with(rig, alice, "info_hash=short");
  rig_assert_failure(rig, "token revoked");
  rig_scrape_with(rig, alice, "&info_hash=" RIG_HASH);
  rig_assert_failure(rig, "token revoked");
  rig_announce_with(rig, old, RIG_QUERY); /* its session is over, too */
  rig_assert_failure(rig, "token revoked");
  rig_announce_with(rig, bob, RIG_QUERY);
  rig_assert_welcome(rig);
  rig_announce_with(rig, later, RIG_QUERY);
  rig_assert_welcome(rig);
}

static void refuses_a_revoked_infohash_alone(void **state) {
  struct rig *rig = *state;
  const struct slice hashes[] = {{RIG_HEX, 40}, SLICE("616e6f746865722d686173682c20323020627974")};
  struct token claims = rig_claims();
  claims.infohash_texts = hashes;
  claims.infohash_count = 2;
  const char *token = rig_sign(rig, &claims);
  put_in_force(REVOCATION_INFOHASH, RIG_HEX);
  rig_announce_with(rig, token, RIG_QUERY);
  rig_assert_failure(rig, "token revoked");
  rig_announce_with(rig, token,
                    "info_hash=another-hash,%%2020%%20byt&peer_id=" RIG_PEER
                    "&port=6881&uploaded=0&downloaded=0&left=1");
  rig_assert_welcome(rig);
  rig_scrape_with(rig, token, "&info_hash=" RIG_HASH "&info_hash=another-hash,%2020%20byt");
  rig_assert_welcome(rig);
  struct slice files = rig_get(rig->answer, "files");
  assert_null(rig_get(files, RIG_HASH).ptr);
  assert_non_null(rig_get(files, "another-hash, 20 byt").ptr);
}

static void its_peers_are_out_of_the_lists(void **state) {
  struct rig *rig = *state;
  const char *tokens[] = {token_of(rig, "alice", RIG_NOW - 10, RIG_NOW + 600),
                          token_of(rig, "bob", RIG_NOW - 10, RIG_NOW + 600)};
  for (unsigned i = 0; i < PEERS; i++) {
    char from[16];
    snprintf(from, sizeof from, "10.1.%u.%u", i >> 8 & 255, i & 255);
    rig_from(rig, from);
    rig_announce_with(rig, tokens[i % 4 == 0],
                      "info_hash=" RIG_HASH "&peer_id=" RIG_PEER
                      "&port=6881&uploaded=0&downloaded=0&numwant=0&left=%u",
                      i % 3);
    rig_assert_welcome(rig);
  }
  tracker_drop_revoked(rig->tracker);
  assert_int_equal(tracker_peers(rig->tracker), PEERS);
  put_in_force(REVOCATION_SUB, "alice");
  tracker_drop_revoked(rig->tracker);
  assert_int_equal(tracker_peers(rig->tracker), PEERS / 4);
  rig_from(rig, "10.2.0.1");
  rig_announce_with(rig, tokens[1], RIG_QUERY "&numwant=200");
  assert_int_equal(rig_number(rig, "complete") + rig_number(rig, "incomplete"), PEERS / 4 + 1);
  put_in_force(REVOCATION_INFOHASH, RIG_HEX);
  tracker_drop_revoked(rig->tracker);
  assert_int_equal(tracker_peers(rig->tracker), 0);
  assert_int_equal(tracker_swarms(rig->tracker), 0);
}

/* As when the list of another machine has not come for too long. */
static void no_session_goes_on_while_the_list_is_old(void **state) {
  struct rig *rig = *state;
  revocations_set_fresh(revocations, RIG_NOW + 700);
  rig_announce_with(rig, rig->token, RIG_QUERY);
  rig_assert_welcome(rig);
  struct slice given = rig_get(rig->answer, "tracker id");
  const char *id = arena_copy(&rig->arena, given);
  rig->now = RIG_NOW + 700;
  rig_announce_with(rig, rig->token, RIG_QUERY);
  rig_assert_welcome(rig);
  rig->now++;
  rig_announce_with(rig, rig->token, RIG_QUERY);
  rig_assert_failure(rig, "token expired");
  rig_announce_with(rig, rig->token, RIG_QUERY "&trackerid=%.*s", (int)given.len, id);
  rig_assert_failure(rig, "token expired");
  rig_scrape_with(rig, rig->token, "&info_hash=" RIG_HASH);
  rig_assert_failure(rig, "token expired");
  /* The right to join stays. */
  rig_announce_with(rig, token_of(rig, "bob", RIG_NOW, RIG_NOW + 900), RIG_QUERY);
  rig_assert_welcome(rig);
  revocations_set_fresh(revocations, RIG_NOW + 900);
  rig_announce_with(rig, rig->token, RIG_QUERY "&trackerid=%.*s", (int)given.len, id);
  rig_assert_welcome(rig);
}

struct judge {
  const unsigned char *bad;
  size_t asked;
};

static bool judge(void *arg, const unsigned char *infohash, const unsigned char *token) {
  struct judge *j = arg;
  j->asked++;
  return (infohash[0] & 1) == 0 || memcmp(token, j->bad, PEER_TOKEN) != 0;
}

static void put_peer(struct swarm_store *store, unsigned swarm, uint16_t port, bool seed, bool v6,
                     const unsigned char *token) {
  static struct swarm_answer answer;
  unsigned char infohash[INFOHASH] = {0};
  unsigned char id[PEER_ID] = {0};
  memcpy(infohash, &swarm, sizeof swarm);
  memcpy(id, &port, sizeof port);
  const struct swarm_announce a = {.infohash = infohash,
                                   .peer_id = id,
                                   .token = token,
                                   .at = {v6 ? 16 : 4, {10, 0, 0, 1}, port},
                                   .seed = seed};
  assert_int_equal(swarm_store_announce(store, &a, 1000, &answer), SWARM_ANNOUNCED);
}

/* Each is asked about once, whatever goes on the way. */
static void goes_through_all_swarms(void **state) {
  (void)state;
  struct swarm_store *store = swarm_store_new(8000, 100);
  static const unsigned char good[PEER_TOKEN] = "good", bad[PEER_TOKEN] = "bad";
  struct judge j = {.bad = bad};
  for (unsigned i = 0; i < SWARMS; i++) {
    for (uint16_t port = 2000; port < 2008; port++) {
      put_peer(store, i, port, port % 3 == 0, port % 2 == 0, port < 2005 ? good : bad);
    }
  }
  for (unsigned i = 1; i < SWARMS; i += 4) { /* that go whole */
    for (uint16_t port = 2000; port < 2005; port++) {
      put_peer(store, i, port, port % 3 == 0, port % 2 == 0, bad);
    }
  }
  swarm_store_drop(store, judge, &j);
  assert_int_equal(j.asked, 8 * SWARMS);
  assert_int_equal(swarm_store_swarms(store), SWARMS - SWARMS / 4);
  assert_int_equal(swarm_store_peers(store), SWARMS / 2 * 8 + SWARMS / 4 * 5);
  j.asked = 0;
  swarm_store_drop(store, judge, &j);
  assert_int_equal(j.asked, swarm_store_peers(store));
  swarm_store_free(store);
}

struct sweeper {
  uv_thread_t thread;
  struct rig *rig;
  atomic_bool ended;
};

static void sweep(void *arg) {
  struct sweeper *s = arg;
  while (!atomic_load(&s->ended)) {
    tracker_drop_revoked(s->rig->tracker);
  }
}

/* For the thread sanitizer; and in the end nobody of the revoked is left. */
static void goes_through_while_others_announce(void **state) {
  struct rig *rig = *state;
  const char *tokens[] = {token_of(rig, "alice", RIG_NOW - 10, RIG_NOW + 600),
                          token_of(rig, "bob", RIG_NOW - 10, RIG_NOW + 600)};
  struct sweeper sweeper = {.rig = rig};
  put_in_force(REVOCATION_SUB, "carol");
  assert_int_equal(uv_thread_create(&sweeper.thread, sweep, &sweeper), 0);
  for (unsigned i = 0; i < 2000; i++) {
    if (i == 1000) {
      put_in_force(REVOCATION_SUB, "alice");
    }
    rig_announce_with(rig, tokens[i % 2],
                      "info_hash=" RIG_HASH "&peer_id=" RIG_PEER
                      "&port=%u&uploaded=0&downloaded=0&left=%u",
                      2000 + i % 50, i % 3);
  }
  atomic_store(&sweeper.ended, true);
  uv_thread_join(&sweeper.thread);
  tracker_drop_revoked(rig->tracker);
  assert_int_equal(tracker_peers(rig->tracker), 25);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(refuses_a_revoked_token),
      TEST(refuses_a_revoked_infohash_alone),
      TEST(its_peers_are_out_of_the_lists),
      TEST(no_session_goes_on_while_the_list_is_old),
      cmocka_unit_test(goes_through_all_swarms),
      TEST(goes_through_while_others_announce),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
