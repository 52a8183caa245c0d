/** JWS compact serialization (RFC 7515, section 7.1) and its signatures. Inside auth/ only. */
#pragma once

#include "auth/key.h"
#include "base/arena.h"

/** Its parts; slices live in the arena that was given to jws_read(), \ref input in the text. */
struct jws {
  struct slice header;    /**< JOSE header, decoded, not yet read as JSON */
  struct slice payload;   /**< decoded */
  struct slice signature; /**< decoded */
  struct slice input;     /**< the signing input: both encoded, with the `.` between */
};

/** Cuts and decodes: three non-empty parts of canonical base64url. \return 0, or -1. */
int jws_read(struct slice text, struct arena *arena, struct jws *out, struct error *e);

/** Whether \p key made the signature, by the one algorithm that fits the key. */
bool jws_verify(const struct key *key, const struct jws *jws);

/** Signs and appends the three parts to \p out. */
int jws_write(const struct key *key, struct slice header, struct slice payload, struct buf *out,
              struct error *e);
