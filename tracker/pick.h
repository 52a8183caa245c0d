/** Which peers of a swarm an asker is given. Pure. */
#pragma once

#include "tracker/swarm.h"

struct pick {
  const struct swarm_announce *asker;
  uint32_t now, timeout; /**< the silent are left out */
  uint64_t *random;      /**< state of a generator, any value at first; goes on with each use */
};

/**
 * Picks up to `want` peers of both families at random, each once, never one with the asker's peer
 * id, at a cost that depends on `want` alone. To a seed none is a seed; others get seeds for half,
 * or for what the others leave.
 */
void pick_peers(const struct pick *pick, const struct peers family[2], struct swarm_answer *out);
