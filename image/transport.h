/** What a transport brings to image/source.h. Private to this room. */
#pragma once

#include "base/buf.h"
#include "image/source.h"

#include <sys/stat.h>

/** What came along with a manifest; strings in the source's arena, NULL where nothing did. */
struct image_served {
  const char *media_type;
  const char *digest; /**< valid by image_digest_valid() */
};

struct transport {
  /**
   * Reads the manifest of \p d whole; of a NULL digest the one that the reference names. Size and
   * digest are checked by the caller. NULL where there are no manifests.
   */
  int (*manifest)(struct image_source *s, const struct image_descriptor *d, struct buf *out,
                  struct image_served *served, struct error *e);
  /** Streams a blob; size and digest are checked in \p sink, and by the caller afterwards. */
  int (*read)(struct image_source *s, const struct image_descriptor *blob, image_sink *sink,
              void *arg, struct error *e);
  /** Where a blob lies in an archive; NULL where any order of reading is as good. */
  uint64_t (*position)(const struct image_source *s, const struct image_descriptor *blob);
  /** Frees what the transport holds, and the source. Its arena and buffer are freed already. */
  void (*close)(struct image_source *s);
};

/** The first member of every transport's own struct. */
struct image_source {
  const struct transport *transport;
  struct arena arena;
  const char *name; /**< for errors: the reference, defaults spelt out */
  struct image_descriptor *blobs;
  size_t blob_count;
  size_t foreign_count;
  const char *digest;
  struct buf manifest;
};

/** Each makes a source that image_source_close() can close, also when it fails later on: \p out is
 * NULL or that source. */
int image_docker_open(const struct image_reference *r, const struct image_source_options *o,
                      struct image_source **out, struct error *e);
int image_oci_open(const struct image_reference *r, const struct image_source_options *o,
                   struct image_source **out, struct error *e);
int image_archive_open(const struct image_reference *r, const struct image_source_options *o,
                       struct image_source **out, struct error *e);
int image_dir_open(const struct image_reference *r, const struct image_source_options *o,
                   struct image_source **out, struct error *e);
int image_blob_open(const struct image_reference *r, const struct image_source_options *o,
                    struct image_source **out, struct error *e);

/**
 * Reads manifests from \p top through at most IMAGE_INDEX_DEPTH_MAX indexes to that of an image, or
 * with `all` to those of all images, at most IMAGE_MANIFESTS_MAX documents, and sets digest,
 * manifest and blobs of the source.
 */
int image_transport_resolve(struct image_source *s, const struct image_descriptor *top,
                            const struct image_source_options *o, struct error *e);

/** Opens a regular file, and no other: a pipe does not block. Links are followed: the operator has
 * named the path, and where they lead are the bytes of the digest or it is an error. */
int image_transport_open_file(const char *path, int *fd, struct stat *s, struct error *e);

/** Streams the whole of the regular file \p name in \p folder. */
int image_transport_read_in(const char *folder, const char *name, image_sink *sink, void *arg,
                            struct error *e);

/** Streams at most \p size bytes from the start of \p fd; it is no error if there are fewer. */
int image_transport_read_file(int fd, const char *path, uint64_t size, image_sink *sink, void *arg,
                              struct error *e);

/** A sink for small documents: \p arg is a struct buf with a limit. */
int image_transport_collect(void *arg, struct slice bytes, struct error *e);

/** Writes `sha256:` and the digits of 32 bytes. NULL when there is no memory. */
const char *image_transport_digest(const unsigned char sha256[32], struct arena *arena);
