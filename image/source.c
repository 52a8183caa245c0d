#include "image/source.h"

#include "image/transport.h"

#include <inttypes.h>
#include <openssl/evp.h>

static int open_transport(const struct image_reference *r, const struct image_source_options *o,
                          struct image_source **out, struct error *e) {
  switch (r->transport) {
  case IMAGE_DOCKER:
    return image_docker_open(r, o, out, e);
  case IMAGE_OCI:
  case IMAGE_OCI_ARCHIVE:
    return image_oci_open(r, o, out, e);
  case IMAGE_DOCKER_ARCHIVE:
    return image_archive_open(r, o, out, e);
  case IMAGE_DIR:
    return image_dir_open(r, o, out, e);
  case IMAGE_BLOB:
    return image_blob_open(r, o, out, e);
  }
  error_set(e, ERROR_USAGE, "unknown transport");
  return -1;
}

int image_source_open(const struct image_reference *reference,
                      const struct image_source_options *options, struct image_source **out,
                      struct error *e) {
  struct arena arena = {0};
  struct image_platform here;
  struct image_source_options o = *options;
  const char *name = image_reference_print(reference, &arena);
  if (o.platform == NULL) {
    image_platform_here(&here);
    o.platform = &here;
  }
  *out = NULL;
  int result = -1;
  if (name == NULL) {
    error_set(e, ERROR_FAILED, "out of memory");
  } else if (open_transport(reference, &o, out, e) == 0) {
    (*out)->name = arena_copy(&(*out)->arena, slice_str(name));
    result = (*out)->name == NULL ? error_set(e, ERROR_FAILED, "out of memory") : 0;
  }
  if (result != 0) {
    image_source_close(*out);
    *out = NULL;
    error_context(e, "cannot read %.300s", name == NULL ? "an image" : name);
  }
  arena_free(&arena);
  return result;
}

void image_source_close(struct image_source *source) {
  if (source != NULL) {
    arena_free(&source->arena);
    buf_free(&source->manifest);
    source->transport->close(source);
  }
}

const struct image_descriptor *image_source_blobs(const struct image_source *source,
                                                  size_t *count) {
  *count = source->blob_count;
  return source->blobs;
}

size_t image_source_foreign(const struct image_source *source) {
  return source->foreign_count;
}

uint64_t image_source_position(const struct image_source *source,
                               const struct image_descriptor *blob) {
  return source->transport->position == NULL ? 0 : source->transport->position(source, blob);
}

const char *image_source_digest(const struct image_source *source) {
  return source->digest;
}

struct slice image_source_manifest(const struct image_source *source) {
  return buf_view(&source->manifest);
}

/* Between a transport and the caller's sink: counts and hashes. */
struct check {
  const struct image_descriptor *blob;
  EVP_MD_CTX *sha256; /* NULL: the sink hashes */
  uint64_t seen;
  image_sink *sink;
  void *arg;
  bool sink_failed;
};

static int check_bytes(void *arg, struct slice bytes, struct error *e) {
  struct check *c = arg;
  if (bytes.len > c->blob->size - c->seen) {
    return error_set(e, ERROR_MISMATCH, "it is longer than the %" PRIu64 " bytes it should have",
                     c->blob->size);
  }
  c->seen += bytes.len;
  if (c->sha256 != NULL && EVP_DigestUpdate(c->sha256, bytes.ptr, bytes.len) != 1) {
    return error_set(e, ERROR_FAILED, "cannot compute its digest");
  }
  c->sink_failed = c->sink(c->arg, bytes, e) != 0;
  return c->sink_failed ? -1 : 0;
}

static int check_end(struct image_source *s, struct check *c, image_digest *own, struct error *e) {
  unsigned char sha256[EVP_MAX_MD_SIZE];
  if (c->seen != c->blob->size) {
    return error_set(e, ERROR_MISMATCH, "it has %" PRIu64 " bytes, but should have %" PRIu64,
                     c->seen, c->blob->size);
  }
  if (own != NULL && own(c->arg, sha256, e) != 0) {
    c->sink_failed = true;
    return -1;
  }
  bool good = own != NULL || EVP_DigestFinal_ex(c->sha256, sha256, NULL) == 1;
  const char *digest = good ? image_transport_digest(sha256, &s->arena) : NULL;
  if (digest == NULL) {
    return error_set(e, ERROR_FAILED, "cannot compute its digest");
  }
  if (c->blob->digest == NULL) {
    s->blobs[0].digest = digest; /* of `blob:`, which has but one */
    return 0;
  }
  return strcmp(digest, c->blob->digest) == 0
             ? 0
             : error_set(e, ERROR_MISMATCH, "its bytes have the digest %s", digest);
}

int image_source_read(struct image_source *source, const struct image_descriptor *blob,
                      image_sink *sink, image_digest *digest, void *arg, struct error *e) {
  struct check check = {.blob = blob, .sink = sink, .arg = arg};
  int result = 0;
  if (digest == NULL) {
    check.sha256 = EVP_MD_CTX_new();
    if (check.sha256 == NULL || EVP_DigestInit_ex(check.sha256, EVP_sha256(), NULL) != 1) {
      result = error_set(e, ERROR_FAILED, "cannot compute its digest");
    }
  }
  if (result == 0) {
    result = source->transport->read(source, blob, check_bytes, &check, e);
  }
  if (result == 0) {
    result = check_end(source, &check, digest, e);
  }
  EVP_MD_CTX_free(check.sha256);
  if (result != 0 && !check.sink_failed) {
    error_context(e, "cannot read %s%s%.300s", blob->digest == NULL ? "" : blob->digest,
                  blob->digest == NULL ? "" : " of ", source->name);
  }
  return result;
}
