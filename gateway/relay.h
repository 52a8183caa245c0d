/** Relays a blob, or a range of it, from its registry to who asked, nothing buffered whole. */
#pragma once

#include "gateway/internal.h"
#include "http/range.h"

/** What is to be relayed; all it points to lives as long as the exchange. */
struct relay_order {
  const struct gateway_upstream *upstream;
  const char *repository;
  const char *digest;
  struct slice etag;
  uint64_t size;      /**< of the whole blob */
  struct range range; /**< RANGE_WHOLE or RANGE_PART */
};

/** Answers \p x: from here on it belongs to the relay. */
void relay_blob(struct http_exchange *x, const struct relay_order *order, const struct log *log);
