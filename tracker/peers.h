/**
 * The peers of one swarm and one address family: a dense array, so that any of them is picked in
 * one step, seeds first, and a hash index by address and port inside of the same entries.
 *
 * The index is linear hashing (Litwin, 1980) with as many buckets as entries: each entry carries
 * the head of the bucket of its own number and a link of its own chain. So a table grows and
 * shrinks by one bucket a peer, with no pause and no spare memory but a part of one chunk.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
  PEER_ID = 20,    /**< bytes of a peer id (BEP 3) */
  PEER_TOKEN = 8,  /**< bytes kept of a token's fingerprint */
  PEER_CHUNK = 16, /**< entries that lie together */
};

/** What of peers_find() and peers_add() is no peer. */
#define PEERS_NONE UINT32_MAX

enum peer_flag {
  PEER_PAUSED = 1,    /**< a partial seed: it wants no more, and has not all (BEP 21) */
  PEER_COMPLETED = 2, /**< counted in `downloaded` */
};

/** An entry: 48 bytes for IPv4, 60 for IPv6. */
struct peer {
  uint32_t head; /**< the index's own */
  uint32_t next; /**< the index's own */
  uint32_t seen; /**< when it announced last, seconds of the caller's clock */
  uint16_t port; /**< host byte order */
  uint8_t flags; /**< set of peer_flag */
  unsigned char id[PEER_ID];
  unsigned char token[PEER_TOKEN]; /**< which token it announced with */
  unsigned char address[];         /**< 4 or 16 bytes, network order */
};

/** Whether it has announced nothing for more than \p timeout seconds: then it is as good as gone.
 * \p now may be a little before it was seen: loops read the clock, then wait for the lock. */
static inline bool peer_silent(const struct peer *peer, uint32_t now, uint32_t timeout) {
  return (int64_t)now - peer->seen > timeout;
}

/* Addresses have one of two lengths; known to the compiler, each makes a move or two, not a call.
 */

static inline void peer_copy_address(unsigned char *to, const unsigned char *from, size_t len) {
  if (len == 4) {
    memcpy(to, from, 4);
  } else {
    memcpy(to, from, 16);
  }
}

static inline bool peer_same_address(const unsigned char *a, const unsigned char *b, size_t len) {
  return len == 4 ? memcmp(a, b, 4) == 0 : memcmp(a, b, 16) == 0;
}

/** Embedded by its owner, which also locks it; made by peers_init(). */
struct peers {
  unsigned char **chunks;
  uint32_t room;            /**< entries that are allocated */
  uint32_t count;           /**< entries 0 … count - 1; the seeds are 0 … seeds - 1 */
  uint32_t seeds;           /**< peers that have all */
  uint32_t address_len;     /**< 4 or 16 */
  const unsigned char *key; /**< SIPHASH_KEY bytes; outlives the table */
};

void peers_init(struct peers *p, uint32_t address_len, const unsigned char *key);
void peers_free(struct peers *p);

/** Entry \p i < count; valid until the next peers_add(), peers_remove() or peers_set_seed(). */
struct peer *peers_at(const struct peers *p, uint32_t i);

/** The entry of that address and port, or PEERS_NONE. */
uint32_t peers_find(const struct peers *p, const unsigned char *address, uint16_t port);

/**
 * Adds an entry whose address and port are not in the table yet; all else in it is zero.
 *
 * \return where it is, or PEERS_NONE when there is no memory.
 */
uint32_t peers_add(struct peers *p, const unsigned char *address, uint16_t port, bool seed);

/** Removes entry \p i; others may change their place. */
void peers_remove(struct peers *p, uint32_t i);

/** Makes entry \p i a seed, or no seed any more. \return where it is now. */
uint32_t peers_set_seed(struct peers *p, uint32_t i, bool seed);
