/** How long what ends a right is kept; for both programs. */
#pragma once

#include "config/config.h"

/** Seconds from a revocation on after which no token that was issued before it is alive: the
 * longest that \p config gives out or honours, a day at least, and what clocks may differ by. */
int64_t retention_seconds(const struct config *config);
