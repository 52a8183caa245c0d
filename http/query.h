/** Reads a query string (RFC 3986, section 3.4) as `name=value` pairs joined by `&`. */
#pragma once

#include "base/slice.h"

/**
 * The next pair that is not empty, as sent, not decoded. Without a `=` the value is empty and its
 * pointer NULL.
 *
 * \param rest the query at first; what is left of it after each call.
 * \return false when there is none left; \p name and \p value are untouched then.
 */
bool query_next(struct slice *rest, struct slice *name, struct slice *value);

/**
 * Decodes percent escapes (RFC 3986, section 2.1). `+` stays what it is: BitTorrent clients and
 * registry clients alike write `%20` for a space.
 *
 * \param out where to; may be the memory of \p text itself. Not terminated; may hold any byte.
 * \param room bytes at \p out; \p text.len always suffices.
 * \param len set to the bytes written.
 * \return false for a `%` that two hexadecimal digits do not follow, and when \p room is too small.
 */
bool query_decode(struct slice text, char *out, size_t room, size_t *len);
