/** The CA of the swarms as a configuration names it; for both programs. */
#pragma once

#include "auth/swarm_ca.h"
#include "config/config.h"

/**
 * Loads what `gateway: swarm_tls:` names.
 *
 * \param out released by swarm_ca_release(); NULL where there is no such section.
 * \return 0, or -1 with file:line and the key of the configuration.
 */
int swarm_load(const struct config *config, struct swarm_ca **out, struct error *e);

/** Logs whether swarms have a CA, and until when it holds. \param ca NULL: they have none. */
void swarm_log(const struct swarm_ca *ca, const struct log *log);
