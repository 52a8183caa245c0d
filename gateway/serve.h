/** Answers with a blob's bytes out of the cache, piece by piece, waiting where one is missing. */
#pragma once

#include "cache/cache.h"
#include "gateway/blob_answer.h"

/**
 * Answers \p x: from here on it belongs to this, which is one of \p all until it ends. What the
 * cache has no room for is relayed.
 *
 * \param blob held; released when it has ended.
 * \param waker of the loop.
 */
void serve_blob(struct http_exchange *x, const struct blob_order *order, struct cache_blob *blob,
                struct cache *cache, struct cache_waker *waker, struct blob_answers *all,
                const struct log *log);
