#include "tracker/swarm.h"
#include "unit/cmocka_all.h"

#include <stdio.h>
#include <string.h>

enum { TIMEOUT = 100, NOW = 1000 };

static const unsigned char infohash[INFOHASH] = "the infohash of all";
static const unsigned char token[PEER_TOKEN] = "token 1";
static const unsigned char other_token[PEER_TOKEN] = "token 2";

/* An announce of a peer whose id, and unless it is changed address, follow from its port. */
struct asker {
  struct swarm_announce said;
  unsigned char id[PEER_ID];
};

static struct asker asker_of(uint16_t port) {
  struct asker a = {
      .said = {.infohash = infohash, .token = token, .at = {4, {10, 0, 0, 1}, port}, .want = 50}};
  memset(a.id, 0, sizeof a.id);
  memcpy(a.id, &port, sizeof port);
  return a;
}

static struct swarm_answer answer;

static enum swarm_outcome say(struct swarm_store *store, struct asker *a, uint32_t now) {
  a->said.peer_id = a->id;
  return swarm_store_announce(store, &a->said, now, &answer);
}

static void join(struct swarm_store *store, uint16_t port, bool seed, bool v6) {
  struct asker a = asker_of(port);
  a.said.seed = seed;
  if (v6) {
    a.said.at.address_len = 16;
    a.said.at.address[15] = 6;
  }
  assert_int_equal(say(store, &a, NOW), SWARM_ANNOUNCED);
  assert_true(answer.first);
}

static struct swarm_store *new_store(void) {
  struct swarm_store *store = swarm_store_new(1000, TIMEOUT);
  assert_non_null(store);
  return store;
}

static void counts_peers_by_what_they_have(void **state) {
  (void)state;
  struct swarm_store *store = new_store();
  join(store, 2001, true, false);
  join(store, 2002, false, false);
  join(store, 2003, false, true);
  struct asker a = asker_of(2003);
  a.said.event = SWARM_PAUSED;
  say(store, &a, NOW);
  struct swarm_counts c = swarm_store_scrape(store, infohash);
  assert_int_equal(c.complete, 1);
  assert_int_equal(c.incomplete, 3);
  assert_int_equal(c.downloaders, 2);
  /* A seed that says it is paused is a seed; the next word of the paused one wakes it. */
  struct asker seed = asker_of(2001);
  seed.said.seed = true;
  seed.said.event = SWARM_PAUSED;
  say(store, &seed, NOW);
  assert_int_equal(swarm_store_scrape(store, infohash).downloaders, 2);
  a.said.event = SWARM_REGULAR;
  say(store, &a, NOW);
  c = swarm_store_scrape(store, infohash);
  assert_int_equal(c.downloaders, 3);
  assert_int_equal(swarm_store_peers(store), 4);
  /* One that goes while it is paused. */
  a.said.event = SWARM_PAUSED;
  say(store, &a, NOW);
  a.said.event = SWARM_STOPPED;
  say(store, &a, NOW);
  c = swarm_store_scrape(store, infohash);
  assert_int_equal(c.incomplete, 2);
  assert_int_equal(c.downloaders, 2);
  swarm_store_free(store);
}

static void counts_a_download_once_a_peer(void **state) {
  (void)state;
  struct swarm_store *store = new_store();
  join(store, 2001, false, false);
  struct asker a = asker_of(2001);
  a.said.event = SWARM_COMPLETED;
  a.said.seed = true;
  for (int i = 0; i < 3; i++) {
    say(store, &a, NOW);
    assert_int_equal(answer.counts.downloaded, 1);
  }
  struct asker b = asker_of(2002);
  b.said.event = SWARM_COMPLETED;
  say(store, &b, NOW);
  assert_int_equal(answer.counts.downloaded, 2);
  assert_int_equal(answer.counts.complete, 1);
  /* Another client in its place. */
  b.id[PEER_ID - 1]++;
  say(store, &b, NOW);
  assert_int_equal(answer.counts.downloaded, 3);
  swarm_store_free(store);
}

