/**
 * Whether the caller of a request stands under a revocation: then nothing is issued to it
 * (contract, Tokens). A subject or a repository is barred for a time; and a bearer token that is
 * older than a revocation of its subject, its `jti`, its key or the repository is worth nothing for
 * good, so that nobody comes back by exchanging one that is still alive.
 */
#pragma once

#include "gateway/request.h"

/** By the revocations that are in force now. */
bool standing_good(const struct request *r);

/** The question put to all that was revoked until it is asked. */
struct standing;

/** Told from the loop: whether it is good; when there is no telling it is not, and \p e says why.
 */
typedef void standing_told(void *arg, bool good, const struct error *e);

/**
 * Asks. What bears a time from before this call, and leaves when the standing is good, is covered
 * by every revocation that comes later.
 *
 * \param told called once, from the loop, never from within.
 * \param good the answer when it is known at once; \p e then says why there is no telling.
 * \return the question, valid until it is told or left; NULL when \p good is the answer.
 */
struct standing *standing_ask(const struct request *r, standing_told *told, void *arg, bool *good,
                              struct error *e);

/** Nothing is told any more. NULL is fine. */
void standing_leave(struct standing *standing);

/**
 * Answers the request of a standing that is not good, and logs it: as what is hidden, or with 503
 * when \p e says that there is no telling.
 */
void standing_refuse(const struct request *r, struct slice digest, const struct error *e);
