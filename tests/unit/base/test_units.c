#include "base/units.h"

#include "unit/cmocka_all.h"

#define DAY (24ULL * 3600 * 1000)

struct reading {
  const char *text;
  uint64_t value;
};

static void assert_reads(bool (*read)(struct slice, uint64_t *), struct reading want) {
  uint64_t got = 0;
  if (!read(slice_str(want.text), &got) || got != want.value) {
    fail_msg("%s was read as %llu", want.text, (unsigned long long)got);
  }
}

static void assert_refuses(bool (*read)(struct slice, uint64_t *), const char *text) {
  uint64_t got = 77;
  if (read(slice_str(text), &got) || got != 77) {
    fail_msg("%s was read as %llu", text, (unsigned long long)got);
  }
}

static void test_size(void **state) {
  (void)state;
  static const struct reading good[] = {
      {"0", 0},
      {"1", 1},
      {"512B", 512},
      {"64KiB", 64 << 10},
      {"3MiB", 3 << 20},
      {"50GiB", 50ULL << 30},
      {"2TiB", 2ULL << 40},
      {"9223372036854775807", INT64_MAX},
      {"8388607TiB", 8388607ULL << 40},
  };
  static const char *const bad[] = {"",
                                    "KiB",
                                    "-1",
                                    "+1",
                                    " 1",
                                    "1 ",
                                    "1 KiB",
                                    "1.5GiB",
                                    "1kib",
                                    "1KB",
                                    "1K",
                                    "1GB",
                                    "1PiB",
                                    "0x10",
                                    "1KiBB",
                                    "9223372036854775808",
                                    "8388608TiB",
                                    "99999999999TiB",
                                    "18446744073709551616"};
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    assert_reads(units_size, good[i]);
  }
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    assert_refuses(units_size, bad[i]);
  }
}

static void test_duration(void **state) {
  (void)state;
  static const struct reading good[] = {
      {"0", 0},        {"0s", 0},    {"250ms", 250},  {"30s", 30000},
      {"15m", 900000}, {"24h", DAY}, {"7d", 7 * DAY}, {"36525d", 36525 * DAY},
  };
  static const char *const bad[] = {"",
                                    "1",
                                    "00",
                                    "15",
                                    "-1s",
                                    "+1s",
                                    "1 s",
                                    " 1s",
                                    "1s ",
                                    "s",
                                    "1.5h",
                                    "1S",
                                    "1min",
                                    "1w",
                                    "1y",
                                    "1h30m",
                                    "36526d",
                                    "18446744073709551615d",
                                    "99999999999999999999s"};
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    assert_reads(units_duration, good[i]);
  }
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    assert_refuses(units_duration, bad[i]);
  }
}

static void test_print_size(void **state) {
  (void)state;
  static const struct reading cases[] = {
      {"0 B", 0},
      {"512 B", 512},
      {"1023 B", 1023},
      {"1.0 KiB", 1024},
      {"1.5 KiB", 1536},
      {"99.0 KiB", 99 << 10},
      {"100 KiB", 100 << 10},
      {"1.0 MiB", 1 << 20},
      {"1.4 GiB", 1503238553},
      {"16.0 EiB", UINT64_MAX},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char text[UNITS_TEXT_MAX];
    units_print_size(cases[i].value, text);
    assert_string_equal(text, cases[i].text);
  }
}

static void test_print_duration(void **state) {
  (void)state;
  static const struct reading cases[] = {
      {"0s", 0},       {"59s", 59},       {"1m00s", 60},
      {"3m05s", 185},  {"59m59s", 3599},  {"1h00m", 3600},
      {"2h00m", 7200}, {"25h01m", 90060}, {"5124095576030431h00m", UINT64_MAX},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char text[UNITS_TEXT_MAX];
    units_print_duration(cases[i].value, text);
    assert_string_equal(text, cases[i].text);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_size),
      cmocka_unit_test(test_duration),
      cmocka_unit_test(test_print_size),
      cmocka_unit_test(test_print_duration),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
