/**
 * Swarm, registry and webseed tokens: JWS compact (RFC 7515, RFC 7519) read by one strict parser as
 * a pure function of bytes, keys and time. What is accepted stands in the contract, section Tokens.
 */
#pragma once

#include "auth/key.h"
#include "auth/scope.h"
#include "base/arena.h"

#include <stdatomic.h>

/** The kinds; a bit each, for sets. */
enum token_kind { TOKEN_SWARM = 1, TOKEN_REGISTRY = 2, TOKEN_WEBSEED = 4 };

enum {
  TOKEN_MAX = 4096,          /**< bytes of a swarm or webseed token */
  TOKEN_REGISTRY_MAX = 8192, /**< bytes of a registry token */
  TOKEN_INFOHASHES_MAX = 48,
  TOKEN_ACCESS_MAX = 128, /**< entries of `access`: more than those of use that fit 8 KiB */
};

/** Signatures that are checked for one token at most. */
enum { TOKEN_TRIES_MAX = 8 };

/** A swarm token's infohash as announced: 20 bytes; a v2 one is cut (BEP 52). */
struct token_infohash {
  unsigned char bytes[20];
};

/** One entry of a registry token's `access` that is about a repository. */
struct token_access {
  struct slice repository;
  unsigned actions; /**< set of SCOPE_PULL and SCOPE_PUSH; one that was read has SCOPE_PULL alone */
};

/** The claims of a token; slices live in the arena that was given to token_verify(), or in
 *  the trust. */
struct token {
  enum token_kind kind;
  struct slice issuer, audience, subject, id; /**< `iss`, the `aud` that fitted, `sub`, `jti` */
  struct slice key_id;     /**< of the key that verified it: its `kid`, else its thumbprint */
  struct slice header_kid; /**< the `kid` it says itself; empty without one */
  int64_t expires, not_before, issued; /**< NumericDate, whole seconds; 0 when absent */
  int64_t session;                     /**< swarm: end of the session; 0 when absent */
  int64_t key_expires;     /**< when the key that signed it is trusted no more; 0: never */
  struct slice registry;   /**< swarm, webseed: the claim; registry: the trust row's, or empty */
  struct slice repository; /**< swarm, webseed */
  struct slice digest;     /**< webseed: `sha256:<hex>` */
  const struct token_infohash *infohashes; /**< swarm */
  /** swarm: the full hex as in the token, 40 or 64 digits each */
  const struct slice *infohash_texts;
  size_t infohash_count;
  const struct token_access *access; /**< registry; of one that was read what may be pulled */
  size_t access_count;
};

enum token_verdict {
  TOKEN_VALID,
  TOKEN_INVALID, /**< says nothing more to the bearer; \p why says it to the operator */
  TOKEN_REVOKED, /**< right in all else, or expired; of token_cache_check() only */
  TOKEN_EXPIRED, /**< right in all else; the token is filled in, for a session may go on */
};

/** Where the keys of a row are fetched from, and whether it seems time to. */
struct trust_source {
  char *url;
  /** Set when a token names a key of this issuer that is not here: the one thing in a trust that
   *  changes while it is used. */
  atomic_bool missed;
};

/** NULL when there is no memory. */
struct trust_source *trust_source_new(const char *url);

/** A trusted issuer: a row of `auth: trust:`, or our own key. Strings and keys are owned by trust.
 */
struct trust_row {
  char *issuer;
  char *audience;
  struct keyset keys;
  unsigned algorithms;         /**< set of key_algorithm */
  unsigned accept;             /**< set of token_kind */
  char *registry;              /**< NULL: not bound to one */
  bool own;                    /**< its keys are our own, with those that were and will be */
  struct trust_source *source; /**< owned; NULL: its keys are not fetched */
};

/** All trusted issuers. Immutable while it is used, so that threads may share it. */
struct trust {
  struct trust_row *rows;
  size_t count;
  unsigned leeway; /**< seconds; 60 unless configured */
  /** Seconds from `iat` on after which a token has ended whatever its `exp`: what is revoked is not
   *  kept for longer. 0: no bound */
  int64_t lifetime;
};

void trust_free(struct trust *trust);

/**
 * Verifies \p jws.
 *
 * Expired is a token from `exp` + leeway on (RFC 7519, 4.1.4), or from the end of the trust's
 * lifetime, which is its \p out->expires then, where that is earlier. Of several rows that fit
 * `iss` and `aud` the first whose key verifies is taken. At most TOKEN_TRIES_MAX signatures are
 * checked. A key that was retired verifies what does not say it was issued later than that, and the
 * leeway; and nothing without an `iat`.
 *
 * \param kinds the set of kinds that will do here; a token of another is TOKEN_INVALID.
 * \param now NumericDate.
 * \param arena holds what \p out points to.
 * \param out zeroed when the token is invalid.
 * \param why filled with the reason, without any of the token's secret parts, when it is not valid;
 *        ERROR_DENIED unless it is about memory.
 */
enum token_verdict token_verify(const struct trust *trust, struct slice jws, unsigned kinds,
                                int64_t now, struct arena *arena, struct token *out,
                                struct error *why);

/**
 * Reads header and claims without any verification, for `token inspect`: two JSON texts in \p
 * arena.
 */
int token_inspect(struct slice jws, struct arena *arena, struct slice *header, struct slice *claims,
                  struct error *e);

/**
 * Signs a token of \p t->kind by \p key with the `typ`, `alg` and `kid` that its kind wants. Of the
 * members of \p t those that are empty or 0 are left out; infohashes are taken from
 * `infohash_texts`; `aud` is a string; a registry token's `kid` is key_libtrust_id(), and its
 * `access` is there also when it is empty.
 *
 * \return 0, or -1: ERROR_USAGE when it would be longer than its kind may be, or when
 * token_verify() would not take it: a required member missing, text that is not UTF-8.
 */
int token_sign(const struct key *key, const struct token *t, struct buf *out, struct error *e);

/** Writes a fresh `jti`: 128 random bits as 32 hex digits and a NUL. */
int token_new_id(char out[33], struct error *e);
