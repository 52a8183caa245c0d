/** OCI and Docker schema 2 manifests and indexes, read within limits. Pure. */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "image/platform.h"

enum {
  IMAGE_MANIFEST_MAX = 4 * 1024 * 1024,
  IMAGE_LAYERS_MAX = 1024,
  IMAGE_INDEX_MAX = 1024,      /**< entries of an index */
  IMAGE_MEDIA_TYPE_MAX = 255,  /**< RFC 6838, section 4.2: two names of at most 127 bytes */
  IMAGE_INDEX_DEPTH_MAX = 2,   /**< indexes on the way from a reference to an image */
  IMAGE_MANIFESTS_MAX = 1024,  /**< manifests and indexes that are read of all platforms */
  IMAGE_BLOBS_MAX = 16 * 1024, /**< distinct blobs of all platforms */
};

/** The largest blob: what a JSON number holds exactly everywhere (RFC 8259, section 6). */
#define IMAGE_BLOB_MAX ((UINT64_C(1) << 53) - 1)

/** A descriptor; strings are NUL-terminated, in the arena; NULL where absent. */
struct image_descriptor {
  const char *media_type;
  const char *digest;             /**< valid by image_digest_valid(); of an index entry, which may
                                       be for others, only by image_descriptor_check() */
  uint64_t size;                  /**< at most IMAGE_BLOB_MAX */
  struct image_platform platform; /**< of an index entry */
  const char *ref_name;           /**< of an index entry: `org.opencontainers.image.ref.name` */
  bool artifact;                  /**< of an index entry: it has an `artifactType` */
  bool foreign; /**< of a layer that is nondistributable or has URLs: it need not be
                     in the registry */
};

struct image_manifest {
  bool is_index;
  bool is_artifact; /**< it has an `artifactType`, or the empty config: no container image */
  const char *media_type;
  struct image_descriptor config;  /**< of a manifest */
  struct image_descriptor *layers; /**< of a manifest; of an index: its entries */
  size_t layer_count;
};

/**
 * Reads a manifest or index. \p media_type is the Content-Type it came with, or NULL; `text/plain`,
 * `application/json` and `application/octet-stream` say as little.
 *
 * \return 0, or -1: ERROR_FAILED for what is no manifest, is of a type that is not known (schema 1
 * among them), exceeds a limit, or contradicts itself or \p media_type.
 */
int image_manifest_parse(struct slice json, const char *media_type, struct arena *arena,
                         struct image_manifest *out, struct error *e);

/** Whether what a descriptor describes can be read: its digest is a sha256. \return 0, or -1 with
 * ERROR_FAILED. */
int image_descriptor_check(const struct image_descriptor *d, struct error *e);

/** Whether a manifest may come with that Content-Type; NULL is fine. \return 0, or -1 as
 * image_manifest_parse(). */
int image_manifest_check_type(const char *media_type, struct error *e);

/**
 * The blobs that a pull of a manifest takes: config first, then layers in order, each digest once,
 * foreign layers left out.
 *
 * \return an array in the arena, of \p count; NULL when there is no memory, or one digest comes
 * with two sizes.
 */
struct image_descriptor *image_manifest_blobs(const struct image_manifest *manifest,
                                              struct arena *arena, size_t *count, struct error *e);

/** Whether an entry of an index is a manifest or an index that can be read; others are to be passed
 * over (OCI image specification, image-index.md, `manifests`). Schema 1 counts, to be refused. */
bool image_index_entry_known(const struct image_descriptor *entry);

/**
 * The entry of an index that fits a platform best by image_platform_distance(), or where none does,
 * the first that names no platform. Neither attestations (`unknown/unknown`) nor artifacts nor what
 * is no manifest are ever chosen.
 *
 * \return NULL when there is none; \p e is ERROR_NOT_FOUND and lists what there is.
 */
const struct image_descriptor *image_index_select(const struct image_manifest *index,
                                                  const struct image_platform *platform,
                                                  struct error *e);

/** Whether an index names the platform of any of its images. */
bool image_index_has_platforms(const struct image_manifest *index);

/** Says that an index has nothing for a platform, and what it has. \return -1: ERROR_NOT_FOUND. */
int image_index_refuse(const struct image_manifest *index, const struct image_platform *platform,
                       struct error *e);
