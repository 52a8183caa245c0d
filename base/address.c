#include "base/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

void address_print(const struct sockaddr *address, char out[ADDRESS_TEXT_MAX]) {
  char host[INET6_ADDRSTRLEN] = "";
  const union address a = address_of(address);
  switch (a.any.sa_family) {
  case AF_INET:
    inet_ntop(AF_INET, &a.v4.sin_addr, host, sizeof host);
    snprintf(out, ADDRESS_TEXT_MAX, "%s:%u", host, (unsigned)ntohs(a.v4.sin_port));
    break;
  case AF_INET6:
    inet_ntop(AF_INET6, &a.v6.sin6_addr, host, sizeof host);
    snprintf(out, ADDRESS_TEXT_MAX, "[%s]:%u", host, (unsigned)ntohs(a.v6.sin6_port));
    break;
  default:
    snprintf(out, ADDRESS_TEXT_MAX, "?");
  }
}

union address address_of(const struct sockaddr *address) {
  union address a = {0};
  if (address->sa_family == AF_INET) {
    memcpy(&a.v4, address, sizeof a.v4);
  } else if (address->sa_family == AF_INET6) {
    memcpy(&a.v6, address, sizeof a.v6);
    if (IN6_IS_ADDR_V4MAPPED(&a.v6.sin6_addr)) {
      struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = a.v6.sin6_port};
      memcpy(&v4.sin_addr, a.v6.sin6_addr.s6_addr + 12, sizeof v4.sin_addr);
      a.v4 = v4;
    }
  }
  return a;
}

bool address_parse(struct slice text, union address *out) {
  char literal[INET6_ADDRSTRLEN];
  union address a = {0};
  if (text.len >= sizeof literal || memchr(text.ptr == NULL ? "" : text.ptr, '\0', text.len)) {
    return false;
  }
  snprintf(literal, sizeof literal, "%.*s", SLICE_ARG(text));
  if (inet_pton(AF_INET, literal, &a.v4.sin_addr) == 1) {
    a.v4.sin_family = AF_INET;
  } else if (inet_pton(AF_INET6, literal, &a.v6.sin6_addr) == 1) {
    a.v6.sin6_family = AF_INET6;
  } else {
    return false;
  }
  *out = address_of(&a.any);
  return true;
}

bool address_parse_port(struct slice text, union address *out) {
  const char *colon = text.len == 0 ? NULL : memrchr(text.ptr, ':', text.len);
  union address a;
  uint64_t port = 0;
  if (colon == NULL) {
    return false;
  }
  struct slice host = slice_of(text.ptr, (size_t)(colon - text.ptr));
  const bool v6 = host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']';
  if (v6) {
    host = slice_of(host.ptr + 1, host.len - 2);
  }
  if (!slice_u64(slice_from(text, (size_t)(colon - text.ptr) + 1), &port) || port > UINT16_MAX ||
      !address_parse(host, &a) || (a.any.sa_family == AF_INET6) != v6) {
    return false;
  }
  if (v6) {
    a.v6.sin6_port = htons((uint16_t)port);
  } else {
    a.v4.sin_port = htons((uint16_t)port);
  }
  *out = a;
  return true;
}

static size_t bytes_of(const struct sockaddr *address, unsigned char out[16]) {
  union address a = address_of(address);
  switch (a.any.sa_family) {
  case AF_INET:
    memcpy(out, &a.v4.sin_addr, 4);
    return 4;
  case AF_INET6:
    memcpy(out, &a.v6.sin6_addr, 16);
    return 16;
  default:
    return 0;
  }
}

static bool same_bits(const unsigned char *a, const unsigned char *b, unsigned bits) {
  const unsigned whole = bits / 8;
  const unsigned char mask = (unsigned char)(0xff00U >> bits % 8);
  return memcmp(a, b, whole) == 0 && (bits % 8 == 0 || ((a[whole] ^ b[whole]) & mask) == 0);
}

const char *address_range_parse(struct slice text, struct address_range *out) {
  struct slice length = text;
  const struct slice literal = slice_cut(&length, '/');
  union address address;
  struct address_range range = {0};
  if (!address_parse(literal, &address)) {
    return "does not begin with a literal address; write one such as 10.1.0.0/16 or 2001:db8::/32";
  }
  const size_t size = bytes_of(&address.any, range.bytes);
  uint64_t bits = size * 8;
  if (length.ptr != NULL && (!slice_u64(length, &bits) || bits > size * 8)) {
    return "has a length that is no number of bits of such an address, at most 32 or, for IPv6, "
           "128";
  }
  for (uint64_t i = bits; i < size * 8; i++) {
    if ((range.bytes[i / 8] & (0x80U >> i % 8)) != 0) {
      return "has bits set behind its length; write the range's first address";
    }
  }
  range.bits = (unsigned char)bits;
  range.family = address.any.sa_family;
  *out = range;
  return NULL;
}

bool address_range_has(const struct address_range *ranges, size_t count,
                       const struct sockaddr *address) {
  unsigned char bytes[16];
  const size_t size = bytes_of(address, bytes);
  for (size_t i = 0; i < count; i++) {
    if (size == (ranges[i].family == AF_INET ? 4 : 16) &&
        same_bits(bytes, ranges[i].bytes, ranges[i].bits)) {
      return true;
    }
  }
  return false;
}
