#include "gateway/rate.h"

#include "unit/cmocka_all.h"

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)

static const uint64_t second = 1000;

/* Takes slices as soon as there are any, for so long. \return the bytes. */
static uint64_t drain(struct rate *rate, uint64_t *now, uint64_t until) {
  const uint64_t slice = rate_slice(rate->bytes_a_second);
  uint64_t taken = 0, wait;
  while ((wait = rate_take(rate, slice, *now)) == 0 || *now + wait <= until) {
    taken += wait == 0 ? slice : 0;
    *now += wait;
  }
  return taken;
}

static void slices_are_a_sixteenth_of_a_second(void **state) {
  (void)state;
  static const uint64_t rows[][2] = {
      {RATE_MIN, RATE_SLICE_MIN}, {256 * KIB, RATE_SLICE_MIN}, {MIB, 64 * KIB},
      {4 * MIB, RATE_SLICE_MAX},  {INT64_MAX, RATE_SLICE_MAX}, {0, UINT64_MAX},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    assert_int_equal(rate_slice(rows[i][0]), rows[i][1]);
  }
}

static void so_much_and_no_more(void **state) {
  (void)state;
  static const uint64_t rates[] = {RATE_MIN, 20001, MIB, 7 * MIB + 13, UINT64_C(3) << 30};
  for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
    struct rate rate = {.bytes_a_second = rates[i]};
    const uint64_t slice = rate_slice(rates[i]);
    const uint64_t burst = rates[i] / 10 > slice ? rates[i] / 10 : slice;
    uint64_t now = 5 * second;
    const uint64_t taken = drain(&rate, &now, 65 * second);
    assert_in_range(taken, 60 * rates[i] - slice, 60 * rates[i] + burst);
    now += 100 * second; /* of rest, after which there is no more than at first */
    const uint64_t again = drain(&rate, &now, now + second);
    assert_in_range(again, rates[i] - slice, rates[i] + burst);
  }
}

static void says_how_long_to_wait(void **state) {
  (void)state;
  struct rate rate = {.bytes_a_second = MIB};
  const uint64_t slice = rate_slice(MIB); /* of 62.5 ms; there are 100 at first */
  assert_int_equal(rate_take(&rate, slice, 1000), 0);
  assert_int_equal(rate_take(&rate, slice, 1000), 25);
  assert_int_equal(rate_take(&rate, slice, 1024), 1);
  assert_int_equal(rate_take(&rate, slice / 2, 1000), 0);
  assert_int_equal(rate_take(&rate, slice, 1025), 32);
  assert_int_equal(rate_take(&rate, slice, 1057), 0);
}

static void without_a_bound_there_is_no_wait(void **state) {
  (void)state;
  struct rate rate = {0};
  for (unsigned i = 0; i < 100; i++) {
    assert_int_equal(rate_take(&rate, UINT64_MAX, 1000), 0);
  }
  assert_true(rate_is_full(&rate, 0));
}

static void is_full_when_all_has_come_in_again(void **state) {
  (void)state;
  struct rate rate = {.bytes_a_second = MIB};
  assert_true(rate_is_full(&rate, 1000));
  assert_int_equal(rate_take(&rate, MIB / 16, 1000), 0);
  assert_false(rate_is_full(&rate, 1062));
  assert_true(rate_is_full(&rate, 1063));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(slices_are_a_sixteenth_of_a_second),
      cmocka_unit_test(so_much_and_no_more),
      cmocka_unit_test(says_how_long_to_wait),
      cmocka_unit_test(without_a_bound_there_is_no_wait),
      cmocka_unit_test(is_full_when_all_has_come_in_again),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
