/** What a request is answered with when an errand that it waited for did not end well, or not yet.
 */
#pragma once

#include "gateway/errand.h"
#include "gateway/request.h"

/**
 * Answers 202 with `Retry-After` and `{"digest":…,"done":…,"size":…}`: how many bytes of all are
 * hashed.
 *
 * \param digest of what was asked for, \p size ERRAND_SIZE_UNKNOWN when it is not known yet, and
 * left out then.
 */
void errand_answer_later(const struct request *r, struct slice digest, uint64_t done,
                         uint64_t size);

/** Answers the request of news that is ERRAND_REFUSED or ERRAND_FAILED: 404 when the registry says
 *  that it has no such thing, else 502 or 500. The log has it already. */
void errand_answer_refuse(const struct request *r, const struct errand_news *news);

/** Answers 503 with `Retry-After`, and logs why \p digest could not be asked for. */
void errand_answer_full(const struct request *r, struct slice digest, const struct error *e);
