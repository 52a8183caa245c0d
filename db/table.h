/**
 * Tables of checksummed records, used by the stores. A key is at most 511 bytes (LMDB). The first
 * failure of a transaction sticks: every later call returns it, and the transaction is undone.
 */
#pragma once

#include "base/error.h"
#include "base/slice.h"

struct db_txn;

/** Each is an LMDB database of the environment. */
enum table {
  TABLE_META,        /**< `schema` → 4 bytes; `revocations` → how often they changed, 8 bytes */
  TABLE_TORRENTS,    /**< infohash → torrent */
  TABLE_ALIASES,     /**< the cut v2 infohash of a hybrid → its v1 infohash */
  TABLE_DIGESTS,     /**< SHA-256 of the blob, format → infohash */
  TABLE_READABLE,    /**< infohash, registry, NUL, repository → nothing */
  TABLE_REVOCATIONS, /**< kind, value, NUL → when */
  TABLE_USERS,       /**< name → user */
  TABLE_GRANTS,      /**< name, NUL, pattern → actions */
  TABLE_REFRESH,     /**< SHA-256 of a refresh token → what it is good for */
  TABLE_HOLDERS,     /**< name, NUL, SHA-256 → when it was issued */
  TABLE_WANTED,      /**< registry, NUL, repository, NUL, digest → when to try it */
  TABLE_COUNT
};

enum {
  TABLE_KEY_MAX = 511,
  TABLE_VALUE_MAX = 64 * 1024 * 1024, /**< bytes; two times the largest metainfo that is read */
};

/** \return its name in the environment. */
const char *table_name(enum table table);

/**
 * \param value points into the map: valid until the next write of this transaction, or its end.
 * \return 0, or -1: ERROR_NOT_FOUND, which does not stick; ERROR_FAILED for damage and I/O.
 */
int table_get(struct db_txn *txn, enum table table, struct slice key, struct slice *value,
              struct error *e);

/** Whether there is such a record; its checksum is not looked at. */
bool table_has(struct db_txn *txn, enum table table, struct slice key);

/** Writes or replaces a record. */
int table_put(struct db_txn *txn, enum table table, struct slice key, struct slice value,
              struct error *e);

/** Removes the records whose key starts with \p prefix, a whole key as well; none is no error. */
int table_remove(struct db_txn *txn, enum table table, struct slice prefix, struct error *e);

/** Removes the record of that very key; none is no error. */
int table_remove_one(struct db_txn *txn, enum table table, struct slice key, struct error *e);

/** \return false to stop. The slices point into the map. */
typedef bool table_visit(void *arg, struct slice key, struct slice value);

/** Visits the records whose key starts with \p prefix, by key. Damage ends it with an error. */
int table_each(struct db_txn *txn, enum table table, struct slice prefix, table_visit *visit,
               void *arg, struct error *e);

/** Says whether a record is in the form its store writes; its checksum is right. */
typedef int table_form(struct db_txn *txn, struct slice key, struct slice value, struct error *e);

/** Visits all records; those that are damaged or that \p form refuses are counted in \p faults, and
 *  the first of them is told by \p first. \return -1 when it could not go on. */
int table_check(struct db_txn *txn, enum table table, table_form *form, uint64_t *records,
                uint64_t *faults, struct error *first, struct error *e);

/** The number of records. */
int table_count(struct db_txn *txn, enum table table, uint64_t *count, struct error *e);
