/**
 * Webseed tokens that were verified a moment ago: a client asks for one range after the other with
 * the same token, and a signature costs as much as sending a quarter of a megabyte. One a loop.
 */
#pragma once

#include "auth/keyring.h"
#include "auth/revocation.h"

struct webseed_tokens;

/** Tokens that are remembered; of two that fall on one place the later one is. */
enum { WEBSEED_TOKENS_MAX = 256 };

/** What the webseed needs of a token. */
struct webseed_grant {
  struct slice registry;
  struct slice repository, digest; /**< followed by a NUL */
  int64_t issued;                  /**< its `iat` */
  struct revocation_names names;
  uint64_t name; /**< by which what it reads is counted: two spellings of one token have one */
};

/** \return NULL when there is no memory. */
struct webseed_tokens *webseed_tokens_new(void);
/** NULL is fine. */
void webseed_tokens_free(struct webseed_tokens *tokens);

/**
 * Verifies a token, unless the keyring is still the one that has, and the token's time not over.
 *
 * \param now NumericDate.
 * \param out its strings live in \p arena.
 * \return whether it is good; else \p why says why not.
 */
bool webseed_tokens_check(struct webseed_tokens *tokens, struct keyring *keyring, struct slice jws,
                          int64_t now, struct arena *arena, struct webseed_grant *out,
                          struct error *why);
