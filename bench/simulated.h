/** What bench/simulation.c and bench/mesh.c share: the nodes, and what happens to them. */
#pragma once

#include "bench/events.h"
#include "bench/simulation.h"
#include "node/plan.h"

/** A connection, at one of its ends. */
struct edge {
  uint32_t peer;
  uint32_t back;     /* its number at the other end */
  uint32_t wanted;   /* pieces that the peer has said it has, and we have not */
  uint64_t received; /* bytes that it has sent us */
  bool unchoked;     /* we send to it what it asks for */
  bool sending;
};

struct node {
  unsigned char id[PEER_ID];
  unsigned char *have, *told; /* pieces that are there; that peers know of */
  unsigned char *asked;       /* of peers */
  unsigned char *taken;       /* as the feeder's */
  uint32_t have_count, told_count;
  uint16_t *holders; /* of each piece, peers that have it */
  struct edge *edges;
  uint32_t edge_count, unchoked;
  struct link up;
  double down_free; /* when what is under way to it has come */

  struct plan *plan;
  uint32_t swarm; /* what the tracker said last of how many have not got all */
  uint64_t scrape_at_ms;
  uint64_t seed;
  uint64_t timer; /* version of its event */
  bool busy;
  uint64_t begun_ms, piece_ms;
};

/** Kinds of event. */
enum kind { START, CONNECTED, RECHOKE, TIMER, REQUEST, GATEWAY, GIVEN, FED, UPLINK, PEERED, TOLD };

struct simulation {
  struct simulation_options o;
  struct node *nodes;
  uint32_t *started; /* nodes, in the order in which the tracker came to know them */
  uint32_t started_count, done;
  struct events events;
  struct link gateway;
  struct plan_peer *seen;
  double *ends;
  double now;
  uint64_t seed;
  uint32_t sent; /* pieces, by the gateway */
  struct simulation_result *out;
};

/** Something is to happen in so many seconds. */
void simulation_add(struct simulation *s, double in, enum kind kind, uint32_t node, uint32_t other,
                    uint32_t piece, uint64_t version);
/** What has left a link reaches a node, whose own link may be the narrower. */
void simulation_bring(struct simulation *s, uint32_t number, enum kind kind, uint32_t other,
                      uint32_t piece);

/** A node asks the tracker, and dials whom it tells of: any of those who came before. */
void mesh_start(struct simulation *s, uint32_t number);
void mesh_connect(struct simulation *s, uint32_t a, uint32_t b);
/** Its upload slots are given anew. */
void mesh_rechoke(struct simulation *s, uint32_t number);
/** A piece has left its link. */
void mesh_sent(struct simulation *s, uint32_t number);
/** A piece is there and right. */
void mesh_land(struct simulation *s, uint32_t number, uint32_t piece);
/** Its peers hear that it has a piece. */
void mesh_tell(struct simulation *s, uint32_t number, uint32_t piece);

/** A number from 0 to 1, off the dice. */
static inline double simulation_roll(struct simulation *s) {
  return plan_roll(&s->seed, 1U << 30) / (double)(1U << 30);
}
