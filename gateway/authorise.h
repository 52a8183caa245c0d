/**
 * May the caller of a request read a blob, or a manifest? Asked by every route of `/v1/<name>/…`
 * before it hands out anything.
 */
#pragma once

#include "gateway/delegate.h"
#include "gateway/request.h"

/** A question under way; in the exchange's arena. */
struct authorise;

/**
 * Asks, of the request's repository.
 *
 * \param digest a valid one, followed by a NUL; lives as long as the exchange.
 * \param told called once, from the loop, never from within; \p arg is its first argument.
 * \param known the answer when it is known at once; \p e then says why it is DELEGATE_UNCLEAR.
 * \return the question, valid until it is told or cancelled; NULL when \p known is the answer, and
 * nothing is told.
 */
struct authorise *authorise_ask(const struct request *r, struct slice digest, delegate_told *told,
                                void *arg, struct delegate_answer *known, struct error *e);

/**
 * The same for the manifest that is the request's reference, a tag or a digest; the answer to a yes
 * says which manifest that is now. Where the gateway has verified the caller's token, the registry
 * is asked with the gateway's own credentials.
 */
struct authorise *authorise_ask_manifest(const struct request *r, delegate_told *told, void *arg,
                                         struct delegate_answer *known, struct error *e);

/** Nothing is told any more. NULL is fine. */
void authorise_cancel(struct authorise *question);

/**
 * Answers the request with what is no yes: 401, 404 or 502 (contract, Gateway), and logs why.
 *
 * \param e why there is no clear answer, or NULL when the registry's status says it all.
 */
void authorise_refuse(const struct request *r, struct slice digest,
                      const struct delegate_answer *answer, const struct error *e);

/** Answers the request with 404: not there, or hidden. */
void authorise_hide(const struct request *r);

/**
 * Whether a yes stands for a blob of \p size, which is NULL when it is not known.
 *
 * \param answer DELEGATE_YES or DELEGATE_YES_IF_SIZE.
 * \param why filled in for authorise_refuse() when it does not.
 */
bool authorise_stands(const struct delegate_answer *answer, const uint64_t *size,
                      struct error *why);
