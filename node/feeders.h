/** The feeders of a node, one for each gateway: one that is away does not hold up what comes of
 *  others. */
#pragma once

#include "node/feeder.h"

struct feeders;

/** \return NULL when there is no memory. */
struct feeders *feeders_new(const struct feeder_options *options);
/** As feeder_free(), of all. NULL is fine. */
void feeders_free(struct feeders *feeders);

/** The one of a gateway, made when it is the first time. \param url of a blob there. \return NULL
 *  with ERROR_FAILED when there is no memory. */
struct feeder *feeders_find(struct feeders *feeders, const char *url, struct error *e);
