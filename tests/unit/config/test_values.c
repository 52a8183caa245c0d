#include "unit/cmocka_all.h"

#include "config/values.h"

struct texts {
  value_check *check;
  const char *good[16], *bad[28];
};

static const struct texts cases[] = {
    {value_listen,
     {"127.0.0.1:6969", "0.0.0.0:1", "255.255.255.255:65535", "[::1]:6969", "[::]:80",
      "[2001:db8::1]:443", "unix:/run/socket", "fd:tracker"},
     {"",
      "127.0.0.1",
      "127.0.0.1:",
      "127.0.0.1:0",
      "127.0.0.1:65536",
      "127.0.0.1:99999999999999",
      "127.0.0.1:+1",
      "127.0.0.1: 1",
      "127.0.0.1:6969 ",
      "localhost:6969",
      ":6969",
      "*:6969",
      "127.1:6969",
      "::1:6969",
      "[::1]",
      "[::1]6969",
      "[::1]:",
      "[127.0.0.1]:80",
      "[::1%lo]:80",
      "unix:",
      "unix:run/socket",
      "fd:",
      "fd:a:b",
      "[:80",
      "]"}},
    {value_url,
     {"http://a", "https://a.b:8080/x/y/", "http://127.0.0.1:6969/announce", "http://[::1]:80/a",
      "http://[::1]", "http://registry_1:5000/%20"},
     {"",
      "a",
      "//a",
      "ftp://a",
      "udp://a:6969/announce",
      "HTTP://a",
      "http://",
      "http:///x",
      "http://a b",
      "http://a/\xc3\xa4",
      "http://u:p@a",
      "http://@a",
      "http://a?x=1",
      "http://a/#x",
      "http://a:0",
      "http://a:",
      "http://a:65536",
      "http://a:80:80",
      "http://[::1",
      "http://[1]",
      "http://[::1]x",
      "http://a\x7f"}},
    {value_registry_url,
     {"http://a", "https://a/", "https://a/x/", "https://v2", "http://v2", "https://a/v22",
      "https://a/v2/x"},
     {"", "ftp://a", "https://a/v2", "https://a/v2/", "https://a/x/v2//", "https://u:p@a/"}},
    {value_registry,
     {"registry.example", "localhost:5000", "[::1]:5000", "quay.io"},
     {"a/b", "a b", "a\t", "\xc3\xa4"}},
    {value_pattern, {"team/app", "team/*", "*", "h:1/*"}, {"", "Team/App", "a*", "team/"}},
    {value_keys,
     {"a.pem", "/etc/httpd/key.pem", "http://a/jwks.json", "https://a/jwks.json"},
     {"ftp://a/jwks.json", "HTTP://a/", "://", "http://", "https://u:p@a/jwks.json",
      "https://a/jwks.json?x", "http://a/ b"}},
    {value_store, {"memory"}, {"", "disk", "redis://127.0.0.1:6379/0", "memory "}},
    {value_authorise, {"delegate", "token"}, {"", "Token", "both"}},
};

static void texts_are_told_apart(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    for (const char *const *t = cases[i].good; *t != NULL; t++) {
      const char *wrong = cases[i].check(slice_str(*t));
      if (wrong != NULL) {
        fail_msg("%s: %s", *t, wrong);
      }
    }
    for (const char *const *t = cases[i].bad; *t != NULL; t++) {
      if (cases[i].check(slice_str(*t)) == NULL) {
        fail_msg("%s is taken", *t);
      }
    }
  }
}

static void an_address_with_a_nul_is_none(void **state) {
  (void)state;
  assert_non_null(value_listen(SLICE("127.0.0.1\0:6969")));
  assert_non_null(value_url(SLICE("http://a\0b")));
}

static void a_registrys_name_is_bounded(void **state) {
  (void)state;
  static char name[236];
  memset(name, 'n', sizeof name);
  assert_null(value_registry(slice_of(name, 235)));
  assert_non_null(value_registry(slice_of(name, 236)));
}

static void distance_counts_letters(void **state) {
  (void)state;
  static const struct {
    const char *a, *b;
    size_t distance;
  } pairs[] = {
      {"listen", "listen", 0}, {"lisen", "listen", 1},  {"listten", "listen", 1},
      {"lisden", "listen", 1}, {"lsiten", "listen", 2}, {"", "url", 3},
      {"urls", "url", 1},      {"tracker", "log", 3},   {"max", "min", 2},
  };
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
    assert_int_equal(value_distance(slice_str(pairs[i].a), slice_str(pairs[i].b), 3),
                     pairs[i].distance);
  }
  static char page[100000];
  assert_int_equal(value_distance(slice_of(page, sizeof page), SLICE("listen"), 3), 3);
  assert_int_equal(value_distance(SLICE("listen"), slice_of(page, sizeof page), 3), 3);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(texts_are_told_apart),
      cmocka_unit_test(an_address_with_a_nul_is_none),
      cmocka_unit_test(a_registrys_name_is_bounded),
      cmocka_unit_test(distance_counts_letters),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
