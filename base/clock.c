#include "base/clock.h"

#include <time.h>

int64_t clock_now(void) {
  struct timespec t;
  /* Not the coarse clock: it lags, and to it a token of just now is of the future. */
  clock_gettime(CLOCK_REALTIME, &t);
  return t.tv_sec;
}

int64_t clock_now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

uint64_t clock_monotonic_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}
