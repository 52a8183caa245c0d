#include "bench/simulation.h"

#include "bench/simulated.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* As in node/feeder.c. */
enum {
  WAIT_MS = 30,
  PATIENCE_PIECES = 4,
  PATIENCE_MIN_MS = 500,
  SCRAPE_PEERS = 16,
  SCRAPE_MS = 1000,
  SCRAPE_AGAIN_MS = 5000,
  PIECE_TIME_SHARE = 4
};

static const double check_seconds = 0.003; /* a piece's hash, and the disk's queue */
static const double hours = 3600;          /* nobody takes so long */

void simulation_add(struct simulation *s, double in, enum kind kind, uint32_t node, uint32_t other,
                    uint32_t piece, uint64_t version) {
  const struct event event = {.at = s->now + in,
                              .kind = (int)kind,
                              .node = node,
                              .other = other,
                              .piece = piece,
                              .version = version};
  events_add(&s->events, &event);
}

void simulation_bring(struct simulation *s, uint32_t number, enum kind kind, uint32_t other,
                      uint32_t piece) {
  struct node *n = &s->nodes[number];
  n->down_free = fmax(s->now, n->down_free + s->o.piece_size / s->o.node_rate);
  simulation_add(s, n->down_free - s->now + s->o.latency, kind, number, other, piece, 0);
}

static bool is_done(const struct simulation *s, const struct node *n) {
  return n->have_count == s->o.pieces;
}

/* --- the feeder --- */

static uint64_t ms(const struct simulation *s) {
  return (uint64_t)(s->now * 1000);
}

static struct plan_view look(struct simulation *s, const struct node *n) {
  for (uint32_t i = 0; i < n->edge_count; i++) {
    const struct edge *edge = &n->edges[i];
    const struct node *peer = &s->nodes[edge->peer];
    struct plan_peer *p = &s->seen[i];
    *p = (struct plan_peer){.node = true,
                            .wanted = edge->wanted > 0,
                            .received = edge->received,
                            .have = peer->told_count,
                            .pieces = peer->told};
    memcpy(p->id, peer->id, PEER_ID);
  }
  struct plan_view view = {.piece_count = s->o.pieces,
                           .pieces = n->have,
                           .peers = s->seen,
                           .peer_count = n->edge_count,
                           .swarm = n->swarm};
  memcpy(view.self, n->id, PEER_ID);
  return view;
}

static void count_swarm(struct simulation *s, struct node *n) {
  if (n->scrape_at_ms == 0) {
    n->scrape_at_ms = ms(s) + SCRAPE_MS;
  } else if (ms(s) >= n->scrape_at_ms && n->edge_count >= SCRAPE_PEERS) {
    n->scrape_at_ms = ms(s) + SCRAPE_AGAIN_MS;
    n->swarm = s->started_count - s->done;
  }
}

static int feed(struct simulation *s, uint32_t number, struct error *e) {
  struct node *n = &s->nodes[number];
  struct plan_choice choice;
  if (n->busy || is_done(s, n)) {
    return 0;
  }
  const struct plan_view view = look(s, n);
  count_swarm(s, n);
  uint64_t patience = n->piece_ms * PATIENCE_PIECES;
  if (plan_choose(n->plan, &view, n->taken, ms(s),
                  patience < PATIENCE_MIN_MS ? PATIENCE_MIN_MS : patience, &n->seed, &choice,
                  e) != 0) {
    return -1;
  }
  if (choice.own == 0 && choice.orphaned == 0) {
    simulation_add(s, WAIT_MS / 1000.0, TIMER, number, 0, 0, ++n->timer);
    return 0;
  }
  n->busy = true;
  n->begun_ms = ms(s);
  bitfield_set(n->taken, choice.piece);
  s->out->requests++;
  simulation_add(s, s->o.latency, REQUEST, number, 0, choice.piece, 0);
  return 0;
}

static int take(struct simulation *s, uint32_t number, uint32_t piece, struct error *e) {
  struct node *n = &s->nodes[number];
  uint64_t took = ms(s) - n->begun_ms;
  n->piece_ms =
      n->piece_ms == 0 ? took : (n->piece_ms * (PIECE_TIME_SHARE - 1) + took) / PIECE_TIME_SHARE;
  n->busy = false;
  simulation_add(s, check_seconds, FED, number, 0, piece, 0);
  return feed(s, number, e);
}

static void expect_gateway(struct simulation *s) {
  if (s->gateway.count > 0) {
    simulation_add(s, link_due(&s->gateway) - s->now, GATEWAY, 0, 0, 0, s->gateway.version);
  }
}

/* --- all of it --- */