/* Loops read the clock before they wait for the lock: the second may be behind the first. */
static void a_clock_a_little_behind_silences_nobody(void **state) {
  (void)state;
  struct swarm_store *store = new_store();
  join(store, 2001, false, false);
  swarm_store_expire(store, NOW - 1);
  assert_int_equal(swarm_store_peers(store), 1);
  struct asker other = asker_of(2002);
  say(store, &other, NOW - 1);
  assert_int_equal(answer.count[0], 1);
  struct asker again = asker_of(2001);
  again.said.must_be_known = true;
  assert_int_equal(say(store, &again, NOW - 1), SWARM_ANNOUNCED);
  assert_false(answer.first);
  assert_true(swarm_store_knows(store, infohash, &again.said.at, token, NOW - 2));
  swarm_store_free(store);
}

static void stops_the_peer_and_no_other(void **state) {
  (void)state;
  struct swarm_store *store = new_store();
  join(store, 2001, false, false);
  struct asker a = asker_of(2001);
  a.said.event = SWARM_STOPPED;
  /* Its peer id from another address is not it. */
  a.said.at.address[3] = 9;
  assert_int_equal(say(store, &a, NOW), SWARM_ANNOUNCED);
  assert_int_equal(answer.counts.incomplete, 1);
  a.said.at.port = 0;
  say(store, &a, NOW);
  assert_int_equal(answer.counts.incomplete, 1);
  /* From its own address it may name no port any more; another client there has another id. */
  a.said.at.address[3] = 1;
  struct asker other = asker_of(2002);
  other.said.event = SWARM_STOPPED;
  other.said.at.port = 0;
  say(store, &other, NOW);
  assert_int_equal(answer.counts.incomplete, 1);
  say(store, &a, NOW);
  assert_int_equal(answer.counts.incomplete, 0);
  assert_int_equal(swarm_store_peers(store), 0);
  assert_int_equal(swarm_store_swarms(store), 0);
  /* Again, of a swarm that is gone. */
  assert_int_equal(say(store, &a, NOW), SWARM_ANNOUNCED);
  assert_int_equal(swarm_store_swarms(store), 0);
  swarm_store_free(store);
}

static void a_client_that_starts_anew_replaces_itself(void **state) {
  (void)state;
  struct swarm_store *store = new_store();
  join(store, 2001, false, false);
  struct asker a = asker_of(2001);
  say(store, &a, NOW);
  assert_false(answer.first);
  a.id[5] = 'x';
  say(store, &a, NOW);
  assert_true(answer.first);
  assert_int_equal(answer.counts.incomplete, 1);
  swarm_store_free(store);
}

static void never_gives_the_asker_nor_seeds_to_seeds(void **state) {
  (void)state;
  struct swarm_store *store = new_store();
  for (uint16_t port = 2000; port < 2010; port++) {
    join(store, port, port % 2 == 0, false);
    join(store, port, port % 2 == 0, true);
  }
  for (int round = 0; round < 50; round++) {
    struct asker a = asker_of(2000);
    a.said.seed = true;
    say(store, &a, NOW);
    assert_int_equal(answer.count[0], 5);
    assert_int_equal(answer.count[1], 5);
    for (unsigned i = 0; i < 5; i++) {
      assert_int_equal(answer.peers[0][i].at.port % 2, 1);
      assert_int_equal(answer.peers[1][i].at.port % 2, 1);
    }
    struct asker b = asker_of(2001);
    say(store, &b, NOW);
    /* 2001 over IPv6 has the same peer id: it is the asker too. */
    assert_int_equal(answer.count[0], 9);
    assert_int_equal(answer.count[1], 9);
    for (unsigned i = 0; i < 9; i++) {
      assert_int_not_equal(answer.peers[0][i].at.port, 2001);
      assert_int_not_equal(answer.peers[1][i].at.port, 2001);
    }
  }
  swarm_store_free(store);
}

