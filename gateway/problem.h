/** Errors as registries spell them (OCI distribution specification, section Error Codes). */
#pragma once

#include "http/server.h"

/**
 * Answers `{"errors":[{"code":…,"message":…}]}`.
 *
 * \param code one of the specification's, such as `BLOB_UNKNOWN`.
 * \param message one line for people, UTF-8; says what to do where that is known.
 */
void problem_answer(struct http_exchange *x, int status, const char *code, const char *message);

/** A 400 for what is no digest. */
void problem_digest(struct http_exchange *x);

/** A 401 that passes on \p challenge as `WWW-Authenticate`; an empty one is left out. */
void problem_challenge(struct http_exchange *x, struct slice challenge);

/** A 405 with the methods that would do, as \p allow lists them (RFC 9110, 15.5.6). */
void problem_method(struct http_exchange *x, struct slice allow);

/** A 401 with a challenge and a message of one's own. */
void problem_unauthorized(struct http_exchange *x, struct slice challenge, const char *message);

/** As problem_answer(), with `Retry-After`. */
void problem_later(struct http_exchange *x, int status, const char *code, const char *message,
                   unsigned seconds);
