/** What pull.c and pull_answer.c share. */
#pragma once

#include "db/torrent_store.h"
#include "gateway/authorise.h"
#include "gateway/errand.h"
#include "gateway/pull.h"
#include "gateway/recording.h"
#include "gateway/registration.h"
#include "gateway/standing.h"

#include <jansson.h>

struct pull;

/** A distinct blob of the image. */
struct pull_blob {
  struct pull *pull;
  struct slice digest;
  uint64_t size; /**< as the manifest says; an empty one has no torrent */
  struct torrent_record record;
  bool found;      /**< the record is there */
  bool registered; /**< and it belongs to the repository */
  uint64_t done;   /**< bytes that are hashed */
  struct errand_wait *hashing;
  struct authorise *question;
  json_t *json; /**< what the answer says of it, but for its media type */
};

/** One request; in the exchange's arena. */
struct pull {
  const struct request *request;
  const struct pull_manifest *manifest;
  struct pull_blob *blobs;
  size_t count;
  unsigned waiting;                  /**< for torrents to be made */
  bool later;                        /**< some take longer than the wait */
  bool hashed;                       /**< all were made */
  size_t asked;                      /**< blobs that were asked about, or need not be */
  unsigned under_way;                /**< questions */
  struct registration *registration; /**< while it is being written */
  int64_t now;                       /**< `iat` of what is issued */
  struct standing *standing;         /**< while it is asked for */
  struct recording *recording;       /**< while the tokens are being recorded */
  struct issued issued;
  char *answer; /**< freed when it was sent or is not wanted */
};

/**
 * Makes the answer, signing swarm tokens, as few as fit, and a webseed token for each torrent.
 *
 * \return 0, or -1 with ERROR_FAILED.
 */
int pull_answer_make(struct pull *p, struct error *e);
