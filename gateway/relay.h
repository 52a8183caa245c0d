/** Relays a blob, or a range of it, from its registry to who asked, nothing buffered whole. */
#pragma once

#include "gateway/blob_answer.h"

/** Answers \p x: from here on it belongs to the relay, which is one of \p all until it ends. */
void relay_blob(struct http_exchange *x, const struct blob_order *order, struct blob_answers *all,
                const struct log *log);

/** Goes on with an answer that has started: sends the last \p left bytes of the range. */
void relay_rest(struct http_exchange *x, const struct blob_order *order, uint64_t left,
                struct blob_answers *all, const struct log *log);
