#include "gateway/quota.h"

#include "base/address.h"

#include "unit/cmocka_all.h"

static const struct quota_share three = {.most = 3, .while_ms = 1000};

static uint64_t take(struct quota *quota, const char *text, uint64_t now) {
  union address address;
  assert_true(address_parse(slice_str(text), &address));
  return quota_take(quota, guesses_place(&address.any), three, now);
}

static int setup(void **state) {
  *state = quota_new(NULL);
  return *state == NULL;
}

static int teardown(void **state) {
  quota_free(*state);
  return 0;
}

static void so_many_in_a_while(void **state) {
  struct quota *quota = *state;
  for (uint64_t begin = 5; begin < 4000; begin += 1000) {
    assert_int_equal(take(quota, "192.0.2.1", begin), 0);
    assert_int_equal(take(quota, "192.0.2.1", begin + 500), 0);
    assert_int_equal(take(quota, "192.0.2.1", begin + 999), 0);
    assert_int_equal(take(quota, "192.0.2.1", begin + 999), 1);
  }
}

static void one_too_many_does_not_count(void **state) {
  struct quota *quota = *state;
  for (unsigned i = 0; i < 3; i++) {
    assert_int_equal(take(quota, "192.0.2.1", 0), 0);
  }
  for (unsigned i = 0; i < 100; i++) {
    assert_int_equal(take(quota, "192.0.2.1", 400), 600);
  }
  assert_int_equal(take(quota, "192.0.2.1", 1000), 0);
}

/* But for those of its IPv6 network. */
static void each_address_has_its_own(void **state) {
  struct quota *quota = *state;
  for (unsigned i = 0; i < 3; i++) {
    assert_int_equal(take(quota, "192.0.2.1", 0), 0);
    assert_int_equal(take(quota, "2001:db8::1", 0), 0);
  }
  assert_int_equal(take(quota, "192.0.2.1", 0), 1000);
  assert_int_equal(take(quota, "192.0.2.2", 0), 0);
  assert_int_equal(take(quota, "2001:db8::2", 0), 1000);
  assert_int_equal(take(quota, "2001:db8:0:1::1", 0), 0);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(so_many_in_a_while),
      TEST(one_too_many_does_not_count),
      TEST(each_address_has_its_own),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
