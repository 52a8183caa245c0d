#include "node/plan.h"

#include <stdlib.h>
#include <string.h>

/* What is remembered of a peer. */
struct memory {
  unsigned char id[PEER_ID];
  uint64_t received;
  uint32_t have;
  uint64_t came_on_ms; /* when it was last seen to have got a piece, or first seen at all */
  uint64_t heard_ms; /* when it last did that, or sent us something, or there was nothing to send */
};

struct plan {
  struct memory *peers; /* sorted by id */
  size_t count;
  unsigned char *known; /* bitfield of the pieces that we or live peers have */
  size_t known_size;
  uint32_t wanted; /* whence somebody reads; UINT32_MAX: nobody */
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
    free(plan);
  }
}

static int by_id(const void *a, const void *b) {
  return memcmp(((const struct memory *)a)->id, ((const struct memory *)b)->id, PEER_ID);
}

/* Sorts those of the view, and carries over what is known of each. */
static int remember(struct plan *plan, const struct plan_view *view, uint64_t now_ms,
                    struct error *e) {
  struct memory *peers = calloc(view->peer_count + 1, sizeof *peers);
  if (peers == NULL) {
    return error_set(e, ERROR_FAILED, "no memory for a plan");
  }
  for (size_t i = 0; i < view->peer_count; i++) {
    const struct plan_peer *peer = &view->peers[i];
    struct memory *now = &peers[i];
    memcpy(now->id, peer->id, PEER_ID);
    now->received = peer->received;
    now->have = peer->have;
    const struct memory *before =
        plan->count == 0 ? NULL : bsearch(now, plan->peers, plan->count, sizeof *now, by_id);
    bool came_on = before == NULL || peer->have > before->have;
    bool heard = came_on || !peer->wanted || peer->received > before->received;
    now->came_on_ms = came_on ? now_ms : before->came_on_ms;
    now->heard_ms = heard ? now_ms : before->heard_ms;
  }
  qsort(peers, view->peer_count, sizeof *peers, by_id);
  free(plan->peers);
  plan->peers = peers;
  plan->count = view->peer_count;
  return 0;
}

static const struct memory *recall(const struct plan *plan, const struct plan_peer *peer) {
  struct memory key;
  memcpy(key.id, peer->id, PEER_ID);
  return bsearch(&key, plan->peers, plan->count, sizeof key, by_id);
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

/* Those who share the pieces among them: live nodes and we, in the order of their ids. */
struct owners {
  const struct memory **sorted; /* NULL: we */
  size_t count;
};

static int sort_owners(const void *a, const void *b) {
  return memcmp((*(const struct memory *const *)a)->id, (*(const struct memory *const *)b)->id,
                PEER_ID);
}

static int find_owners(const struct plan *plan, const struct plan_view *view,
                       const struct memory *self, uint64_t now_ms, uint64_t patience_ms,
                       struct owners *out, struct error *e) {
  out->sorted = calloc(view->peer_count + 1, sizeof(struct memory *));
  if (out->sorted == NULL) {
    error_set(e, ERROR_FAILED, "no memory for a plan");
    return -1;
  }
  out->sorted[out->count++] = self;
  for (size_t i = 0; i < view->peer_count; i++) {
    const struct plan_peer *peer = &view->peers[i];
    /* Who has all of it fetches nothing. */
    if (peer->node && peer->have < view->piece_count && is_live(plan, peer, now_ms, patience_ms)) {
      out->sorted[out->count++] = recall(plan, peer);
    }
  }
  qsort(out->sorted, out->count, sizeof(struct memory *), sort_owners);
  return 0;
}

/* Fills plan->known: what we and live peers have. */
static int find_known(struct plan *plan, const struct plan_view *view, uint64_t now_ms,
                      uint64_t patience_ms, struct error *e) {
  size_t size = bitfield_size(view->piece_count);
  if (size > plan->known_size) {
    unsigned char *known = realloc(plan->known, size);
    if (known == NULL) {
      return error_set(e, ERROR_FAILED, "no memory for a plan");
    }
    plan->known = known;
    plan->known_size = size;
  }
  memcpy(plan->known, view->pieces, size);
  for (size_t i = 0; i < view->peer_count; i++) {
    const struct plan_peer *peer = &view->peers[i];
    if (peer->pieces != NULL && is_live(plan, peer, now_ms, patience_ms)) {
      for (size_t byte = 0; byte < size; byte++) {
        plan->known[byte] = (unsigned char)(plan->known[byte] | peer->pieces[byte]);
      }
    }
  }
  return 0;
}

void plan_want(struct plan *plan, uint32_t piece) {
  plan->wanted = piece;
}

int plan_choose(struct plan *plan, const struct plan_view *view, const unsigned char *taken,
                uint64_t now_ms, uint64_t patience_ms, uint64_t *seed, struct plan_choice *out,
                struct error *e) {
  struct memory self = {.came_on_ms = now_ms};
  struct owners owners = {0};
  memcpy(self.id, view->self, PEER_ID);
  *out = (struct plan_choice){0};
  if (remember(plan, view, now_ms, e) != 0 || find_known(plan, view, now_ms, patience_ms, e) != 0 ||
      find_owners(plan, view, &self, now_ms, patience_ms, &owners, e) != 0) {
    return -1;
  }
  uint32_t orphan = 0;
  uint32_t first = UINT32_MAX; /* of our own, from where somebody reads */
  for (uint32_t p = 0; p < view->piece_count; p++) {
    if (bitfield_has(plan->known, p) || bitfield_has(taken, p)) {
      continue;
    }
    const struct memory *owner = owners.sorted[p % owners.count];
    if (owner == &self) {
      if (plan_roll(seed, ++out->own) == 0) {
        out->piece = p;
      }
      first = first == UINT32_MAX && p >= plan->wanted ? p : first;
    } else if (now_ms - owner->came_on_ms > patience_ms) {
      if (plan_roll(seed, ++out->orphaned) == 0) {
        orphan = p;
      }
    }
  }
  out->piece = out->own == 0 ? orphan : first != UINT32_MAX ? first : out->piece;
  free(owners.sorted);
  return 0;
}
