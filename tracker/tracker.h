/**
 * The tracker: who may announce and scrape what, and what they are told (contract, sections Tracker
 * and Tokens). One tracker is shared by all loops.
 */
#pragma once

#include "auth/token_cache.h"
#include "bencode/writer.h"
#include "db/db.h"
#include "http/server.h"
#include "tracker/answer.h"

struct tracker;

struct tracker_options {
  uint32_t interval;     /**< seconds between regular announces, before jitter; at least 1 */
  uint32_t min_interval; /**< seconds; at most interval */
  uint32_t numwant_default, numwant_max; /**< default <= max <= SWARM_WANT_MAX */
  int64_t session_max;                   /**< seconds after `iat` */
  unsigned char session_key[SESSION_KEY];
  size_t max_peers;        /**< over all swarms */
  struct keyring *keyring; /**< who is trusted; outlives the tracker */
  /** Outlives the tracker; NULL: nothing is revoked. While it is not fresh no session goes on. */
  struct revocations *revocations;
  size_t max_tokens;     /**< verified tokens that are remembered */
  unsigned kinds;        /**< set of token_kind taken here: TOKEN_SWARM, TOKEN_REGISTRY */
  struct db *db;         /**< what registry tokens cover; NULL: nothing. Outlives the tracker */
  const struct log *log; /**< told at debug why a token is invalid; may be NULL; outlives it */
};

/** \return 0, or -1: ERROR_USAGE for options that contradict each other, ERROR_FAILED. */
int tracker_new(const struct tracker_options *options, struct tracker **out, struct error *e);
/** After the servers whose routes name it. NULL is fine. */
void tracker_free(struct tracker *tracker);

/** Handlers of `GET /announce` and `GET /scrape`; the context of their routes is the tracker. */
http_handler tracker_announce_handle;
http_handler tracker_scrape_handle;

/** Takes out peers that fell silent, a part in each call; called once a second by one loop. */
void tracker_expire(struct tracker *tracker);

/**
 * Takes out every peer whose token or infohash is revoked, and whose token is not remembered any
 * more: that one comes back with its next announce if it may. Goes through all, for a second or so
 * of a million: to be called off the loops, when the revocations have changed, by one thread.
 */
void tracker_drop_revoked(struct tracker *tracker);

size_t tracker_peers(const struct tracker *tracker);
size_t tracker_swarms(const struct tracker *tracker);
size_t tracker_tokens(const struct tracker *tracker); /**< that are remembered */

/* --- what the handlers are made of: pure but for the swarms and tokens that are shared --- */

/** A request as the tracker sees it. */
struct tracker_request {
  struct slice query;
  struct slice authorization;  /**< the field's value; a NULL pointer without one */
  size_t authorization_count;  /**< fields of that name: with several there is no telling */
  const struct sockaddr *peer; /**< where it comes from: IPv4 or IPv6 */
  int64_t now;                 /**< NumericDate, for tokens and sessions */
  uint32_t tick;               /**< seconds that never go back, for what falls silent */
};

/** Each writes its answer, a dictionary, to \p w, which has ANSWER_MAX bytes. */
void tracker_announce(struct tracker *tracker, const struct tracker_request *r,
                      struct bencode_writer *w);
void tracker_scrape(struct tracker *tracker, const struct tracker_request *r,
                    struct bencode_writer *w);

/** As tracker_expire() at that tick. */
void tracker_expire_at(struct tracker *tracker, uint32_t tick);
