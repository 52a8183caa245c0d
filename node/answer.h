/** The agent's answers: a blob, in order while it comes out of its swarm, and errors as registries
 *  spell them (OCI distribution specification, Error Codes). */
#pragma once

#include "http/server.h"
#include "node/stock.h"

/**
 * Answers a GET or HEAD of a blob (RFC 9110; one Range). Nothing is sent before the first bytes are
 * there: until then what does not come is a 404.
 *
 * \param image that it is of.
 */
void answer_blob(struct http_exchange *x, struct stock *stock, struct image *image,
                 const struct offer_blob *blob, const struct log *log);

/** \param code one of the specification's. What is wrong is in the agent's log. */
void answer_problem(struct http_exchange *x, int status, const char *code);

/** A 401 that asks for a user name and a password. */
void answer_challenge(struct http_exchange *x);
