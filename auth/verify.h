/** What token.c does for all that is signed as a token is. Inside auth/ only. */
#pragma once

#include "auth/claims.h"
#include "auth/jws.h"

/**
 * Finds the first row of \p trust that fits `iss` and `aud`, accepts \p header->kind, pins the
 * header's algorithm and has a key that made the signature and is not over at \p now. At most
 * TOKEN_TRIES_MAX are checked.
 *
 * \param claims the claims' JSON. \param token the same, read; its audience, and of a registry
 * token its registry, are set to the row's. \return 0, or -1.
 */
int verify_signature(const struct trust *trust, const struct claims_header *header,
                     const json_t *claims, const struct jws *jws, int64_t now, struct token *token,
                     struct error *why);

/** Whether `nbf` and `iat` lie no further ahead than \p leeway. \return 0, or -1. */
int verify_dates(const struct token *token, int64_t now, int64_t leeway, struct error *why);
