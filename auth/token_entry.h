/**
 * A verified token as the cache remembers it, and what it answers: which infohashes it covers, and
 * how it stands by the revocations in force, looked at again when these have changed. Inside auth/
 * only.
 */
#pragma once

#include "auth/token_cache.h"

#include <stdatomic.h>

enum { TOKEN_ENTRY_HASH = 32 }; /**< bytes of SHA-256 */

/**
 * What is in it never changes; only `standing`, `references` and the lists do, these under the lock
 * of who keeps them.
 */
struct token_entry {
  struct token_entry *next; /**< in its bucket */
  struct token_entry *newer, *older;
  unsigned char hash[TOKEN_ENTRY_HASH]; /**< of the whole token */
  uint64_t generation;                  /**< of the keyring, when it was verified */
  int64_t key_expires;                  /**< 0: never */
  int64_t expires, issued, session;
  unsigned leeway; /**< seconds behind `expires` */
  struct revocation_names names;
  atomic_uint_least64_t standing; /**< 0: it was not held against any revocations */
  atomic_uint references;         /**< of the table, and of each check under way */
  uint16_t kind;                  /**< enum token_kind */
  uint16_t count;                 /**< of infohashes; of repositories */
  char bytes[]; /**< infohashes; or registry and repositories, a NUL behind each */
};

/**
 * \param by what verified it. \param hash its SHA-256.
 * \return an entry with one reference, or NULL when there is no memory.
 */
struct token_entry *token_entry_new(const struct token *token, const struct keyring_state *by,
                                    const unsigned char hash[TOKEN_ENTRY_HASH]);

/** One more reference, for whoever has one or the table's lock. */
void token_entry_hold(struct token_entry *entry);
/** One less; the last frees it. */
void token_entry_release(struct token_entry *entry);

/** Whether `exp` and leeway have passed. */
bool token_entry_expired(const struct token_entry *entry, int64_t now);

/** What token_cache_check() says of a token that has verified. \param revocations NULL: nothing is
 *  revoked. */
enum token_verdict token_entry_answer(struct token_entry *entry, struct revocations *revocations,
                                      const struct token_question *question,
                                      struct token_grant *grant, bool *covers, struct error *why);

/** What token_cache_upholds() says of a token that is remembered. */
bool token_entry_upholds(struct token_entry *entry, struct revocations *revocations,
                         const unsigned char infohash[20]);
