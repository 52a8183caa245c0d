/**
 * The swarms in memory: who has announced which infohash, in shards with short locks, so that all
 * loops share one store. Pure but for its locks: the time comes in as seconds of a clock that never
 * goes back.
 */
#pragma once

#include "tracker/peers.h"

enum {
  INFOHASH = 20,        /**< bytes; a v2 infohash is cut to it (BEP 52) */
  SWARM_WANT_MAX = 500, /**< peers given out at once, at most */
  /** Peers that are looked through one by one for an address, at most, while the lock is held. */
  SWARM_SEARCH_MAX = 16384,
  SWARM_SLICE = 4096, /**< peers that are judged while a lock is held */
};

struct swarm_store;

/** Where a peer is reached: the source address of its announce and the port it named. */
struct swarm_endpoint {
  uint32_t address_len;      /**< 4 or 16 */
  unsigned char address[16]; /**< network order; the first address_len bytes */
  uint16_t port;             /**< host order */
};

/** Its family, as the index of arrays: 0 IPv4, 1 IPv6. */
static inline int swarm_family(const struct swarm_endpoint *at) {
  return at->address_len == 4 ? 0 : 1;
}

/** A peer that is given out. */
struct swarm_peer {
  struct swarm_endpoint at;
  unsigned char id[PEER_ID];
};

/** What a scrape tells of a swarm (BEP 48, BEP 21). */
struct swarm_counts {
  uint32_t complete;
  uint32_t incomplete;
  uint32_t downloaded;  /**< peers that said `completed`, since the swarm came into being */
  uint32_t downloaders; /**< those of incomplete that are not paused */
};

enum swarm_event { SWARM_REGULAR, SWARM_STARTED, SWARM_COMPLETED, SWARM_STOPPED, SWARM_PAUSED };

/** An announce that may be let in. */
struct swarm_announce {
  const unsigned char *infohash; /**< INFOHASH bytes */
  const unsigned char *peer_id;  /**< PEER_ID bytes */
  const unsigned char *token;    /**< PEER_TOKEN bytes of its token's fingerprint */
  /** Port 0 comes with SWARM_STOPPED only: the peer id is looked for at the address then, within
   *  SWARM_SEARCH_MAX peers; what is not found falls silent. */
  struct swarm_endpoint at;
  enum swarm_event event;
  bool seed;          /**< it has all, or says that it completed */
  bool must_be_known; /**< no right to join: it goes on only as a live peer with this very token */
  unsigned want;      /**< peers it wants, up to SWARM_WANT_MAX */
};

enum swarm_outcome {
  SWARM_ANNOUNCED,
  SWARM_UNKNOWN, /**< must_be_known, and it is not; nothing changed */
  SWARM_FULL,    /**< no peer more can be taken in; those that are known go on */
};

/** What an announce is told. Peers are never the asker; to a seed none is a seed. */
struct swarm_answer {
  struct swarm_counts counts;
  bool first;        /**< no entry before, another peer id or token in it, or `started` */
  unsigned count[2]; /**< peers of each family: IPv4, IPv6 */
  struct swarm_peer peers[2][SWARM_WANT_MAX]; /**< only the first `count` are filled in */
};

/**
 * \param max_peers the most peers that are kept, over all swarms.
 * \param timeout seconds of silence after which a peer is gone.
 * \return NULL when there is no memory or no randomness; freed by swarm_store_free().
 */
struct swarm_store *swarm_store_new(size_t max_peers, uint32_t timeout);
void swarm_store_free(struct swarm_store *store);

/**
 * Takes an announce in. A peer is known by its source address and port: so another peer behind the
 * same address is another peer, a client that starts anew replaces its old entry, and nobody else
 * can touch it by its peer id. A swarm comes into being with its first peer, and goes with its
 * last, its `downloaded` too.
 */
enum swarm_outcome swarm_store_announce(struct swarm_store *store, const struct swarm_announce *a,
                                        uint32_t now, struct swarm_answer *out);

/** The counts of a swarm; all zero when there is none. */
struct swarm_counts swarm_store_scrape(struct swarm_store *store, const unsigned char *infohash);

/**
 * Whether a live peer of that swarm has announced from the address of \p from, whatever the port,
 * with that token. Looks at SWARM_SEARCH_MAX peers at most; in a larger swarm it may miss one.
 */
bool swarm_store_knows(struct swarm_store *store, const unsigned char *infohash,
                       const struct swarm_endpoint *from, const unsigned char *token, uint32_t now);

/**
 * Takes silent peers out, a part of all in each call, so that it stays short: called once a second,
 * it goes round in about half a minute, or longer where a shard has more than 250,000 peers. Until
 * then a silent peer is not given out, and proves nothing, but is counted.
 */
void swarm_store_expire(struct swarm_store *store, uint32_t now);

/** Whether a peer may stay: of which infohash, and PEER_TOKEN bytes of its token's fingerprint.
 * Called with a lock held; calls nothing of the store. */
typedef bool swarm_judge(void *arg, const unsigned char *infohash, const unsigned char *token);

/**
 * Takes out the peers that may not stay. Goes through all of them, SWARM_SLICE at a time for each
 * hold of a lock. What announces meanwhile may be missed, and in a swarm of more than one slice a
 * peer that moved because of it: whoever must be sure calls it once more.
 */
void swarm_store_drop(struct swarm_store *store, swarm_judge *stays, void *arg);

size_t swarm_store_peers(struct swarm_store *store);  /**< peers it holds now */
size_t swarm_store_swarms(struct swarm_store *store); /**< swarms it holds now */
