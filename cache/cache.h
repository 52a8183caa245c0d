/**
 * The blobs on disk (docs/blobs.md): which pieces of which blob are there, who waits for which, and
 * what goes when room is needed. A piece is given to a reader only after its hash was found right.
 * Knows nothing of HTTP: readers want pieces, whoever brings them takes jobs.
 *
 * Shared by all threads; one short lock. Reads and writes of files, and hashes, happen outside it.
 */
#pragma once

#include "torrent/pieces.h"

#include <uv.h>

enum {
  CACHE_CLAIM_MIN = 2 * 1024 * 1024,  /**< bytes of one claim, where so many in a row are missing */
  CACHE_CLAIM_MAX = 16 * 1024 * 1024, /**< likewise at most, or a piece if that is more */
  CACHE_CLAIMS_A_BLOB = 2,            /**< claims of one blob under way at once */
  CACHE_TRIES = 10,                   /**< failures in a row after which who waits is told */
  CACHE_REST_MS = 1000,               /**< between a failure and the next try */
  CACHE_DIGEST = 64,                  /**< hex digits that name a blob */
};

struct cache;
struct cache_blob;

struct cache_options {
  const char *path;  /**< a folder; made when it is missing, its parents are not; copied */
  uint64_t max_size; /**< bytes that the blobs may take */
  uint64_t free_min; /**< bytes of the file system that are left free */
};

/**
 * Takes up what an earlier run left. What it holds is looked at when it is first wanted.
 *
 * \return 0, or -1 with \p e: ERROR_FAILED for a folder that cannot be made, read or written, or no
 * memory.
 */
int cache_new(const struct cache_options *options, struct cache **out, struct error *e);
/** When no blob is held, no job or deposit is out and all wakers are closed. NULL is fine. */
void cache_free(struct cache *cache);

/** Bytes that the blobs take now. */
uint64_t cache_used(struct cache *cache);

/* --- readers --- */

/**
 * Holds a blob: it is not removed until cache_release(). Opens its file, which is made when it is
 * missing.
 *
 * \param digest CACHE_DIGEST lower-case hex digits of its SHA-256.
 * \param pieces taken over, whatever the outcome.
 * \return 0, or -1 with \p e, ERROR_FAILED: the file cannot be made (a full disk among others), or
 * no memory.
 */
int cache_hold(struct cache *cache, struct slice digest, struct pieces *pieces,
               struct cache_blob **out, struct error *e);
/** As cache_hold(), of a blob that was held before in this run. \return NULL when it was not, or
 * its file cannot be opened. */
struct cache_blob *cache_find(struct cache *cache, struct slice digest);
void cache_release(struct cache_blob *blob);

/** Bytes of the whole blob. */
uint64_t cache_size(const struct cache_blob *blob);

/** The file, as long as the blob; only bytes that are ready may be read. Open while it is held. */
int cache_fd(const struct cache_blob *blob);

/** How many bytes from \p offset < size on are there. */
uint64_t cache_ready(struct cache_blob *blob, uint64_t offset);

/** Tells the readers of one loop. */
struct cache_waker;

/** \return NULL with \p e when it cannot be made. */
struct cache_waker *cache_waker_new(struct cache *cache, uv_loop_t *loop, struct error *e);
/** Nothing is told any more; freed from the loop. NULL is fine. */
void cache_waker_close(struct cache_waker *waker);

enum cache_news {
  CACHE_READY,   /**< bytes from the offset on are there */
  CACHE_FAILED,  /**< whoever brings them failed too often, or cannot */
  CACHE_GONE,    /**< there are none any more where they were to be had */
  CACHE_NO_ROOM, /**< there is no room for them: take them another way */
};

typedef void cache_told(void *arg, enum cache_news news);

/** What a reader waits for. Embedded by it; filled in up to \ref arg. */
struct cache_want {
  struct cache_waker *waker; /**< of the reader's loop */
  uint64_t offset;           /**< the first byte it needs */
  uint64_t end;              /**< behind the last that it will need, at most the size */
  /** Where the bytes can be had; alive until it is told or left. */
  const char *registry, *repository;
  cache_told *told; /**< called once, from the waker's loop, never from within cache_want() */
  void *arg;