/* want peers in all, each once, whatever the mix of families and roles is. */
static void gives_as_many_as_are_wanted(void **state) {
  (void)state;
  static const struct {
    unsigned v4_seeds, v4_others, v6_seeds, v6_others, want, v4, v6;
  } rows[] = {
      {0, 0, 0, 0, 50, 0, 0},      {100, 100, 0, 0, 50, 50, 0},      {0, 0, 100, 100, 50, 0, 50},
      {60, 0, 0, 0, 50, 50, 0},    {0, 60, 0, 0, 50, 50, 0},         {1, 60, 0, 0, 50, 50, 0},
      {60, 1, 0, 0, 50, 50, 0},    {100, 100, 100, 100, 50, 25, 25}, {3, 3, 100, 100, 50, 6, 44},
      {100, 100, 1, 2, 50, 47, 3}, {100, 100, 100, 100, 1, 1, 0},    {100, 100, 100, 100, 0, 0, 0},
      {0, 0, 5, 0, 1, 0, 1},
  };
  for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
    struct swarm_store *store = new_store();
    uint16_t port = 3000;
    for (unsigned i = 0; i < rows[r].v4_seeds + rows[r].v4_others; i++) {
      join(store, port++, i < rows[r].v4_seeds, false);
    }
    for (unsigned i = 0; i < rows[r].v6_seeds + rows[r].v6_others; i++) {
      join(store, port++, i < rows[r].v6_seeds, true);
    }
    for (int again = 0; again < 20; again++) {
      struct asker a = asker_of(2000);
      a.said.want = rows[r].want;
      say(store, &a, NOW);
      assert_int_equal(answer.count[0], rows[r].v4);
      assert_int_equal(answer.count[1], rows[r].v6);
      bool seen[4000] = {false};
      for (int family = 0; family < 2; family++) {
        for (unsigned i = 0; i < answer.count[family]; i++) {
          assert_false(seen[answer.peers[family][i].at.port]);
          seen[answer.peers[family][i].at.port] = true;
          assert_int_equal(answer.peers[family][i].at.address_len, family == 0 ? 4 : 16);
        }
      }
    }
    swarm_store_free(store);
  }
}

static void the_family_of_the_asker_comes_first(void **state) {
  (void)state;
  struct swarm_store *store = new_store();
  for (uint16_t port = 3000; port < 3010; port++) {
    join(store, port, false, false);
    join(store, port, false, true);
  }
  for (int own = 0; own < 2; own++) {
    struct asker a = asker_of(2000);
    a.said.at.address_len = own == 0 ? 4 : 16;
    a.said.want = 3;
    say(store, &a, NOW);
    assert_int_equal(answer.count[own], 2);
    assert_int_equal(answer.count[!own], 1);
  }
  swarm_store_free(store);
}

/* Seeds of the other family leave it no less of its own. */
static void a_seed_is_given_as_many_as_it_wants(void **state) {
  (void)state;
  struct swarm_store *store = new_store();
  for (uint16_t port = 3000; port < 3010; port++) {
    join(store, port, false, false);
    join(store, port, true, true);
  }
  struct asker a = asker_of(2000);
  a.said.seed = true;
  a.said.want = 4;
  say(store, &a, NOW);
  assert_int_equal(answer.count[0], 4);
  assert_int_equal(answer.count[1], 0);
  swarm_store_free(store);
}

static void everybody_is_given_out_in_the_end(void **state) {
  (void)state;
  struct swarm_store *store = new_store();
  for (uint16_t port = 3000; port < 3200; port++) {
    join(store, port, port < 3100, false);
  }
  bool seen[4000] = {false};
  for (int round = 0; round < 400; round++) {
    struct asker a = asker_of(2000);
    a.said.want = 10;
    say(store, &a, NOW);
    for (unsigned i = 0; i < answer.count[0]; i++) {
      seen[answer.peers[0][i].at.port] = true;
    }
  }
  for (uint16_t port = 3000; port < 3200; port++) {
    assert_true(seen[port]);
  }
  swarm_store_free(store);
}

