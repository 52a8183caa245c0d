#include "bench/simulation.h"

#include "unit/cmocka_all.h"

static struct simulation_result simulated(uint32_t nodes, uint32_t connections, uint32_t want,
                                          uint32_t seed) {
  struct simulation_options options = simulation_options_usual();
  struct simulation_result result;
  struct error e = {0};
  options.nodes = nodes;
  options.connections = connections;
  options.want = want;
  options.seed = seed;
  assert_int_equal(simulate(&options, &result, &e), 0);
  return result;
}

/* What bench/nodes.py measures with real links, and what docs/performance.md promises. */
static void eight_and_sixteen_nodes_take_one_copy(void **state) {
  (void)state;
  for (uint32_t seed = 1; seed <= 3; seed++) {
    for (uint32_t nodes = 8; nodes <= 16; nodes += 8) {
      const struct simulation_result r = simulated(nodes, 50, 50, seed);
      assert_int_equal(r.peers_least, nodes - 1);
      assert_true(r.copies >= 1 && r.copies <= 1.02);
      assert_true(r.last >= r.ideal && r.last <= 1.1 * r.ideal);
    }
  }
}

/* Each sees a quarter of the others: there is more than one copy, but not one for each part. */
static void a_mesh_that_is_not_full_takes_little_more(void **state) {
  (void)state;
  for (uint32_t seed = 1; seed <= 2; seed++) {
    const struct simulation_result r = simulated(60, 20, 15, seed);
    assert_true(r.peers_mean < 20);
    assert_true(r.copies > 1 && r.copies <= 1.1);
    assert_true(r.last <= 1.15 * r.ideal);
  }
}

static void nodes_that_know_nobody_take_a_copy_each(void **state) {
  struct simulation_options options = simulation_options_usual();
  struct simulation_result r;
  (void)state;
  options.nodes = 4;
  options.connections = 50;
  options.want = 0;
  assert_int_equal(simulate(&options, &r, NULL), 0);
  assert_true(r.copies == 4);
  assert_int_equal(r.requests, 4 * options.pieces);
  assert_true(r.last >= 4 * r.ideal);
}

static void the_same_seed_gives_the_same(void **state) {
  (void)state;
  const struct simulation_result a = simulated(30, 10, 10, 7);
  const struct simulation_result b = simulated(30, 10, 10, 7);
  const struct simulation_result c = simulated(30, 10, 10, 8);
  assert_true(a.requests == b.requests && a.first == b.first && a.last == b.last);
  assert_true(a.first != c.first);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(eight_and_sixteen_nodes_take_one_copy),
      cmocka_unit_test(a_mesh_that_is_not_full_takes_little_more),
      cmocka_unit_test(nodes_that_know_nobody_take_a_copy_each),
      cmocka_unit_test(the_same_seed_gives_the_same),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
