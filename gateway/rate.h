/**
 * A token bucket, which says when bytes may leave: so many a second, and a tenth of a second's at
 * once after a rest. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
  RATE_MIN = 16 * 1024,        /**< bytes a second, the least that may be asked for */
  RATE_SLICE_MIN = 16 * 1024,  /**< bytes that are taken at once, of the lowest rates, … */
  RATE_SLICE_MAX = 256 * 1024, /**< … and of the highest */
  RATE_BURST_MS = 100,         /**< of it may leave at once; a slice always */
};

/** With `bytes_a_second` alone set it is full. */
struct rate {
  uint64_t bytes_a_second; /**< 0: no bound; else at least RATE_MIN */
  uint64_t paid;           /**< nanoseconds: by then what was taken has come in again */
};

/** The most bytes to be taken at once, so that who shares the rate has his turn soon: a sixteenth
 *  of a second's, within the bounds above; UINT64_MAX without a bound. */
uint64_t rate_slice(uint64_t bytes_a_second);

/**
 * Takes bytes when there are as many.
 *
 * \param bytes at most rate_slice().
 * \param now milliseconds of a clock that never goes back.
 * \return 0: they are taken; else none are, and the milliseconds until there are enough.
 */
uint64_t rate_take(struct rate *rate, uint64_t bytes, uint64_t now);

/** Whether nothing would be lost if it were made anew. */
bool rate_is_full(const struct rate *rate, uint64_t now);
