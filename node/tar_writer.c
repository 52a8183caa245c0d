#include "node/tar_writer.h"

#include "node/stop.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { BLOCK_SIZE = 256 * 1024 };

struct tar_writer {
  struct archive *archive;
  int fd, stop;
  const char *name;
  uint64_t left;    /* bytes that the file under way lacks */
  struct error why; /* libarchive hands on no more than that there was one */
};

static int refuse(const struct tar_writer *w, struct error *e) {
  const char *why = archive_error_string(w->archive);
  if (w->why.kind != ERROR_NONE) {
    return error_set(e, w->why.kind, "%s", w->why.text);
  }
  return error_set(e, ERROR_FAILED, "cannot write %s: %s", w->name,
                   why == NULL ? "out of memory" : why);
}

/* Waits until the descriptor takes bytes, or all is to be given up. */
static int await(struct tar_writer *w) {
  struct pollfd p[] = {{.fd = w->fd, .events = POLLOUT}, {.fd = w->stop, .events = POLLIN}};
  while (poll(p, 2, -1) < 0) {
    if (errno != EINTR) {
      return error_errno(&w->why, errno, "cannot write %s", w->name);
    }
  }
  return p[1].revents == 0 ? 0 : error_set(&w->why, ERROR_FAILED, "interrupted");
}

static la_ssize_t on_write(struct archive *archive, void *arg, const void *bytes, size_t len) {
  struct tar_writer *w = arg;
  struct slice rest = slice_of(bytes, len);
  (void)archive;
  while (rest.len > 0) {
    if (w->why.kind != ERROR_NONE || await(w) != 0) {
      return ARCHIVE_FATAL;
    }
    ssize_t n = write(w->fd, rest.ptr, rest.len);
    if (n < 0 && errno != EINTR && errno != EAGAIN) {
      error_errno(&w->why, errno, "cannot write %s", w->name);
      return ARCHIVE_FATAL;
    }
    rest = slice_from(rest, n < 0 ? 0 : (size_t)n);
  }
  return (la_ssize_t)len;
}

int tar_writer_new(int fd, const char *name, int stop, struct tar_writer **out, struct error *e) {
  struct tar_writer *w = calloc(1, sizeof *w);
  if (w == NULL) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  w->fd = fd;
  w->stop = stop;
  w->name = name;
  w->archive = archive_write_new();
  if (w->archive == NULL) {
    free(w);
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  archive_write_set_format_pax_restricted(w->archive);
  archive_write_set_bytes_per_block(w->archive, BLOCK_SIZE);
  /* Who reads the end's mark may stop there: nothing follows it. */
  archive_write_set_bytes_in_last_block(w->archive, 1);
  if (archive_write_open(w->archive, w, NULL, on_write, NULL) != ARCHIVE_OK) {
    refuse(w, e);
    tar_writer_free(w);
    return -1;
  }
  *out = w;
  return 0;
}

void tar_writer_free(struct tar_writer *w) {
  if (w != NULL) {
    /* What is not ended shall not look as if it were: nothing more is written. */
    error_set(&w->why, ERROR_FAILED, "given up");
    archive_write_free(w->archive);
    free(w);
  }
}

static int begin_entry(struct tar_writer *w, const char *name, unsigned type, mode_t mode,
                       uint64_t size, struct error *e) {
  if (w->left > 0) {
    return error_set(e, ERROR_FAILED, "cannot write %s: a file in it lacks bytes", w->name);
  }
  struct archive_entry *entry = archive_entry_new();
  if (entry == NULL) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  archive_entry_set_pathname(entry, name);
  archive_entry_set_filetype(entry, type);
  archive_entry_set_perm(entry, mode);
  archive_entry_set_mtime(entry, 0, 0);
  archive_entry_set_size(entry, (la_int64_t)size);
  int result = archive_write_header(w->archive, entry);
  archive_entry_free(entry);
  w->left = size;
  return result == ARCHIVE_OK ? 0 : refuse(w, e);
}

int tar_writer_folder(struct tar_writer *w, const char *name, struct error *e) {
  return begin_entry(w, name, AE_IFDIR, 0755, 0, e);
}

int tar_writer_file(struct tar_writer *w, const char *name, uint64_t size, struct error *e) {
  return begin_entry(w, name, AE_IFREG, 0644, size, e);
}

int tar_writer_bytes(struct tar_writer *w, struct slice bytes, struct error *e) {
  if (bytes.len > w->left) {
    return error_set(e, ERROR_FAILED, "cannot write %s: a file in it has more bytes than it should",
                     w->name);
  }
  w->left -= bytes.len;
  return archive_write_data(w->archive, bytes.ptr, bytes.len) == (la_ssize_t)bytes.len
             ? 0
             : refuse(w, e);
}

int tar_writer_end(struct tar_writer *w, struct error *e) {
  if (w->left > 0) {
    return error_set(e, ERROR_FAILED, "cannot write %s: a file in it lacks bytes", w->name);
  }
  return archive_write_close(w->archive) == ARCHIVE_OK ? 0 : refuse(w, e);
}
