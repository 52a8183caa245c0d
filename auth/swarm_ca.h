/**
 * The CA of the swarms: its certificate goes into torrents, and who shows each other certificates
 * by it may exchange pieces (docs/peers.md). A file of certificates and a file of keys, in PEM: the
 * first pair is the CA of today; further ones are those that it has replaced, for torrents that are
 * still under way.
 */
#pragma once

#include "base/error.h"
#include "base/slice.h"

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  SWARM_CA_PAIRS_MAX = 8,          /**< today's and those that it has replaced */
  SWARM_CA_BYTES_MAX = 128 * 1024, /**< of either file */
  SWARM_CA_EXPONENT_BITS_MAX = 64, /**< of RSA keys */
};

/** A certificate and its key. */
struct swarm_ca_pair {
  X509 *certificate;
  EVP_PKEY *key;
  char *pem; /**< the certificate alone, always written the same way, as torrents have it */
};

/** Immutable, and counted, so that threads may share it. */
struct swarm_ca;

/**
 * Loads and checks the pairs: each certificate fits its key, is a CA's (RFC 5280, 4.2.1.9 and
 * 4.2.1.3), has signed itself, for peers take nothing else as a root, and the key is an EC key on
 * P-256 or P-384, an Ed25519 key, or an RSA key of 2048 bits or more. The first has to hold at
 * \p now; later ones that have run out are passed over.
 *
 * \param certificates, keys paths; the pairs are in the same order in both.
 * \param ttl seconds for which its certificates hold, at least 1.
 * \param now NumericDate.
 * \param out released by swarm_ca_release() when 0 is returned.
 * \return 0, or -1: ERROR_NOT_FOUND, ERROR_USAGE also when group or others may read the keys,
 * ERROR_FAILED.
 */
int swarm_ca_load(const char *certificates, const char *keys, unsigned ttl, int64_t now,
                  struct swarm_ca **out, struct error *e);
/** The same of bytes at hand, whoever may read them, for tests; the names stand in errors. */
int swarm_ca_parse(struct slice certificates, const char *certificates_name, struct slice keys,
                   const char *keys_name, unsigned ttl, int64_t now, struct swarm_ca **out,
                   struct error *e);
/** NULL is fine. */
void swarm_ca_release(struct swarm_ca *ca);

/** The certificate of today's CA in PEM, as torrents made now have it; of NULL, where swarms have
 *  none, it is empty. */
struct slice swarm_ca_certificate(const struct swarm_ca *ca);

/** The pair of that certificate; NULL: it is none of these. \param pem empty: today's. */
const struct swarm_ca_pair *swarm_ca_find(const struct swarm_ca *ca, struct slice pem);

/** When the certificate of today's CA runs out, NumericDate. */
int64_t swarm_ca_ends(const struct swarm_ca *ca);

/** Seconds for which certificates hold. */
unsigned swarm_ca_ttl(const struct swarm_ca *ca);

/** Whether a key is of a type and size that is taken, a CA's or a peer's: EC on P-256 or P-384,
 *  which are named, Ed25519, or RSA as KEY_RS256 with an exponent of SWARM_CA_EXPONENT_BITS_MAX. */
bool swarm_ca_takes_key(EVP_PKEY *key);

/** The CA in force, which a reload replaces. */
struct swarm_authority;

/** Takes \p ca over; NULL: swarms have none. \return NULL when there is no memory, and \p ca is the
 *  caller's still. */
struct swarm_authority *swarm_authority_new(struct swarm_ca *ca);
/** When nobody uses it any more; who holds its CA may go on. NULL is fine. */
void swarm_authority_free(struct swarm_authority *authority);

/** Puts \p ca in force, and takes it over; NULL: swarms have none from now on. */
void swarm_authority_replace(struct swarm_authority *authority, struct swarm_ca *ca);

/** What is in force, to be released by swarm_ca_release(); NULL: none is, as of a NULL authority.
 */
struct swarm_ca *swarm_authority_hold(struct swarm_authority *authority);
