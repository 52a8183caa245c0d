/**
 * What a registry answers to who shows no credentials, remembered for a moment: whoever sends the
 * gateway tokens that are none shall not make it ask the registry each time. Of one loop.
 */
#pragma once

#include "base/arena.h"

enum {
  CHALLENGES_MAX = 64,         /**< repositories remembered; the oldest goes */
  CHALLENGES_KEEP_MS = 60000,  /**< how long */
  CHALLENGES_BYTES_MAX = 2048, /**< of a challenge; a longer one is not remembered */
};

struct challenges;

/** \return NULL when there is no memory. */
struct challenges *challenges_new(void);
/** NULL is fine. */
void challenges_free(struct challenges *challenges);

/**
 * \param now clock_monotonic_ms().
 * \return the `WWW-Authenticate` of that repository, valid until the next challenges_keep(); a NULL
 * pointer when none is remembered.
 */
struct slice challenges_find(const struct challenges *challenges, struct slice repository,
                             uint64_t now);

/** Remembers \p challenge, in place of an earlier one; without memory it does not. */
void challenges_keep(struct challenges *challenges, struct slice repository, struct slice challenge,
                     uint64_t now);

/**
 * Makes of a registry's challenge what it would answer to a token that may not pull the repository
 * (RFC 6750, section 3.1; Docker token specification): the same realm and service, the scope that
 * is missing, `error="insufficient_scope"`.
 *
 * \return in \p arena; a NULL pointer when no bearer token is asked for, or there is no memory.
 */
struct slice challenges_narrow(struct slice challenge, struct slice repository,
                               struct arena *arena);
