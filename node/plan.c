#include "node/plan.h"

#include <stdlib.h>
#include <string.h>

enum {
  FETCHERS = 8,  /* nodes of a swarm that fetch at once, about; they fill any link */
  STAGGER = 4,   /* pieces are taken over within so many times the patience, not all at once */
  SLOW = 4,      /* times that until pieces are taken over from one who does come on */
  DOUBLINGS = 24 /* of the fetchers, at most */
};

/* What is remembered of a peer. */
struct memory {
  unsigned char id[PEER_ID];
  uint64_t lot; /* drawn by its id: the same for all who see it */
  uint64_t received;
  uint32_t have;
  uint64_t came_on_ms; /* when it was last seen to have got a piece, or first seen at all */
  uint64_t heard_ms; /* when it last did that, or sent us something, or there was nothing to send */
};

struct plan {
  struct memory *peers; /* sorted by id */
  size_t count;
  unsigned char *known;  /* bitfield of the pieces that we or live peers have */
  unsigned char *before; /* the same, when it was last looked at */
  bool begun;
  uint64_t own_ms;  /* when there was last a candidate of our own, or we began */
  uint64_t got_ms;  /* when anybody last sent us anything, or there was nothing to send */
  uint64_t news_ms; /* when somebody else was last seen to have a piece that nobody had */
  uint32_t wanted;  /* whence somebody reads; UINT32_MAX: nobody */
};

struct plan *plan_new(void) {
  struct plan *plan = calloc(1, sizeof *plan);
  if (plan != NULL) {
    plan->wanted = UINT32_MAX;
  }
  return plan;
}

void plan_free(struct plan *plan) {
  if (plan != NULL) {
    free(plan->peers);
    free(plan->known);
    free(plan->before);
    free(plan);
  }
}

/* The last step of splitmix64 (Steele, Lea, Flood): each bit hangs on every other. */
static uint64_t mix(uint64_t x) {
  x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
  return x ^ x >> 31;
}

static uint64_t draw_lot(const unsigned char id[PEER_ID]) {
  uint64_t lot = 0;
  for (size_t i = 0; i < PEER_ID; i++) {
    lot = mix((lot << 8 | lot >> 56) ^ id[i]);
  }
  return lot;
}

static int by_id(const void *a, const void *b) {
  return memcmp(((const struct memory *)a)->id, ((const struct memory *)b)->id, PEER_ID);
}

/* Sorts those of the view, and carries over what is known of each. */
static int remember(struct plan *plan, const struct plan_view *view, uint64_t now_ms,
                    struct error *e) {
  bool got = false;
  bool wanted = false;
  struct memory *peers = calloc(view->peer_count + 1, sizeof *peers);
  if (peers == NULL) {
    error_set(e, ERROR_FAILED, "no memory for a plan");
    return -1;
  }
  for (size_t i = 0; i < view->peer_count; i++) {
    const struct plan_peer *peer = &view->peers[i];
    struct memory *now = &peers[i];
    memcpy(now->id, peer->id, PEER_ID);
    now->lot = draw_lot(peer->id);
    now->received = peer->received;
    now->have = peer->have;
    const struct memory *before =
        plan->count == 0 ? NULL : bsearch(now, plan->peers, plan->count, sizeof *now, by_id);
    bool came_on = before == NULL || peer->have > before->have;
    bool heard = came_on || !peer->wanted || peer->received > before->received;
    got = got || peer->received > (before == NULL ? 0 : before->received);
    wanted = wanted || peer->wanted;
    now->came_on_ms = came_on ? now_ms : before->came_on_ms;
    now->heard_ms = heard ? now_ms : before->heard_ms;
  }
  qsort(peers, view->peer_count, sizeof *peers, by_id);
  free(plan->peers);
  plan->peers = peers;
  plan->count = view->peer_count;
  plan->got_ms = got || !wanted || !plan->begun ? now_ms : plan->got_ms;
  return 0;
}

static const struct memory *recall(const struct plan *plan, const struct plan_peer *peer) {
  struct memory key;
  memcpy(key.id, peer->id, PEER_ID);
  return bsearch(&key, plan->peers, plan->count, sizeof key, by_id);
}

