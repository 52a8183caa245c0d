/* The table against a model of it that is too simple to be wrong. */
#include "tracker/peers.h"
#include "tracker/siphash.h"
#include "unit/cmocka_all.h"

#include <string.h>

static const unsigned char key[SIPHASH_KEY] = "a key for tests";

#define PORTS UINT16_C(1500)

struct model {
  struct peers peers;
  bool there[PORTS], seed[PORTS];
  uint32_t count, seeds;
  uint32_t random;
};

static uint32_t next_random(struct model *m, uint32_t bound) {
  m->random = m->random * 1664525 + 1013904223;
  return (m->random >> 8) % bound;
}

static const unsigned char *address_of(uint16_t port) {
  static const unsigned char addresses[2][16] = {"address number 1", "andress number 2"};
  return addresses[port % 2];
}

static void check(const struct model *m) {
  assert_int_equal(m->peers.count, m->count);
  assert_int_equal(m->peers.seeds, m->seeds);
  for (uint16_t port = 0; port < PORTS; port++) {
    uint32_t i = peers_find(&m->peers, address_of(port), port);
    assert_int_equal(m->there[port], i != PEERS_NONE);
    if (m->there[port]) {
      const struct peer *peer = peers_at(&m->peers, i);
      assert_int_equal(peer->port, port);
      assert_int_equal(peer->seen, port * 7U);
      assert_int_equal(m->seed[port], i < m->peers.seeds);
    }
  }
}

static void step(struct model *m, bool mostly_add) {
  uint16_t port = (uint16_t)next_random(m, PORTS);
  uint32_t i = peers_find(&m->peers, address_of(port), port);
  bool seed = next_random(m, 2) == 0;
  if (i == PEERS_NONE) {
    if (mostly_add || next_random(m, 4) == 0) {
      i = peers_add(&m->peers, address_of(port), port, seed);
      peers_at(&m->peers, i)->seen = port * 7U;
      m->there[port] = true;
      m->seed[port] = seed;
      m->count++;
      m->seeds += seed;
    }
  } else if (next_random(m, 3) == 0) {
    peers_set_seed(&m->peers, i, seed);
    m->seeds = m->seeds + seed - m->seed[port];
    m->seed[port] = seed;
  } else if (!mostly_add || next_random(m, 4) == 0) {
    peers_remove(&m->peers, i);
    m->there[port] = false;
    m->count--;
    m->seeds -= m->seed[port];
  }
}

static void follow_model(uint32_t address_len) {
  struct model m = {.random = 42};
  peers_init(&m.peers, address_len, key);
  for (int round = 0; round < 4; round++) {
    for (int i = 0; i < 6000; i++) {
      step(&m, round % 2 == 0);
      if (i % 500 == 0) {
        check(&m);
      }
    }
  }
  check(&m);
  for (uint16_t port = 0; port < PORTS; port++) {
    if (m.there[port]) {
      peers_remove(&m.peers, peers_find(&m.peers, address_of(port), port));
    }
  }
  assert_int_equal(m.peers.count, 0);
  assert_int_equal(m.peers.seeds, 0);
  assert_null(m.peers.chunks);
  peers_free(&m.peers);
}

static void finds_what_was_put_in_v4(void **state) {
  (void)state;
  follow_model(4);
}

static void finds_what_was_put_in_v6(void **state) {
  (void)state;
  follow_model(16);
}

/* The longest walk through the index stays short, whatever the number of entries. */
static void spreads_over_its_buckets(void **state) {
  (void)state;
  struct peers p;
  peers_init(&p, 4, key);
  for (uint32_t port = 0; port < 40000; port++) {
    assert_true(peers_add(&p, (const unsigned char *)"\x7f\0\0\1", (uint16_t)port, false) == port);
  }
  uint32_t longest = 0;
  for (uint32_t b = 0; b < p.count; b++) {
    uint32_t length = 0;
    for (uint32_t i = peers_at(&p, b)->head; i != PEERS_NONE; i = peers_at(&p, i)->next) {
      length++;
    }
    longest = length > longest ? length : longest;
  }
  assert_in_range(longest, 2, 16);
  peers_free(&p);
}

static void an_entry_is_small(void **state) {
  (void)state;
  assert_int_equal(sizeof(struct peer) + 4, 48);
  assert_int_equal(sizeof(struct peer) + 16, 60);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(finds_what_was_put_in_v4),
      cmocka_unit_test(finds_what_was_put_in_v6),
      cmocka_unit_test(spreads_over_its_buckets),
      cmocka_unit_test(an_entry_is_small),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
