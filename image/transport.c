#include "image/transport.h"

#include "base/cleanup.h"
#include "base/hex.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int image_transport_open_file(const char *path, int *fd, struct stat *s, struct error *e) {
  *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
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

int image_transport_read_in(const char *folder, const char *name, image_sink *sink, void *arg,
                            struct error *e) {
  CLEANUP_FREE char *path = NULL;
  CLEANUP_FD int fd = -1;
  struct stat stat;
  if (asprintf(&path, "%s/%s", folder, name) < 0) {
    path = NULL;
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  if (image_transport_open_file(path, &fd, &stat, e) != 0) {
    return -1;
  }
  return image_transport_read_file(fd, path, (uint64_t)stat.st_size, sink, arg, e);
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
