/**
 * Tokens on their way into the audit log: they leave once they are recorded, or not at all.
 */
#pragma once

#include "gateway/issue.h"
#include "gateway/request.h"

struct recording;

/** Told from the loop: \p e is NULL once the log has them on disk, else nothing may leave. */
typedef void recording_told(void *arg, const struct error *e);

/**
 * \param issued copied.
 * \return NULL with \p e when it could not start; nothing is told then, and nothing may leave.
 */
struct recording *recording_start(const struct request *r, const struct issued *issued,
                                  recording_told *told, void *arg, struct error *e);

/** Nothing is told any more; what is on its way runs out alone. NULL is fine. */
void recording_leave(struct recording *recording);

/** Answers 503, and logs \p e: the tokens for \p digest cannot be recorded. */
void recording_refuse(const struct request *r, struct slice digest, const struct error *e);
