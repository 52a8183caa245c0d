#include "tracker/peers.h"
#include "tracker/siphash.h"

#include <stdlib.h>

enum { PEER_STEP = 2 }; /* entries by which the last chunk grows until it is whole */

void peers_init(struct peers *p, uint32_t address_len, const unsigned char *key) {
  *p = (struct peers){.address_len = address_len, .key = key};
}

void peers_free(struct peers *p) {
  for (uint32_t at = 0; at < p->room; at += PEER_CHUNK) {
    free(p->chunks[at / PEER_CHUNK]);
  }
  free(p->chunks);
  peers_init(p, p->address_len, p->key);
}

static size_t entry_size(const struct peers *p) {
  return sizeof(struct peer) + p->address_len;
}

struct peer *peers_at(const struct peers *p, uint32_t i) {
  return (struct peer *)(void *)(p->chunks[i / PEER_CHUNK] + i % PEER_CHUNK * entry_size(p));
}

static uint32_t hash(const struct peers *p, const unsigned char *address, uint16_t port) {
  unsigned char bytes[16 + sizeof port];
  peer_copy_address(bytes, address, p->address_len);
  memcpy(bytes + p->address_len, &port, sizeof port);
  return (uint32_t)siphash(p->key, bytes, p->address_len + sizeof port);
}

static uint32_t hash_of(const struct peers *p, const struct peer *peer) {
  /* Only entries that were added are in a chain, which the analyzer cannot see. */
  return hash(p, peer->address, peer->port); // NOLINT(clang-analyzer-core.CallAndMessage)
}

/* The largest power of two that is not above n, n > 0. */
static uint32_t power_below(uint32_t n) {
  return UINT32_C(1) << (31 - __builtin_clz(n));
}

/* Which of n > 0 buckets a hash belongs to: as many of its bits as number a bucket. */
static uint32_t bucket_of(uint32_t h, uint32_t n) {
  uint32_t low = power_below(n);
  uint32_t b = h & (2 * low - 1);
  return b < n ? b : b & (low - 1);
}

static void link_entry(struct peers *p, uint32_t i) {
  struct peer *peer = peers_at(p, i);
  struct peer *bucket = peers_at(p, bucket_of(hash_of(p, peer), p->count));
  peer->next = bucket->head;
  bucket->head = i;
}

/* The link of its chain that points to entry i. */
static uint32_t *link_to(struct peers *p, uint32_t i) {
  uint32_t *link = &peers_at(p, bucket_of(hash_of(p, peers_at(p, i)), p->count))->head;
  while (*link != i) {
    link = &peers_at(p, *link)->next;
  }
  return link;
}

/* Bucket n comes into being: it takes what is its own from the one bucket that had it so far. */
static void split_bucket(struct peers *p, uint32_t n) {
  peers_at(p, n)->head = PEERS_NONE;
  if (n == 0) {
    return;
  }
  uint32_t *from = &peers_at(p, n - power_below(n))->head;
  uint32_t *to = &peers_at(p, n)->head;
  for (uint32_t i = *from; i != PEERS_NONE; i = *from) {
    struct peer *peer = peers_at(p, i);
    if (bucket_of(hash_of(p, peer), n + 1) == n) {
      *from = peer->next;
      *to = i;
      to = &peer->next;
    } else {
      from = &peer->next;
    }
  }
  *to = PEERS_NONE;
}

/* The reverse, before the last entry goes: bucket n, n > 0, is put to the one it came from. */
static void merge_bucket(struct peers *p, uint32_t n) {
  uint32_t *link = &peers_at(p, n - power_below(n))->head;
  while (*link != PEERS_NONE) {
    link = &peers_at(p, *link)->next;
  }
  *link = peers_at(p, n)->head;
}

/* Exchanges two entries that are in the index; the buckets' heads stay where they are. When one
 * follows the other in a chain, the link between them moves with the entry it is in. */
static void swap_entries(struct peers *p, uint32_t i, uint32_t j) {
  if (i == j) {
    return;
  }
  uint32_t *to_i = link_to(p, i), *to_j = link_to(p, j);
  *to_i = j;
  *to_j = i;
  struct peer *a = peers_at(p, i), *b = peers_at(p, j);
  uint32_t head_a = a->head, head_b = b->head;
  unsigned char kept[sizeof(struct peer) + 16];
  memcpy(kept, a, entry_size(p));
  memcpy(a, b, entry_size(p));
  memcpy(b, kept, entry_size(p));
  a->head = head_a;
  b->head = head_b;
}

uint32_t peers_find(const struct peers *p, const unsigned char *address, uint16_t port) {
  if (p->count == 0) {
    return PEERS_NONE;
  }
  uint32_t i = peers_at(p, bucket_of(hash(p, address, port), p->count))->head;
  while (i != PEERS_NONE) {
    const struct peer *peer = peers_at(p, i);
    if (peer->port == port && peer_same_address(peer->address, address, p->address_len)) {
      break;
    }
    i = peer->next;
  }
  return i;
}

/* Room for one entry more. The last chunk grows in steps, so that the many small swarms waste
 * little; the list of chunks doubles whenever its length is a power of two. */
static bool make_room(struct peers *p) {
  if (p->count < p->room) {
    return true;
  }
  uint32_t chunks = p->room / PEER_CHUNK, used = p->room % PEER_CHUNK;
  if (used == 0 && (chunks & (chunks - 1)) == 0) {
    unsigned char **grown =
        realloc(p->chunks, (chunks == 0 ? 1 : 2 * (size_t)chunks) * sizeof *grown);
    if (grown == NULL) {
      return false;
    }
    p->chunks = grown;
  }
  unsigned char *chunk =
      realloc(used == 0 ? NULL : p->chunks[chunks], (used + PEER_STEP) * entry_size(p));
  if (chunk == NULL) {
    return false;
  }
  p->chunks[chunks] = chunk;
  p->room += PEER_STEP;
  return true;
}

/* Gives memory back, but for one chunk, so that a peer that comes and goes costs none. */
static void trim_room(struct peers *p) {
  if (p->count == 0) {
    peers_free(p);
  } else if (p->room >= p->count + 2 * PEER_CHUNK) {
    p->room = (p->room - 1) / PEER_CHUNK * PEER_CHUNK;
    free(p->chunks[p->room / PEER_CHUNK]);
  }
}

uint32_t peers_add(struct peers *p, const unsigned char *address, uint16_t port, bool seed) {
  if (p->count == PEERS_NONE - 1 || !make_room(p)) {
    return PEERS_NONE;
  }
  uint32_t i = p->count;
  struct peer *peer = peers_at(p, i);
  memset(peer, 0, entry_size(p));
  peer->port = port;
  peer_copy_address(peer->address, address, p->address_len);
  split_bucket(p, i);
  p->count++;
  link_entry(p, i);
  return peers_set_seed(p, i, seed);
}

uint32_t peers_set_seed(struct peers *p, uint32_t i, bool seed) {
  if (seed == (i < p->seeds)) {
    return i;
  }
  /* The place at the border between the two, which moves over it. */
  uint32_t border = seed ? p->seeds++ : --p->seeds;
  swap_entries(p, i, border);
  return border;
}

void peers_remove(struct peers *p, uint32_t i) {
  uint32_t last = p->count - 1;
  i = peers_set_seed(p, i, false);
  swap_entries(p, i, last);
  *link_to(p, last) = peers_at(p, last)->next;
  if (last > 0) {
    merge_bucket(p, last);
  }
  p->count--;
  trim_room(p);
}
