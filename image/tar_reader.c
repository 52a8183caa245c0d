#include "image/tar_reader.h"

#include "image/transport.h"
#include "image/unpacker.h"

#include <archive.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { READ_SIZE = 256 * 1024 };

struct tar_reader {
  char *path;
  int fd;
  uint64_t size, at;         /* of the file */
  char *buffer;              /* READ_SIZE bytes */
  struct unpacker *unpacker; /* NULL: it is not compressed */
  uint64_t may_unpack;       /* so many bytes more */
  struct archive *archive;
  size_t next; /* position of the entry that comes next */
  bool in_header;
  size_t header_left; /* bytes that a header may still take */
  struct error why;   /* of what libarchive calls; it hands on no more than that there was one */
};

static int out_of_memory(struct error *e) {
  return error_set(e, ERROR_FAILED, "out of memory");
}

static int refuse(const struct tar_reader *r, struct error *e) {
  const char *why = r->why.kind != ERROR_NONE ? r->why.text
                    : r->archive == NULL      ? NULL
                                              : archive_error_string(r->archive);
  return error_set(e, ERROR_FAILED, "cannot read %s: %s", r->path,
                   why == NULL ? "it is no tar archive" : why);
}

/* --- what libarchive is given to read --- */

static int read_file(void *arg, struct slice *bytes, struct error *e) {
  struct tar_reader *r = arg;
  ssize_t n;
  do {
    n = pread(r->fd, r->buffer, READ_SIZE, (off_t)r->at);
  } while (n < 0 && errno == EINTR);
  if (n < 0) {
    return error_errno(e, errno, "its bytes");
  }
  r->at += (uint64_t)n;
  *bytes = slice_of(r->buffer, (size_t)n);
  return 0;
}

static int charge(struct tar_reader *r, size_t unpacked, struct error *e) {
  if (unpacked > r->may_unpack) {
    return error_set(
        e, ERROR_FAILED,
        "unpacking it gives more than %d times its size: unpack it yourself if you trust it",
        TAR_RATIO_MAX);
  }
  r->may_unpack -= unpacked;
  return 0;
}

static int read_unpacked(struct tar_reader *r, struct slice *bytes, struct error *e) {
  return unpacker_next(r->unpacker, bytes, e) == 0 ? charge(r, bytes->len, e) : -1;
}

static la_ssize_t on_read(struct archive *archive, void *arg, const void **out) {
  struct tar_reader *r = arg;
  struct slice bytes = {NULL, 0};
  (void)archive;
  if ((r->unpacker == NULL ? read_file(r, &bytes, &r->why) : read_unpacked(r, &bytes, &r->why)) !=
      0) {
    return ARCHIVE_FATAL;
  }
  if (r->in_header && bytes.len > r->header_left) {
    error_set(&r->why, ERROR_FAILED, "a header in it has more than %d bytes", TAR_HEADER_MAX);
    return ARCHIVE_FATAL;
  }
  r->header_left -= r->in_header ? bytes.len : 0;
  *out = bytes.ptr;
  return (la_ssize_t)bytes.len;
}

/* A file that is not compressed need not be read where it is passed over. */
static la_int64_t on_skip(struct archive *archive, void *arg, la_int64_t request) {
  struct tar_reader *r = arg;
  (void)archive;
  uint64_t left = r->at < r->size ? r->size - r->at : 0;
  uint64_t skipped = (uint64_t)request < left ? (uint64_t)request : left;
  r->at += skipped;
  return (la_int64_t)skipped;
}

/* --- a reader's life --- */

static void end_archive(struct tar_reader *r) {
  archive_read_free(r->archive);
  r->archive = NULL;
  unpacker_close(r->unpacker);
  r->unpacker = NULL;
}

static int begin_unpacking(struct tar_reader *r, struct error *e) {
  if (unpacker_open(read_file, r, &r->unpacker, e) != 0) {
    return error_context(e, "cannot read %s", r->path);
  }
  if (unpacker_packing(r->unpacker) == PACKING_NONE) {
    unpacker_close(r->unpacker);
    r->unpacker = NULL;
    r->at = 0;
  }
  return 0;
}

