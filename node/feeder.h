/**
 * What a node fetches from the gateway: pieces, one at a time, each chosen anew by node/plan.h, by
 * a `Range` of the webseed, and given to libtorrent. So the nodes of a swarm share one copy among
 * them, where libtorrent's own webseeds would each fetch the most of it.
 */
#pragma once

#include "http/client.h"
#include "node/bittorrent.h"
#include "node/origin.h"

struct feeder;

struct feeder_options {
  uv_loop_t *loop;
  struct http_client *client;
  uint64_t rate;              /**< bytes a second that it fetches on the average; 0: any */
  struct http_client_tls tls; /**< how the gateway is trusted; strings outlive the feeder */
  /** The gateway answered 403: the URL's token is over. feeder_renew() is wanted. */
  void (*denied)(void *arg, void *tag);
  void *arg;
};

/** A torrent that is to be fed, by the gateway of all of the feeder's. */
struct feeder_torrent {
  struct bittorrent_torrent *torrent;
  void *tag;             /**< for `denied` */
  const char *digest;    /**< of the blob, for the origin; outlives the feeder */
  const char *url;       /**< of the blob at the gateway; outlives the feeder. Never in an error. */
  struct origin *origin; /**< asked while the gateway is away; NULL: nobody is */
  uint64_t size;         /**< bytes */
  uint32_t piece_length;
};

/** \return NULL when there is no memory. */
struct feeder *feeder_new(const struct feeder_options *options);
/** Cancels what is under way. NULL is fine. */
void feeder_free(struct feeder *feeder);

/** Begins to feed a torrent, once what was on disk is known. \return its number, for
 *  feeder_landed(); -1 with ERROR_FAILED when there is no memory. */
int feeder_add(struct feeder *feeder, const struct feeder_torrent *torrent, struct error *e);

/** A piece is there, wherever it came from, or one that was there was not right. */
void feeder_landed(struct feeder *feeder, int torrent, uint32_t piece);

/** The tracker has answered, and named so many peers. Until it has, and until one of them has
 * introduced itself, a feeder that sees no peer waits, though not for long: nodes that know nothing
 * of each other would each fetch all of it, at once. */
void feeder_met(struct feeder *feeder, int torrent, uint32_t peers);

/** Somebody reads it in order, and has come to this piece. */
void feeder_want(struct feeder *feeder, int torrent, uint32_t piece);

/** Another URL of the same blob, whose token is newer. */
void feeder_renew(struct feeder *feeder, int torrent, const char *url);

/** Another origin, or none: what is being fetched of the one before is given up. */
void feeder_turn_to(struct feeder *feeder, int torrent, struct origin *origin);

/** Nothing more is fetched for it; its number may become another's. Without any torrent the feeder
 *  rests. */
void feeder_remove(struct feeder *feeder, int torrent);

/** Bytes fetched so far, of a torrent. */
struct feeder_fetched {
  uint64_t from_gateway, from_origin;
};
struct feeder_fetched feeder_fetched(const struct feeder *feeder, int torrent);

/** Why the last fetch failed, since which none has worked; NULL: it has not. */
const struct error *feeder_trouble(const struct feeder *feeder);

/** Whether something is coming, or a torrent has an origin from which the last fetch has not
 *  failed. */
bool feeder_hopes(const struct feeder *feeder, int torrent);
