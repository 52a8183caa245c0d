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

/* All that are ours, by choosing until each must have turned up. */
static uint32_t find_own(struct fixture *f, const struct plan_view *v, uint64_t now,
                         unsigned char *out) {
  struct plan_choice choice = {0};
  memset(out, 0, bitfield_size(PIECES));
  for (int i = 0; i < 1000; i++) {
    choice = choose(f, v, nothing, now);
    if (choice.own > 0) {
      bitfield_set(out, choice.piece);
    }
  }
  return choice.own;
}

static void nodes_share_the_pieces(void **state) {
  static const char ids[] = "amz";
  unsigned char all[8] = {0};
  uint32_t sum = 0;
  for (size_t i = 0; i < 3; i++) {
    const struct plan_peer peers[] = {peer(ids[(i + 1) % 3], nothing),
                                      peer(ids[(i + 2) % 3], nothing)};
    const struct plan_view v = view(ids[i], nothing, peers, 2);
    unsigned char own[8];
    sum += find_own(*state, &v, 0, own);
    for (uint32_t p = 0; p < PIECES; p++) {
      assert_false(bitfield_has(all, p) && bitfield_has(own, p));
    }
    all[0] |= own[0];
    all[1] |= own[1];
    all[2] |= own[2];
  }
  assert_int_equal(sum, PIECES);
  assert_true(all[0] == 0xff && all[1] == 0xff && all[2] == 0xf0);
}

static void who_goes_moves_no_pieces_but_its_own(void **state) {
  const struct plan_peer peers[] = {peer('z', nothing), peer('a', nothing)};
  struct plan_view v = view('m', nothing, peers, 2);
  unsigned char three[8];
  unsigned char two[8];
  uint32_t before = find_own(*state, &v, 0, three);
  v.peer_count = 1;
  assert_true(find_own(*state, &v, 0, two) > before);
  for (uint32_t p = 0; p < PIECES; p++) {
    assert_false(bitfield_has(three, p) && !bitfield_has(two, p));
  }
}

static void who_reads_in_order_has_the_next_of_our_own_first(void **state) {
  const struct plan_peer peers[] = {peer('z', nothing), peer('a', nothing)};
  const struct plan_view v = view('m', nothing, peers, 2);
  struct fixture *f = *state;
  unsigned char own[8];
  uint32_t next = PIECES;
  uint32_t count = find_own(f, &v, 0, own);
  for (uint32_t p = PIECES; p-- > 0;) {
    next = bitfield_has(own, p) ? p : next;
    plan_want(f->plan, p);
    struct plan_choice choice = choose(f, &v, nothing, 0);
    assert_int_equal(choice.own, count);
    assert_true(next == PIECES ? bitfield_has(own, choice.piece) : choice.piece == next);
  }
}

static void who_does_not_plan_or_is_complete_owns_nothing(void **state) {
  unsigned char all[8];
  struct plan_peer peers[] = {peer('a', nothing), peer('b', bits(all, "11111111111111111111"))};
  peers[0].node = false;
  struct plan_view v = view('m', nothing, peers, 1);
  assert_int_equal(choose(*state, &v, nothing, 0).own, PIECES);
  peers[0].node = true;
  assert_in_range(choose(*state, &v, nothing, 0).own, 1, PIECES - 1);
  v.peer_count = 2;
  assert_int_equal(choose(*state, &v, nothing, 0).own, 0); /* all is there */
  peers[1].pieces = nothing;                               /* it says so, and shows none of them */
  assert_in_range(choose(*state, &v, nothing, 0).own, 1, PIECES - 1);
  peers[0].node = false;
  assert_int_equal(choose(*state, &v, nothing, 0).own, PIECES);
}

static void takes_over_from_who_has_not_come_on(void **state) {
  unsigned char some[8];
  unsigned char ours[8];
  struct plan_peer other = peer('a', nothing);
  struct plan_view v = view('m', nothing, &other, 1);
  uint32_t own = find_own(*state, &v, 0, ours);
  v.pieces = ours;
  struct plan_choice choice = choose(*state, &v, nothing, PATIENCE);
  assert_int_equal(choice.own + choice.orphaned, 0);
  uint32_t left = PIECES - own;
  for (uint32_t p = 0; p < PIECES; p++) { /* it comes on */
    if (!bitfield_has(ours, p)) {
      memset(some, 0, sizeof some);
      bitfield_set(some, p);
      break;
    }
  }
  other = peer('a', some);
  assert_int_equal(choose(*state, &v, nothing, PATIENCE).orphaned, 0);
  assert_int_equal(choose(*state, &v, nothing, UINT64_C(2) * PATIENCE).orphaned, 0);
  choice = choose(*state, &v, nothing, UINT64_C(6) * PATIENCE + 1);
  assert_int_equal(choice.own, 0);
  assert_int_equal(choice.orphaned, left - 1);
  assert_false(bitfield_has(ours, choice.piece) || bitfield_has(some, choice.piece));
}

