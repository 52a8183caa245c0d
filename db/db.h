/**
 * The LMDB environment of `data_dir`: one writer thread off the loops, short readers anywhere.
 * Every record carries a checksum and the environment a schema version. No WRITEMAP, no NOSYNC:
 * what was acknowledged survives a kill and a full disk.
 */
#pragma once

#include "base/error.h"
#include "base/slice.h"

#include <uv.h>

struct db;

/**
 * Opens, and makes when it is missing, `DATA_DIR/db`. Several processes may have it open at once,
 * but a process may open it only once. What root makes belongs to the owner of \p data_dir, so that
 * the tool and a server that is not root can share it.
 *
 * \return 0, or -1: ERROR_FAILED for I/O, a newer schema or damage.
 */
int db_open(const char *data_dir, struct db **out, struct error *e);

/** Does the writes that are queued, then closes; no other thread may be in a transaction. NULL is
 * fine. A `done` that was not called yet still is, by its loop. */
void db_close(struct db *db);

/** A transaction: the stores' functions take one. Its first error sticks, and makes it fail. */
struct db_txn;

/**
 * Work inside a write transaction; on the writer thread. It may be run again from the start, after
 * all it wrote was undone, when the map had to grow: it must set what \p arg holds, not add to it.
 * It must not call db_read() or db_write_now().
 *
 * \return 0 to commit, -1 to undo this work and no other that is committed together with it.
 */
typedef int db_write_fn(struct db_txn *txn, void *arg, struct error *e);
/** Work inside a read transaction; keep it short, and copy what is to be kept. */
typedef int db_read_fn(struct db_txn *txn, void *arg, struct error *e);
/** Told the outcome: \p e is NULL when the work is on disk. */
typedef void db_done_fn(void *arg, const struct error *e);

/** Runs \p fn in a write transaction and waits for it to be on disk: for tools and start-up. */
int db_write_now(struct db *db, db_write_fn *fn, void *arg, struct error *e);

/**
 * Queues \p fn for the writer thread; several are committed together. Called on the thread of \p
 * loop, where \p done is called once it is on disk or failed; the loop must run until then.
 *
 * \return 0, or -1 when too many writes wait already; then \p done is not called.
 */
int db_write(struct db *db, uv_loop_t *loop, db_write_fn *fn, void *arg, db_done_fn *done,
             struct error *e);

/**
 * Runs \p fn in a read transaction, on the calling thread. It must not call db_read() again.
 *
 * \return 0, or -1 with the error of \p fn or of the database.
 */
int db_read(struct db *db, db_read_fn *fn, void *arg, struct error *e);

/** What `swarmgate db stats` prints. */
struct db_stats {
  uint64_t schema;      /**< version of the records' form */
  uint64_t map_size;    /**< bytes it can grow to before the map is doubled */
  uint64_t used_bytes;  /**< of the file, free pages among them */
  uint64_t torrents;    /**< a hybrid is one */
  uint64_t readable;    /**< (infohash, registry, repository) entries */
  uint64_t revocations; /**< expired ones that are not dropped yet among them */
  uint64_t readers_now; /**< read transactions of all processes, this one not counted */
  uint64_t users, grants, refresh_tokens;
};
int db_stats(struct db *db, struct db_stats *out, struct error *e);

/**
 * Reads every record and checks its checksum, its form, and that what it refers to is there.
 *
 * \param records how many were read. \param faults how many of them are damaged.
 * \return 0, or -1: the first fault is the error, ERROR_FAILED.
 */
int db_check(struct db *db, uint64_t *records, uint64_t *faults, struct error *e);
