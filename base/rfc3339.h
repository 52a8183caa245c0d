/** Times as people and logs write them: RFC 3339, section 5.6. */
#pragma once

#include "base/slice.h"

enum { RFC3339_TEXT_MAX = sizeof "9999-12-31T23:59:59.999Z" };

/**
 * Writes \p ms, milliseconds since 1970, as `2026-02-03T04:05:06.007Z`: always UTC and of one
 * length, so that texts sort as the times do. A time outside the years 0 to 9999 becomes the
 * nearest one within.
 */
void rfc3339_print(int64_t ms, char out[RFC3339_TEXT_MAX]);

/**
 * Reads all of \p text as a `date-time`, with any offset from UTC; what is finer than a millisecond
 * is cut off.
 *
 * \return false for anything else, a day that the month does not have among it; \p ms is untouched
 * then.
 */
bool rfc3339_parse(struct slice text, int64_t *ms);
