/**
 * Sessions: the right to go on announcing after a token's `exp`, proved by a `tracker id` that the
 * client keeps, so that nothing is stored (contract, Tokens).
 *
 * An id is base64url of up to five tags of SESSION_TAG bytes: one over token and session end, then
 * one over token, session end and source address for each address it is good for, oldest first. A
 * tag is SipHash-2-4, under the key's first half and its second; 64 bits will do, for a tag can
 * only be guessed at, one request a guess.
 */
#pragma once

#include "auth/token_cache.h"
#include "base/base64.h"
#include "tracker/swarm.h"

enum {
  SESSION_KEY = 32,          /**< bytes */
  SESSION_ADDRESSES_MAX = 4, /**< of one id */
  SESSION_TAG = 8,
  SESSION_ID_SPACE = BASE64_SPACE((1 + SESSION_ADDRESSES_MAX) * SESSION_TAG),
};

/** Embedded by its owner: what a session belongs to. */
struct session {
  const unsigned char *key; /**< SESSION_KEY bytes, the same on trackers that share swarms */
  const struct token_grant *grant;
  int64_t end;                       /**< from session_end() */
  const struct swarm_endpoint *from; /**< the source address; the port is nothing to it */
};

/**
 * When the session of a token ends, as a NumericDate: its `session`, but no later than \p max
 * seconds after its `iat`. 0 when it has none: a registry token, no `session`, no `iat`.
 */
int64_t session_end(const struct token_grant *grant, int64_t max);

/** Whether \p id was made by session_extend() for this very token, end and source address. */
bool session_proved(const struct session *s, struct slice id);

/** Whether \p id is of this token and end, but not made for the source address. */
bool session_lacks_address(const struct session *s, struct slice id);

/**
 * Makes the id that holds the source address: the id that was sent with the address added, or in
 * place of the oldest of four, or a new one when that is empty, foreign or stale.
 *
 * \param out gets the id and a NUL.
 * \return its length.
 */
size_t session_extend(const struct session *s, struct slice id, char out[SESSION_ID_SPACE]);
