/** A look at the configuration as a whole, with the eyes of the server that is to run by it. */
#pragma once

#include "config/config.h"

/**
 * What cannot be run is refused, never silently left out.
 *
 * \return 0, or -1 with ERROR_USAGE and the place in the file.
 */
int review_config(const struct config *config, struct error *e);

/** Warns, in the log, of what can be run but is hardly meant. */
void review_warn(const struct config *config);
