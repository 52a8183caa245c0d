/** CAs of swarms and what peers ask them to sign, made afresh for tests. */
#pragma once

#include "base/buf.h"

#include <openssl/x509.h>
#include <stdint.h>

/** How a CA is to be made; zeroed it is a good one that holds around \ref now. */
struct authority_plan {
  EVP_PKEY *key;                   /**< the caller's; NULL: a new one on P-256 */
  EVP_PKEY *signer;                /**< the caller's; NULL: it signs itself */
  const char *name;                /**< of who signs; NULL: its own */
  const char *constraints, *usage; /**< "" for none */
  int64_t now;                     /**< NumericDate */
  int64_t from, until;             /**< seconds from now; 0: a day before, ten days after */
};

/** Appends certificate and key in PEM. */
void authority_make(const struct authority_plan *plan, struct buf *certificates, struct buf *keys);

/** A key of a type and, in bits or by its curve's name, size: `EC` `P-256`, `RSA` `2048`. */
EVP_PKEY *authority_key(const char *type, const char *size);

/** Appends a certificate signing request of \p key in PEM, with a subject and a name that are not
 * to be taken over. \param signer NULL: the key itself. */
void authority_request(EVP_PKEY *key, EVP_PKEY *signer, struct buf *out);
