#include "bench/simulated.h"

/* As libtorrent has them. */
enum { DIALS_AT_ONCE = 30, DIALS_A_SECOND = 30 };
static const double unchoke_seconds = 15;

/* --- between peers --- */

/* The rarest of those that the asker wants of it. \return UINT32_MAX: there is none. */
static uint32_t rarest(struct simulation *s, const struct node *from, const struct node *to) {
  uint32_t found = UINT32_MAX;
  uint32_t least = UINT32_MAX;
  uint32_t same = 0;
  for (uint32_t byte = 0; byte < bitfield_size(s->o.pieces); byte++) {
    if ((from->told[byte] & ~(to->have[byte] | to->asked[byte]) & 0xff) == 0) {
      continue;
    }
    for (uint32_t p = byte * 8; p < byte * 8 + 8 && p < s->o.pieces; p++) {
      if (!bitfield_has(from->told, p) || bitfield_has(to->have, p) || bitfield_has(to->asked, p) ||
          to->holders[p] > least) {
        continue;
      }
      same = to->holders[p] < least ? 1 : same + 1;
      least = to->holders[p];
      found = plan_roll(&s->seed, same) == 0 ? p : found;
    }
  }
  return found;
}

static void expect(struct simulation *s, uint32_t number) {
  struct link *up = &s->nodes[number].up;
  if (up->count > 0) {
    simulation_add(s, link_due(up) - s->now, UPLINK, number, 0, 0, up->version);
  }
}

static void send_next(struct simulation *s, uint32_t number, struct edge *edge) {
  struct node *n = &s->nodes[number];
  struct node *to = &s->nodes[edge->peer];
  uint32_t piece = !edge->unchoked || edge->sending ? UINT32_MAX : rarest(s, n, to);
  if (piece == UINT32_MAX) {
    return;
  }
  bitfield_set(to->asked, piece);
  edge->sending = true;
  s->events.failed |=
      !link_add(&n->up, s->now, s->o.piece_size, (uint32_t)(edge - n->edges), piece);
  expect(s, number);
}

static const struct edge *other_end(const struct simulation *s, const struct edge *edge) {
  return &s->nodes[edge->peer].edges[edge->back];
}

static void unchoke(struct simulation *s, uint32_t number, struct edge *edge) {
  edge->unchoked = true;
  s->nodes[number].unchoked++;
  send_next(s, number, edge);
}

/* Gives its free slots to any who want something. */
static void fill_slots(struct simulation *s, uint32_t number) {
  struct node *n = &s->nodes[number];
  while (n->unchoked < s->o.slots) {
    struct edge *found = NULL;
    uint32_t wanting = 0;
    for (uint32_t i = 0; i < n->edge_count; i++) {
      struct edge *edge = &n->edges[i];
      if (!edge->unchoked && other_end(s, edge)->wanted > 0 &&
          plan_roll(&s->seed, ++wanting) == 0) {
        found = edge;
      }
    }
    if (found == NULL) {
      return;
    }
    unchoke(s, number, found);
  }
}

void mesh_rechoke(struct simulation *s, uint32_t number) {
  struct node *n = &s->nodes[number];
  for (uint32_t i = 0; i < n->edge_count; i++) {
    n->unchoked -= n->edges[i].unchoked ? 1 : 0;
    n->edges[i].unchoked = false;
  }
  fill_slots(s, number);
  simulation_add(s, unchoke_seconds, RECHOKE, number, 0, 0, 0);
}

/* One piece less is wanted of the peer. */
static void want_less(struct simulation *s, struct edge *edge) {
  struct node *peer = &s->nodes[edge->peer];
  struct edge *back = &peer->edges[edge->back];
  if (--edge->wanted == 0 && back->unchoked) {
    back->unchoked = false;
    peer->unchoked--;
    fill_slots(s, edge->peer);
  }
}

