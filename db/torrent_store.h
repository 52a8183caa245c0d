/** Torrents by infohash and by digest, and which repositories may read which infohash. */
#pragma once

#include "base/arena.h"
#include "db/db.h"

/** Longest names of a right, in bytes; together with the infohash they fill one key of LMDB. A
 *  repository's is the distribution specification's, a registry's `host:port` is shorter in life.
 */
enum { TORRENT_STORE_REGISTRY_MAX = 235, TORRENT_STORE_REPOSITORY_MAX = 255 };

/** A torrent as stored. Slices given to a put are copied; those from a get live in the arena. */
struct torrent_record {
  uint8_t format;                /**< 1 v1, 2 v2, 3 hybrid: enum torrent_format of torrent/ */
  unsigned char infohash[20];    /**< v1, or for v2-only the v2 infohash cut to 20 bytes */
  unsigned char infohash_v2[32]; /**< v2 and hybrid */
  struct slice digest;           /**< `sha256:<64 hex>` */
  uint64_t size;                 /**< of the blob, bytes */
  struct slice info;             /**< the bencoded info dictionary, to the byte */
  struct slice piece_layers;     /**< v2 and hybrid: the bencoded `piece layers` value, or empty */
};

/**
 * A hybrid is found under both its infohashes. Putting the same again changes nothing.
 *
 * \return 0, or -1: ERROR_USAGE when the digest can be none or the torrent has more than 64 MiB;
 * ERROR_FAILED when another torrent has this infohash.
 */
int torrent_store_put(struct db_txn *txn, const struct torrent_record *record, struct error *e);

/** \return 0, or -1 with ERROR_NOT_FOUND. \p infohash is the v1 or the cut v2 one. */
int torrent_store_get(struct db_txn *txn, const unsigned char infohash[20], struct arena *arena,
                      struct torrent_record *out, struct error *e);

/** The torrent of a blob in that format; of several, by piece length, the one that was put last.
 *  \return 0, or -1 with ERROR_NOT_FOUND, or ERROR_USAGE when the digest can be none. */
int torrent_store_find(struct db_txn *txn, struct slice digest, uint8_t format, struct arena *arena,
                       struct torrent_record *out, struct error *e);

/** Removes the torrent and all its repositories. \return 0, or -1 with ERROR_NOT_FOUND. */
int torrent_store_remove(struct db_txn *txn, const unsigned char infohash[20], struct error *e);

/**
 * Says that whoever may pull \p repository of \p registry may join the swarm.
 *
 * \return 0, or -1: ERROR_NOT_FOUND when there is no such torrent, ERROR_USAGE for a name that is
 * empty, too long, or holds a NUL.
 */
int torrent_store_allow(struct db_txn *txn, const unsigned char infohash[20], struct slice registry,
                        struct slice repository, struct error *e);

/** Whether torrent_store_allow() was said, of either infohash of a hybrid. False when it cannot be
 *  read; the error then sticks to the transaction. */
bool torrent_store_allowed(struct db_txn *txn, const unsigned char infohash[20],
                           struct slice registry, struct slice repository);

/**
 * Takes that back, of either infohash of a hybrid. With its last repository the torrent goes too.
 * What was not said is no error, and changes nothing.
 *
 * \return 0, or -1 with ERROR_NOT_FOUND when there is no such torrent.
 */
int torrent_store_disallow(struct db_txn *txn, const unsigned char infohash[20],
                           struct slice registry, struct slice repository, struct error *e);

/** The same of a blob: of the torrents that torrent_store_find() finds in any format. \return 0, or
 *  -1 with ERROR_USAGE when the digest can be none. */
int torrent_store_disallow_blob(struct db_txn *txn, struct slice digest, struct slice registry,
                                struct slice repository, struct error *e);

/** Whether torrent_store_disallow_blob() has anything to take back. False when it cannot be read;
 *  the error then sticks to the transaction. */
bool torrent_store_allowed_blob(struct db_txn *txn, struct slice digest, struct slice registry,
                                struct slice repository);

/** Called for each torrent_store_allow() that was said, by infohash. \p infohash is the one that
 *  the torrent lies under; all ends with the call. \return false to stop. */
typedef bool torrent_store_visit_right(void *arg, const unsigned char infohash[20],
                                       struct slice registry, struct slice repository);
int torrent_store_each_right(struct db_txn *txn, torrent_store_visit_right *visit, void *arg,
                             struct error *e);

/** Called for each torrent, by infohash, with the \p count (registry, repository) pairs it is
 *  registered to. All slices end with the call. \return false to stop. */
typedef bool torrent_store_visit(void *arg, const struct torrent_record *record,
                                 const struct slice *registries, const struct slice *repositories,
                                 size_t count);
int torrent_store_each(struct db_txn *txn, torrent_store_visit *visit, void *arg, struct error *e);
