/**
 * Things remembered for a while under a keyed hash of what they are about. The key lives and dies
 * with the process, so that nothing of what was hashed, credentials among it, is stored in any form
 * that could be tried out. Bounded: the one that came in first goes. Shared by the loops.
 */
#pragma once

#include "base/error.h"
#include "base/slice.h"

struct memo;

enum { MEMO_HASH = 32 }; /**< bytes */

/** What a thing is about; made by memo_about(). */
struct memo_key {
  unsigned char hash[MEMO_HASH];
  uint64_t generation; /**< how often all was forgotten before; 0: not to be remembered */
};

/**
 * \param max things that are remembered at most, some 64 bytes each; a power of two up to 2^24.
 * \return NULL with \p e, ERROR_FAILED, when there is no memory or no randomness.
 */
struct memo *memo_new(size_t max, struct error *e);
/** NULL is fine. */
void memo_free(struct memo *memo);

/** Makes the key of \p count parts; other parts, and the same ones cut elsewhere, have another. \p
 *  out can be remembered by nothing when there is no memory. */
void memo_about(struct memo *memo, const struct slice *parts, size_t count, struct memo_key *out);

/**
 * \param now milliseconds of a clock that never goes back, as in memo_keep().
 * \return whether it is remembered; \p value is its.
 */
bool memo_find(struct memo *memo, const struct memo_key *key, uint64_t now, uint64_t *value);

/** Remembers \p value until then, in place of what was there; not if all was forgotten since the
 *  key was made. */
void memo_keep(struct memo *memo, const struct memo_key *key, uint64_t until, uint64_t value);

void memo_forget(struct memo *memo, const struct memo_key *key);

/** Forgets all, what is asked for now included. From any thread. */
void memo_flush(struct memo *memo);

/** How many things it holds, those among them whose time is over. */
size_t memo_count(struct memo *memo);