static void not_all_take_over_at_the_same_time(void **state) {
  unsigned char theirs[8] = {0};
  unsigned char ours[8];
  struct plan_peer other = peer('a', theirs);
  struct plan_view v = view('m', nothing, &other, 1);
  uint32_t left = PIECES - find_own(*state, &v, 0, ours);
  v.pieces = ours;
  uint32_t half = 0;
  for (uint64_t now = PATIENCE; half == 0; now++) {
    assert_true(now <= UINT64_C(5) * PATIENCE + 1);
    half = choose(*state, &v, nothing, now).orphaned;
  }
  assert_true(half < left);
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

/* It has all, so it says, sends nothing, and comes back as somebody else before we lose patience.
 */
static void a_liar_under_ever_new_ids_does_not_stop_us(void **state) {
  unsigned char all[8];
  struct plan_peer liar = peer('a', bits(all, "11111111111111111111"));
  struct plan_view v = view('m', nothing, &liar, 1);
  liar.wanted = true;
  assert_int_equal(choose(*state, &v, nothing, 0).own, 0);
  for (uint64_t now = 1; now <= UINT64_C(3) * PATIENCE; now++) {
    liar.id[1] = (unsigned char)now;
    assert_int_equal(choose(*state, &v, nothing, now).own, now <= PATIENCE ? 0 : PIECES);
  }
  liar.received = 1; /* it sends after all */
  assert_int_equal(choose(*state, &v, nothing, UINT64_C(3) * PATIENCE + 1).own, 0);
}

/* It tells of a piece now and then, and so comes on. */
static void a_liar_who_comes_on_does_not_stop_us(void **state) {
  unsigned char theirs[8] = {0x80};
  struct plan_peer liar = peer('a', theirs);
  struct plan_view v = view('m', nothing, &liar, 1);
  struct plan_choice choice = {0};
  liar.wanted = true;
  for (uint64_t now = 0; now <= UINT64_C(5) * PATIENCE + 1; now += PATIENCE / 2) {
    choice = choose(*state, &v, nothing, now);
    bitfield_set(theirs, ++liar.have);
  }
  assert_int_equal(choice.own + choice.orphaned, PIECES);
}

/* Such as a liar that tells of pieces which we have already. */
static void takes_over_from_who_is_slow_when_there_is_long_nothing_of_our_own(void **state) {
  unsigned char theirs[8] = {0};
  unsigned char ours[8];
  struct plan_peer slow = peer('a', theirs);
  struct plan_view v = view('m', nothing, &slow, 1);
  struct plan_choice choice = {0};
  uint32_t left = PIECES - find_own(*state, &v, 0, ours);
  v.pieces = ours;
  for (uint64_t now = 0; now <= UINT64_C(21) * PATIENCE; now += PATIENCE) {
    choice = choose(*state, &v, nothing, now);
    assert_true(choice.orphaned == 0 || now > UINT64_C(4) * PATIENCE);
    slow.have += slow.have < PIECES - 1 ? 1 : 0; /* it comes on */
  }
  assert_int_equal(choice.orphaned, left);
}

static void whom_we_want_nothing_of_may_be_silent(void **state) {
  const struct plan_peer other = peer('a', nothing);
  const struct plan_view v = view('m', nothing, &other, 1);
  uint32_t own = choose(*state, &v, nothing, 0).own;
  assert_in_range(own, 1, PIECES - 1);
  struct plan_choice choice = choose(*state, &v, nothing, UINT64_C(10) * PATIENCE);
  assert_int_equal(choice.own, own);
  assert_int_equal(choice.orphaned, PIECES - own); /* though it may be taken over from */
}

/* Nodes whose ids are random, of whom each sees nobody. */
static uint32_t count_fetchers(struct fixture *f, uint32_t swarm, uint64_t quiet_ms) {
  uint32_t fetchers = 0;
  for (int i = 0; i < 1000; i++) {
    struct plan *plan = plan_new();
    struct plan_view v = view('m', nothing, NULL, 0);
    struct plan_choice choice;
    for (size_t byte = 0; byte < PEER_ID; byte++) {
      v.self[byte] = (unsigned char)plan_roll(&f->seed, 256);
    }
    v.swarm = swarm;
    assert_int_equal(plan_choose(plan, &v, nothing, 0, PATIENCE, &f->seed, &choice, NULL), 0);
    assert_int_equal(plan_choose(plan, &v, nothing, quiet_ms, PATIENCE, &f->seed, &choice, NULL),
                     0);
    assert_true(choice.own == 0 || choice.own == PIECES);
    fetchers += choice.own > 0 ? 1 : 0;
    plan_free(plan);
  }
  return fetchers;
}

static void of_many_nodes_few_fetch_and_more_while_nothing_comes(void **state) {
  const uint64_t quiet = 2 * PATIENCE + 1;
  assert_int_equal(count_fetchers(*state, 8, 0), 1000);
  assert_in_range(count_fetchers(*state, 1000, 0), 1, 20); /* some 8 */
  assert_in_range(count_fetchers(*state, 1000, quiet - 1), 1, 20);
  assert_in_range(count_fetchers(*state, 1000, 3 * quiet), 40, 90); /* some 64 */
  assert_int_equal(count_fetchers(*state, 1000, 7 * quiet), 1000);
}

static void what_the_tracker_counts_are_not_all_nodes(void **state) {
  struct plan_peer peers[99];
  for (char i = 0; i < 99; i++) {
    peers[(size_t)i] = peer((char)(i + 1), nothing);
    peers[(size_t)i].node = false;
  }
  struct plan_view v = view('m', nothing, peers, 99);
  v.swarm = 700; /* of a hundred that we see, and are, one is a node */
  assert_int_equal(choose(*state, &v, nothing, 0).own, PIECES);
}

/* Of a swarm of thousands nobody can be reached but one who takes from us. */
static void what_we_fetched_ourselves_is_no_news(void **state) {
  unsigned char ours[8] = {0};
  struct plan_peer other = peer('a', ours);
  other.node = false;
  struct plan_view v = view('m', ours, &other, 1);
  v.swarm = 1000000;
  struct plan_choice choice = choose(*state, &v, nothing, 0);
  assert_int_equal(choice.own, 0);
  uint64_t now = UINT64_C(100) * PATIENCE;
  for (uint32_t i = 0; i < PIECES; i++) {
    choice = choose(*state, &v, nothing, now++);
    assert_int_equal(choice.own, PIECES - i);
    bitfield_set(ours, choice.piece);
  }
}

static void news_send_back_those_who_fetched_for_want_of_any(void **state) {
  unsigned char theirs[8];
  struct plan_peer other = peer('a', nothing);
  other.node = false;
  struct plan_view v = view('m', nothing, &other, 1);
  v.swarm = 1000000;
  choose(*state, &v, nothing, 0);
  assert_int_equal(choose(*state, &v, nothing, UINT64_C(100) * PATIENCE).own, PIECES);
  other.pieces = bits(theirs, "00010000000000000000");
  assert_int_equal(choose(*state, &v, nothing, UINT64_C(100) * PATIENCE + 1).own, 0);
}

static void what_goes_away_is_forgotten(void **state) {
  const struct plan_peer other = peer('a', nothing);
  struct plan_view v = view('m', nothing, &other, 1);
  choose(*state, &v, nothing, 0);
  v.peer_count = 0;
  assert_int_equal(choose(*state, &v, nothing, 10).own, PIECES);
  assert_int_equal(choose(*state, &v, nothing, UINT64_C(10) * PATIENCE - 1).own, PIECES);
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
      cmocka_unit_test_setup_teardown(nodes_share_the_pieces, set_up, tear_down),
      cmocka_unit_test_setup_teardown(who_goes_moves_no_pieces_but_its_own, set_up, tear_down),
      cmocka_unit_test_setup_teardown(not_all_take_over_at_the_same_time, set_up, tear_down),
      cmocka_unit_test_setup_teardown(of_many_nodes_few_fetch_and_more_while_nothing_comes, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(what_the_tracker_counts_are_not_all_nodes, set_up, tear_down),
      cmocka_unit_test_setup_teardown(what_we_fetched_ourselves_is_no_news, set_up, tear_down),
      cmocka_unit_test_setup_teardown(news_send_back_those_who_fetched_for_want_of_any, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(who_reads_in_order_has_the_next_of_our_own_first, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(who_does_not_plan_or_is_complete_owns_nothing, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(takes_over_from_who_has_not_come_on, set_up, tear_down),
      cmocka_unit_test_setup_teardown(who_has_what_we_want_and_is_silent_is_not_live, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(a_liar_under_ever_new_ids_does_not_stop_us, set_up,
                                      tear_down),
      cmocka_unit_test_setup_teardown(a_liar_who_comes_on_does_not_stop_us, set_up, tear_down),
      cmocka_unit_test_setup_teardown(
          takes_over_from_who_is_slow_when_there_is_long_nothing_of_our_own, set_up, tear_down),
      cmocka_unit_test_setup_teardown(whom_we_want_nothing_of_may_be_silent, set_up, tear_down),
      cmocka_unit_test_setup_teardown(what_goes_away_is_forgotten, set_up, tear_down),
      cmocka_unit_test_setup_teardown(together_they_fetch_each_piece_once, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
