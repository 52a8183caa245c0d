/**
 * The BitTorrent side of a node: libtorrent, behind the one C++ file of the project. Its threads
 * are its own; everything here is called from the node's loop, and nothing is called back from
 * another thread but `wake`.
 *
 * Private swarms alone: no DHT, no local discovery, no peer exchange, no ports asked of routers;
 * TCP without uTP; only encrypted connections. Webseeds in torrents are not used: what comes from
 * the gateway is fetched by node/feeder.h and given to bittorrent_give().
 */
#pragma once

#include "base/error.h"
#include "base/slice.h"
#include "node/plan.h"
#include "torrent/metainfo.h"

/** A session: one peer id, and a listening port each for torrents under a CA and for others. */
struct bittorrent;
/** One torrent of it. */
struct bittorrent_torrent;

struct bittorrent_options {
  const char *const *addresses;    /**< literal ones to listen on; outlive the start */
  size_t address_count;            /**< 0: all that the machine has */
  uint16_t lower_port, upper_port; /**< to listen on, one of these for torrents that are under a CA,
                                        where peers speak TLS alone, and another for those that are
                                        not, once there are any; both 0: any that is free */
  uint64_t upload_rate;            /**< bytes a second; 0: as fast as it goes */
  uint32_t upload_slots;           /**< peers that are sent to at once; 0: any number */
  uint64_t download_rate;          /**< of what peers send; likewise. The feeder keeps to it too. */
  void (*wake)(void *arg); /**< from a thread of libtorrent's: bittorrent_poll() has something */
  void *arg;
};

/** \return 0, or -1 with ERROR_FAILED. */
int bittorrent_start(const struct bittorrent_options *options, struct bittorrent **out,
                     struct error *e);

/** Tells the trackers `stopped` and frees the session and its torrents; waits for the trackers'
 *  answers, two seconds at most. NULL is fine. */
void bittorrent_stop(struct bittorrent *b);

/** What is told of a torrent. */
enum bittorrent_event {
  BITTORRENT_CHECKED,        /**< what was on disk has been looked through */
  BITTORRENT_PIECE,          /**< a piece is in the file, and right */
  BITTORRENT_COMPLETE,       /**< all pieces are there and right */
  BITTORRENT_BAD_PIECE,      /**< a piece was not what the torrent says; who sent it is banned */
  BITTORRENT_FLUSHED,        /**< see bittorrent_flush() */
  BITTORRENT_TRACKER,        /**< the tracker has answered; `piece` is how many peers it named */
  BITTORRENT_TRACKER_FAILED, /**< it has not, or it refuses; `text` says why */
  BITTORRENT_FAILED,         /**< the torrent cannot go on, such as for want of disk; `text` */
};

/**
 * \param tag as given to bittorrent_add(). \param piece of the events that are of one.
 * \param text one line without secrets, terminated, valid within; "" where there is nothing to say.
 */
typedef void bittorrent_told(void *arg, void *tag, enum bittorrent_event event, uint32_t piece,
                             struct slice text);

/** Tells what has happened since the last time. */
void bittorrent_poll(struct bittorrent *b, bittorrent_told *told, void *arg);

/**
 * Adds a torrent, whose data is the file of its name in \p folder; what is there already is looked
 * through first, and only what is missing is fetched. Of one under a CA bittorrent_certify() is
 * to follow.
 *
 * \param torrent the metainfo file. \param metainfo what metainfo_read() says of it.
 * \param whole the file is whole, and never written to: what does not fit the torrent stays
 * missing. \return 0, or -1 with ERROR_FAILED, such as when no port to listen on is free.
 */
int bittorrent_add(struct bittorrent *b, struct slice torrent, const struct metainfo *metainfo,
                   const char *folder, bool whole, void *tag, struct bittorrent_torrent **out,
                   struct error *e);

/** By what a node shows its peers that it may have a torrent; all PEM. */
struct bittorrent_certificate {
  const char *certificate;
  const char *key;        /**< its private key. Secret. */
  const char *parameters; /**< of a Diffie-Hellman exchange, which libtorrent wants beside them */
};

/** Gives a torrent that is under a CA its certificate, or another in its place: connections from
 *  then on show it, those that are open go on until what was shown has run out. Without one no peer
 *  is found. */
void bittorrent_certify(struct bittorrent_torrent *t, const struct bittorrent_certificate *c);

/** Leaves a swarm, telling the tracker `stopped`; nothing is told of the torrent any more. The file
 *  stays. */
void bittorrent_remove(struct bittorrent *b, struct bittorrent_torrent *t);

/** Pieces and peers as they are now; valid until the next call for this torrent. Its peers are
 * those that have introduced themselves. \return NULL when there is no memory, or no torrent any
 * more. */
const struct plan_view *bittorrent_view(struct bittorrent_torrent *t);

/** Asks the tracker how many peers there are by now, for the view. */
void bittorrent_scrape(struct bittorrent_torrent *t);

/**
 * Gives a piece that was had elsewhere; BITTORRENT_PIECE follows, or BITTORRENT_BAD_PIECE where a
 * peer had sent other bytes of it before.
 *
 * \param bytes the whole piece; copied. \return 0, or -1: ERROR_MISMATCH, it is not what the
 * torrent says; ERROR_FAILED.
 */
int bittorrent_give(struct bittorrent_torrent *t, uint32_t piece, struct slice bytes,
                    struct error *e);

/** Asks peers for a piece before others, unless it is in the file already. Not before
 *  BITTORRENT_CHECKED. \return whether it is; else BITTORRENT_PIECE tells, once it is. */
bool bittorrent_want(struct bittorrent_torrent *t, uint32_t piece);

/** How far a torrent is. */
struct bittorrent_progress {
  uint64_t done;     /**< bytes that are there and right */
  uint64_t received; /**< bytes of pieces that peers sent */
  uint64_t uploaded; /**< bytes of pieces sent to peers */
  uint32_t peers;    /**< connected */
  bool complete;     /**< all of it is there */
};
void bittorrent_progress_of(struct bittorrent_torrent *t, struct bittorrent_progress *out);

/** Announces to these from now on, such as with a newer token. */
void bittorrent_renew(struct bittorrent_torrent *t, const struct slice *announce, size_t count);

/** Has all that is there written to the file; BITTORRENT_FLUSHED follows. What is complete need not
 *  be in the file before that. */
void bittorrent_flush(struct bittorrent_torrent *t);
