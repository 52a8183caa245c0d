/** What hasher.c and hasher_job.c share. */
#pragma once

#include "torrent/hasher.h"
#include "torrent/merkle.h"

#include <pthread.h>

enum {
  HASHER_SHA1 = 20, /**< bytes of a hash */
  /** Bytes of a unit, that is what is hashed in one go: large enough that handing it over costs
   *  nothing, small enough that a few of them stay in a core's cache. */
  HASHER_UNIT = 256 * 1024,
  /** Bytes of the ring: two of the largest pieces. */
  HASHER_MEMORY_MAX = 32 * 1024 * 1024,
  HASHER_UNITS_MAX = HASHER_MEMORY_MAX / HASHER_UNIT,
  HASHER_THREADS_MAX = HASHER_UNITS_MAX,
};

/** A place of the ring: a part of the blob that waits to be hashed. */
struct hasher_unit {
  unsigned char *bytes;
  size_t len;
  unsigned pending; /**< jobs that are still to be done with it */
};

/** The units of a piece, or one unit where pieces are no longer than that. */
struct hasher_group {
  EVP_MD_CTX *sha1; /**< of the piece so far; used by who set hashing */
  uint64_t hashed;  /**< units that SHA-1 is done with */
  uint64_t leaves;  /**< units whose leaves are hashed */
  bool hashing;     /**< SHA-1 of one of them is under way */
};

/**
 * What there is to do with a unit. The digest is one chain over all of them, the SHA-1 of a piece
 * one over its own, so that one thread at a time goes on with it; leaves are independent.
 */
enum hasher_job_kind { HASHER_JOB_DIGEST, HASHER_JOB_SHA1, HASHER_JOB_LEAVES };
struct hasher_job {
  enum hasher_job_kind kind;
  uint64_t unit; /**< of the blob, from 0 */
};

struct hasher {
  struct hasher_options options;
  struct hashes result;
  uint64_t unit_count;      /**< of the blob */
  uint64_t units_per_group; /**< a power of two */
  unsigned ring_count, group_count, root_count;
  struct hasher_unit ring[HASHER_UNITS_MAX]; /**< unit n is at n % ring_count */
  struct hasher_group *groups;               /**< likewise; more than the ring can hold */
  unsigned char (
      *roots)[MERKLE_HASH]; /**< of units, where a piece is longer; unit n at n % count */
  EVP_MD *sha1;
  EVP_MD_CTX *digest;
  struct merkle tree;                   /**< of the feeding thread */
  unsigned char zero_root[MERKLE_HASH]; /**< of a unit past the end of the blob */
  uint64_t fed;                         /**< bytes; of the feeding thread alone */
  unsigned worker_count;
  pthread_t workers[HASHER_THREADS_MAX];

  pthread_mutex_t lock; /**< over all that follows, the units' pending and the groups */
  pthread_cond_t work;  /**< a unit was filled, or there will be no more */
  pthread_cond_t room;  /**< a unit is free again, or hashing failed */
  uint64_t filled;      /**< units filled since the beginning */
  uint64_t next_digest; /**< the unit that the digest goes on with */
  uint64_t next_group;  /**< the first one that SHA-1 is not done with */
  uint64_t next_leaves; /**< the unit whose leaves are to be hashed next */
  bool digesting;
  bool ending; /**< no further unit will be filled */
  bool failed; /**< OpenSSL or memory: all stop */
};

/**
 * Takes up a job, if there is one, with the lock held, which is let go meanwhile.
 *
 * \param tree the thread's own.
 * \return whether there was any.
 */
bool hasher_work(struct hasher *h, struct merkle *tree);
