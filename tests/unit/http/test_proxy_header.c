#include "http/proxy_header.h"

#include "unit/cmocka_all.h"

#include <stdlib.h>

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

/* Reads the bytes from memory of just that size, so that a byte too far is seen by a sanitizer. */
static enum proxy_header read_exactly(struct slice bytes, size_t *size, union address *client) {
  char *copy = malloc(bytes.len == 0 ? 1 : bytes.len);
  memcpy(copy, bytes.ptr, bytes.len);
  enum proxy_header found = proxy_header_read(slice_of(copy, bytes.len), size, client);
  free(copy);
  return found;
}

static void put(char *to, struct slice bytes) {
  memcpy(to, bytes.ptr, bytes.len);
}

/* Every shorter beginning needs more; with the whole, and something behind it, the answer is there.
 */
static enum proxy_header read_in_cuts(struct slice header, union address *client) {
  char behind[512];
  size_t size = 0;
  for (size_t len = 0; len < header.len; len++) {
    assert_int_equal(read_exactly(slice_of(header.ptr, len), &size, client), PROXY_MORE);
  }
  enum proxy_header found = read_exactly(header, &size, client);
  assert_int_equal(size, header.len);
  put(behind, header);
  put(behind + header.len, SLICE("GET "));
  assert_int_equal(read_exactly(slice_of(behind, header.len + 4), &size, client), found);
  assert_int_equal(size, header.len);
  return found;
}

static void assert_client(struct slice header, const char *address) {
  union address client = {0};
  char text[ADDRESS_TEXT_MAX];
  assert_int_equal(read_in_cuts(header, &client), PROXY_CLIENT);
  address_print(&client.any, text);
  assert_string_equal(text, address);
}

static void test_version_1(void **state) {
  (void)state;
  assert_client(SLICE("PROXY TCP4 192.0.2.1 198.51.100.2 4711 443\r\n"), "192.0.2.1:4711");
  assert_client(SLICE("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"),
                "255.255.255.255:65535");
  assert_client(SLICE("PROXY TCP6 2001:db8::1 ::1 0 1\r\n"), "[2001:db8::1]:0");
  assert_client(SLICE("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 1\r\n"), "192.0.2.1:1");
  union address client = {0};
  assert_int_equal(read_in_cuts(SLICE("PROXY UNKNOWN\r\n"), &client), PROXY_UNKNOWN);
  assert_int_equal(
      read_in_cuts(SLICE("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n"), &client),
      PROXY_UNKNOWN);
  assert_int_equal(client.any.sa_family, AF_UNSPEC);
}

static void test_faulty_lines(void **state) {
  (void)state;
  static const char *const faulty[] = {
      "PROXY \n",
      "PROXY \r\n",
      "PROXY\x20\x20TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
      "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
      "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
      "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
      "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
      "PROXY TCP4 192.0.2.1  192.0.2.2 1 2\r\n",
      "PROXY TCP4\r\n",
      "PROXY TCP4  192.0.2.2 1 2\r\n",
      "PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n",
      "PROXY tcp4 192.0.2.1 192.0.2.2 1 2\r\n",
      "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
      "PROXY TCP4 ::1 ::1 1 2\r\n",
      "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
      "PROXY TCP4 192.0.2 192.0.2.2 1 2\r\n",
      "PROXY TCP4 192.0.2.1 192.0.2.256 1 2\r\n",
      "PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n",
      "PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
      "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
      "PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n",
      "PROXY TCP4 192.0.2.1 192.0.2.2 1 \r\n",
      "PROXY TCP4 example.com 192.0.2.2 1 2\r\n",
      "PROXY TCP4 192.0.2.1\t192.0.2.2 1 2\r\n",
  };
  for (size_t i = 0; i < sizeof faulty / sizeof *faulty; i++) {
    size_t size = 0;
    union address client = {0};
    assert_int_equal(read_exactly(slice_str(faulty[i]), &size, &client), PROXY_FAULTY);
    assert_int_equal(client.any.sa_family, AF_UNSPEC);
  }
}

/* Section 2.1: a line has 107 bytes at most. */
static void test_a_line_has_an_end(void **state) {
  (void)state;
  char line[200];
  size_t size = 0;
  union address client = {0};
  memset(line, 'x', sizeof line);
  put(line, SLICE("PROXY UNKNOWN "));
  assert_int_equal(read_exactly(slice_of(line, 106), &size, &client), PROXY_MORE);
  assert_int_equal(read_exactly(slice_of(line, 107), &size, &client), PROXY_FAULTY);
  put(line + 105, SLICE("\r\n"));
  assert_int_equal(read_exactly(slice_of(line, 107), &size, &client), PROXY_UNKNOWN);
  assert_int_equal(size, 107);
}

