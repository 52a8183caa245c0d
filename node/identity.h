/** A node's key of one pull, and what goes with it: never on a disk, and known to nobody else. */
#pragma once

#include "base/error.h"

/** All PEM, NUL-terminated, and its own. */
struct identity {
  char *key;        /**< private, EC on P-256. Secret. */
  char *request;    /**< a certificate signing request (RFC 2986) of it, that names nothing */
  char *parameters; /**< of a Diffie-Hellman exchange: ffdhe2048 (RFC 7919) */
};

/** \return 0, or -1 with ERROR_FAILED; identity_free() follows either way. */
int identity_make(struct identity *out, struct error *e);

/** Wipes it. Zeroed is fine. */
void identity_free(struct identity *identity);