static void a_full_store_serves_those_it_knows(void **state) {
  (void)state;
  struct swarm_store *store = swarm_store_new(2, TIMEOUT);
  join(store, 2001, false, false);
  join(store, 2002, false, false);
  struct asker a = asker_of(2003), b = asker_of(2001), elsewhere = asker_of(2003);
  assert_int_equal(say(store, &a, NOW), SWARM_FULL);
  elsewhere.said.infohash = (const unsigned char *)"another swarm that is";
  assert_int_equal(say(store, &elsewhere, NOW), SWARM_FULL);
  assert_int_equal(swarm_store_swarms(store), 1);
  assert_int_equal(say(store, &b, NOW), SWARM_ANNOUNCED);
  assert_int_equal(answer.count[0], 1);
  b.said.event = SWARM_STOPPED;
  say(store, &b, NOW);
  assert_int_equal(say(store, &a, NOW), SWARM_ANNOUNCED);
  assert_int_equal(swarm_store_peers(store), 2);
  swarm_store_free(store);
}

static void without_the_right_to_join_only_its_own_entry_counts(void **state) {
  (void)state;
  struct swarm_store *store = new_store();
  join(store, 2001, false, false);
  struct asker a = asker_of(2001);
  a.said.must_be_known = true;
  assert_int_equal(say(store, &a, NOW), SWARM_ANNOUNCED);
  a.said.token = other_token;
  assert_int_equal(say(store, &a, NOW), SWARM_UNKNOWN);
  a.said.token = token;
  a.said.at.address[0] = 11;
  assert_int_equal(say(store, &a, NOW), SWARM_UNKNOWN);
  a.said.at.address[0] = 10;
  a.said.at.port = 2002;
  assert_int_equal(say(store, &a, NOW), SWARM_UNKNOWN);
  a.said.at.port = 2001;
  /* What it does not know it cannot stop either. */
  a.said.token = other_token;
  a.said.event = SWARM_STOPPED;
  assert_int_equal(say(store, &a, NOW), SWARM_UNKNOWN);
  a.said.token = token;
  a.said.event = SWARM_REGULAR;
  assert_int_equal(say(store, &a, NOW + TIMEOUT), SWARM_ANNOUNCED);
  assert_int_equal(say(store, &a, NOW + 2 * TIMEOUT + 1), SWARM_UNKNOWN);
  assert_int_equal(swarm_store_peers(store), 0);
  assert_int_equal(swarm_store_swarms(store), 0);
  swarm_store_free(store);
}

static void knows_by_address_and_token(void **state) {
  (void)state;
  struct swarm_store *store = new_store();
  join(store, 2001, false, false);
  struct swarm_endpoint from = {4, {10, 0, 0, 1}, 0}, other = {4, {10, 0, 0, 2}, 0};
  struct swarm_endpoint v6 = {16, {10, 0, 0, 1}, 0};
  assert_true(swarm_store_knows(store, infohash, &from, token, NOW + TIMEOUT));
  assert_false(swarm_store_knows(store, infohash, &from, token, NOW + TIMEOUT + 1));
  assert_false(swarm_store_knows(store, infohash, &from, other_token, NOW));
  assert_false(swarm_store_knows(store, infohash, &other, token, NOW));
  assert_false(swarm_store_knows(store, infohash, &v6, token, NOW));
  assert_false(
      swarm_store_knows(store, (const unsigned char *)"another swarm that is", &from, token, NOW));
  swarm_store_free(store);
}

/* The lock is held meanwhile. */
static void looks_through_no_more_than_so_many(void **state) {
  (void)state;
  struct swarm_store *store = swarm_store_new(2 * (size_t)SWARM_SEARCH_MAX, TIMEOUT);
  struct asker last;
  for (unsigned i = 0; i <= SWARM_SEARCH_MAX; i++) {
    last = asker_of((uint16_t)(2000 + i));
    last.said.want = 0;
    last.said.at.address[3] = i < SWARM_SEARCH_MAX ? 1 : 2;
    say(store, &last, NOW);
  }
  struct swarm_endpoint from = last.said.at;
  assert_false(swarm_store_knows(store, infohash, &from, token, NOW));
  last.said.event = SWARM_STOPPED;
  last.said.at.port = 0;
  say(store, &last, NOW);
  assert_int_equal(swarm_store_peers(store), SWARM_SEARCH_MAX + 1);
  /* With one peer less before it, it is found. */
  struct asker first = asker_of(2000);
  first.said.event = SWARM_STOPPED;
  say(store, &first, NOW);
  assert_true(swarm_store_knows(store, infohash, &from, token, NOW));
  say(store, &last, NOW);
  assert_int_equal(swarm_store_peers(store), SWARM_SEARCH_MAX - 1);
  swarm_store_free(store);
}