static void test_version_2(void **state) {
  (void)state;
  assert_client(SLICE(SIGNATURE "\x21\x11\0\x0c"
                                "\xc0\0\x02\x01\xc6\x33\x64\x02\x12\x67\x01\xbb"),
                "192.0.2.1:4711");
  /* With an extension behind the addresses. */
  assert_client(SLICE(SIGNATURE "\x21\x11\0\x10"
                                "\xc0\0\x02\x01\xc6\x33\x64\x02\x12\x67\x01\xbb\x04\0\x01x"),
                "192.0.2.1:4711");
  assert_client(SLICE(SIGNATURE "\x21\x21\0\x24"
                                "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
                                "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x12\x67\x01\xbb"),
                "[2001:db8::1]:4711");
  assert_client(SLICE(SIGNATURE "\x21\x21\0\x24"
                                "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\x02\x01"
                                "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x12\x67\x01\xbb"),
                "192.0.2.1:4711");
  union address client = {0};
  assert_int_equal(read_in_cuts(SLICE(SIGNATURE "\x20\0\0\0"), &client), PROXY_LOCAL);
  /* LOCAL: what addresses say does not matter. */
  assert_int_equal(
      read_in_cuts(SLICE(SIGNATURE "\x20\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x02\x12\x67\x01\xbb"),
                   &client),
      PROXY_LOCAL);
  assert_int_equal(read_in_cuts(SLICE(SIGNATURE "\x21\0\0\x03xyz"), &client), PROXY_UNKNOWN);
  assert_int_equal(
      read_in_cuts(SLICE(SIGNATURE "\x21\x12\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x02\x12\x67\x01\xbb"),
                   &client),
      PROXY_UNKNOWN);
  assert_int_equal(client.any.sa_family, AF_UNSPEC);
}

static void test_faulty_version_2(void **state) {
  (void)state;
  static const struct slice faulty[] = {
      {SIGNATURE "\x11\x11\0\x0c", 16},   /* version 1 */
      {SIGNATURE "\x22\x11\0\x0c", 16},   /* no such command */
      {SIGNATURE "\x21\x11\x0f\xf1", 16}, /* 4097 bytes in all */
      {SIGNATURE "\x21\x11\xff\xff", 16}, /* 64 KiB */
      {SIGNATURE "\x21\x11\0\x0b"
                 "12345678901",
       27}, /* too short for its family */
      {SIGNATURE "\x21\x21\0\x0c"
                 "123456789012",
       28},
  };
  for (size_t i = 0; i < sizeof faulty / sizeof *faulty; i++) {
    size_t size = 0;
    union address client = {0};
    assert_int_equal(read_exactly(faulty[i], &size, &client), PROXY_FAULTY);
  }
  /* The longest that is taken. */
  char longest[PROXY_HEADER_MAX] = SIGNATURE "\x21\0\x0f\xf0";
  size_t size = 0;
  union address client = {0};
  assert_int_equal(read_exactly(slice_of(longest, sizeof longest - 1), &size, &client), PROXY_MORE);
  assert_int_equal(read_exactly(slice_of(longest, sizeof longest), &size, &client), PROXY_UNKNOWN);
  assert_int_equal(size, sizeof longest);
}

static void test_what_is_no_header(void **state) {
  (void)state;
  static const struct slice others[] = {
      {"GET / HTTP/1.1\r\n", 16}, {"PUT", 3},       {"PROPFIND", 8},
      {"proxy TCP4", 10},         {"\r\nGET", 5},   {"\r\n\r\nG", 5},
      {"\x16\x03\x01", 3},        {"PROXY\r\n", 7}, {"\r\n\r\n\0\r\nQUIX", 11}};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    size_t size = 0;
    union address client = {0};
    assert_int_equal(read_exactly(others[i], &size, &client), PROXY_NONE);
    assert_int_equal(size, 0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_version_1),         cmocka_unit_test(test_faulty_lines),
      cmocka_unit_test(test_a_line_has_an_end), cmocka_unit_test(test_version_2),
      cmocka_unit_test(test_faulty_version_2),  cmocka_unit_test(test_what_is_no_header),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
