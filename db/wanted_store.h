/**
 * What has yet to be hashed: manifests that a registry says were pushed, until the torrents of
 * their blobs are there. What is wanted twice is there once.
 */
#pragma once

#include "db/db.h"

#include <stdint.h>

enum {
  WANTED_STORE_MAX = 65536, /**< manifests; more are refused */
  /** Longest names, bytes: with a digest they fill one key of LMDB. A registry's `host:port` is
   *  shorter in life, a repository's is the distribution specification's. */
  WANTED_STORE_REGISTRY_MAX = 183,
  WANTED_STORE_REPOSITORY_MAX = 255,
};

/** A manifest that is wanted. Slices given to a put are copied. */
struct wanted_record {
  struct slice registry, repository;
  struct slice digest; /**< of the manifest or index, `sha256:<64 hex>` */
  int64_t due;         /**< NumericDate: not to be tried before */
  uint8_t tries;       /**< that failed so far */
};

/**
 * Writes one, or replaces `due` and `tries` of one that is there.
 *
 * \return 0, or -1: ERROR_USAGE for a name that is empty, too long or holds a NUL, and for what is
 * no digest; ERROR_DENIED when there are too many already.
 */
int wanted_store_put(struct db_txn *txn, const struct wanted_record *record, struct error *e);

/** Removes one; it is no error when it is not there. \return 0, or -1 as wanted_store_put(). */
int wanted_store_remove(struct db_txn *txn, const struct wanted_record *record, struct error *e);

/**
 * Removes what is wanted of other registries than these: of those that are no longer configured.
 *
 * \param removed set to how many that were.
 */
int wanted_store_keep(struct db_txn *txn, const struct slice *registries, size_t count,
                      uint64_t *removed, struct error *e);

/** Called for each, by registry and repository. All slices end with the call. \return false to
 *  stop. */
typedef bool wanted_store_visit(void *arg, const struct wanted_record *record);
int wanted_store_each(struct db_txn *txn, wanted_store_visit *visit, void *arg, struct error *e);
