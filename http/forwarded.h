/** `X-Forwarded-For`: the addresses that proxies say a request came through, the nearest last. */
#pragma once

#include "base/address.h"

enum forwarded {
  FORWARDED_ON, /**< the whole value names proxies that are believed: the one before it counts */
  FORWARDED_CLIENT, /**< the client has been found */
  FORWARDED_FAULTY, /**< a proxy that is believed has put something there that is no address */
};

/**
 * Walks one field's value from its end. What a proxy has added is believed as far as the proxy is,
 * so that whatever a client has sent of its own lies behind its real address and is never looked
 * at.
 *
 * \param client the nearest address known so far; becomes the one that is looked for. When all are
 * believed proxies it is the farthest.
 */
enum forwarded forwarded_walk(struct slice value, const struct address_range *trusted, size_t count,
                              union address *client);
