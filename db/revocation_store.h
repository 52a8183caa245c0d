/** What is revoked, by kind and value: the values themselves, for people to read. */
#pragma once

#include "db/db.h"

enum {
  REVOCATION_STORE_VALUE_MAX = 509, /**< bytes of a value; with the kind it is one key of LMDB */
  REVOCATION_STORE_MAX = 64 * 1024, /**< records; twice as many fit a list for other trackers */
};

/** Times are NumericDates (RFC 7519, section 2). */
struct revocation_record {
  /** 1 `jti`, 2 `sub`, 3 `repository`, 4 `infohash`, 5 `kid`: enum revocation_kind of auth/ */
  uint8_t kind;
  struct slice value; /**< in full; of an infohash 40 or 64 lowercase hex digits */
  int64_t at;         /**< tokens issued up to here are refused; from 1 */
  int64_t until;      /**< nothing is issued before; 0 none, INT64_MAX a ban */
  int64_t expires;    /**< it is dropped from here on; not before `until`. INT64_MAX never */
};

/**
 * Adds a revocation to what is there: of a value that is revoked already, the later one of each
 * time stays, and so a ban is one until it is removed.
 *
 * \return 0, or -1: ERROR_USAGE for a record that can be none; ERROR_FAILED when there are
 * REVOCATION_STORE_MAX.
 */
int revocation_store_put(struct db_txn *txn, const struct revocation_record *record,
                         struct error *e);

/** \param out its value is \p value. \return 0, or -1 with ERROR_NOT_FOUND. */
int revocation_store_get(struct db_txn *txn, uint8_t kind, struct slice value,
                         struct revocation_record *out, struct error *e);

/** \return 0, or -1 with ERROR_NOT_FOUND. */
int revocation_store_remove(struct db_txn *txn, uint8_t kind, struct slice value, struct error *e);

/** Removes those that have expired at \p now. */
int revocation_store_drop(struct db_txn *txn, int64_t now, struct error *e);

/**
 * \param out a number, from 1, that is another, and larger, after any change of what is stored, by
 *        any process, and after nothing else.
 * \return 0, or -1 with ERROR_FAILED.
 */
int revocation_store_generation(struct db_txn *txn, uint64_t *out, struct error *e);

/** Called for each, by kind and value; the record ends with the call. \return false to stop. */
typedef bool revocation_store_visit(void *arg, const struct revocation_record *record);
/** Visits those that are stored, expired or not. */
int revocation_store_each(struct db_txn *txn, revocation_store_visit *visit, void *arg,
                          struct error *e);
