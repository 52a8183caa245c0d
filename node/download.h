/**
 * The blobs that a node has in its swarms: each is fetched of peers and of the gateway, checked
 * against its digest, put into a layout, and seeded from there until it is let go. On one loop.
 */
#pragma once

#include "http/client.h"
#include "node/bittorrent.h"
#include "node/certificate.h"
#include "node/layout.h"
#include "node/offer.h"
#include "node/origin.h"

/** All of them: one BitTorrent session, one line to each gateway. */
struct downloads;
/** One. */
struct download;

struct downloads_options {
  uv_loop_t *loop;
  struct http_client *client;
  struct http_client_tls tls;  /**< how gateways are trusted */
  const struct layout *layout; /**< where blobs end up; outlives all */
  const char *unfinished;      /**< a folder for what is not there yet, on the same file system;
                                    made when it is missing; outlives all */
  struct bittorrent_options bittorrent; /**< ports and rates; wake and arg are not looked at */
  bool skip_webseed;                    /**< take pieces of peers alone */
  bool there; /**< nothing is fetched: a blob that is not in the layout is an error */
};

/** \return 0, or -1 with ERROR_FAILED. */
int downloads_new(const struct downloads_options *options, struct downloads **out, struct error *e);

/** Leaves all swarms, which takes up to two seconds, and frees the downloads too. What is
 * unfinished stays for another time. Nothing is told any more, but the loop has to be run once more
 * before it is closed. NULL is fine. */
void downloads_free(struct downloads *all);

/** Who wants to know of a download. Told on the loop, never from within a call; download_stop() may
 *  be called within. */
struct download_events {
  /** It is in the layout, or cannot be had: \p e is ERROR_MISMATCH or ERROR_FAILED, or
   *  ERROR_NOT_FOUND where it has to be there and is not. Told once. */
  void (*landed)(void *arg, const struct error *e);
  /** Tracker or gateway do not take its tokens any more: download_renew() is wanted. */
  void (*stale)(void *arg);
  /** There is no certificate for its swarm, which it has not joined or is about to lose:
   *  certificate_user. */
  void (*refused)(void *arg, bool ended, const struct error *e);
  /** download_want() may be called, until `landed`. NULL, as is the next: nobody reads. */
  void (*ready)(void *arg);
  /** A piece is there and right, in download_path(). */
  void (*piece)(void *arg, uint32_t piece);
};

/**
 * Begins. A blob that is in the layout already is not fetched again, and is seeded all the same if
 * \p seed says so; what an earlier download had left unfinished is taken up.
 *
 * \param offer outlives the download. \param certificate likewise: of that offer, which a torrent
 * under a CA waits for before it joins its swarm; NULL where none is.
 * \return NULL with ERROR_FAILED.
 */
struct download *download_start(struct downloads *all, const struct offer_blob *offer,
                                struct certificate *certificate, bool seed,
                                const struct download_events *events, void *arg, struct error *e);

/** Takes tokens and certificate of another offer of the same blob, which takes the place of the
 *  first. Where it has another torrent, for the swarms' CA is another by now, the swarm token is
 * not for ours. */
void download_renew(struct download *d, const struct offer_blob *offer,
                    struct certificate *certificate);

/** Asks this registry while the gateway is away, from now on; NULL, as at first: none. It outlives
 *  the download, or the next one. */
void download_turn_to(struct download *d, struct origin *origin);

/** Whether an offer of the same blob has the torrent that is ours. */
bool download_is_of(const struct download *d, const struct offer_blob *offer);

/** Wants a piece before others. \return whether it is there; else `piece` tells, unless the
 * download lands or is stopped first. */
bool download_want(struct download *d, uint32_t piece);

/** The file of what is not in the layout yet, and which is that of the layout afterwards. There is
 *  none before the first piece. */
const char *download_path(const struct download *d);

/** Whether it reads through what is on disk, which takes its time and has nothing come. */
bool download_is_reading(const struct download *download);

/** Leaves the swarm and frees the download; nothing is told of it any more. What has landed stays
 *  in the layout, what is unfinished is removed. The offer may go. */
void download_stop(struct download *d);

/** How far one is. */
struct download_progress {
  uint64_t done;         /**< bytes */
  uint64_t from_gateway; /**< bytes fetched there */
  uint64_t from_origin;  /**< bytes fetched of the registry itself */
  uint64_t from_peers;   /**< bytes of pieces that peers sent */
  uint64_t uploaded;     /**< bytes of pieces sent to peers */
  uint32_t peers;        /**< connected */
  bool kept;             /**< it was in the layout before */
};
void download_progress_of(const struct download *d, struct download_progress *out);

/** Why nothing comes of its gateway, or else of the tracker, just now; NULL: there is no trouble,
 * or the registry itself is still to be asked. */
const char *download_trouble(const struct download *d);

/** Removes what is left in the folder for unfinished data of blobs that have landed, and the folder
 *  when it is empty. */
void downloads_tidy(struct downloads *all);
