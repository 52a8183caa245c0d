/** The query of a scrape (BEP 48), read strictly. Pure. */
#pragma once

#include "tracker/parameter.h"

enum { SCRAPE_MAX = 100 }; /**< infohashes that one scrape may ask for */

/** What a client asks for. */
struct scrape {
  unsigned char info_hash[SCRAPE_MAX][INFOHASH]; /**< ascending, each once */
  size_t count;                                  /**< how many, at least one without a fault */
  struct parameter_bearer bearer;
};

/**
 * Reads a scrape: `info_hash` one to SCRAPE_MAX times; `jwt` and `trackerid` once at most. Others
 * are passed over.
 *
 * \param out its `bearer` is right even when there is a fault elsewhere.
 * \return the first parameter that is invalid, in the query's order; or `info_hash`, missing.
 */
struct parameter_fault scrape_parse(struct slice query, struct scrape *out);
