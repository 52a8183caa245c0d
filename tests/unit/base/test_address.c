#include "base/address.h"

#include "unit/cmocka_all.h"

#include <arpa/inet.h>

static void both_families(void **state) {
  (void)state;
  char text[ADDRESS_TEXT_MAX];
  struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(65535)};
  assert_int_equal(inet_pton(AF_INET, "192.0.2.255", &v4.sin_addr), 1);
  address_print((struct sockaddr *)&v4, text);
  assert_string_equal(text, "192.0.2.255:65535");
  struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(65535)};
  assert_int_equal(inet_pton(AF_INET6, "2001:db8:1234:5678:9abc:def0:1234:5678", &v6.sin6_addr), 1);
  address_print((struct sockaddr *)&v6, text);
  assert_string_equal(text, "[2001:db8:1234:5678:9abc:def0:1234:5678]:65535");
}

static void another_family(void **state) {
  (void)state;
  char text[ADDRESS_TEXT_MAX];
  const struct sockaddr unix_address = {.sa_family = AF_UNIX};
  address_print(&unix_address, text);
  assert_string_equal(text, "?");
}

static void mapped_addresses_become_ipv4(void **state) {
  (void)state;
  char text[ADDRESS_TEXT_MAX];
  struct sockaddr_in6 mapped = {.sin6_family = AF_INET6, .sin6_port = htons(80)};
  assert_int_equal(inet_pton(AF_INET6, "::ffff:192.0.2.1", &mapped.sin6_addr), 1);
  union address a = address_of((struct sockaddr *)&mapped);
  assert_int_equal(a.any.sa_family, AF_INET);
  address_print(&a.any, text);
  assert_string_equal(text, "192.0.2.1:80");
  const struct sockaddr unix_address = {.sa_family = AF_UNIX};
  assert_int_equal(address_of(&unix_address).any.sa_family, AF_UNSPEC);
}

static union address parsed(const char *text) {
  union address a;
  assert_true(address_parse(slice_str(text), &a));
  return a;
}

static void with_ports(void **state) {
  (void)state;
  static const char *const right[][2] = {{"127.0.0.1:80", "127.0.0.1:80"},
                                         {"127.0.0.1:080", "127.0.0.1:80"},
                                         {"0.0.0.0:0", "0.0.0.0:0"},
                                         {"[0:0:0:0:0:0:0:1]:65535", "[::1]:65535"}};
  static const char *const wrong[] = {"",
                                      ":80",
                                      "127.0.0.1",
                                      "127.0.0.1:",
                                      "127.0.0.1:65536",
                                      "::1:80",
                                      "[::1]",
                                      "[::1]80",
                                      "127.0.0.1:-1",
                                      "127.0.0.1:80x",
                                      "[]:80",
                                      "[::1:80",
                                      "1.2.3.4.5:6",
                                      "127.0.0.1: 80",
                                      "[::ffff:127.0.0.1]:80",
                                      "localhost:1",
                                      "[127.0.0.1]:80"};
  char text[ADDRESS_TEXT_MAX];
  union address a = {0};
  for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
    assert_true(address_parse_port(slice_str(right[i][0]), &a));
    address_print(&a.any, text);
    assert_string_equal(text, right[i][1]);
  }
  a.any.sa_family = AF_UNSPEC;
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    assert_false(address_parse_port(slice_str(wrong[i]), &a));
    assert_int_equal(a.any.sa_family, AF_UNSPEC);
  }
  assert_false(address_parse_port((struct slice){NULL, 0}, &a));
}

