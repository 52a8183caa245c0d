/** Work on another thread that may have to be given up: the descriptor `stop` becomes readable
 *  then. -1: never. */
#pragma once

#include "base/error.h"

#include <poll.h>

/** \return 0, or -1 with ERROR_FAILED once it is to be given up. */
static inline int stop_check(int stop, struct error *e) {
  struct pollfd p = {.fd = stop, .events = POLLIN};
  return poll(&p, 1, 0) == 1 ? error_set(e, ERROR_FAILED, "interrupted") : 0;
}
