#include "bencode/writer.h"

#include "unit/cmocka_all.h"

static const char whole[] = "d1:ai-12e1:bl0:3:xyzi0eee";

static void write_whole(struct bencode_writer *w) {
  bencode_write_dict(w);
  bencode_write_string(w, SLICE("a"));
  bencode_write_integer(w, -12);
  bencode_write_string(w, SLICE("b"));
  bencode_write_list(w);
  bencode_write_string(w, (struct slice){NULL, 0});
  bencode_write_string_head(w, 3);
  bencode_write_raw(w, SLICE("x"));
  bencode_write_raw(w, SLICE("yz"));
  bencode_write_integer(w, 0);
  bencode_write_end(w);
  bencode_write_end(w);
}

static void test_whole(void **state) {
  (void)state;
  char out[sizeof whole - 1];
  struct bencode_writer w = bencode_writer(out, sizeof out);
  write_whole(&w);
  assert_false(w.full);
  assert_true(slice_equal(slice_of(out, w.len), SLICE(whole)));
}

/* At every room that is too small: it says so, says how much it takes, and keeps within it. */
static void test_room(void **state) {
  (void)state;
  for (size_t cap = 0; cap < sizeof whole - 1; cap++) {
    char out[sizeof whole];
    memset(out, '#', sizeof out);
    struct bencode_writer w = bencode_writer(out, cap);
    write_whole(&w);
    assert_true(w.full);
    assert_int_equal(w.len, sizeof whole - 1);
    for (size_t i = cap; i < sizeof out; i++) {
      assert_int_equal(out[i], '#');
    }
  }
  struct bencode_writer count = bencode_writer(NULL, 0);
  write_whole(&count);
  assert_true(count.full);
  assert_int_equal(count.len, sizeof whole - 1);
}

/* What would fit again after something did not is left out too. */
static void test_full_sticks(void **state) {
  (void)state;
  char out[4] = "####";
  struct bencode_writer w = bencode_writer(out, sizeof out);
  bencode_write_string(&w, SLICE("abcdef"));
  bencode_write_end(&w);
  assert_true(w.full);
  assert_memory_equal(out, "6:##", 4);
}

static void test_integers(void **state) {
  (void)state;
  static const struct {
    int64_t value;
    const char *text;
  } cases[] = {
      {0, "i0e"},
      {7, "i7e"},
      {10, "i10e"},
      {-1, "i-1e"},
      {INT64_MAX, "i9223372036854775807e"},
      {INT64_MIN, "i-9223372036854775808e"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char out[32];
    struct bencode_writer w = bencode_writer(out, sizeof out);
    bencode_write_integer(&w, cases[i].value);
    assert_true(slice_equal(slice_of(out, w.len), slice_str(cases[i].text)));
  }
  char out[32];
  struct bencode_writer w = bencode_writer(out, sizeof out);
  bencode_write_string_head(&w, SIZE_MAX);
  assert_true(slice_equal(slice_of(out, w.len), SLICE("18446744073709551615:")));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_whole),
      cmocka_unit_test(test_room),
      cmocka_unit_test(test_full_sticks),
      cmocka_unit_test(test_integers),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
