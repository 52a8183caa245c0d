#include "gateway/refusals.h"

#include "base/address.h"

#include "unit/cmocka_all.h"

#include <stdio.h>

static const struct log silent = {.level = LOG_LEVEL_ERROR};

static int setup(void **state) {
  *state = refusals_new(&silent, NULL);
  return *state == NULL;
}

static int teardown(void **state) {
  refusals_free(*state);
  return 0;
}

static bool is_due(struct refusals *r, const char *from, uint64_t now, uint64_t *left_out) {
  union address address;
  assert_true(address_parse(slice_str(from), &address));
  return refusals_due(r, &address.any, now, left_out);
}

static void one_address_has_a_share(void **state) {
  struct refusals *r = *state;
  uint64_t left_out;
  for (unsigned i = 0; i < REFUSALS_PLACE_MAX; i++) {
    assert_true(is_due(r, "192.0.2.1", 1, &left_out));
    assert_int_equal(left_out, 0);
  }
  assert_false(is_due(r, "192.0.2.1", 2, &left_out));
  assert_false(is_due(r, "192.0.2.1", REFUSALS_WINDOW_MS - 1, &left_out));
  /* Another is not drowned out; and says what was left out, once. */
  assert_true(is_due(r, "192.0.2.2", 2, &left_out));
  assert_int_equal(left_out, 2);
  assert_true(is_due(r, "192.0.2.2", 2, &left_out));
  assert_int_equal(left_out, 0);
  assert_true(is_due(r, "192.0.2.1", REFUSALS_WINDOW_MS, &left_out));
}

static void an_ipv6_network_is_one(void **state) {
  struct refusals *r = *state;
  uint64_t left_out;
  for (unsigned i = 0; i < REFUSALS_PLACE_MAX; i++) {
    char address[64];
    snprintf(address, sizeof address, "2001:db8::%x", i + 1);
    assert_true(is_due(r, address, 1, &left_out));
  }
  assert_false(is_due(r, "2001:db8::ffff", 1, &left_out));
  assert_true(is_due(r, "2001:db8:0:1::1", 1, &left_out));
}

static void all_have_a_bound(void **state) {
  struct refusals *r = *state;
  uint64_t left_out;
  for (unsigned i = 0; i < REFUSALS_MAX; i++) {
    char address[32];
    snprintf(address, sizeof address, "192.0.2.%u", i);
    assert_true(is_due(r, address, 1000, &left_out));
  }
  assert_false(is_due(r, "198.51.100.1", 1000, &left_out));
  assert_true(is_due(r, "198.51.100.1", REFUSALS_WINDOW_MS, &left_out));
  assert_int_equal(left_out, 1);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(one_address_has_a_share),
      TEST(an_ipv6_network_is_one),
      TEST(all_have_a_bound),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
