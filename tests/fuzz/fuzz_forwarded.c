// LINKS http base
/* X-Forwarded-For: who is found is not a proxy that is believed unless all are, and one believed
 * proxy more at the end changes nothing. Then what prints is read as the same address and range. */
#include "base/buf.h"
#include "http/forwarded.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
  if (!holds) {
    abort();
  }
}

static bool same(const union address *a, const union address *b) {
  char left[ADDRESS_TEXT_MAX], right[ADDRESS_TEXT_MAX];
  address_print(&a->any, left);
  address_print(&b->any, right);
  return strcmp(left, right) == 0;
}

static void check_walk(struct slice value, const struct address_range trusted[3]) {
  union address nearest = {0}, client, again;
  check(address_parse(SLICE("10.0.0.1"), &nearest));
  client = again = nearest;
  enum forwarded found = forwarded_walk(value, trusted, 3, &client);
  bool believed = address_range_has(trusted, 3, &client.any);
  check(found != FORWARDED_CLIENT || !believed);
  check(found != FORWARDED_ON || believed);
  struct buf longer = {0};
  buf_append(&longer, value.len == 0 ? "" : value.ptr, value.len);
  buf_str(&longer, ",\t fd00::7 ,");
  check(forwarded_walk(buf_view(&longer), trusted, 3, &again) == found);
  check(found != FORWARDED_CLIENT || same(&again, &client));
  buf_free(&longer);
  /* What an untrusted peer says is not looked at. */
  check(address_parse(SLICE("198.51.100.1"), &client));
  again = client;
  check(forwarded_walk(value, trusted, 3, &client) == FORWARDED_CLIENT && same(&client, &again));
}

static void check_address(struct slice text) {
  union address address, again;
  struct address_range range;
  char printed[ADDRESS_TEXT_MAX];
  if (address_parse(text, &address)) {
    check(address_range_parse(text, &range) == NULL);
    check(address_range_has(&range, 1, &address.any));
    address_print(&address.any, printed);
    struct slice host = slice_str(printed);
    host.len -= 2; /* :0 */
    if (printed[0] == '[') {
      host = slice_of(host.ptr + 1, host.len - 2);
    }
    check(address_parse(host, &again) && same(&address, &again));
  } else if (address_range_parse(text, &range) == NULL) {
    check(range.bits <= (range.family == AF_INET ? 32 : 128));
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct address_range trusted[3];
  check(address_range_parse(SLICE("10.0.0.0/8"), &trusted[0]) == NULL &&
        address_range_parse(SLICE("fd00::/8"), &trusted[1]) == NULL &&
        address_range_parse(SLICE("192.0.2.1"), &trusted[2]) == NULL);
  check_walk(slice_of(data, size), trusted);
  check_address(slice_of(data, size));
  return 0;
}
