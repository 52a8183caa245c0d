#include "unit/cmocka_all.h"

#include "db/record.h"

static void crc_is_castagnolis(void **state) {
  (void)state;
  assert_int_equal(record_crc(0, SLICE("123456789")), 0xe3069283);
  assert_int_equal(record_crc(0, (struct slice){0}), 0);
  assert_int_equal(record_crc(record_crc(0, SLICE("1234")), SLICE("56789")), 0xe3069283);
}

static void checksum_covers_key_and_value(void **state) {
  (void)state;
  unsigned char a[RECORD_CHECKSUM_SIZE], b[RECORD_CHECKSUM_SIZE];
  record_checksum(SLICE("key"), SLICE("value"), a);
  record_checksum(SLICE("key"), SLICE("valuE"), b);
  assert_memory_not_equal(a, b, sizeof a);
  record_checksum(SLICE("kex"), SLICE("value"), b);
  assert_memory_not_equal(a, b, sizeof a);
}

static void what_is_added_is_read(void **state) {
  (void)state;
  struct buf b = {0};
  unsigned char copy[3];
  record_add_int(&b, 0x0102, 2);
  record_add_int(&b, UINT64_MAX, 8);
  record_add_bytes(&b, SLICE("text"));
  record_add_bytes(&b, (struct slice){0});
  buf_append(&b, "abc", 3);
  assert_memory_equal(b.ptr, "\x02\x01", 2);
  struct record_reader r = {.rest = buf_view(&b)};
  assert_int_equal(record_int(&r, 2), 0x0102);
  assert_true(record_int(&r, 8) == UINT64_MAX);
  assert_true(slice_equal(record_bytes(&r), SLICE("text")));
  assert_int_equal(record_bytes(&r).len, 0);
  assert_false(record_ended(&r));
  record_copy(&r, copy, sizeof copy);
  assert_memory_equal(copy, "abc", 3);
  assert_true(record_ended(&r));
  buf_free(&b);
}

static void reading_beyond_the_end_fails_for_good(void **state) {
  (void)state;
  unsigned char copy[2] = {7, 7};
  struct record_reader r = {.rest = SLICE("\x01")};
  record_copy(&r, copy, sizeof copy);
  assert_memory_equal(copy, "\0\0", 2);
  assert_int_equal(record_int(&r, 1), 0); /* although a byte is there */
  assert_false(record_ended(&r));
  r = (struct record_reader){.rest = SLICE("\xff\xff\xff\xff"
                                           "short")};
  assert_int_equal(record_bytes(&r).len, 0);
  assert_true(r.failed);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(crc_is_castagnolis),
      cmocka_unit_test(checksum_covers_key_and_value),
      cmocka_unit_test(what_is_added_is_read),
      cmocka_unit_test(reading_beyond_the_end_fails_for_good),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
