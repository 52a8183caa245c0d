/**
 * A SOURCE of the tools: an image's manifest and blobs, whatever transport they come by. Blocking;
 * for tools. `docker://` runs a loop of its own inside.
 */
#pragma once

#include "image/manifest.h"
#include "image/platform.h"
#include "image/reference.h"

/** The size of what is known by a reference alone. */
#define IMAGE_SIZE_UNKNOWN UINT64_MAX

struct image_source;

struct image_source_options {
  const char *creds, *authfile; /**< as image_credentials_find() takes them */
  const char *cert_dir;         /**< as image_certificates_find() takes it */
  /** `--tls-verify`: true: https, checked. false: certificates are not checked, and plain http is
   *  used when https does not answer. Loopback hosts are asked over plain http when https fails,
   *  as docker does, without saying so. */
  bool tls_verify;
  const struct image_platform *platform; /**< NULL: this machine's */
  bool all; /**< of an index the images of all platforms, and what else it lists */
};

/**
 * Opens \p reference and reads its manifest, choosing from an index by platform, or with `all`
 * every manifest; size and digest of what was read are checked against the reference's and the
 * index's. Only `docker://` looks at the options' first four members.
 *
 * \return 0, or -1: ERROR_DENIED for a 401, ERROR_NOT_FOUND for a 404 or a 403, a file, name or
 * platform that is not there, ERROR_MISMATCH, ERROR_USAGE, ERROR_FAILED. Where the registry
 * redirects to another host, that one's 401 and 403 are ERROR_FAILED.
 */
int image_source_open(const struct image_reference *reference,
                      const struct image_source_options *options, struct image_source **out,
                      struct error *e);
/** NULL is fine. */
void image_source_close(struct image_source *source);

/**
 * The distinct blobs, config first, then layers in order, one manifest after the other; foreign
 * layers are left out. Owned by the source. A docker-archive's layers are as the archive holds
 * them, which is uncompressed as a rule; others unpack to what the config names. A `blob:` has one,
 * whose digest is NULL until it has been read once: a large file is not read twice for its name.
 */
const struct image_descriptor *image_source_blobs(const struct image_source *source, size_t *count);

/** How many layers were left out as foreign: they need not be in a registry, and what their `urls`
 * lead to is never asked. */
size_t image_source_foreign(const struct image_source *source);

/** The digest (`sha256:…`) of the image's own manifest and its exact bytes, of an index only with
 * `all`; of `blob:` and `docker-archive:` NULL and empty. */
const char *image_source_digest(const struct image_source *source);
struct slice image_source_manifest(const struct image_source *source);

/**
 * Where a blob lies in an archive; 0 elsewhere. Who reads blobs in this order reads an archive
 * once, and a compressed one not anew for each.
 */
uint64_t image_source_position(const struct image_source *source,
                               const struct image_descriptor *blob);

/** Given the bytes of a blob in order, at its own pace: nothing more is read meanwhile. \return -1
 * with \p e to give up. */
typedef int image_sink(void *arg, struct slice bytes, struct error *e);

/** Asked once the sink was given a whole blob: the SHA-256 of what it was given. \return -1 with
 * \p e to give up. */
typedef int image_digest(void *arg, unsigned char sha256[32], struct error *e);

/**
 * Streams a blob of image_source_blobs() into \p sink, which must not believe the bytes before this
 * returns: the digest is known at the end only. No byte beyond the blob's size is given.
 *
 * \param digest of a sink that hashes what it is given, on other threads than this one; NULL: it is
 * hashed here.
 * \return 0, or -1: ERROR_MISMATCH when size or digest is not the descriptor's; the own error of
 * \p sink and \p digest as it is; else as image_source_open().
 */
int image_source_read(struct image_source *source, const struct image_descriptor *blob,
                      image_sink *sink, image_digest *digest, void *arg, struct error *e);
