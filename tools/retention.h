/** How long what ends a right is kept; for both programs. */
#pragma once

#include "config/config.h"

/** Seconds for which a token is honoured at most, from its `iat` on: the longest lifetime that \p
 *  config gives out, a day at least. */
int64_t retention_lifetime(const struct config *config);

/** Seconds from a revocation on after which no token that was issued before it is honoured: the
 * above, and what clocks may differ by. */
int64_t retention_seconds(const struct config *config);
