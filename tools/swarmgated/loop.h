/** One of the server's event loops: its listeners, and what cannot be shared between loops. */
#pragma once

#include "admin/health.h"
#include "entrance.h"
#include "gateway/gateway.h"
#include "gateway/key_watch.h"
#include "gateway/subscription.h"
#include "gateway/token_service.h"
#include "tracker/tracker.h"

struct loop;

/** What all loops share; outlives them. A role that does not run is NULL. */
struct shared {
  const struct config *config;
  struct revocations *revocations;
  /** What keeps them up: with the database; or with a gateway elsewhere, when the tracker stands
   *  alone. The other is NULL. */
  struct revocation_watch *watch;
  struct subscription *subscription;
  struct key_watch *key_watch;
  struct tracker *tracker;
  const struct gateway_options *gateway;
  struct token_service *token_service; /**< on the gateway's listener */
  struct health *health;               /**< of the admin listener, on one loop */
  struct entrance tracker_entrance, gateway_entrance, admin_entrance;
  unsigned connections_max; /**< of a role and loop */
};

/**
 * Makes a loop that listens at the entrances.
 *
 * \param first one of the loops does what is to be done once for all.
 * \return NULL with \p e.
 */
struct loop *loop_new(const struct shared *shared, bool first, struct error *e);

/** Runs until loop_stop(), on a thread of its own. \return 0, or -1 with \p e. */
int loop_start(struct loop *loop, struct error *e);

/** Lets answers under way finish for a while and ends the loop; from any thread. */
void loop_stop(struct loop *loop);

/** Waits for the loop's end, when it was started, and frees it. */
void loop_free(struct loop *loop);
