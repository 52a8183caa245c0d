/**
 * The registries' answers to delegate_ask(), remembered: a yes for a minute at most, nothing else.
 * An answer is known by a keyed hash of the whole question with the caller's credentials in it, and
 * the key lives and dies with the process, so that no credentials are stored in any form. Shared by
 * the loops.
 */
#pragma once

#include "gateway/delegate.h"
#include "gateway/memo.h"

enum {
  DELEGATE_CACHE_MAX = 65536,     /**< answers remembered, some 64 bytes each; the oldest goes */
  DELEGATE_CACHE_KEEP_MS = 60000, /**< how long, counted from when the registry was asked */
};

struct delegate_cache;

/** \return NULL with \p e, ERROR_FAILED, when there is no memory or no randomness. */
struct delegate_cache *delegate_cache_new(struct error *e);
/** NULL is fine. */
void delegate_cache_free(struct delegate_cache *cache);

/** A question as it is remembered, and when it was asked. */
struct delegate_ticket {
  struct memo_key key;
  uint64_t asked; /**< clock_monotonic_ms() */
};

/**
 * Looks for an answer. A question for a tag is not to be asked here: it may be about another
 * manifest each time.
 *
 * \param registry the name of the registry that is asked.
 * \param now clock_monotonic_ms().
 * \param ticket for delegate_cache_keep(), when the registry is asked because this returns false.
 * \return whether there is one, in \p answer: DELEGATE_YES or DELEGATE_YES_IF_SIZE.
 */
bool delegate_cache_find(struct delegate_cache *cache, struct slice registry,
                         const struct delegate_question *question, uint64_t now,
                         struct delegate_ticket *ticket, struct delegate_answer *answer);

/** Remembers a yes; any other answer, and one to a question that was asked before all was
 *  forgotten, is not. */
void delegate_cache_keep(struct delegate_cache *cache, const struct delegate_ticket *ticket,
                         const struct delegate_answer *answer);

/** Forgets all, what is being asked now included: for a revocation. From any thread. */
void delegate_cache_flush(struct delegate_cache *cache);

/** How many answers it holds, those among them whose time is over. */
size_t delegate_cache_count(struct delegate_cache *cache);
