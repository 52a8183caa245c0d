#include "base/base64.h"

#include "unit/cmocka_all.h"

#include <stdlib.h>

static const char letters[2][65] = {
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
};

/* RFC 4648, section 10. */
static void test_vectors(void **state) {
  (void)state;
  static const struct {
    const char *plain, *standard, *url;
  } cases[] = {
      {"", "", ""},
      {"f", "Zg==", "Zg"},
      {"fo", "Zm8=", "Zm8"},
      {"foo", "Zm9v", "Zm9v"},
      {"foob", "Zm9vYg==", "Zm9vYg"},
      {"fooba", "Zm9vYmE=", "Zm9vYmE"},
      {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
      {"\xfb\xff\xbe", "+/++", "-_--"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char text[32];
    char plain[32];
    size_t len;
    const char *wanted[] = {cases[i].standard, cases[i].url};
    for (int a = BASE64_STANDARD; a <= BASE64_URL; a++) {
      enum base64_alphabet alphabet = (enum base64_alphabet)a;
      size_t n = base64_encode(alphabet, cases[i].plain, strlen(cases[i].plain), text);
      assert_int_equal(n, strlen(wanted[a]));
      assert_string_equal(text, wanted[a]);
      assert_true(base64_decode(alphabet, slice_str(text), plain, &len));
      assert_true(slice_equal(slice_of(plain, len), slice_str(cases[i].plain)));
    }
  }
}

/* Every length, with room to the byte for a sanitizer to watch. */
static void test_lengths(void **state) {
  (void)state;
  for (int a = BASE64_STANDARD; a <= BASE64_URL; a++) {
    enum base64_alphabet alphabet = (enum base64_alphabet)a;
    for (size_t len = 0; len < 300; len++) {
      unsigned char *data = malloc(len + 1);
      char *text = malloc(BASE64_SPACE(len));
      assert_non_null(data);
      assert_non_null(text);
      for (size_t i = 0; i < len; i++) {
        data[i] = (unsigned char)(i * 89 + len);
      }
      size_t n = base64_encode(alphabet, data, len, text);
      assert_int_equal(n, strlen(text));
      assert_int_equal(n, alphabet == BASE64_STANDARD ? (len + 2) / 3 * 4 : (len * 4 + 2) / 3);
      unsigned char *back = malloc(n / 4 * 3 + 2);
      size_t got;
      assert_non_null(back);
      assert_true(base64_decode(alphabet, slice_of(text, n), back, &got));
      assert_int_equal(got, len);
      assert_memory_equal(back, data, len);
      free(back);
      free(text);
      free(data);
    }
  }
}

static void test_refused(void **state) {
  (void)state;
  static const char *const standard[] = {
      "=",      "==",       "====",     "A",        "AA",         "AAA",  "AA=",
      "A===",   "AAA==",    "AAAA=",    "AAAA====", "AA==AA==",   "AA=A", "=AAA",
      "Zg==\n", " Zg==",    "Zg= =",    "Zm 9v",    "Zm9v\n",     "-_--", "Zh==",
      "Zm9=",   "Zm9vZh==", "Zm9vZm9=", "A*AA",     "\xc3\xa9zz",
  };
  static const char *const url[] = {
      "A",    "AAAAA", "Zg==", "Zm8=", "=",   "Zh", "Zm9",    "Zm9vZh",
      "+/++", "Z g",   "Zg\n", "Zg ",  "Zg.", "A*", "AA\xff", "Zm9vA",
  };
  char out[32];
  size_t len = 77;
  for (size_t i = 0; i < sizeof standard / sizeof *standard; i++) {
    if (base64_decode(BASE64_STANDARD, slice_str(standard[i]), out, &len)) {
      fail_msg("standard: %s was taken", standard[i]);
    }
  }
  for (size_t i = 0; i < sizeof url / sizeof *url; i++) {
    if (base64_decode(BASE64_URL, slice_str(url[i]), out, &len)) {
      fail_msg("url: %s was taken", url[i]);
    }
  }
  assert_false(base64_decode(BASE64_URL, SLICE("A\0AA"), out, &len));
  assert_int_equal(len, 77);
}

/* Of all texts of two and three letters exactly those are taken that encoding gives. */
static void test_canonical(void **state) {
  (void)state;
  unsigned char out[8];
  char text[8];
  size_t len;
  for (size_t c = 0; c < 256; c++) {
    char pair[2] = {'A', (char)c};
    const char *at = c == 0 ? NULL : strchr(letters[BASE64_URL], (char)c);
    bool want = at != NULL && (at - letters[BASE64_URL]) % 16 == 0;
    assert_int_equal(base64_decode(BASE64_URL, slice_of(pair, 2), out, &len), want);
  }
  for (size_t i = 0; i < 64; i++) {
    char triple[3] = {'A', 'A', letters[BASE64_URL][i]};
    bool taken = base64_decode(BASE64_URL, slice_of(triple, 3), out, &len);
    assert_int_equal(taken, i % 4 == 0);
    if (taken) {
      base64_encode(BASE64_URL, out, len, text);
      assert_memory_equal(text, triple, 3);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_vectors),
      cmocka_unit_test(test_lengths),
      cmocka_unit_test(test_refused),
      cmocka_unit_test(test_canonical),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
