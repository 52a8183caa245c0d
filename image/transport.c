#include "image/transport.h"

#include "base/hex.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/sha.h>
#include <unistd.h>

int image_transport_open_file(const char *path, int flags, int *fd, struct stat *s,
                              struct error *e) {
  *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | flags);
  if (*fd < 0 || fstat(*fd, s) != 0) {
    int number = errno;
    error_errno(e, number, "cannot open %s", path);
    if (e != NULL && (number == ENOENT || number == ENOTDIR)) {
      e->kind = ERROR_NOT_FOUND;
    }
    return -1;
  }
  return S_ISREG(s->st_mode) ? 0 : error_set(e, ERROR_FAILED, "%s is not a regular file", path);
}

int image_transport_read_file(int fd, const char *path, uint64_t size, image_sink *sink, void *arg,
                              struct error *e) {
  char piece[64 * 1024];
  uint64_t at = 0;
  while (at < size) {
    size_t want = size - at < sizeof piece ? (size_t)(size - at) : sizeof piece;
    ssize_t n = pread(fd, piece, want, (off_t)at);
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n < 0) {
      return error_errno(e, errno, "cannot read %s", path);
    }
    if (n == 0) {
      return 0;
    }
    if (sink(arg, slice_of(piece, (size_t)n), e) != 0) {
      return -1;
    }
    at += (uint64_t)n;
  }
  return 0;
}

int image_transport_collect(void *arg, struct slice bytes, struct error *e) {
  struct buf *out = arg;
  buf_slice(out, bytes);
  return out->failed ? error_set(e, ERROR_FAILED,
                                 "it is larger than %zu bytes, or there is no memory", out->limit)
                     : 0;
}

const char *image_transport_digest(const unsigned char sha256[32], struct arena *arena) {
  char hex[65];
  hex_encode(sha256, 32, hex);
  return arena_printf(arena, "sha256:%s", hex).ptr;
}

/* Reads one manifest, checked, into s->manifest and s->digest. */
static int read_manifest(struct image_source *s, const struct image_descriptor *d,
                         struct image_served *served, struct error *e) {
  unsigned char sha256[SHA256_DIGEST_LENGTH];
  buf_free(&s->manifest);
  s->manifest.limit = IMAGE_MANIFEST_MAX;
  if (s->transport->manifest(s, d, &s->manifest, served, e) != 0) {
    return -1;
  }
  SHA256((const unsigned char *)s->manifest.ptr, s->manifest.len, sha256);
  s->digest = image_transport_digest(sha256, &s->arena);
  if (s->digest == NULL) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  if (d->digest != NULL && strcmp(d->digest, s->digest) != 0) {
    return error_set(e, ERROR_MISMATCH, "the manifest's digest should be %s, but is %s", d->digest,
                     s->digest);
  }
  if (served->digest != NULL && strcmp(served->digest, s->digest) != 0) {
    return error_set(e, ERROR_MISMATCH, "the manifest is said to be %s, but is %s", served->digest,
                     s->digest);
  }
  return 0;
}

int image_transport_resolve(struct image_source *s, const struct image_descriptor *top,
                            const struct image_platform *platform, struct error *e) {
  const struct image_descriptor *d = top;
  struct image_manifest manifest;
  for (int indexes = 0;; indexes++) {
    struct image_served served = {NULL, NULL};
    if (read_manifest(s, d, &served, e) != 0) {
      return -1;
    }
    if (d->size != IMAGE_SIZE_UNKNOWN && d->size != s->manifest.len) {
      return error_set(e, ERROR_MISMATCH,
                       "the manifest %s should have %" PRIu64 " bytes, but has %zu", d->digest,
                       d->size, s->manifest.len);
    }
    if (image_manifest_parse(buf_view(&s->manifest),
                             served.media_type != NULL ? served.media_type : d->media_type,
                             &s->arena, &manifest, e) != 0) {
      return -1;
    }
    if (!manifest.is_index) {
      break;
    }
    if (indexes == IMAGE_INDEX_DEPTH_MAX) {
      return error_set(e, ERROR_FAILED, "its indexes are nested more than %d deep",
                       IMAGE_INDEX_DEPTH_MAX);
    }
    d = image_index_select(&manifest, platform, e);
    if (d == NULL) {
      return -1;
    }
  }
  s->blobs = image_manifest_blobs(&manifest, &s->arena, &s->blob_count, e);
  return s->blobs == NULL ? -1 : 0;
}
