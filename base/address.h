/** Addresses of sockets: as people write them, and ranges of them. */
#pragma once

#include "base/slice.h"

#include <netinet/in.h>
#include <sys/socket.h>

/** An address and port; AF_UNSPEC, which is all zeros, when nothing is known. */
union address {
  struct sockaddr any;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
};

enum { ADDRESS_TEXT_MAX = INET6_ADDRSTRLEN + sizeof "[]:65535" };

/** Writes `192.0.2.1:6881` or `[2001:db8::1]:6881`; `?` for an address of another family. */
void address_print(const struct sockaddr *address, char out[ADDRESS_TEXT_MAX]);

/** A copy of an IPv4 or IPv6 address, AF_UNSPEC of any other. An IPv4 address mapped into IPv6, as
 *  sockets for both families show it, becomes IPv4. */
union address address_of(const struct sockaddr *address);

/**
 * Reads a literal address, IPv6 without brackets, all of \p text; the port becomes 0. A mapped
 * address becomes IPv4.
 *
 * \return false for anything else; \p out is untouched then.
 */
bool address_parse(struct slice text, union address *out);

/** The same with a port from 0 to 65535 behind it: `192.0.2.1:80`, `[2001:db8::1]:80`; a mapped
 * address is refused. */
bool address_parse_port(struct slice text, union address *out);

/** All addresses that begin with the same bits (CIDR, RFC 4632 and RFC 4291, section 2.3). */
struct address_range {
  unsigned char bytes[16];
  unsigned char bits;
  sa_family_t family;
};

/**
 * Reads `10.1.0.0/16`, `2001:db8::/32`, or an address alone, which is a range of one.
 *
 * \return NULL, or what is wrong and what would do, a static text; \p out is untouched then.
 */
const char *address_range_parse(struct slice text, struct address_range *out);

/** Whether one of the ranges holds the address. */
bool address_range_has(const struct address_range *ranges, size_t count,
                       const struct sockaddr *address);
