/** Answers with a blob's bytes out of files: the cache's, piece by piece, waiting where one is
 * missing, or the registry's own. */
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

/** The same with a file that is the blob. \param fd closed when it has ended. */
void serve_file(struct http_exchange *x, const struct blob_order *order, int fd,
                struct blob_answers *all, const struct log *log);
