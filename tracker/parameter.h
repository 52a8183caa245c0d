/** What the queries of announce and scrape have in common. Pure. */
#pragma once

#include "auth/token.h"
#include "tracker/session.h"

/** Why a query is refused: `missing parameter: NAME` or `invalid parameter: NAME`. */
struct parameter_fault {
  const char *name; /**< NULL: no fault */
  bool missing;     /**< else it is invalid */
};

/** What says who asks; the slices live here, or in the query where nothing was escaped. */
struct parameter_bearer {
  struct slice jwt;       /**< decoded; as sent when that cannot be done; empty without one */
  struct slice trackerid; /**< decoded; empty without one, or when it is too long to be ours */
  char jwt_text[TOKEN_REGISTRY_MAX];
  char trackerid_text[SESSION_ID_SPACE];
};

/** Decodes to exactly \p len bytes. */
bool parameter_bytes(struct slice value, unsigned char *out, size_t len);

/** A decimal of 64 bits: digits, at most 20, and nothing else. */
bool parameter_u64(struct slice value, uint64_t *out);

/** Sets `jwt`, which need not be a token: whoever verifies it will see. */
void parameter_jwt(struct parameter_bearer *b, struct slice value);

/** Sets `trackerid`: what cannot be one of ours is passed over. */
void parameter_trackerid(struct parameter_bearer *b, struct slice value);
