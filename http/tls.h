/**
 * TLS of the server's listeners: certificates and how TLS is spoken (RFC 8446, RFC 5246), after
 * Mozilla's "intermediate" recommendation. Made once, shared by all loops.
 */
#pragma once

#include "base/error.h"

#include <stdint.h>

/** What a server shows of itself, and the sessions that may be resumed. */
struct http_tls;

/** When certificates hold: seconds since 1970, both included. */
struct http_tls_validity {
  int64_t from, until;             /**< the server's own */
  int64_t chain_from, chain_until; /**< all others that are sent with it; without any, always */
};

/**
 * Reads a certificate with the chain to its CA, the server's own first, and its private key: PEM,
 * two files or one. Dates are not looked at: see http_tls_validity().
 *
 * \return NULL, with ERROR_USAGE for a file that cannot be read or is no such PEM, a key that
 * others than its owner may use, is encrypted, or is not the certificate's, and for a certificate
 * that is too weak; with ERROR_FAILED when there is no memory.
 */
struct http_tls *http_tls_new(const char *certificate, const char *key, struct error *e);

/** Frees it when the servers that use it are gone; NULL is fine. */
void http_tls_free(struct http_tls *tls);

/**
 * From now on new connections see the certificate of \p from, which is freed; sessions from before
 * are forgotten, for they would go on with the old one. Open connections are left alone. Any
 * thread.
 */
void http_tls_replace(struct http_tls *tls, struct http_tls *from);

/** Forgets the sessions that have run out by \p now, seconds since 1970; called now and then, for
 * they hold secrets. Any thread. */
void http_tls_forget(struct http_tls *tls, int64_t now);

/** When the certificates hold; the caller, who has a clock, warns. Any thread. */
struct http_tls_validity http_tls_validity(struct http_tls *tls);
