/**
 * The torrents that are missing, made when they are first asked for: the blob is read from the
 * registry once, whoever asks, hashed as it comes, and its torrent stored, registered to the
 * repository that it was read from, once its bytes were found to be those of its digest. Never half
 * a torrent: it is stored and registered in one transaction, or not.
 */
#pragma once

#include "gateway/errand.h"

enum {
  HASHING_THREADS = 2, /**< blobs that are hashed at once */
  HASHING_CORES = 2,   /**< that each of them keeps busy: one for its pieces, one for its digest */
  HASHING_MOST = 512,  /**< blobs that wait or are being hashed; more are refused */
  HASHING_WAIT_MS = 1000, /**< how long who asks waits */
  HASHING_RETRY_S = 1,    /**< when to ask again then */
};

/** All of it outlives the hashing. */
struct hashing_options {
  const struct gateway_registry *registries;
  size_t registry_count;
  enum torrent_format format;              /**< of the torrents */
  struct swarm_authority *swarm_authority; /**< under whose CA they are; NULL: under none */
  struct db *db;
  struct cache
      *cache; /**< has the bytes, so that who reads the blob then needs none; may be NULL */
  const struct log *log;
  unsigned wait_ms; /**< in place of HASHING_WAIT_MS, unless 0: for tests */
};

/** Shared by the loops. */
struct hashing;

/** \return NULL with \p e, as errands_new(). */
struct hashing *hashing_new(const struct hashing_options *options, struct error *e);
/** As errands_free(). */
void hashing_free(struct hashing *hashing);

/**
 * Asks for a blob's torrent: as errand_ask(). ERRAND_DONE says that it is stored, but it may be
 * registered to another repository than the question's, from which it was read for somebody else.
 */
struct errand_wait *hashing_ask(struct hashing *hashing, uv_loop_t *loop,
                                const struct errand_question *question, errand_told *told,
                                void *arg, struct error *e);
