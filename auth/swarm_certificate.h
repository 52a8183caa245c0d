/**
 * Certificates by which the peers of a swarm know each other: short-lived, for the torrents that
 * their holder may have, and for nothing else.
 */
#pragma once

#include "auth/swarm_ca.h"
#include "base/buf.h"

enum {
  SWARM_CSR_MAX = 16 * 1024,         /**< bytes of a certificate signing request, in PEM */
  SWARM_CERTIFICATE_NAMES_MAX = 256, /**< torrents that one certificate is for */
  SWARM_CERTIFICATE_BACK = 5 * 60,   /**< seconds by which it holds before now: clocks differ */
  SWARM_SERIAL_TEXT_MAX = 33,        /**< a serial number in hex, and a NUL */
};

/**
 * Takes the public key out of a certificate signing request (RFC 2986), of which nothing else is
 * looked at but its signature, which proves that who made it has the private key.
 *
 * \param pem at most SWARM_CSR_MAX bytes.
 * \param out freed by EVP_PKEY_free() when 0 is returned; swarm_ca_takes_key() takes it.
 * \return 0, or -1 with ERROR_USAGE that says what is wrong with it.
 */
int swarm_csr_read(struct slice pem, EVP_PKEY **out, struct error *e);

/** What is to be signed. */
struct swarm_order {
  const struct swarm_ca *ca;
  const struct swarm_ca_pair *pair; /**< of \ref ca, the one that signs */
  EVP_PKEY *key;                    /**< of the peer */
  /** The torrents', each `sha256-` and 64 lower case hexadecimal digits: of a shorter one peers
   *  would take every torrent whose name begins with it, and of `*` all */
  const struct slice *names;
  size_t count; /**< 1 to SWARM_CERTIFICATE_NAMES_MAX */
  int64_t now;  /**< NumericDate */
};

struct swarm_certificate {
  char serial[SWARM_SERIAL_TEXT_MAX]; /**< lower case hex of 16 random bytes */
  int64_t expires;                    /**< NumericDate */
};

/**
 * Makes a certificate in PEM: subject alternative names that are the torrents', an empty subject,
 * for client and server; it ends when the CA's ttl does, or the CA itself.
 *
 * \param pem has it appended.
 * \return 0, or -1: ERROR_USAGE for a name or a number of names that is none, ERROR_FAILED, also
 * when the CA has run out.
 */
int swarm_certificate_make(const struct swarm_order *order, struct buf *pem,
                           struct swarm_certificate *out, struct error *e);
