/**
 * The blobs that the agent has or is fetching: each is fetched once, however many read it, is read
 * in order while it comes, and is seeded for a while afterwards. On one loop.
 */
#pragma once

#include "node/download.h"
#include "node/images.h"
#include "node/shelf.h"

struct stock;
struct swarm;

struct stock_options {
  uv_loop_t *loop;
  struct images *images; /**< where newer tokens are had */
  const char *folder;    /**< of the store; made when missing; outlives all */
  bool alone;            /**< refuse a folder that all of the machine may look into */
  uint64_t max_size;     /**< bytes that blobs may take */
  uint64_t seed_ms;      /**< how long a blob is seeded once it is there */
  struct http_client *client;
  struct http_client_tls tls;           /**< how gateways are trusted; strings outlive all */
  struct bittorrent_options bittorrent; /**< ports and rates */
  const struct log *log;
};

/**
 * \param out also set when -1 is returned, to what stock_stop() and stock_free() end; NULL without
 * memory. \return 0, or -1 with ERROR_FAILED.
 */
int stock_new(const struct stock_options *options, struct stock **out, struct error *e);
/** Leaves all swarms, as downloads_free(); there are no readers any more. NULL is fine. */
void stock_stop(struct stock *stock);
/** Once the loop has ended. NULL is fine. */
void stock_free(struct stock *stock);

enum stock_news {
  STOCK_PIECE,  /**< what stock_want() asked for is there */
  STOCK_THERE,  /**< the whole blob is there: stock_open_file() */
  STOCK_FAILED, /**< it does not come */
};

/** Who reads a blob; embedded by its owner, who sets `told` and `arg`. */
struct stock_reader {
  struct stock_reader *next;
  struct shelf_blob *blob;
  struct swarm *swarm; /* NULL: it is there, or does not come any more */
  struct image *image;
  uint32_t piece, piece_length; /* of its swarm, whose torrent may be another than the reader's */
  bool waits;
  bool there; /* all of it, in the file that he has open or will */
  /** Told on the loop, once for each stock_want() that waits. \p e of STOCK_FAILED says why.
   *  stock_end() may be called within. */
  void (*told)(void *arg, enum stock_news news, const struct error *e);
  void *arg;
};

/**
 * Begins to read a blob of an image that was offered, and to fetch it unless it is there or on the
 * way. Ended by stock_end(). While the gateway is away the image's registry itself is asked for it,
 * in the name of one who reads it and of no other.
 *
 * \param image outlives the reading.
 * \return 0, or -1 with ERROR_FAILED: such as when there is no room for it.
 */
int stock_begin(struct stock *stock, struct image *image, const struct offer_blob *blob,
                struct stock_reader *reader, struct error *e);
void stock_end(struct stock *stock, struct stock_reader *reader);

/** Whether each blob of an image could have room: who is given a manifest may have no other way to
 *  its blobs. */
bool stock_could_hold(const struct stock *stock, const struct image *image);

/** Whether all of it is there, for this reader. */
bool stock_is_there(const struct stock_reader *reader);
/**
 * Opens the file of a blob, in which are the pieces that are there, and all of them in the end.
 *
 * \return the descriptor, the caller's; -1 with ERROR_FAILED, and a blob that was there is fetched
 * anew when it is next begun.
 */
int stock_open_file(struct stock *stock, const struct stock_reader *reader, struct error *e);
/** Wants a piece of one of which not all is there yet. \return 1 when the piece is, 0 when `told`
 *  says when, -1 when it does not come any more. */
int stock_want(struct stock_reader *reader, uint32_t piece);

/** How it stands; bytes since the start. */
struct stock_status {
  size_t blobs, fetching, seeding;
  uint64_t size, max_size;
  uint64_t from_gateway, from_peers, from_registry, uploaded;
  uint32_t peers; /**< connections to peers, of all blobs */
};
void stock_status_of(const struct stock *stock, struct stock_status *out);

/** A blob in a swarm. */
struct stock_swarm {
  const char *digest;
  uint64_t size;
  bool there;
  struct download_progress progress;
};
/** Walks the blobs in swarms: \p at is 0 at first. \return false after the last. */
bool stock_next_swarm(const struct stock *stock, size_t at, struct stock_swarm *out);
