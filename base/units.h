/** Sizes (`64KiB`) and durations (`15m`) as people write them in the configuration. */
#pragma once

#include "base/slice.h"

/**
 * A size in bytes: digits and an optional `B`, `KiB`, `MiB`, `GiB` or `TiB`.
 *
 * \return false when it is anything else or does not fit 63 bits.
 */
bool units_size(struct slice text, uint64_t *bytes);

/**
 * A duration: digits and one of `ms`, `s`, `m`, `h`, `d`. A bare number other than 0 is refused,
 * for nobody can tell its unit.
 *
 * \return false when it is anything else or more than a hundred years.
 */
bool units_duration(struct slice text, uint64_t *milliseconds);

enum { UNITS_TEXT_MAX = 32 };

/** Writes \p bytes for people, at most four digits: `1.4 GiB`, `512 B`. */
void units_print_size(uint64_t bytes, char out[UNITS_TEXT_MAX]);

/** Writes whole seconds for people: `42s`, `3m05s`, `2h00m`. */
void units_print_duration(uint64_t seconds, char out[UNITS_TEXT_MAX]);
