#include "base/rfc3339.h"

#include "unit/cmocka_all.h"

struct row {
  const char *text;
  int64_t ms;
};

static void prints(void **state) {
  (void)state;
  static const struct row rows[] = {
      {"1970-01-01T00:00:00.000Z", 0},
      {"1970-01-01T00:00:00.001Z", 1},
      {"1969-12-31T23:59:59.999Z", -1},
      {"1969-12-31T23:59:58.000Z", -2000},
      {"2024-02-29T12:34:56.789Z", 1709210096789},
      {"0000-01-01T00:00:00.000Z", INT64_MIN},
      {"9999-12-31T23:59:59.999Z", 253402300799999},
      {"9999-12-31T23:59:59.999Z", INT64_MAX},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    char text[RFC3339_TEXT_MAX];
    int64_t back = 0;
    rfc3339_print(rows[i].ms, text);
    assert_string_equal(text, rows[i].text);
    assert_true(rfc3339_parse(slice_str(text), &back));
    if (rows[i].ms != INT64_MIN && rows[i].ms != INT64_MAX) {
      assert_int_equal(back, rows[i].ms);
    }
  }
}

static void reads(void **state) {
  (void)state;
  static const struct row rows[] = {
      {"1970-01-01T00:00:00Z", 0},
      {"1985-04-12T23:20:50.52Z", 482196050520},
      {"1996-12-19T16:39:57-08:00", 851042397000},
      {"1996-12-20t00:39:57z", 851042397000},
      {"1990-12-31T23:59:60Z", 662688000000},
      {"1990-12-31T15:59:60-08:00", 662688000000},
      {"1937-01-01T12:00:27.87+00:20", -1041337172130},
      {"1970-01-01T00:00:00.0019999999999999999999999Z", 1},
      {"1970-01-01T00:00:00-00:00", 0},
      {"2000-02-29T00:00:00Z", 951782400000},
      {"2024-02-29T23:59:59.999+23:59", 1709164859999},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    int64_t ms = 0;
    if (!rfc3339_parse(slice_str(rows[i].text), &ms) || ms != rows[i].ms) {
      fail_msg("%s was read as %lld", rows[i].text, (long long)ms);
    }
  }
}

static void refuses(void **state) {
  (void)state;
  static const char *const bad[] = {
      "",
      "now",
      "2024-02-29",
      "2024-02-29T12:34",
      "2024-02-29T12:34:56",
      "2024-02-29T12:34Z",
      "2024-02-29 12:34:56Z",
      "2024-2-29T12:34:56Z",
      "2023-02-29T12:34:56Z",
      "1900-02-29T12:34:56Z",
      "2024-00-10T12:34:56Z",
      "2024-13-10T12:34:56Z",
      "2024-01-00T12:34:56Z",
      "2024-01-32T12:34:56Z",
      "2024-04-31T12:34:56Z",
      "2024-02-29T24:00:00Z",
      "2024-02-29T12:60:00Z",
      "2024-02-29T12:34:61Z",
      "2024-02-29T12:34:56.Z",
      "2024-02-29T12:34:56,5Z",
      "2024-02-29T12:34:56.5",
      "2024-02-29T12:34:56+02",
      "2024-02-29T12:34:56+0200",
      "2024-02-29T12:34:56+24:00",
      "2024-02-29T12:34:56+02:60",
      "2024-02-29T12:34:56Z ",
      " 2024-02-29T12:34:56Z",
      "+024-02-29T12:34:56Z",
      "12024-02-29T12:34:56Z",
      "2024-02-29T12:34:56+02:00Z",
      "2024/02/29T12:34:56Z",
      "2024-02/29T12:34:56Z",
      "2024-02-29T12.34:56Z",
      "2024-02-29T12:34.56Z",
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    int64_t ms = 77;
    if (rfc3339_parse(slice_str(bad[i]), &ms) || ms != 77) {
      fail_msg("%s was read as %lld", bad[i], (long long)ms);
    }
  }
  int64_t ms = 77;
  assert_false(rfc3339_parse(slice_of("2024-02-29\0", 11), &ms));
  assert_false(rfc3339_parse(slice_of("2024-02-29T12:34:56\0", 20), &ms));
  assert_int_equal(ms, 77);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(prints),
      cmocka_unit_test(reads),
      cmocka_unit_test(refuses),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