/* They have what we want, one and all, and nobody sends it: what they say is not believed. One that
 * lies and comes back under ever new ids, or tells of a piece now and then, would stop us else. */
static bool doubts(const struct plan *plan, uint64_t now_ms, uint64_t patience_ms) {
  return now_ms - plan->got_ms > patience_ms;
}

static bool is_live(const struct plan *plan, const struct plan_peer *peer, uint64_t now_ms,
                    uint64_t patience_ms) {
  return now_ms - recall(plan, peer)->heard_ms <= patience_ms;
}

/* xorshift64* (Marsaglia, Vigna): nothing hangs on it but that nodes do not choose alike. */
uint32_t plan_roll(uint64_t *seed, uint32_t sides) {
  *seed ^= *seed >> 12;
  *seed ^= *seed << 25;
  *seed ^= *seed >> 27;
  return (uint32_t)(((*seed * UINT64_C(2685821657736338717)) >> 32) % sides);
}

/* --- what is to be had --- */

/* Fills plan->known: what we and live peers have; and tells news from what we got ourselves. */
static int find_known(struct plan *plan, const struct plan_view *view, uint64_t now_ms,
                      uint64_t patience_ms, struct error *e) {
  size_t size = bitfield_size(view->piece_count);
  if (plan->known == NULL) {
    plan->known = calloc(1, size + 1);
    plan->before = calloc(1, size + 1);
    if (plan->known == NULL || plan->before == NULL) {
      free(plan->known);
      free(plan->before);
      plan->known = plan->before = NULL;
      error_set(e, ERROR_FAILED, "no memory for a plan");
      return -1;
    }
  }
  unsigned char *last = plan->known;
  plan->known = plan->before;
  plan->before = last;
  memcpy(plan->known, view->pieces, size);
  for (size_t i = 0; i < view->peer_count && !doubts(plan, now_ms, patience_ms); i++) {
    const struct plan_peer *peer = &view->peers[i];
    if (peer->pieces != NULL && is_live(plan, peer, now_ms, patience_ms)) {
      for (size_t byte = 0; byte < size; byte++) {
        plan->known[byte] = (unsigned char)(plan->known[byte] | peer->pieces[byte]);
      }
    }
  }
  bool news = !plan->begun;
  for (size_t byte = 0; byte < size && !news; byte++) {
    news = (plan->known[byte] & ~(plan->before[byte] | view->pieces[byte])) != 0;
  }
  plan->own_ms = plan->begun ? plan->own_ms : now_ms;
  plan->news_ms = news ? now_ms : plan->news_ms;
  plan->begun = true;
  return 0;
}

/* --- who fetches --- */

/* Those who share the pieces among them: fetchers that we see, and we if we are one. */
struct owners {
  const struct memory **list;
  size_t count;
  bool self; /* we are; the last of the list */
};

/* Of how many nodes the swarm is, by what the tracker says, of whom some are no nodes. */
static uint64_t count_nodes(const struct plan_view *view) {
  uint64_t nodes = 1;
  uint64_t fetching = 1;
  for (size_t i = 0; i < view->peer_count; i++) {
    fetching += view->peers[i].have < view->piece_count ? 1 : 0;
    nodes += view->peers[i].have < view->piece_count && view->peers[i].node ? 1 : 0;
  }
  return view->swarm > fetching ? view->swarm * nodes / fetching : nodes;
}

/* Some FETCHERS of all, and twice as many each time that no news have come for a while. */
static bool is_fetcher(uint64_t lot, uint64_t nodes, unsigned doublings) {
  return nodes <= (uint64_t)FETCHERS << doublings ||
         (lot >> 32) * nodes < ((uint64_t)FETCHERS << doublings) << 32;
}