static int happen(struct simulation *s, const struct event *event, struct error *e) {
  struct node *n = &s->nodes[event->node];
  switch ((enum kind)event->kind) {
  case START:
    mesh_start(s, event->node);
    break;
  case CONNECTED:
    mesh_connect(s, event->node, event->other);
    break;
  case RECHOKE:
    mesh_rechoke(s, event->node);
    break;
  case TIMER:
    return event->version == n->timer ? feed(s, event->node, e) : 0;
  case REQUEST:
    s->events.failed |= !link_add(&s->gateway, s->now, s->o.piece_size, event->node, event->piece);
    expect_gateway(s);
    break;
  case GATEWAY:
    if (event->version == s->gateway.version) {
      struct transfer through = link_take(&s->gateway, s->now);
      s->sent++;
      simulation_bring(s, through.node, GIVEN, 0, through.piece);
      expect_gateway(s);
    }
    break;
  case GIVEN:
    return take(s, event->node, event->piece, e);
  case FED:
    mesh_land(s, event->node, event->piece);
    break;
  case UPLINK:
    if (event->version == n->up.version) {
      mesh_sent(s, event->node);
    }
    break;
  case PEERED:
    n->edges[event->other].received += s->o.piece_size;
    mesh_land(s, event->node, event->piece);
    break;
  case TOLD:
    mesh_tell(s, event->node, event->piece);
    break;
  }
  return 0;
}

static int run(struct simulation *s, struct error *e) {
  struct event event;
  while (s->done < s->o.nodes) {
    if (s->events.failed) {
      return error_set(e, ERROR_FAILED, "out of memory");
    }
    if (!events_next(&s->events, &event) || event.at > hours) {
      return error_set(e, ERROR_FAILED, "%u of %u nodes have come to no end", s->o.nodes - s->done,
                       s->o.nodes);
    }
    s->now = event.at;
    if (happen(s, &event, e) != 0) {
      return -1;
    }
  }
  return 0;
}

static bool make_node(struct simulation *s, uint32_t number) {
  struct node *n = &s->nodes[number];
  size_t bits = bitfield_size(s->o.pieces);
  for (size_t i = 0; i < PEER_ID; i++) {
    n->id[i] = (unsigned char)plan_roll(&s->seed, 256);
  }
  n->seed = (uint64_t)plan_roll(&s->seed, UINT32_MAX) + 1;
  n->up.rate = s->o.node_rate;
  n->have = calloc(1, bits);
  n->told = calloc(1, bits);
  n->asked = calloc(1, bits);
  n->taken = calloc(1, bits);
  n->holders = calloc(s->o.pieces, sizeof *n->holders);
  n->edges = calloc(s->o.connections + 1, sizeof *n->edges);
  n->plan = plan_new();
  simulation_add(s, s->o.starts_within * simulation_roll(s), START, number, 0, 0, 0);
  return n->have != NULL && n->told != NULL && n->asked != NULL && n->taken != NULL &&
         n->holders != NULL && n->edges != NULL && n->plan != NULL;
}

static int make(struct simulation *s, struct error *e) {
  s->nodes = calloc(s->o.nodes, sizeof *s->nodes);
  s->started = calloc(s->o.nodes, sizeof *s->started);
  s->ends = calloc(s->o.nodes, sizeof *s->ends);
  s->seen = calloc(s->o.connections + 1, sizeof *s->seen);
  s->gateway.rate = s->o.gateway_rate;
  bool made = s->nodes != NULL && s->started != NULL && s->ends != NULL && s->seen != NULL;
  for (uint32_t i = 0; made && i < s->o.nodes; i++) {
    made = make_node(s, i);
  }
  return made ? 0 : error_set(e, ERROR_FAILED, "out of memory");
}

static void unmake(struct simulation *s) {
  for (uint32_t i = 0; s->nodes != NULL && i < s->o.nodes; i++) {
    struct node *n = &s->nodes[i];
    free(n->have);
    free(n->told);
    free(n->asked);
    free(n->taken);
    free(n->holders);
    free(n->edges);
    link_free(&n->up);
    plan_free(n->plan);
  }
  free(s->nodes);
  free(s->started);
  free(s->ends);
  free(s->seen);
  link_free(&s->gateway);
  events_free(&s->events);
}

static void sum_up(const struct simulation *s, struct simulation_result *out) {
  double edges = 0;
  double size = (double)s->o.pieces * s->o.piece_size;
  out->copies = (double)s->sent / s->o.pieces;
  out->ideal = size / fmin(s->o.gateway_rate, s->o.node_rate);
  out->first = s->ends[0];
  out->median = s->ends[s->o.nodes / 2];
  out->last = s->ends[s->o.nodes - 1];
  out->peers_least = UINT32_MAX;
  for (uint32_t i = 0; i < s->o.nodes; i++) {
    uint32_t count = s->nodes[i].edge_count;
    edges += count;
    out->peers_least = count < out->peers_least ? count : out->peers_least;
  }
  out->peers_mean = edges / s->o.nodes;
}

struct simulation_options simulation_options_usual(void) {
  return (struct simulation_options){.pieces = 613,
                                     .piece_size = 256 * 1024,
                                     .gateway_rate = 100e6 / 8,
                                     .node_rate = 200e6 / 8,
                                     .latency = 0.001,
                                     .starts_within = 0.5,
                                     .slots = 8,
                                     .seed = 1};
}

int simulate(const struct simulation_options *options, struct simulation_result *out,
             struct error *e) {
  struct simulation s = {.o = *options, .seed = options->seed, .out = out};
  *out = (struct simulation_result){0};
  int result = make(&s, e);
  if (result == 0) {
    result = run(&s, e);
  }
  if (result == 0) {
    sum_up(&s, out);
  }
  unmake(&s);
  return result;
}