void mesh_land(struct simulation *s, uint32_t number, uint32_t piece) {
  struct node *n = &s->nodes[number];
  bitfield_clear(n->taken, piece);
  bitfield_clear(n->asked, piece);
  if (bitfield_has(n->have, piece)) {
    return;
  }
  bitfield_set(n->have, piece);
  if (++n->have_count == s->o.pieces) {
    s->ends[s->done++] = s->now;
  }
  for (uint32_t i = 0; i < n->edge_count; i++) {
    if (bitfield_has(s->nodes[n->edges[i].peer].told, piece)) {
      want_less(s, &n->edges[i]);
    }
  }
  simulation_add(s, s->o.latency, TOLD, number, 0, piece, 0);
}

/* Its peers hear that it has a piece. */
void mesh_tell(struct simulation *s, uint32_t number, uint32_t piece) {
  struct node *n = &s->nodes[number];
  bitfield_set(n->told, piece);
  n->told_count++;
  for (uint32_t i = 0; i < n->edge_count; i++) {
    struct edge *edge = &n->edges[i];
    struct node *peer = &s->nodes[edge->peer];
    peer->holders[piece]++;
    if (!bitfield_has(peer->have, piece)) {
      peer->edges[edge->back].wanted++;
      send_next(s, number, edge);
    }
  }
  fill_slots(s, number);
}

void mesh_sent(struct simulation *s, uint32_t number) {
  struct node *n = &s->nodes[number];
  struct transfer through = link_take(&n->up, s->now);
  struct edge *edge = &n->edges[through.node];
  edge->sending = false;
  simulation_bring(s, edge->peer, PEERED, edge->back, through.piece);
  send_next(s, number, edge);
  expect(s, number);
}

/* --- the mesh --- */

static bool is_connected(const struct node *n, uint32_t peer) {
  for (uint32_t i = 0; i < n->edge_count; i++) {
    if (n->edges[i].peer == peer) {
      return true;
    }
  }
  return false;
}

static void learn(struct simulation *s, struct node *n, uint32_t peer, uint32_t back) {
  struct edge *edge = &n->edges[n->edge_count++];
  *edge = (struct edge){.peer = peer, .back = back};
  for (uint32_t p = 0; p < s->o.pieces; p++) {
    if (bitfield_has(s->nodes[peer].told, p)) {
      n->holders[p]++;
      edge->wanted += bitfield_has(n->have, p) ? 0 : 1;
    }
  }
}

void mesh_connect(struct simulation *s, uint32_t a, uint32_t b) {
  struct node *one = &s->nodes[a];
  struct node *two = &s->nodes[b];
  if (one->edge_count < s->o.connections && two->edge_count < s->o.connections &&
      !is_connected(one, b)) {
    uint32_t at_one = one->edge_count;
    uint32_t at_two = two->edge_count;
    learn(s, one, b, at_two);
    learn(s, two, a, at_one);
    fill_slots(s, a);
    fill_slots(s, b);
  }
}

/* Asks the tracker, and dials whom it tells of: any of those who came before. */
void mesh_start(struct simulation *s, uint32_t number) {
  uint32_t want = s->o.want < s->started_count ? s->o.want : s->started_count;
  for (uint32_t i = 0; i < want; i++) {
    uint32_t j = i + plan_roll(&s->seed, s->started_count - i);
    uint32_t peer = s->started[j];
    s->started[j] = s->started[i];
    s->started[i] = peer;
    double dialled = i < DIALS_AT_ONCE ? 0 : (double)(i - DIALS_AT_ONCE) / DIALS_A_SECOND;
    simulation_add(s, 8 * s->o.latency + dialled, CONNECTED, number, peer, 0, 0);
  }
  s->started[s->started_count++] = number;
  s->nodes[number].swarm = s->started_count - s->done;
  simulation_add(s, unchoke_seconds * simulation_roll(s), RECHOKE, number, 0, 0, 0);
  simulation_add(s, 2 * s->o.latency, TIMER, number, 0, 0, ++s->nodes[number].timer);
}