static void literals(void **state) {
  (void)state;
  char text[ADDRESS_TEXT_MAX];
  const union address v6 = parsed("2001:db8::7");
  address_print(&v6.any, text);
  assert_string_equal(text, "[2001:db8::7]:0");
  assert_int_equal(parsed("::ffff:10.0.0.1").any.sa_family, AF_INET);
  assert_int_equal(parsed("0:0:1::ffff:a00:1").any.sa_family, AF_INET6);
  assert_int_equal(parsed("0:0:0:1:0:ffff:a00:1").any.sa_family, AF_INET6);
  static const char *const wrong[] = {"",
                                      "10.0.0",
                                      "10.0.0.256",
                                      " 10.0.0.1",
                                      "10.0.0.1 ",
                                      "10.0.0.1:1",
                                      "[::1]",
                                      "::1%lo",
                                      "host",
                                      "010.0.0.1",
                                      ":::",
                                      "0x7f.0.0.1",
                                      "1:2:3:4:5:6:7:8:9:a:b:c:d:e:f:1:2:3:4:5:6:7:8:9"};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    union address a = {.any = {.sa_family = AF_UNIX}};
    assert_false(address_parse(slice_str(wrong[i]), &a));
    assert_int_equal(a.any.sa_family, AF_UNIX);
  }
  union address a;
  assert_false(address_parse((struct slice){NULL, 0}, &a));
  assert_false(address_parse(slice_of("10.0.0.1\0", 9), &a));
}

static bool within(const char *range, const char *address) {
  struct address_range r;
  const char *why = address_range_parse(slice_str(range), &r);
  assert_null(why);
  const union address a = parsed(address);
  return address_range_has(&r, 1, &a.any);
}

static void ranges_hold_what_begins_alike(void **state) {
  (void)state;
  assert_true(within("10.1.0.0/16", "10.1.255.255"));
  assert_false(within("10.1.0.0/16", "10.2.0.0"));
  assert_true(within("10.0.0.0/9", "10.127.0.1"));
  assert_false(within("10.0.0.0/9", "10.128.0.1"));
  assert_true(within("0.0.0.0/0", "203.0.113.9"));
  assert_false(within("0.0.0.0/0", "::1"));
  assert_false(within("::/0", "10.0.0.1"));
  assert_true(within("::/0", "2001:db8::1"));
  assert_true(within("127.0.0.1", "127.0.0.1"));
  assert_true(within("127.0.0.1/32", "::ffff:127.0.0.1"));
  assert_false(within("127.0.0.1", "127.0.0.2"));
  assert_true(within("2001:db8::/33", "2001:db8:7fff::1"));
  assert_false(within("2001:db8::/33", "2001:db8:8000::1"));
  assert_true(within("::1/128", "::1"));
  const struct sockaddr none = {.sa_family = AF_UNSPEC};
  struct address_range all[2];
  assert_null(address_range_parse(SLICE("0.0.0.0/0"), &all[0]));
  assert_null(address_range_parse(SLICE("::/0"), &all[1]));
  assert_false(address_range_has(all, 2, &none));
  const union address a = parsed("::2");
  assert_true(address_range_has(all, 2, &a.any));
  assert_false(address_range_has(NULL, 0, &a.any));
}

static void wrong_ranges_say_why(void **state) {
  (void)state;
  struct address_range r;
  static const struct {
    const char *text, *why;
  } wrong[] = {
      {"", "literal address"},          {"all", "literal address"},
      {"10.0.0.0/33", "length"},        {"10.0.0.0/", "length"},
      {"10.0.0.0/-1", "length"},        {"::/129", "length"},
      {"10.0.0.0/8/8", "length"},       {"10.1.2.3/16", "first address"},
      {"128.0.0.0/0", "first address"}, {"2001:db8::1/64", "first address"},
  };
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    const char *why = address_range_parse(slice_str(wrong[i].text), &r);
    assert_non_null(why);
    assert_non_null(strstr(why, wrong[i].why));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(mapped_addresses_become_ipv4),
      cmocka_unit_test(literals),
      cmocka_unit_test(with_ports),
      cmocka_unit_test(ranges_hold_what_begins_alike),
      cmocka_unit_test(wrong_ranges_say_why),
      cmocka_unit_test(both_families),
      cmocka_unit_test(another_family),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
