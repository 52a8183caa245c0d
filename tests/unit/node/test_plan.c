#include "node/plan.h"

#include "unit/cmocka_all.h"

#include <stdlib.h>
#include <string.h>

enum { PIECES = 20, PATIENCE = 100 };

static const unsigned char nothing[(PIECES + 7) / 8];

static unsigned char *bits(unsigned char *out, const char *pieces) {
  memset(out, 0, bitfield_size(PIECES));
  for (uint32_t i = 0; pieces[i] != '\0'; i++) {
    if (pieces[i] == '1') {
      bitfield_set(out, i);
    }
  }
  return out;
}

/* A node's peer whose id is all of one letter. */
static struct plan_peer peer(char letter, const unsigned char *pieces) {
  struct plan_peer p = {.node = true, .pieces = pieces};
  memset(p.id, letter, PEER_ID);
  for (uint32_t i = 0; i < PIECES && pieces != NULL; i++) {
    p.have += bitfield_has(pieces, i) ? 1 : 0;
  }
  return p;
}

static struct plan_view view(char self, const unsigned char *pieces, const struct plan_peer *peers,
                             size_t count) {
  struct plan_view v = {
      .piece_count = PIECES, .pieces = pieces, .peers = peers, .peer_count = count};
  memset(v.self, self, PEER_ID);
  return v;
}

struct fixture {
  struct plan *plan;
  uint64_t seed;
};

static int set_up(void **state) {
  struct fixture *f = calloc(1, sizeof *f);
  f->plan = plan_new();
  f->seed = 42;
  *state = f;
  return 0;
}

static int tear_down(void **state) {
  struct fixture *f = *state;
  plan_free(f->plan);
  free(f);
  return 0;
}

static struct plan_choice choose(struct fixture *f, const struct plan_view *v,
                                 const unsigned char *taken, uint64_t now) {
  struct plan_choice choice;
  assert_int_equal(plan_choose(f->plan, v, taken, now, PATIENCE, &f->seed, &choice, NULL), 0);
  return choice;
}

static void alone_all_are_own(void **state) {
  const struct plan_view v = view('m', nothing, NULL, 0);
  unsigned char seen[(PIECES + 7) / 8] = {0};
  for (int i = 0; i < 1000; i++) {
    struct plan_choice choice = choose(*state, &v, nothing, 0);
    assert_int_equal(choice.own, PIECES);
    assert_int_equal(choice.orphaned, 0);
    bitfield_set(seen, choice.piece);
  }
  for (uint32_t i = 0; i < PIECES; i++) {
    assert_true(bitfield_has(seen, i)); /* each turns up */
  }
}

static void what_anybody_has_or_is_coming_is_no_candidate(void **state) {
  unsigned char ours[8];
  unsigned char theirs[8];
  unsigned char taken[8];
  const struct plan_peer source = {.pieces = bits(theirs, "01000000000000000000"), .have = 1};
  const struct plan_view v = view('m', bits(ours, "10001111111111111111"), &source, 1);
  bits(taken, "00100000000000000000");
  struct plan_choice choice = choose(*state, &v, taken, 0);
  assert_int_equal(choice.own, 1);
  assert_int_equal(choice.piece, 3);
}

static void nodes_share_the_pieces_in_the_order_of_their_ids(void **state) {
  const struct plan_peer peers[] = {peer('z', nothing), peer('a', nothing)};
  const struct plan_view v = view('m', nothing, peers, 2);
  for (int i = 0; i < 100; i++) {
    struct plan_choice choice = choose(*state, &v, nothing, 0);
    assert_int_equal(choice.own, 7); /* 1, 4, … 19 */
    assert_int_equal(choice.piece % 3, 1);
  }
}

static void who_reads_in_order_has_the_next_of_our_own_first(void **state) {
  const struct plan_peer peers[] = {peer('z', nothing), peer('a', nothing)};
  const struct plan_view v = view('m', nothing, peers, 2);
  struct fixture *f = *state;
  static const uint32_t next[][2] = {{0, 1}, {1, 1}, {2, 4}, {19, 19}};
  for (size_t i = 0; i < sizeof next / sizeof *next; i++) {
    plan_want(f->plan, next[i][0]);
    struct plan_choice choice = choose(f, &v, nothing, 0);
    assert_int_equal(choice.own, 7);
    assert_int_equal(choice.piece, next[i][1]);
  }
  plan_want(f->plan, PIECES); /* none of ours is behind it: any will do */
  assert_int_equal(choose(f, &v, nothing, 0).piece % 3, 1);
}

static void who_does_not_plan_or_is_complete_owns_nothing(void **state) {
  unsigned char all[8];
  struct plan_peer peers[] = {peer('a', nothing), peer('b', bits(all, "11111111111111111110"))};
  peers[0].node = false;
  struct plan_view v = view('m', nothing, peers, 1);
  assert_int_equal(choose(*state, &v, nothing, 0).own, PIECES);
  peers[0].node = true;
  assert_int_equal(choose(*state, &v, nothing, 0).own, PIECES / 2);
  v.peer_count = 2; /* one piece is left, and it is that of the second of three */
  struct plan_choice choice = choose(*state, &v, nothing, 0);
  assert_int_equal(choice.own, 0);
  assert_int_equal(choice.orphaned, 0);
}

