#include "http/forwarded.h"

#include "unit/cmocka_all.h"

static const char *const proxies[] = {"10.0.0.0/8", "fd00::/8"};

/* The proxy at 10.0.0.1 sends that value. */
static enum forwarded walk(const char *value, char address[ADDRESS_TEXT_MAX]) {
  struct address_range trusted[2];
  union address client;
  for (size_t i = 0; i < 2; i++) {
    assert_null(address_range_parse(slice_str(proxies[i]), &trusted[i]));
  }
  assert_true(address_parse(SLICE("10.0.0.1"), &client));
  enum forwarded found = forwarded_walk(slice_str(value), trusted, 2, &client);
  address_print(&client.any, address);
  return found;
}

static void test_the_nearest_that_is_no_proxy_counts(void **state) {
  (void)state;
  static const struct {
    const char *value, *client;
  } cases[] = {
      {"192.0.2.1", "192.0.2.1:0"},
      {"  192.0.2.1\t", "192.0.2.1:0"},
      {"192.0.2.1:4711", "192.0.2.1:0"},
      {"2001:db8::1", "[2001:db8::1]:0"},
      {"[2001:db8::1]", "[2001:db8::1]:0"},
      {"[2001:db8::1]:4711", "[2001:db8::1]:0"},
      {"::ffff:192.0.2.1", "192.0.2.1:0"},
      {"[::ffff:192.0.2.1]:80", "192.0.2.1:0"},
      {"192.0.2.1, 10.0.0.2, fd00::3", "192.0.2.1:0"},
      /* What the client has made up itself lies behind it. */
      {"203.0.113.9, 192.0.2.1", "192.0.2.1:0"},
      {"10.0.0.9, 192.0.2.1", "192.0.2.1:0"},
      {"nonsense,,;, 192.0.2.1, 10.0.0.2", "192.0.2.1:0"},
      {", ,192.0.2.1, ,", "192.0.2.1:0"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char address[ADDRESS_TEXT_MAX];
    assert_int_equal(walk(cases[i].value, address), FORWARDED_CLIENT);
    assert_string_equal(address, cases[i].client);
  }
}

static void test_proxies_alone_go_on(void **state) {
  (void)state;
  char address[ADDRESS_TEXT_MAX];
  assert_int_equal(walk("10.0.0.3, 10.0.0.2", address), FORWARDED_ON);
  assert_string_equal(address, "10.0.0.3:0");
  assert_int_equal(walk("", address), FORWARDED_ON);
  assert_string_equal(address, "10.0.0.1:0");
  assert_int_equal(walk(" , ", address), FORWARDED_ON);
  assert_string_equal(address, "10.0.0.1:0");
}

static void test_what_a_proxy_says_must_be_an_address(void **state) {
  (void)state;
  static const char *const faulty[] = {
      "unknown",
      "192.0.2",
      "192.0.2.1 192.0.2.2",
      "[192.0.2.1]",
      "[2001:db8::1",
      "2001:db8::1]",
      "[2001:db8::1]80",
      "[2001:db8::1]:",
      "192.0.2.1:",
      "192.0.2.1:x",
      "192.0.2.1:65536",
      "[2001:db8::1]:65536",
      "[]",
      "[",
      "_hidden",
      "\"192.0.2.1\"",
      "for=192.0.2.1",
      "10.0.0.2, x, 10.0.0.3",
      "192.0.2.1;10.0.0.2",
      "[:",
  };
  for (size_t i = 0; i < sizeof faulty / sizeof *faulty; i++) {
    char address[ADDRESS_TEXT_MAX];
    assert_int_equal(walk(faulty[i], address), FORWARDED_FAULTY);
  }
}

/* The field of somebody who is not trusted is never looked at. */
static void test_a_client_speaks_not_for_others(void **state) {
  (void)state;
  struct address_range trusted;
  union address client;
  char address[ADDRESS_TEXT_MAX];
  assert_null(address_range_parse(slice_str(proxies[0]), &trusted));
  assert_true(address_parse(SLICE("192.0.2.1"), &client));
  assert_int_equal(forwarded_walk(SLICE("203.0.113.9"), &trusted, 1, &client), FORWARDED_CLIENT);
  address_print(&client.any, address);
  assert_string_equal(address, "192.0.2.1:0");
}

/* A Unix socket has no address, and is believed. */
static void test_behind_a_unix_socket(void **state) {
  (void)state;
  union address client = {0};
  char address[ADDRESS_TEXT_MAX];
  assert_int_equal(forwarded_walk(SLICE("203.0.113.9, 192.0.2.1"), NULL, 0, &client),
                   FORWARDED_CLIENT);
  address_print(&client.any, address);
  assert_string_equal(address, "192.0.2.1:0");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_the_nearest_that_is_no_proxy_counts),
      cmocka_unit_test(test_proxies_alone_go_on),
      cmocka_unit_test(test_what_a_proxy_says_must_be_an_address),
      cmocka_unit_test(test_a_client_speaks_not_for_others),
      cmocka_unit_test(test_behind_a_unix_socket),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
