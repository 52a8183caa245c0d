/**
 * Certificates that carry the keys of registry tokens to a registry: docker-registry 2 takes keys
 * in no other form (`rootcertbundle`). It looks at the key alone, not at dates or signatures.
 */
#pragma once

#include "auth/key.h"

/**
 * Appends a certificate of \p subject in PEM, with a line above it that names its
 * key_libtrust_id().
 *
 * \param signer a private key; \p subject itself where that is one.
 * \param now NumericDate; it holds from a day before, for ten years.
 * \return 0, or -1 with ERROR_FAILED.
 */
int certificate_append(const struct key *subject, const struct key *signer, int64_t now,
                       struct buf *out, struct error *e);

/**
 * Writes a bundle of certificates, mode 0644, in place of an older one of ours.
 *
 * \return 0, or -1: ERROR_USAGE for a file that is there and no bundle of ours, ERROR_FAILED.
 */
int certificate_save(const char *path, struct slice bundle, struct error *e);

/** As certificate_save(), but fails when \p path exists already. */
int certificate_create(const char *path, struct slice bundle, struct error *e);
