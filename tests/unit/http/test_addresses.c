#include "http/addresses.h"

#include "unit/cmocka_all.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

enum { ADDRESSES = 5000, MAX = 3 };

static struct sockaddr_in6 v6(unsigned i) {
  struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)i)};
  memcpy(a.sin6_addr.s6_addr + 4, &i, sizeof i);
  return a;
}

static struct sockaddr_in v4(unsigned i) {
  return (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(i + 1)}};
}

static bool add(struct addresses *a, unsigned i) {
  struct sockaddr_in6 six = v6(i);
  struct sockaddr_in four = v4(i);
  return addresses_add(a, i % 2 == 0 ? (struct sockaddr *)&six : (struct sockaddr *)&four, MAX);
}

static void take_off(struct addresses *a, unsigned i) {
  struct sockaddr_in6 six = v6(i);
  struct sockaddr_in four = v4(i);
  addresses_remove(a, i % 2 == 0 ? (struct sockaddr *)&six : (struct sockaddr *)&four);
}

/* Against a plain array of counts, in an order without a pattern. */
static void test_counts(void **state) {
  (void)state;
  static unsigned counts[ADDRESSES];
  memset(counts, 0, sizeof counts);
  struct addresses a;
  addresses_init(&a);
  uint32_t random = 1;
  for (unsigned step = 0; step < 200000; step++) {
    random = random * 1664525 + 1013904223;
    unsigned i = (random >> 8) % ADDRESSES;
    /* Grows for a while, then shrinks. */
    if (random >> 31 || (step < 100000 && random >> 30)) {
      assert_int_equal(add(&a, i), counts[i] < MAX);
      counts[i] += counts[i] < MAX;
    } else if (counts[i] > 0) {
      take_off(&a, i);
      counts[i]--;
    }
  }
  for (unsigned i = 0; i < ADDRESSES; i++) {
    for (; counts[i] > 0; counts[i]--) {
      take_off(&a, i);
    }
  }
  assert_int_equal(a.used, 0);
  addresses_free(&a);
}

static void test_ports_do_not_matter(void **state) {
  (void)state;
  struct addresses a;
  addresses_init(&a);
  struct sockaddr_in one = {.sin_family = AF_INET, .sin_port = 1};
  struct sockaddr_in two = {.sin_family = AF_INET, .sin_port = 2};
  assert_true(addresses_add(&a, (struct sockaddr *)&one, 1));
  assert_false(addresses_add(&a, (struct sockaddr *)&two, 1));
  addresses_remove(&a, (struct sockaddr *)&two);
  assert_true(addresses_add(&a, (struct sockaddr *)&two, 1));
  addresses_free(&a);
}

static struct sockaddr_in6 literal(const char *text) {
  struct sockaddr_in6 a = {.sin6_family = AF_INET6};
  assert_int_equal(inet_pton(AF_INET6, text, &a.sin6_addr), 1);
  return a;
}

/* Whoever has one address of a network has all of its 2^64. */
static void test_an_ipv6_network_counts_as_one(void **state) {
  (void)state;
  static const struct {
    const char *a, *b;
    bool same;
  } pairs[] = {
      {"2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", true},
      {"2001:db8:1:2::1", "2001:db8:1:3::1", false},
      {"2001:db8:1:2::1", "2001:db9:1:2::1", false},
      {"::ffff:192.0.2.1", "::ffff:192.0.2.1", true},
      {"::ffff:192.0.2.1", "::ffff:192.0.2.2", false},
      {"::ffff:192.0.2.1", "::1", false},
  };
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
    struct addresses a;
    addresses_init(&a);
    const struct sockaddr_in6 one = literal(pairs[i].a), two = literal(pairs[i].b);
    assert_true(addresses_add(&a, (const struct sockaddr *)&one, 1));
    assert_int_equal(addresses_add(&a, (const struct sockaddr *)&two, 1), !pairs[i].same);
    addresses_free(&a);
  }
  /* A mapped address is that of IPv4. */
  struct addresses a;
  addresses_init(&a);
  const struct sockaddr_in6 mapped = literal("::ffff:0.0.0.1");
  const struct sockaddr_in four = v4(0);
  assert_true(addresses_add(&a, (const struct sockaddr *)&mapped, 1));
  assert_false(addresses_add(&a, (const struct sockaddr *)&four, 1));
  addresses_free(&a);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_counts),
                                     cmocka_unit_test(test_ports_do_not_matter),
                                     cmocka_unit_test(test_an_ipv6_network_counts_as_one)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
