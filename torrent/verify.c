#include "torrent/verify.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

enum { READ_SIZE = 1024 * 1024 };

static int hash_file(const struct metainfo *m, const char *path, int fd, verify_progress *progress,
                     void *arg, struct hashes *out, struct error *e) {
  struct hasher *h;
  struct hasher_options options = {
      .format = m->format, .size = m->size, .piece_length = m->piece_length};
  if (hasher_new(&options, &h, e) != 0) {
    return -1;
  }
  for (uint64_t done = 0; done < m->size;) {
    size_t room;
    void *at = hasher_reserve(h, &room, e);
    if (at == NULL) {
      hasher_cancel(h);
      return -1;
    }
    ssize_t n = read(fd, at, room < READ_SIZE ? room : READ_SIZE);
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n <= 0) {
      int number = errno;
      hasher_cancel(h);
      return n < 0 ? error_errno(e, number, "cannot read %s", path)
                   : error_set(e, ERROR_MISMATCH, "%s became shorter while it was read", path);
    }
    hasher_commit(h, (size_t)n);
    done += (size_t)n;
    if (progress != NULL) {
      progress(arg, done);
    }
  }
  return hasher_finish(h, out, e);
}

/* Hash number `i`; empty where there are none of that kind. */
static struct slice nth(struct slice hashes, size_t size, uint64_t i) {
  return slice_of(slice_from(hashes, i * size).ptr, hashes.len == 0 ? 0 : size);
}

static bool differs(struct slice a, struct slice b, size_t size, uint64_t i) {
  return !slice_equal(nth(a, size, i), nth(b, size, i));
}

static int compare(const struct metainfo *m, const struct hashes *got, const char *path,
                   struct error *e) {
  uint64_t pieces = torrent_piece_count(m->size, m->piece_length);
  struct slice want_v2 = m->piece_layer;
  struct slice got_v2 = buf_view(&got->piece_layer);
  uint64_t count = 0;
  uint64_t first = 0;
  if ((m->format & TORRENT_V2) != 0 && pieces == 1) {
    /* It has no layer: the root is that piece. */
    want_v2 = m->pieces_root;
    got_v2 = slice_of(got->pieces_root, sizeof got->pieces_root);
  }
  for (uint64_t i = 0; i < pieces; i++) {
    if (differs(m->pieces, buf_view(&got->pieces), 20, i) || differs(want_v2, got_v2, 32, i)) {
      first = count == 0 ? i : first;
      count++;
    }
  }
  if (count > 0) {
    return error_set(e, ERROR_MISMATCH,
                     "%s does not match the torrent: %" PRIu64 " of %" PRIu64
                     " pieces differ, the first is piece %" PRIu64 ", at byte %" PRIu64,
                     path, count, pieces, first, first * m->piece_length);
  }
  return 0;
}

int verify_file(const struct metainfo *m, const char *path, verify_progress *progress, void *arg,
                struct error *e) {
  CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not block */
  struct stat s;
  if (fd < 0 || fstat(fd, &s) != 0) {
    int number = errno;
    error_errno(e, number, "cannot read %s", path);
    if (e != NULL && number == ENOENT) {
      e->kind = ERROR_NOT_FOUND;
    }
    return -1;
  }
  if (!S_ISREG(s.st_mode)) {
    return error_set(e, ERROR_FAILED, "cannot read %s: it is not a regular file", path);
  }
  if ((uint64_t)s.st_size != m->size) {
    return error_set(e, ERROR_MISMATCH,
                     "%s does not match the torrent: it has %" PRIu64 " bytes instead of %" PRIu64,
                     path, (uint64_t)s.st_size, m->size);
  }
  struct hashes got = {0};
  if (hash_file(m, path, fd, progress, arg, &got, e) != 0) {
    return -1;
  }
  int result = compare(m, &got, path, e);
  hashes_free(&got);
  return result;
}
