/** Keys, trust and tokens for the tests of auth/: one key of each algorithm, made afresh. */
#pragma once

#include "auth/keyring.h"

enum { RIG_ES256, RIG_RS256, RIG_EDDSA, RIG_STRANGER, RIG_KEYS };

/** All tokens are judged at this time. */
#define RIG_NOW INT64_C(1800000000)

#define RIG_HEX_V1 "0102030405060708090a0b0c0d0e0f1011121314"
#define RIG_HEX_V2 "a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0"
#define RIG_DIGEST "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

struct rig {
  struct buf pem[RIG_KEYS]; /**< private, PKCS#8 */
  struct key keys[RIG_KEYS];
  /**
   * Row 0: issuer `swarmgate`, audience `tracker`, a JWKS of ES256 and EdDSA, swarm and webseed.
   * Row 1: issuer `auth.example`, audience `registry.example`, the bare RS256 key, registry tokens
   * of `registry.example`. Row 2: issuer `narrow`, audience `tracker`, the bare ES256 key, but
   * RS256 pinned.
   */
  struct trust trust;
  struct keyring *keyring; /**< holds the same rows, and frees them */
  struct arena arena;      /**< for a test's own use; freed with the rig */
};

/** Group set-up and tear-down of cmocka. */
int rig_set_up(void **state);
int rig_tear_down(void **state);

/** The PEM of a public key, NUL-terminated. */
struct slice rig_public_pem(struct rig *rig, EVP_PKEY *pkey);

/** A JWKS of the public halves of keys \p first and \p second. */
struct slice rig_jwks(struct rig *rig, int first, int second);

/** Signs any header and payload, however wrong. */
struct slice rig_jws(struct rig *rig, int key, const char *header, struct slice payload);

/** A right swarm token of the ES256 key: RIG_HEX_V1, expires in 600 s, session an hour later. */
struct token rig_swarm_claims(void);
struct slice rig_sign(struct rig *rig, int key, const struct token *token);
