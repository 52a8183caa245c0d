#include "tracker/pick.h"

enum { SKIPPED_MAX = 16 }; /* peers that must not be given are passed over, up to so many */

/* splitmix64 (Steele, Lea and Flood, 2014): it spreads load, and need not be unforeseeable. */
static uint32_t random_below(uint64_t *state, uint32_t bound) {
  uint64_t x = *state += 0x9e3779b97f4a7c15;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
  x = (x ^ x >> 27) * 0x94d049bb133111eb;
  return (uint32_t)(((x ^ x >> 31) >> 32) * bound >> 32);
}

/* The asker's own entry has its id by now, and so has one of the other family (BEP 7). Ids of one
 * client begin alike and end at random. */
static bool may_be_given(const struct pick *pick, const struct peer *peer) {
  const unsigned char *id = pick->asker->peer_id;
  bool same = peer->id[PEER_ID - 1] == id[PEER_ID - 1] && memcmp(peer->id, id, PEER_ID) == 0;
  return !same && !peer_silent(peer, pick->now, pick->timeout);
}

/* Picks up to want of the entries from first to end, in a row from a random one on: neighbours in
 * memory are read at a fraction of the cost of scattered ones. */
static unsigned pick_range(const struct pick *pick, const struct peers *p, uint32_t first,
                           uint32_t end, unsigned want, struct swarm_peer *out) {
  uint32_t count = end - first;
  if (count == 0 || want == 0) {
    return 0;
  }
  uint32_t at = random_below(pick->random, count);
  unsigned got = 0;
  for (uint32_t steps = 0; steps < count && steps < want + SKIPPED_MAX && got < want; steps++) {
    const struct peer *peer = peers_at(p, first + at);
    at = at + 1 < count ? at + 1 : 0;
    if (may_be_given(pick, peer)) {
      out->at.address_len = p->address_len;
      out->at.port = peer->port;
      peer_copy_address(out->at.address, peer->address, p->address_len);
      memcpy(out->id, peer->id, PEER_ID);
      out++;
      got++;
    }
  }
  return got;
}

/* How many of a second kind go along: half, or all of them when they are fewer. */
static unsigned share(unsigned want, uint32_t second) {
  return second < want / 2 ? (unsigned)second : want / 2;
}

static unsigned pick_family(const struct pick *pick, const struct peers *p, unsigned want,
                            struct swarm_peer *out) {
  uint32_t seeds = pick->asker->seed ? 0 : p->seeds;
  unsigned got = pick_range(pick, p, p->seeds, p->count, want - share(want, seeds), out);
  return got + pick_range(pick, p, 0, seeds, want - got, out + got);
}

void pick_peers(const struct pick *pick, const struct peers family[2], struct swarm_answer *out) {
  unsigned want = pick->asker->want < SWARM_WANT_MAX ? pick->asker->want : SWARM_WANT_MAX;
  /* The asker can surely reach its own family, so that one comes first. */
  int own = swarm_family(&pick->asker->at), other = !own;
  const struct peers *p = &family[other];
  uint32_t others = pick->asker->seed ? p->count - p->seeds : p->count;
  out->count[own] = pick_family(pick, &family[own], want - share(want, others), out->peers[own]);
  out->count[other] = pick_family(pick, p, want - out->count[own], out->peers[other]);
}
