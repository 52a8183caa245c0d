/** Takes the peers of the revoked out of the tracker's swarms, off the loops. */
#pragma once

#include "auth/revocation_set.h"
#include "tracker/tracker.h"

/** Embedded by the loop that drives it; all of it is set by sweep_init(). */
struct sweep {
  uv_work_t work;
  struct tracker *tracker;
  struct revocations *revocations;
  uint64_t generation; /**< of the revocations that the swarms were gone through for */
  unsigned rounds;     /**< still to come */
  bool running;
};

/** \param tracker NULL: there is nothing to do. */
void sweep_init(struct sweep *sweep, struct tracker *tracker, struct revocations *revocations);

/** To be called once a second: begins when the revocations have changed. */
void sweep_tick(struct sweep *sweep, uv_loop_t *loop);
