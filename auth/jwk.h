/** JSON Web Keys (RFC 7517; RFC 7518, section 6; RFC 8037, section 2). Inside auth/ only. */
#pragma once

#include "auth/key.h"

/** Reads a JWKS as keyset_load() says; \p name stands in errors. */
int jwks_parse(struct slice text, const char *name, struct keyset *out, struct error *e);

/** Appends the public JWKS of \p keys to \p out; a key without a `kid` is called by its
 *  thumbprint. \return 0, or -1 with ERROR_FAILED when there is no memory. */
int jwks_write(const struct key *keys, size_t count, struct buf *out, struct error *e);
