/**
 * Tokens that verified before, so that a repeated announce costs no signature check and no
 * allocation; each held against the revocations in force, again when these have changed. Keyed by a
 * cryptographic hash of the whole token. Bounded: the least recently used goes. Shared by the
 * loops, in shards with short locks.
 */
#pragma once

#include "auth/keyring.h"
#include "auth/revocation_set.h"

struct token_cache;

/** What the tracker needs of a verified token; a flat copy, no pointers into the token. */
struct token_grant {
  enum token_kind kind;
  bool expired; /**< `exp` and leeway have passed; only a session can go on */
  /** An infohash that was asked for, though the token covers it, is revoked, or the one repository
   *  that a registry token covers it by. */
  bool withheld;
  int64_t expires, issued, session;
  /** The first 16 bytes of the SHA-256 of the whole token, the same on every tracker: names it in
   *  sessions and peers' entries. */
  unsigned char fingerprint[16];
};

/**
 * What is remembered counts for as long as the state of \p keyring by which it was verified is in
 * force, and the key that signed it is trusted; then it is verified anew.
 *
 * \param keyring outlives the cache.
 * \param revocations outlives the cache; NULL: nothing is revoked.
 * \param max_tokens how many are remembered at most; rounded up to a multiple of 64, one a shard.
 * \return NULL when there is no memory; freed by token_cache_free().
 */
struct token_cache *token_cache_new(struct keyring *keyring, struct revocations *revocations,
                                    size_t max_tokens);
void token_cache_free(struct token_cache *cache);

/** Asked for a registry token, which does not name infohashes itself: is \p infohash registered to
 *  \p repository of \p registry? Called without a lock held. */
typedef bool token_registered(void *arg, struct slice registry, struct slice repository,
                              const unsigned char infohash[20]);

/** What is asked of a token besides being valid. */
struct token_question {
  unsigned kinds;                  /**< set of token_kind accepted here */
  int64_t now;                     /**< NumericDate */
  const unsigned char *infohashes; /**< \ref count times 20 bytes: one of an announce, several of a
                                        scrape; NULL when count is 0 */
  size_t count;
  token_registered *registered; /**< NULL: registry tokens cover nothing */
  void *arg;                    /**< of registered */
};

/**
 * Verifies \p jws, or remembers it, and says which of the infohashes it covers.
 *
 * \param covers room for `count` answers, each set to whether that infohash is covered, and not
 *        revoked; may be NULL when count is 0.
 * \return TOKEN_VALID or TOKEN_EXPIRED, grant and covers filled in; or TOKEN_REVOKED or
 *         TOKEN_INVALID, all of covers false and the grant zero, also when there is no memory. \p
 * why says it to the operator when it is not valid.
 */
enum token_verdict token_cache_check(struct token_cache *cache, struct slice jws,
                                     const struct token_question *question,
                                     struct token_grant *grant, bool *covers, struct error *why);

enum { TOKEN_CACHE_FINGERPRINT = 8 }; /* bytes */

/**
 * Whether who was let in with a token may stay for that infohash: the token is remembered, and
 * neither it nor the infohash is revoked. A registry token may not when any of its repositories is
 * revoked, for which of them it came by is not known.
 *
 * \param fingerprint the first TOKEN_CACHE_FINGERPRINT bytes of the grant's.
 */
bool token_cache_upholds(struct token_cache *cache, const unsigned char *fingerprint,
                         const unsigned char infohash[20]);

/** How many tokens it holds now. */
size_t token_cache_count(struct token_cache *cache);