static void takes_over_from_who_has_not_come_on(void **state) {
  unsigned char some[8];
  unsigned char more[8];
  unsigned char ours[8];
  struct plan_peer other = peer('a', bits(some, "10000000000000000000"));
  struct plan_view v = view('m', bits(ours, "11011111111111111111"), &other, 1);
  struct plan_choice choice = choose(*state, &v, nothing, 0);
  assert_int_equal(choice.own + choice.orphaned, 0); /* 2 is the other's */
  choice = choose(*state, &v, nothing, PATIENCE);
  assert_int_equal(choice.own + choice.orphaned, 0);
  other = peer('a', bits(more, "11000000000000000000")); /* it has come on */
  choice = choose(*state, &v, nothing, PATIENCE + 1);
  assert_int_equal(choice.own + choice.orphaned, 0);
  choice = choose(*state, &v, nothing, UINT64_C(2) * PATIENCE + 2);
  assert_int_equal(choice.own, 0);
  assert_int_equal(choice.orphaned, 1);
  assert_int_equal(choice.piece, 2);
}

static void who_has_what_we_want_and_is_silent_is_not_live(void **state) {
  unsigned char theirs[8];
  unsigned char ours[8];
  struct plan_peer other = peer('a', bits(theirs, "11000000000000000000"));
  struct plan_view v = view('m', bits(ours, "00111111111111111111"), &other, 1);
  other.wanted = true;
  assert_int_equal(choose(*state, &v, nothing, 0).own, 0);
  other.received = 1; /* it has sent something */
  assert_int_equal(choose(*state, &v, nothing, PATIENCE).own, 0);
  assert_int_equal(choose(*state, &v, nothing, UINT64_C(2) * PATIENCE).own, 0);
  assert_int_equal(choose(*state, &v, nothing, UINT64_C(2) * PATIENCE + 1).own, 2);
  other.received = 2; /* it lives after all */
  assert_int_equal(choose(*state, &v, nothing, UINT64_C(2) * PATIENCE + 2).own, 0);
}

static void whom_we_want_nothing_of_may_be_silent(void **state) {
  const struct plan_peer other = peer('a', nothing);
  const struct plan_view v = view('m', nothing, &other, 1);
  assert_int_equal(choose(*state, &v, nothing, 0).own, PIECES / 2);
  struct plan_choice choice = choose(*state, &v, nothing, UINT64_C(10) * PATIENCE);
  assert_int_equal(choice.own, PIECES / 2);
  assert_int_equal(choice.orphaned, PIECES / 2); /* though it may be taken over from */
}

static void what_goes_away_is_forgotten(void **state) {
  const struct plan_peer other = peer('a', nothing);
  struct plan_view v = view('m', nothing, &other, 1);
  choose(*state, &v, nothing, 0);
  v.peer_count = 0;
  assert_int_equal(choose(*state, &v, nothing, 10).own, PIECES);
  v.peer_count = 1;
  assert_int_equal(choose(*state, &v, nothing, UINT64_C(10) * PATIENCE).orphaned, 0);
}

/* Everybody sees everybody, and has at once what anybody has fetched. */
static void together_they_fetch_each_piece_once(void **state) {
  enum { NODES = 7 };
  struct fixture *f = *state;
  struct plan *plans[NODES];
  unsigned char have[8] = {0};
  int fetched = 0;
  for (int i = 0; i < NODES; i++) {
    plans[i] = plan_new();
  }
  for (uint64_t round = 0; fetched < PIECES; round++) {
    unsigned char next[8];
    memcpy(next, have, sizeof next);
    assert_true(round < PIECES);
    for (int i = 0; i < NODES; i++) {
      struct plan_peer peers[NODES];
      size_t count = 0;
      for (int other = 0; other < NODES; other++) {
        if (other != i) {
          peers[count++] = peer((char)('a' + other), have);
        }
      }
      const struct plan_view v = view((char)('a' + i), have, peers, count);
      struct plan_choice choice;
      assert_int_equal(plan_choose(plans[i], &v, nothing, round, PATIENCE, &f->seed, &choice, NULL),
                       0);
      if (choice.own > 0) {
        assert_false(bitfield_has(next, choice.piece));
        bitfield_set(next, choice.piece);
        fetched++;
      }
    }
    memcpy(have, next, sizeof have);
  }
  assert_int_equal(fetched, PIECES);
  for (int i = 0; i < NODES; i++) {
    plan_free(plans[i]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(alone_all_are_own, set_up, tear_down),
      cmocka_unit_test_setup_teardown(what_anybody_has_or_is_coming_is_no_candidate, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(nodes_share_the_pieces_in_the_order_of_their_ids, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(who_reads_in_order_has_the_next_of_our_own_first, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(who_does_not_plan_or_is_complete_owns_nothing, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(takes_over_from_who_has_not_come_on, set_up, tear_down),
      cmocka_unit_test_setup_teardown(who_has_what_we_want_and_is_silent_is_not_live, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(whom_we_want_nothing_of_may_be_silent, set_up, tear_down),
      cmocka_unit_test_setup_teardown(what_goes_away_is_forgotten, set_up, tear_down),
      cmocka_unit_test_setup_teardown(together_they_fetch_each_piece_once, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