  struct cache_want *next, **link; /**< the cache's own, as all below */
  struct cache_blob *blob;
  enum cache_news news;
};

/** Waits until the byte at `offset` is there. The blob is to be held meanwhile. */
void cache_want(struct cache_blob *blob, struct cache_want *want);
/** Nothing is told any more. Also after it was told. */
void cache_unwant(struct cache *cache, struct cache_want *want);

/* --- who has a blob anyway, before its pieces are known: any thread --- */

/** A blob that comes from its first byte to its last, to be hashed. */
struct cache_deposit;

/**
 * Makes room for a whole blob.
 *
 * \param digest as of cache_hold().
 * \return NULL when it is not to be kept: there is no room, it is wanted, filled or deposited
 * already, or the disk fails.
 */
struct cache_deposit *cache_deposit_new(struct cache *cache, struct slice digest, uint64_t size);

/** Writes what comes next. \return false when it cannot be written: it is to be dropped. */
bool cache_deposit_write(struct cache_deposit *deposit, struct slice bytes);

/** All has come, and its digest is right, as the caller has found out: it is the blob from now on,
 *  all of it ready, unless that was made another way meanwhile. Ends the deposit. */
void cache_deposit_keep(struct cache_deposit *deposit);

/** Ends it; nothing is left. NULL is fine. */
void cache_deposit_drop(struct cache_deposit *deposit);

/* --- who brings pieces: one thread --- */

/** Has \p wanted called, from any thread, when there may be a job. */
void cache_on_wanted(struct cache *cache, void (*wanted)(void *arg), void *arg);

/** Something to be done for a blob, which it holds. */
struct cache_job {
  enum {
    CACHE_SCAN,  /**< cache_scan(), which may take long, then cache_job_end() */
    CACHE_CLAIM, /**< cache_write() the bytes of offset … offset + length - 1, in order */
  } kind;
  struct cache_blob *blob;
  uint64_t offset, length; /**< of a claim: whole pieces */
  uint64_t done;           /**< of a claim: bytes that came */
  struct piece_check *check;
  struct steps *steps;
  char *registry, *repository; /**< of a claim: who wanted it first had it from there */
  char digest[CACHE_DIGEST + 1];
};

/**
 * The next thing to do; whoever has waited longest comes first. Makes room for a claim.
 *
 * \param now milliseconds of a clock that never goes back.
 * \param scans whether it may be a CACHE_SCAN.
 * \param again set to when to ask again, though nothing new was wanted; UINT64_MAX: never.
 * \return false when there is nothing now.
 */
bool cache_next(struct cache *cache, uint64_t now, bool scans, struct cache_job *out,
                uint64_t *again);

/** Looks at what a file from an earlier run holds. Any thread. */
void cache_scan(struct cache_job *job);

/** Has scans end soon. Any thread. */
void cache_stop(struct cache *cache);

/**
 * Takes the next bytes of a claim; a piece whose hash is right is written whole, and ready.
 *
 * \return 0, or -1 with \p e, and the job is to be ended: ERROR_MISMATCH when they are not the
 * blob's, or more than the claim; ERROR_USAGE when the disk is full; ERROR_FAILED.
 */
int cache_write(struct cache_job *job, struct slice bytes, struct error *e);

enum cache_outcome {
  CACHE_DONE,  /**< all that came was right; when that was less than the claim, as CACHE_RETRY */
  CACHE_RETRY, /**< it failed, and may not the next time: after CACHE_TRIES as CACHE_FAIL */
  CACHE_FAIL,  /**< who waits is told CACHE_FAILED */
  CACHE_LOST,  /**< who waits is told CACHE_GONE */
  CACHE_FULL,  /**< who waits is told CACHE_NO_ROOM */
};

/** Gives back what of a claim was not written. \p now as in cache_next(). */
void cache_job_end(struct cache_job *job, enum cache_outcome outcome, uint64_t now);
