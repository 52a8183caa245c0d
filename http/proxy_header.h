/**
 * The header that a proxy puts in front of a connection to say whom it speaks for: the PROXY
 * protocol, versions 1 and 2, of HAProxy's specification. It is read only where the proxy is
 * believed, so that an answer of PROXY_NONE means that this one does not speak it.
 */
#pragma once

#include "base/address.h"

/** Bytes of a header, at most: version 1 takes 107, version 2 as much as its extensions need. */
enum { PROXY_HEADER_MAX = 4096 };

enum proxy_header {
  PROXY_MORE,    /**< cannot be told yet: call again with more bytes behind these */
  PROXY_NONE,    /**< the bytes begin with something else */
  PROXY_CLIENT,  /**< the client's address is there */
  PROXY_UNKNOWN, /**< a client's, which it does not name, or by no address of TCP */
  PROXY_LOCAL,   /**< the proxy's own, such as a health check */
  PROXY_FAULTY,  /**< begins as a header but is none, or is larger than PROXY_HEADER_MAX */
};

/**
 * Reads the header that \p bytes begin with, all of them since the connection's start.
 *
 * \param size set to the header's bytes with PROXY_CLIENT, PROXY_UNKNOWN and PROXY_LOCAL.
 * \param client set with PROXY_CLIENT.
 */
enum proxy_header proxy_header_read(struct slice bytes, size_t *size, union address *client);
