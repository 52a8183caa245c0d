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

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(both_families),
      cmocka_unit_test(another_family),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
