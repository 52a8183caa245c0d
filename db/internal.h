/** What the files of this room share. */
#pragma once

#include "db/db.h"
#include "db/table.h"

#include <lmdb.h>
#include <pthread.h>

enum { DB_SCHEMA = 2 };

struct writer;

struct db {
  MDB_env *env;
  MDB_dbi tables[TABLE_COUNT];
  char *path; /**< `DATA_DIR/db` */
  /** Held for reading by every open transaction, for writing while the map is moved, for that may
   *  be done only when this process has none open. */
  pthread_rwlock_t map;
  bool unmapped; /**< moving the map failed: there is none */
  struct writer *writer;
};

/** An LMDB transaction, and the first thing that went wrong in it. */
struct db_txn {
  struct db *db;
  MDB_txn *txn;
  int code;           /**< of LMDB; MDB_MAP_FULL makes the writer grow the map and run it again */
  struct error error; /**< kind ERROR_NONE while all is well */
};

/** As db_open(), with a map of \p map_size bytes at first. */
int db_open_sized(const char *data_dir, size_t map_size, struct db **out, struct error *e);

/**
 * Begins a transaction and holds `map` until db_end(). A map that another process let grow is
 * mapped anew first.
 */
int db_begin(struct db *db, unsigned flags, MDB_txn **out, struct error *e);
/** After the transaction's commit or abort. */
void db_end(struct db *db);

/** Doubles the map, which is full. No transaction of the caller may be open. */
int db_grow(struct db *db, struct error *e);

/** Turns LMDB's \p code into an error: `cannot WHAT PATH: why: what to do`. \return -1. */
int db_failed(const struct db *db, int code, const char *what, struct error *e);

/** Bytes of an infohash as the torrent store has it; of a digest's key, the last is the format. */
enum { TORRENT_STORE_INFOHASH = 20, TORRENT_STORE_DIGEST_KEY = 32 + 1 };

struct infohash {
  unsigned char bytes[TORRENT_STORE_INFOHASH];
};

/** The infohash that a torrent lies under: the one asked for, or what it is an alias of; and what
 *  lies there. \return 0, or -1 with ERROR_NOT_FOUND. */
int torrent_store_resolve(struct db_txn *txn, const unsigned char *infohash, struct infohash *out,
                          struct slice *value, struct error *e);
/** The key of a blob's torrent. \return 0, or -1 with ERROR_USAGE when the digest can be none. */
int torrent_store_digest_key(struct slice digest, uint8_t format,
                             unsigned char out[TORRENT_STORE_DIGEST_KEY], struct error *e);
/** Whether a record refers to a torrent that is there. \return 0, or -1. */
int torrent_store_check_reference(struct db_txn *txn, struct slice infohash, struct error *e);

/** The forms of the torrent store's tables. */
table_form torrent_store_check_torrent, torrent_store_check_alias, torrent_store_check_digest,
    torrent_store_check_readable;
/** The form of the revocation store's. */
table_form revocation_store_check;
/** Those of the users', and of the refresh tokens'. */
table_form user_store_check_user, user_store_check_grant, refresh_store_check_token,
    refresh_store_check_holder;
/** That of what is wanted. */
table_form wanted_store_check;
