/** Public and private keys of issuers: PEM, certificates, JWKS (RFC 7517, RFC 8037). */
#pragma once

#include "base/buf.h"
#include "base/error.h"

#include <openssl/types.h>

/** The algorithms that are spoken; a bit each, for sets (RFC 7518, 3.3 and 3.4; RFC 8037, 3.1). */
enum key_algorithm {
  KEY_ES256 = 1, /**< ECDSA, P-256, SHA-256; the signature as r || s, 64 bytes */
  KEY_RS256 = 2, /**< RSASSA-PKCS1-v1_5, SHA-256; KEY_RSA_BITS_MIN to _MAX */
  KEY_EDDSA = 4, /**< Ed25519 */
};
enum { KEY_ALL = KEY_ES256 | KEY_RS256 | KEY_EDDSA };

enum {
  KEY_RSA_BITS_MIN = 2048,
  KEY_RSA_BITS_MAX = 8192,
  KEYSET_MAX = 256,               /**< keys of a JWKS */
  KEYSET_BYTES_MAX = 1024 * 1024, /**< of a file of keys */
};

/** The exact name (`ES256`, `RS256`, `EdDSA`); 0 for any other spelling. */
enum key_algorithm key_algorithm_of(struct slice name);
const char *key_algorithm_name(enum key_algorithm algorithm);

/** One key. The algorithm follows from the key alone, never from a token. */
struct key {
  EVP_PKEY *pkey;               /**< owned */
  enum key_algorithm algorithm; /**< the one that fits this very key */
  bool has_private;
  char *kid;        /**< owned; NULL for a bare PEM or certificate */
  char *thumbprint; /**< owned; key_thumbprint() of what key_public() made, else NULL */
  /** NumericDate from which on it is not trusted any more: `exp` of a JWK, which OpenID Federation
   *  registered; 0: never. */
  int64_t expires;
  /** NumericDate of its retirement, `swarmgate_retired` of a JWK: what was issued later it did not
   *  sign; 0: it signs. */
  int64_t retired;
};

/** Immutable after loading, so that threads may share it. */
struct keyset {
  struct key *keys;
  size_t count;
  /** From a JWKS: a token's `kid` must be the key's, or, a registry token's, key_libtrust_id() of
   *  that very key. Else a key without a `kid` is tried whatever the token calls its own, one with
   *  a `kid` when the token names that one or none. */
  bool named;
};

/**
 * Loads a PEM public key, certificate or private key (its public half), or a JWKS file, at most
 * KEYSET_BYTES_MAX. A PEM file holds one key; of a certificate only the key counts, not its dates
 * or issuer. Keys of a JWKS that are of other types, without `kid`, not for verifying (`use`,
 * `key_ops`), whose `alg` does not fit or whose times are none are passed over; a private or
 * symmetric JWK is refused.
 *
 * \return 0, or -1: ERROR_NOT_FOUND, ERROR_USAGE for content that cannot be read or no usable key,
 * and for a private key that group or others may read.
 */
int keyset_load(const char *path, struct keyset *out, struct error *e);
/** The same of bytes at hand, whoever may read them; \p name stands in errors. */
int keyset_parse(struct slice bytes, const char *name, struct keyset *out, struct error *e);
void keyset_free(struct keyset *set);

/** The one of them that is \p key, whatever it is called; NULL: none. */
const struct key *keyset_find(const struct keyset *set, const struct key *key);

/**
 * Takes \p pkey over, also when it fails, and finds the algorithm that fits it. No `kid` is set.
 *
 * \return 0, or -1 with ERROR_USAGE: another type, curve or size, or a public key that is not
 * sound.
 */
int key_adopt(EVP_PKEY *pkey, struct key *out, struct error *e);

/**
 * Loads a private key in PEM. Its `kid` is made: the RFC 7638 thumbprint for announce keys.
 *
 * \return 0, or -1: also ERROR_USAGE when group or others may read the file.
 */
int key_load_private(const char *path, struct key *out, struct error *e);
/** The same of PEM at hand, which the caller wipes; \p name stands in errors. */
int key_parse_private(struct slice pem, const char *name, struct key *out, struct error *e);
void key_free(struct key *key);

/** A copy of \p key without its private half and its `kid`; freed by key_free().
 *  \return 0, or -1 with ERROR_FAILED when there is no memory. */
int key_public(const struct key *key, struct key *out, struct error *e);

/** The RFC 7638 JWK thumbprint (SHA-256, base64url), NUL-terminated; malloc'ed, NULL when there
 *  is no memory. */
char *key_thumbprint(const struct key *key);
/** The `kid` that docker-registry 2 wants: base32 of the first 30 bytes of SHA-256 over the DER
 *  SubjectPublicKeyInfo, twelve groups of four joined by `:`; malloc'ed, NULL
 *  when there is no memory. */
char *key_libtrust_id(const struct key *key);

/** Makes a private key (RSA: 3072 bits); its PKCS#8 PEM goes to \p out, which the caller wipes
 *  (OPENSSL_cleanse) before freeing it. */
int key_generate(enum key_algorithm algorithm, struct buf *out, struct error *e);
/** The same PEM of a private key that is there. */
int key_print_private(const struct key *key, struct buf *out, struct error *e);

/**
 * The public JWKS of the keys in \p paths (private or public PEM, certificates, JWKS), each with
 * `kid`, `use` and `alg`, as JSON text with a final newline.
 */
int key_jwks(const char *const *paths, size_t count, struct buf *out, struct error *e);
