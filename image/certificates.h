/** The certificates for a registry, from folders as containers-certs.d(5) describes them. */
#pragma once

#include "base/arena.h"
#include "base/error.h"

enum { IMAGE_CA_FILE_MAX = 1024 * 1024 }; /**< bytes of all `*.crt` together */

/** Paths, in the arena; NULL where there is none. */
struct image_certificates {
  const char *ca_file, *cert_file, *key_file;
  int bundle; /**< holds several CAs that ca_file stands for; -1 when there is none */
};

/**
 * Looks in \p cert_dir, or when it is NULL in the first folder there is of
 * `~/.config/containers/certs.d/HOST`, `/etc/containers/certs.d/HOST` and
 * `/etc/docker/certs.d/HOST`: `*.crt` are CAs, `*.cert` and its `*.key` are what to show of
 * ourselves, the first pair by name.
 *
 * \param host as in a reference, with its port.
 * \return 0, also when there is nothing; -1: ERROR_USAGE for a \p cert_dir that is not there and
 * half a pair, ERROR_FAILED.
 */
int image_certificates_find(const char *cert_dir, const char *host, struct arena *arena,
                            struct image_certificates *out, struct error *e);

/** Ends what image_certificates_find() holds open; ca_file cannot be opened any more. */
void image_certificates_close(struct image_certificates *c);

/**
 * Whether \p path is a file of certificates, PEM, as `ca_file` of http_client_tls takes it.
 *
 * \return 0, or -1: ERROR_NOT_FOUND, ERROR_USAGE when there is none in it, ERROR_FAILED.
 */
int image_certificates_check(const char *path, struct error *e);

/**
 * Whether \p cert, a file of certificates, begins with one that \p key, a private key in PEM, goes
 * with. Keys that a pass phrase encrypts are refused: nobody is there to be asked.
 *
 * \return 0, or -1 as image_certificates_check().
 */
int image_certificates_check_pair(const char *cert, const char *key, struct error *e);