static int find_owners(const struct plan *plan, const struct plan_view *view,
                       const struct memory *self, uint64_t now_ms, uint64_t patience_ms,
                       struct owners *out, struct error *e) {
  uint64_t nodes = count_nodes(view);
  uint64_t quiet = (now_ms - plan->news_ms) / (2 * patience_ms + 1);
  unsigned doublings = quiet < DOUBLINGS ? (unsigned)quiet : DOUBLINGS;
  out->list = calloc(view->peer_count + 1, sizeof(struct memory *));
  if (out->list == NULL) {
    error_set(e, ERROR_FAILED, "no memory for a plan");
    return -1;
  }
  for (size_t i = 0; i < view->peer_count; i++) {
    const struct plan_peer *peer = &view->peers[i];
    const struct memory *known = recall(plan, peer);
    /* Who has all of it fetches nothing. */
    if (peer->node && peer->have < view->piece_count && is_live(plan, peer, now_ms, patience_ms) &&
        is_fetcher(known->lot, nodes, doublings)) {
      out->list[out->count++] = known;
    }
  }
  out->self = is_fetcher(self->lot, nodes, doublings);
  if (out->self) {
    out->list[out->count++] = self;
  }
  return 0;
}

/* Rendezvous hashing (Thaler, Ravishankar): who goes or comes moves no pieces but its own, so that
 * nodes which do not see the same peers differ little. */
static const struct memory *find_owner(const struct owners *owners, uint32_t piece) {
  const struct memory *found = NULL;
  uint64_t least = UINT64_MAX;
  for (size_t i = 0; i < owners->count; i++) {
    uint64_t weight = mix(owners->list[i]->lot ^ piece * UINT64_C(0x9e3779b97f4a7c15));
    if (found == NULL || weight < least) {
      found = owners->list[i];
      least = weight;
    }
  }
  return found;
}

/* How long an owner may have got nothing until we take a piece of its over: not the same for all
 * who wait for it. */
static uint64_t wait_before(uint64_t lot, uint32_t piece, uint64_t patience_ms) {
  return patience_ms + (mix(lot + piece) >> 32) * STAGGER * patience_ms / UINT32_MAX;
}

/* An owner has not come on for too long, or comes on while we have long had nothing of our own. */
static bool is_late(const struct plan *plan, uint64_t since, uint64_t now_ms, uint64_t wait_ms) {
  return now_ms - since > wait_ms || now_ms - plan->own_ms > wait_ms * SLOW;
}

void plan_want(struct plan *plan, uint32_t piece) {
  plan->wanted = piece;
}

int plan_choose(struct plan *plan, const struct plan_view *view, const unsigned char *taken,
                uint64_t now_ms, uint64_t patience_ms, uint64_t *seed, struct plan_choice *out,
                struct error *e) {
  struct memory self = {.lot = draw_lot(view->self)};
  struct owners owners = {0};
  *out = (struct plan_choice){0};
  if (remember(plan, view, now_ms, e) != 0 || find_known(plan, view, now_ms, patience_ms, e) != 0 ||
      find_owners(plan, view, &self, now_ms, patience_ms, &owners, e) != 0) {
    return -1;
  }
  bool in_doubt = doubts(plan, now_ms, patience_ms);
  uint32_t orphan = 0;
  uint32_t first = UINT32_MAX; /* of our own, from where somebody reads */
  for (uint32_t p = 0; p < view->piece_count && owners.self; p++) {
    if (bitfield_has(plan->known, p) || bitfield_has(taken, p)) {
      continue;
    }
    const struct memory *owner = find_owner(&owners, p);
    uint64_t since =
        in_doubt && plan->got_ms < owner->came_on_ms ? plan->got_ms : owner->came_on_ms;
    if (owner == &self) {
      if (plan_roll(seed, ++out->own) == 0) {
        out->piece = p;
      }
      first = first == UINT32_MAX && p >= plan->wanted ? p : first;
    } else if (is_late(plan, since, now_ms, wait_before(self.lot, p, patience_ms))) {
      if (plan_roll(seed, ++out->orphaned) == 0) {
        orphan = p;
      }
    }
  }
  plan->own_ms = out->own > 0 ? now_ms : plan->own_ms;
  out->piece = out->own == 0 ? orphan : first != UINT32_MAX ? first : out->piece;
  free(owners.list);
  return 0;
}
