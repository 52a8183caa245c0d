/** Who asks: the credentials to pass on to the registry, and the name they give the caller. */
#pragma once

#include "base/arena.h"
#include "base/error.h"

enum {
  CALLER_AUTHORIZATION_MAX = 16384, /**< bytes of an Authorization field's value */
  CALLER_NAME_MAX = 255,            /**< bytes of a Basic user name or a bearer token's `sub` */
};

/** Slices live in the arena, or are those that were given. */
struct caller {
  /** What the registry may be shown: the given value, or empty with a pointer that is not NULL. */
  struct slice authorization;
  /** The registry's name, `/`, and the Basic user name or the bearer token's `sub`; nothing after
   *  the `/` without credentials; `token:` and 16 hex digits of its SHA-256 for a bearer that
   *  cannot be read (contract, Tokens). */
  struct slice subject;
  bool bearer; /**< it shows a bearer token */
  /** The token's `jti` and `kid`; empty without them, and of one that cannot be read. */
  struct slice token_id, key_id;
  int64_t issued; /**< the token's `iat`; 0 when it does not say */
};

/**
 * Reads the value of an Authorization field (RFC 9110, 11.6.2). Only well-formed Basic (RFC 7617)
 * and Bearer (RFC 6750) credentials are passed on; anything else counts as none, and the registry
 * challenges it where it must. A bearer's claims are read without verification: the name is used
 * after the registry has said yes to that very token.
 *
 * \param authorization a NULL pointer when there is no such field.
 * \return 0, or -1 with ERROR_FAILED when there is no memory.
 */
int caller_read(struct slice authorization, struct slice registry, struct arena *arena,
                struct caller *out, struct error *e);
