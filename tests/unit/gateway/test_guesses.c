#include "gateway/guesses.h"

#include "base/address.h"

#include "unit/cmocka_all.h"

static struct guesses_place place(const char *text) {
  union address address;
  assert_true(address_parse(slice_str(text), &address));
  return guesses_place(&address.any);
}

static int setup(void **state) {
  *state = guesses_new(NULL);
  return *state == NULL;
}

static int teardown(void **state) {
  guesses_free(*state);
  return 0;
}

static void first_ones_are_free(void **state) {
  struct guesses *g = *state;
  struct guesses_place here = place("192.0.2.1");
  for (unsigned i = 0; i < GUESSES_FREE; i++) {
    assert_int_equal(guesses_wait(g, here, SLICE("alice"), 0, 1000), 0);
    guesses_wrong(g, here, SLICE("alice"), 1000);
  }
  assert_int_equal(guesses_wait(g, here, SLICE("alice"), 0, 1000), 0);
  guesses_wrong(g, here, SLICE("alice"), 1000);
  assert_int_equal(guesses_wait(g, here, SLICE("alice"), 0, 1000), 1000);
  assert_int_equal(guesses_wait(g, here, SLICE("alice"), 0, 1999), 1);
  assert_int_equal(guesses_wait(g, here, SLICE("alice"), 0, 2000), 0);
}

static void each_more_doubles_the_wait(void **state) {
  static const uint64_t waits[] = {1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};
  struct guesses *g = *state;
  struct guesses_place here = place("192.0.2.1");
  uint64_t now = 5;
  for (unsigned i = 0; i < GUESSES_FREE; i++) {
    guesses_wrong(g, here, SLICE("alice"), now);
  }
  for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
    guesses_wrong(g, here, SLICE("alice"), now);
    assert_int_equal(guesses_wait(g, here, SLICE("alice"), 0, now), waits[i]);
    now += waits[i];
    assert_int_equal(guesses_wait(g, here, SLICE("alice"), 0, now), 0);
  }
  for (unsigned i = 0; i < 70000; i++) {
    guesses_wrong(g, here, SLICE("alice"), now);
  }
  assert_int_equal(guesses_wait(g, here, SLICE("alice"), 0, now), GUESSES_WAIT_MAX_MS);
  assert_int_equal(guesses_wait(g, here, SLICE("alice"), 0, now + GUESSES_FORGET_MS), 0);
  guesses_wrong(g, here, SLICE("alice"), now + GUESSES_FORGET_MS);
  assert_int_equal(guesses_wait(g, here, SLICE("alice"), 0, now + GUESSES_FORGET_MS), 0);
}

static void hold_up(struct guesses *g, struct guesses_place from, struct slice user) {
  for (unsigned i = 0; i <= GUESSES_FREE; i++) {
    guesses_wrong(g, from, user, 1);
  }
  assert_int_equal(guesses_wait(g, from, user, 0, 1), 1000);
}

static void nobody_else_is_held_up(void **state) {
  struct guesses *g = *state;
  hold_up(g, place("192.0.2.1"), SLICE("alice"));
  assert_int_equal(guesses_wait(g, place("192.0.2.1"), SLICE("bob"), 0, 1), 0);
  assert_int_equal(guesses_wait(g, place("192.0.2.2"), SLICE("alice"), 0, 1), 0);
  assert_int_equal(guesses_wait(g, place("2001:db8::1"), SLICE("alice"), 0, 1), 0);
}

/* Who has one IPv6 address has 2^64. */
static void ipv6_counts_by_its_network(void **state) {
  struct guesses *g = *state;
  hold_up(g, place("2001:db8:1:2::1"), SLICE("alice"));
  assert_int_equal(guesses_wait(g, place("2001:db8:1:2:ffff::9"), SLICE("alice"), 0, 1), 1000);
  assert_int_equal(guesses_wait(g, place("2001:db8:1:3::1"), SLICE("alice"), 0, 1), 0);
}

static void mapped_address_is_ipv4(void **state) {
  struct guesses *g = *state;
  hold_up(g, place("::ffff:192.0.2.1"), SLICE("alice"));
  assert_int_equal(guesses_wait(g, place("192.0.2.1"), SLICE("alice"), 0, 1), 1000);
  assert_int_equal(guesses_wait(g, place("192.0.2.2"), SLICE("alice"), 0, 1), 0);
}

static void right_password_forgets(void **state) {
  struct guesses *g = *state;
  hold_up(g, place("192.0.2.1"), SLICE("alice"));
  guesses_right(g, place("192.0.2.1"), SLICE("alice"));
  guesses_wrong(g, place("192.0.2.1"), SLICE("alice"), 1);
  assert_int_equal(guesses_wait(g, place("192.0.2.1"), SLICE("alice"), 0, 1), 0);
}

/* Those that are looked at count until it is known what they are. */
static void pending_ones_count(void **state) {
  struct guesses *g = *state;
  struct guesses_place here = place("192.0.2.1");
  assert_int_equal(guesses_wait(g, here, SLICE("alice"), GUESSES_FREE, 1), 0);
  assert_int_equal(guesses_wait(g, here, SLICE("alice"), GUESSES_FREE + 1, 1), 1000);
  for (unsigned i = 0; i < GUESSES_FREE; i++) {
    guesses_wrong(g, here, SLICE("alice"), 1);
  }
  assert_int_equal(guesses_wait(g, here, SLICE("alice"), 0, 1), 0);
  assert_int_equal(guesses_wait(g, here, SLICE("alice"), 1, 1), 1000);
  assert_int_equal(guesses_wait(g, here, SLICE("alice"), 2, 1), 2000);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(first_ones_are_free),    TEST(each_more_doubles_the_wait),
      TEST(nobody_else_is_held_up), TEST(ipv6_counts_by_its_network),
      TEST(mapped_address_is_ipv4), TEST(right_password_forgets),
      TEST(pending_ones_count),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
