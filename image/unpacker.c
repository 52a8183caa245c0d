#include "image/unpacker.h"

#include <archive.h>
#include <stdlib.h>

struct unpacker {
  struct archive *raw;
  unpacker_source *source;
  void *arg;
  struct error why; /* the source's; libarchive hands on no more than that there was one */
  bool begun, ended;
};

static la_ssize_t read_source(struct archive *raw, void *arg, const void **bytes) {
  struct unpacker *u = arg;
  struct slice piece = {NULL, 0};
  (void)raw;
  if (u->source(u->arg, &piece, &u->why) != 0) {
    return ARCHIVE_FATAL;
  }
  *bytes = piece.ptr;
  return (la_ssize_t)piece.len;
}

static int refuse(const struct unpacker *u, struct error *e) {
  const char *why = archive_error_string(u->raw);
  if (u->why.kind != ERROR_NONE) {
    if (e != NULL) {
      *e = u->why;
    }
    return -1;
  }
  return error_set(e, ERROR_FAILED, "%s", why == NULL ? "it cannot be unpacked" : why);
}

static int start(struct unpacker *u, struct error *e) {
  u->raw = archive_read_new();
  if (u->raw == NULL) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  archive_read_support_format_raw(u->raw);
  archive_read_support_format_empty(u->raw);
  archive_read_support_filter_gzip(u->raw);
  archive_read_support_filter_bzip2(u->raw);
  archive_read_support_filter_xz(u->raw);
  archive_read_support_filter_zstd(u->raw);
  if (archive_read_open(u->raw, u, NULL, read_source, NULL) != ARCHIVE_OK) {
    return refuse(u, e);
  }
  /* libarchive undoes layer upon layer, each a thousandfold. */
  return archive_filter_count(u->raw) <= 2
             ? 0
             : error_set(e, ERROR_FAILED, "it is compressed more than once");
}

int unpacker_open(unpacker_source *source, void *arg, struct unpacker **out, struct error *e) {
  struct unpacker *u = calloc(1, sizeof *u);
  if (u == NULL) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  u->source = source;
  u->arg = arg;
  if (start(u, e) != 0) {
    unpacker_close(u);
    return -1;
  }
  *out = u;
  return 0;
}

void unpacker_close(struct unpacker *u) {
  if (u != NULL) {
    archive_read_free(u->raw);
    free(u);
  }
}

enum packing unpacker_packing(const struct unpacker *u) {
  switch (archive_filter_code(u->raw, 0)) {
  case ARCHIVE_FILTER_GZIP:
    return PACKING_GZIP;
  case ARCHIVE_FILTER_BZIP2:
    return PACKING_BZIP2;
  case ARCHIVE_FILTER_XZ:
    return PACKING_XZ;
  case ARCHIVE_FILTER_ZSTD:
    return PACKING_ZSTD;
  default:
    return PACKING_NONE;
  }
}

const char *packing_name(enum packing packing) {
  static const char *const names[] = {"nothing", "gzip", "bzip2", "xz", "zstd"};
  return names[packing];
}

int unpacker_next(struct unpacker *u, struct slice *bytes, struct error *e) {
  const void *piece = NULL;
  size_t len = 0;
  la_int64_t offset;
  int result = ARCHIVE_OK;
  *bytes = (struct slice){NULL, 0};
  if (u->ended) {
    return 0;
  }
  if (!u->begun) {
    struct archive_entry *entry;
    u->begun = true;
    result = archive_read_next_header(u->raw, &entry);
  }
  while (result == ARCHIVE_OK && len == 0) {
    result = archive_read_data_block(u->raw, &piece, &len, &offset);
  }
  if (result != ARCHIVE_OK && result != ARCHIVE_EOF) {
    return refuse(u, e);
  }
  u->ended = result == ARCHIVE_EOF;
  *bytes = slice_of(piece, len);
  return 0;
}
