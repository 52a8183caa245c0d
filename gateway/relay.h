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
  uint64_t size;                 /**< of the whole blob */
  struct range range;            /**< RANGE_WHOLE or RANGE_PART */
  struct revocation_names names; /**< of the token that asks for it */
  int64_t issued;                /**< its `iat` */
};

/** Answers \p x: from here on it belongs to the relay, which is one of \p relays until it ends. */
void relay_blob(struct http_exchange *x, const struct relay_order *order, struct relays *relays,
                const struct log *log);

/** Whether an answer must not go on. */
typedef bool relay_judge(void *arg, const struct relay_order *order);

/** Cuts those that must not go on: the connection, or, before the first byte, with 403. */
void relay_cut(struct relays *relays, relay_judge *judge, void *arg);
