/** What the files of this room share; no other room includes it. */
#pragma once

#include "cache/cache.h"

#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/types.h>

enum {
  CACHE_BUCKETS = 4096,
  CACHE_BLOCK = 512, /**< the unit of st_blocks */
};

/** A blob on its way out has this behind its name: to give a large file's blocks back takes a
 * while, and is done without the lock, while another of that name may be made. */
#define CACHE_REMOVED ".removed"

/** What the name of a file has behind it that is a blob once it is whole. */
#define CACHE_COMING ".coming"

enum piece_state { PIECE_MISSING, PIECE_CLAIMED, PIECE_READY };

/** A blob of which something is on disk, or wanted. */
struct cache_blob {
  struct cache *cache;
  struct cache_blob *next;          /**< in its bucket */
  struct cache_blob *older, *newer; /**< by when it was used last; circular, with a sentinel */
  char digest[CACHE_DIGEST + 1];
  unsigned holds;
  unsigned claims;      /**< under way */
  unsigned failures;    /**< in a row */
  uint64_t rests_until; /**< no claim before, after a failure */
  uint64_t bytes;       /**< what it counts for in the cache's used */
  int fd;               /**< -1 while nobody holds it */
  dev_t device;
  ino_t inode;              /**< of the file that the states are about … */
  struct timespec modified; /**< … and its time, unopened: inodes are used again */
  enum {
    BLOB_UNSEEN,  /**< its file may hold something */
    BLOB_SCANNED, /**< somebody is looking */
    BLOB_KNOWN,
  } knowledge;
  struct pieces pieces;  /**< hashes NULL: not held yet in this run */
  unsigned char *states; /**< enum piece_state, one a piece */
  uint32_t ready;        /**< pieces that are */
};

struct cache_waker {
  struct cache *cache;
  uv_async_t async;
  struct cache_want *first, **last; /**< to be told; under the cache's lock */
};

struct cache {
  uv_mutex_t opening; /**< one file is opened at a time; taken before the lock */
  uv_mutex_t lock;    /**< of all below, and of the blobs */
  char *path;
  int folder; /**< of the files */
  atomic_bool stopping;
  uint64_t max_size, free_min;
  uint64_t used;
  struct cache_blob *leaving; /**< by next: renamed, and to be unlinked without the lock */
  uint64_t leaving_bytes;
  struct cache_blob *buckets[CACHE_BUCKETS];
  struct cache_blob ages;                /**< sentinel: newer is the one used longest ago */
  struct cache_want *wants, **last_want; /**< in order of coming */
  void (*wanted)(void *arg);
  void *wanted_arg;
};

static inline uint32_t blob_piece_at(const struct cache_blob *blob, uint64_t offset) {
  return (uint32_t)(offset / blob->pieces.piece_length);
}

/** The blob of that digest; NULL when there is none. The lock is held, as for all below. */
struct cache_blob *cache_look_up(struct cache *cache, struct slice digest);
/** Adds one; NULL when there is no memory. */
struct cache_blob *cache_add(struct cache *cache, struct slice digest);

/** Takes it out of whichever list it is in. */
void want_remove(struct cache *cache, struct cache_want *want);
/** Moves it to its waker. */
void want_tell(struct cache *cache, struct cache_want *want, enum cache_news news);
/** Tells who waits for a byte of the piece. */
void blob_piece_ready(struct cache_blob *blob, uint32_t piece);

/** Makes the folder where it is missing, and locks it: two servers would count each other's blobs
 * for none. \return a descriptor, or -1 with \p e. */
int cache_open_folder(const struct cache *cache, struct error *e);
/** Adds the blobs that an earlier run left, and removes what it left unfinished. \return 0, or -1
 *  with errno. */
int cache_take_up(struct cache *cache);

/** Makes room for \p bytes: what was used longest ago and is not held is on its way out.
 *  cache_let_go() follows, without the lock. \return false when that does not do. */
bool cache_make_room(struct cache *cache, uint64_t bytes);
void cache_let_go(struct cache *cache);

/**
 * Writes a file in large steps, however small the pieces are that come.
 *
 * \param at where the first of them belongs, of \p length bytes at most that will come.
 * \return NULL when there is no memory. free() ends it; what has not been written by then never is.
 */
struct steps *steps_new(int fd, uint64_t at, uint64_t length);
/** Takes what comes next. \return 0, or an errno. */
int steps_add(struct steps *s, struct slice bytes);
/** Writes all that was taken. \return 0, or an errno. */
int steps_flush(struct steps *s);

void blob_age_newest(struct cache_blob *blob);
/** Counts it for that many bytes from now on. */
void blob_count(struct cache_blob *blob, uint64_t bytes);
/** The states are about that file from now on. */
void blob_remember_file(struct cache_blob *blob, const struct stat *s);
/** A hold more. */
void blob_hold(struct cache_blob *blob);
