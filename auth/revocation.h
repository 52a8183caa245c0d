/**
 * Revocations, and the names of a token that they are held against: what is revoked is known by the
 * SHA-256 of its value, so that a list of them tells nobody whom it is about. Pure.
 */
#pragma once

#include "auth/token.h"

/** What a value names. The numbers stand in the database: they are never used for another kind. */
enum revocation_kind {
  REVOCATION_JTI = 1,        /**< a token's `jti` */
  REVOCATION_SUB = 2,        /**< `registry/user`, a token's `sub`; see revocation_names_of() */
  REVOCATION_REPOSITORY = 3, /**< `registry/name` */
  REVOCATION_INFOHASH = 4,   /**< 40 lowercase hex digits, or 64 of a v2 one */
  REVOCATION_KID = 5,        /**< the id of the key that signed */
};
enum { REVOCATION_KINDS = 5 };

/** A `until` without end: a ban. */
#define REVOCATION_BAN INT64_MAX

/** Its name: `jti`, `sub`, `repository`, `infohash`, `kid`. */
const char *revocation_kind_name(enum revocation_kind kind);

/** Times are NumericDates (RFC 7519, section 2), whole seconds. */
struct revocation {
  enum revocation_kind kind;
  unsigned char hash[32]; /**< SHA-256 of the full value */
  /** Tokens issued up to here are refused; one that does not say when it was, 0, always. */
  int64_t at;
  int64_t until; /**< of sub and repository: nothing is issued before; 0 none, or REVOCATION_BAN */
  int64_t expires; /**< no token that it could match is alive from here on; INT64_MAX never */
};

/** Revocations in any order. `struct revocation_list l = {0};` is an empty one. */
struct revocation_list {
  struct revocation *items; /**< owned */
  size_t count, capacity;
};

/**
 * Adds the revocation of \p value with kind and times of \p like. A v2 infohash is added twice, as
 * it is and cut to the 40 digits that an announce tells of it (BEP 52).
 *
 * \return 0, or -1 with ERROR_FAILED when there is no memory; the list is as it was.
 */
int revocation_list_add(struct revocation_list *list, const struct revocation *like,
                        struct slice value, struct error *e);
/** The same of one whose hash is known. */
int revocation_list_add_hash(struct revocation_list *list, const struct revocation *revocation,
                             struct error *e);
void revocation_list_free(struct revocation_list *list);

/** The first 8 bytes of the SHA-256 of a value. */
uint64_t revocation_name(struct slice value);
/** The same of `registry/rest`, as subjects and repositories are named. */
uint64_t revocation_name_in(struct slice registry, struct slice rest);
/** The same of an infohash as announced. */
uint64_t revocation_name_infohash(const unsigned char infohash[20]);

/** What a token can be revoked by, beside its infohashes and a registry token's repositories; each
 *  a revocation_name(), or 0 when it has none. */
struct revocation_names {
  uint64_t jti, sub, repository;
  uint64_t kid;        /**< of the key that verified it */
  uint64_t header_kid; /**< what the token says of it */
};

/**
 * A registry token's `sub`, also one it lacks, has its row's registry and `/` in front, a swarm or
 * webseed token's is as it says. The repositories of a registry token are asked one by one.
 *
 * \param kid, header_kid empty when there is none.
 */
void revocation_names_of(const struct token *token, struct slice kid, struct slice header_kid,
                         struct revocation_names *out);
