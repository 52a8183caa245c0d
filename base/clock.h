/** The two clocks. Parsers and policy take the time as a parameter and never call these. */
#pragma once

#include <stdint.h>

/** Seconds since 1970 UTC, as a token's NumericDate (RFC 7519, section 2). */
int64_t clock_now(void);

/** Milliseconds since 1970 UTC, for logs. */
int64_t clock_now_ms(void);

/** Milliseconds that never go backwards, from an arbitrary start. */
uint64_t clock_monotonic_ms(void);
