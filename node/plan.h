/**
 * Which piece a node fetches from the gateway next, so that all nodes together fetch each about
 * once, and nobody has to tell anybody anything: every node sees about the same, and reckons with
 * the same rule who takes what. Pure.
 *
 * Candidates are the pieces that neither we nor any live peer has. Of all nodes some eight are
 * fetchers, by lot of their peer ids; in a swarm of no more all are. A piece is that of the one of
 * the fetchers in sight for whom a hash of both is the least. A fetcher takes a random one of its
 * own. When it has none it takes over from one that has not come on for a while, each at its own
 * time; else it waits, for its peers are about to have what is left. When no piece has turned up at
 * anybody else for a while there are twice as many fetchers, and again, until there is one in
 * sight.
 *
 * A peer that has pieces we want, and has sent nothing and got nothing for a while, is not live:
 * its pieces are candidates again and it owns none. Else the silent death of one would stall all.
 * When nobody at all has sent anything for that while, what they say they have does not count, nor
 * that they come on: whoever is let in can lie, but not stop others.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PEER_ID = 20 }; /**< bytes of a peer id (BEP 3) */

/** What is known of a peer that we are connected to. */
struct plan_peer {
  unsigned char id[PEER_ID];
  bool node;                   /**< it plans by this rule too; others are sources, never owners */
  bool wanted;                 /**< it has pieces that we want (BEP 3: we are interested) */
  uint64_t received;           /**< bytes of pieces that it has sent us */
  uint32_t have;               /**< number of its pieces */
  const unsigned char *pieces; /**< a bitfield as BEP 3 has it; NULL: none yet */
};

/** A torrent as it is now. */
struct plan_view {
  unsigned char self[PEER_ID];
  uint32_t piece_count;
  const unsigned char *pieces; /**< those that we have, as above */
  const struct plan_peer *peers;
  size_t peer_count;
  uint32_t swarm; /**< peers that have not got all of it, by the tracker, who knows those too that
                     we are not connected to; 0: it has not said */
};

/** What came out. */
struct plan_choice {
  uint32_t own;      /**< candidates that are ours to fetch; none while we are no fetcher */
  uint32_t orphaned; /**< candidates whose owners have not come on for a while */
  uint32_t piece;    /**< one of the own, at random or as plan_want() says; of the orphaned where
                          there are none; undefined where there are neither */
};

/** Remembers since when each peer of a torrent has not come on. */
struct plan;

/** \return NULL when there is no memory; freed by plan_free(). */
struct plan *plan_new(void);
/** NULL is fine. */
void plan_free(struct plan *plan);

/** Somebody reads the torrent in order, and has come to \p piece: of our own pieces the first from
 *  there on is chosen, in place of a random one. */
void plan_want(struct plan *plan, uint32_t piece);

/**
 * Chooses.
 *
 * \param taken pieces that are not to be chosen though we have not got them yet, a bitfield.
 * \param now_ms a clock that never goes backwards.
 * \param patience_ms what "a while" is: some times as long as a piece takes.
 * \param seed of the dice, any number but 0, which goes on from call to call.
 * \return 0, or -1 with ERROR_FAILED when there is no memory.
 */
int plan_choose(struct plan *plan, const struct plan_view *view, const unsigned char *taken,
                uint64_t now_ms, uint64_t patience_ms, uint64_t *seed, struct plan_choice *out,
                struct error *e);

/** A number from 0 to \p sides - 1 off the dice of plan_choose(). */
uint32_t plan_roll(uint64_t *seed, uint32_t sides);

/** Whether piece \p i is set in a bitfield. */
static inline bool bitfield_has(const unsigned char *bits, uint32_t i) {
  return (bits[i / 8] & (0x80U >> i % 8)) != 0;
}

static inline void bitfield_set(unsigned char *bits, uint32_t i) {
  bits[i / 8] = (unsigned char)(bits[i / 8] | (0x80U >> i % 8));
}

static inline void bitfield_clear(unsigned char *bits, uint32_t i) {
  bits[i / 8] = (unsigned char)(bits[i / 8] & ~(0x80U >> i % 8));
}

/** Bytes of a bitfield of \p count pieces. */
static inline size_t bitfield_size(uint32_t count) {
  return ((size_t)count + 7) / 8;
}