static void the_silent_are_not_given_out_and_go(void **state) {
  (void)state;
  struct swarm_store *store = new_store();
  for (uint16_t port = 2000; port < 2600; port++) {
    struct asker a = asker_of(port);
    a.said.seed = port % 3 == 0;
    a.said.event = port % 5 == 0 ? SWARM_PAUSED : SWARM_REGULAR;
    a.said.at.address_len = port % 4 < 2 ? 4 : 16;
    say(store, &a, port % 2 == 0 ? NOW : NOW + 50);
  }
  struct asker asker = asker_of(2001);
  for (int i = 0; i < 20; i++) {
    say(store, &asker, NOW + TIMEOUT + 1);
    for (unsigned p = 0; p < answer.count[0]; p++) {
      assert_int_equal(answer.peers[0][p].at.port % 2, 1);
    }
  }
  /* The first call may not come round; enough of them do. */
  for (int i = 0; i < 40; i++) {
    swarm_store_expire(store, NOW + TIMEOUT + 1);
  }
  assert_int_equal(swarm_store_peers(store), 300);
  struct swarm_counts c = swarm_store_scrape(store, infohash);
  assert_int_equal(c.complete + c.incomplete, 300);
  for (int i = 0; i < 40; i++) {
    swarm_store_expire(store, NOW + 2 * TIMEOUT + 60);
  }
  assert_int_equal(swarm_store_peers(store), 0);
  assert_int_equal(swarm_store_swarms(store), 0);
  swarm_store_free(store);
}

static void many_swarms_come_and_go(void **state) {
  (void)state;
  struct swarm_store *store = swarm_store_new(20000, TIMEOUT);
  unsigned char hash[INFOHASH] = {0};
  for (uint32_t i = 0; i < 10000; i++) {
    memcpy(hash, &i, sizeof i);
    struct asker a = asker_of(2000);
    a.said.infohash = hash;
    assert_int_equal(say(store, &a, NOW), SWARM_ANNOUNCED);
  }
  assert_int_equal(swarm_store_swarms(store), 10000);
  for (uint32_t i = 0; i < 10000; i++) {
    memcpy(hash, &i, sizeof i);
    assert_int_equal(swarm_store_scrape(store, hash).incomplete, 1);
  }
  for (int i = 0; i < 40; i++) {
    swarm_store_expire(store, NOW + TIMEOUT + 1);
  }
  assert_int_equal(swarm_store_swarms(store), 0);
  swarm_store_free(store);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(counts_peers_by_what_they_have),
      cmocka_unit_test(counts_a_download_once_a_peer),
      cmocka_unit_test(a_clock_a_little_behind_silences_nobody),
      cmocka_unit_test(stops_the_peer_and_no_other),
      cmocka_unit_test(a_client_that_starts_anew_replaces_itself),
      cmocka_unit_test(never_gives_the_asker_nor_seeds_to_seeds),
      cmocka_unit_test(gives_as_many_as_are_wanted),
      cmocka_unit_test(the_family_of_the_asker_comes_first),
      cmocka_unit_test(a_seed_is_given_as_many_as_it_wants),
      cmocka_unit_test(everybody_is_given_out_in_the_end),
      cmocka_unit_test(a_full_store_serves_those_it_knows),
      cmocka_unit_test(without_the_right_to_join_only_its_own_entry_counts),
      cmocka_unit_test(knows_by_address_and_token),
      cmocka_unit_test(looks_through_no_more_than_so_many),
      cmocka_unit_test(the_silent_are_not_given_out_and_go),
      cmocka_unit_test(many_swarms_come_and_go),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