int tar_reader_rewind(struct tar_reader *r, struct error *e) {
  end_archive(r);
  r->next = 0;
  r->at = 0;
  r->in_header = false;
  r->why = (struct error){0};
  if (begin_unpacking(r, e) != 0) {
    return -1;
  }
  r->archive = archive_read_new();
  if (r->archive == NULL) {
    return out_of_memory(e);
  }
  archive_read_support_format_tar(r->archive);
  archive_read_set_read_callback(r->archive, on_read);
  archive_read_set_callback_data(r->archive, r);
  if (r->unpacker == NULL) {
    archive_read_set_skip_callback(r->archive, on_skip);
  }
  return archive_read_open1(r->archive) == ARCHIVE_OK ? 0 : refuse(r, e);
}

static int open_file(struct tar_reader *r, const char *path, struct error *e) {
  struct stat stat;
  r->path = strdup(path);
  r->buffer = malloc(READ_SIZE);
  if (r->path == NULL || r->buffer == NULL) {
    return out_of_memory(e);
  }
  if (image_transport_open_file(path, &r->fd, &stat, e) != 0) {
    return -1;
  }
  r->size = (uint64_t)stat.st_size;
  r->may_unpack =
      r->size > TAR_UNPACKED_MAX / TAR_RATIO_MAX ? r->size * TAR_RATIO_MAX : TAR_UNPACKED_MAX;
  return tar_reader_rewind(r, e);
}

int tar_reader_open(const char *path, struct tar_reader **out, struct error *e) {
  struct tar_reader *r = calloc(1, sizeof *r);
  if (r == NULL) {
    return out_of_memory(e);
  }
  r->fd = -1;
  if (open_file(r, path, e) != 0) {
    tar_reader_close(r);
    return -1;
  }
  *out = r;
  return 0;
}

void tar_reader_close(struct tar_reader *r) {
  if (r != NULL) {
    end_archive(r);
    if (r->fd >= 0) {
      close(r->fd);
    }
    free(r->buffer);
    free(r->path);
    free(r);
  }
}

bool tar_reader_is_packed(const struct tar_reader *r) {
  return r->unpacker != NULL;
}

/* --- entries --- */

/* What is repaired or converted will do; where libarchive looks for the next header behind a
 * damaged one (ARCHIVE_RETRY), nobody knows what is lost. */
static bool has_failed(int result) {
  return result != ARCHIVE_OK && result != ARCHIVE_WARN;
}

int tar_reader_next(struct tar_reader *r, struct archive_entry **entry, struct error *e) {
  /* What is left of the entry before must not count as the header's. */
  if (r->next > 0 && has_failed(archive_read_data_skip(r->archive))) {
    return refuse(r, e);
  }
  r->in_header = true;
  r->header_left = TAR_HEADER_MAX;
  int result = archive_read_next_header(r->archive, entry);
  r->in_header = false;
  if (result == ARCHIVE_EOF) {
    return 0;
  }
  if (has_failed(result) || r->why.kind != ERROR_NONE) {
    return refuse(r, e);
  }
  r->next++;
  return 1;
}

size_t tar_reader_position(const struct tar_reader *r) {
  return r->next;
}

int tar_reader_piece(struct tar_reader *r, struct slice *bytes, struct error *e) {
  const void *piece = NULL;
  size_t len = 0;
  la_int64_t offset;
  int result = ARCHIVE_OK;
  while (!has_failed(result) && len == 0) {
    result = archive_read_data_block(r->archive, &piece, &len, &offset);
  }
  if (result != ARCHIVE_EOF && has_failed(result)) {
    return refuse(r, e);
  }
  *bytes = slice_of(piece, len);
  return 0;
}

int tar_reader_charge(struct tar_reader *r, size_t unpacked, struct error *e) {
  return charge(r, unpacked, e) == 0 ? 0 : error_context(e, "cannot read %s", r->path);
}
