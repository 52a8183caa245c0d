/**
 * How many of a thing an address may have in a while. Shared by the loops. Addresses are kept as a
 * keyed hash.
 */
#pragma once

#include "gateway/guesses.h"

struct quota;

/** \return NULL with \p e, ERROR_FAILED, when there is no memory or no randomness. */
struct quota *quota_new(struct error *e);
/** NULL is fine. */
void quota_free(struct quota *quota);

/** What an address may have. */
struct quota_share {
  unsigned most;     /**< up to 65535 */
  uint64_t while_ms; /**< in so long, from its first one on */
};

/**
 * Counts one more.
 *
 * \param now milliseconds of a clock that never goes back.
 * \return 0, or when it is one too many, which is not counted, the milliseconds to wait.
 */
uint64_t quota_take(struct quota *quota, struct guesses_place from, struct quota_share share,
                    uint64_t now);
