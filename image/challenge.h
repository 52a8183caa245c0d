/** What a 401 asks for: `WWW-Authenticate` (RFC 9110, section 11.6.1; RFC 6750, section 3). Pure.
 */
#pragma once

#include "base/arena.h"

enum challenge_scheme { CHALLENGE_OTHER, CHALLENGE_BASIC, CHALLENGE_BEARER };

/** One challenge. Strings are in the arena, without quotes and escapes; a NULL pointer where
 * absent.
 */
struct challenge {
  enum challenge_scheme scheme;
  struct slice realm, service, scope, error;
};

/**
 * Takes the next challenge off \p rest, a field's value. Parameters that are not known are read and
 * left out; of a doubled one the first counts.
 *
 * \return false at the end, and when what follows is no challenge or there is no memory.
 */
bool challenge_next(struct slice *rest, struct arena *arena, struct challenge *out);
