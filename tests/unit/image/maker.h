/** Tars made on the spot, `a.tar` in a test's folder. */
#pragma once

#include "unit/image/fixture.h"

#include <archive.h>
#include <archive_entry.h>

struct maker {
  struct archive *archive;
};

static inline struct maker maker_start(struct fixture *f, int filter) {
  struct maker m = {archive_write_new()};
  assert_non_null(m.archive);
  assert_int_equal(archive_write_set_format_pax_restricted(m.archive), ARCHIVE_OK);
  assert_int_equal(archive_write_add_filter(m.archive, filter), ARCHIVE_OK);
  assert_int_equal(archive_write_open_filename(m.archive, fixture_path(f, "a.tar")), ARCHIVE_OK);
  return m;
}

static inline void maker_add(struct maker *m, const char *name, const char *symlink,
                             const char *hardlink, struct slice bytes) {
  struct archive_entry *entry = archive_entry_new();
  assert_non_null(entry);
  archive_entry_set_pathname(entry, name);
  archive_entry_set_perm(entry, 0644);
  archive_entry_set_filetype(entry, symlink != NULL ? AE_IFLNK : AE_IFREG);
  if (symlink != NULL) {
    archive_entry_set_symlink(entry, symlink);
  } else if (hardlink != NULL) {
    archive_entry_set_hardlink(entry, hardlink);
  } else {
    archive_entry_set_size(entry, (la_int64_t)bytes.len);
  }
  assert_int_equal(archive_write_header(m->archive, entry), ARCHIVE_OK);
  if (symlink == NULL && hardlink == NULL && bytes.len > 0) {
    assert_int_equal(archive_write_data(m->archive, bytes.ptr, bytes.len), bytes.len);
  }
  archive_entry_free(entry);
}

static inline void maker_add_file(struct maker *m, const char *name, struct slice bytes) {
  maker_add(m, name, NULL, NULL, bytes);
}

/* Writes \p bytes as they are, so many times, to `a.tar`, compressed by \p filter. */
static inline void maker_pack(struct fixture *f, int filter, struct slice bytes, int times) {
  struct archive *archive = archive_write_new();
  struct archive_entry *entry = archive_entry_new();
  assert_true(archive != NULL && entry != NULL);
  assert_int_equal(archive_write_set_format_raw(archive), ARCHIVE_OK);
  assert_int_equal(archive_write_add_filter(archive, filter), ARCHIVE_OK);
  assert_int_equal(archive_write_open_filename(archive, fixture_path(f, "a.tar")), ARCHIVE_OK);
  archive_entry_set_filetype(entry, AE_IFREG);
  assert_int_equal(archive_write_header(archive, entry), ARCHIVE_OK);
  for (int i = 0; i < times; i++) {
    assert_int_equal(archive_write_data(archive, bytes.ptr, bytes.len), bytes.len);
  }
  archive_entry_free(entry);
  assert_int_equal(archive_write_close(archive), ARCHIVE_OK);
  archive_write_free(archive);
}

/* A file of so many MiB of zeros, which compress to next to nothing. */
static inline void maker_add_zeros(struct maker *m, const char *name, int mib) {
  static const char zeros[1024 * 1024];
  struct archive_entry *entry = archive_entry_new();
  assert_non_null(entry);
  archive_entry_set_pathname(entry, name);
  archive_entry_set_perm(entry, 0644);
  archive_entry_set_filetype(entry, AE_IFREG);
  archive_entry_set_size(entry, (la_int64_t)mib * (la_int64_t)sizeof zeros);
  assert_int_equal(archive_write_header(m->archive, entry), ARCHIVE_OK);
  for (int i = 0; i < mib; i++) {
    assert_int_equal(archive_write_data(m->archive, zeros, sizeof zeros), sizeof zeros);
  }
  archive_entry_free(entry);
}

static inline void maker_end(struct maker *m) {
  assert_int_equal(archive_write_close(m->archive), ARCHIVE_OK);
  archive_write_free(m->archive);
}
