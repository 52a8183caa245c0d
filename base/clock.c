#include "base/clock.h"

#include <time.h>

int64_t clock_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME_COARSE, &t); /* whole seconds need no reading of the hardware */
  return t.tv_sec;
}

uint64_t clock_monotonic_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}
