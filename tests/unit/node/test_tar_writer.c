/* Archives that are written from front to end: whole, the same each time, and given up in time. */
#include "node/tar_writer.h"

#include "base/file.h"
#include "support/heap.h"
#include "unit/image/fixture.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>

static int open_file(struct fixture *f, const char *name) {
  char path[200];
  snprintf(path, sizeof path, "%s/%s", f->dir, name);
  int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  assert_true(fd >= 0);
  return fd;
}

static int write_one(int fd, struct error *e) {
  struct tar_writer *w;
  if (tar_writer_new(fd, "it", -1, &w, e) != 0) {
    return -1;
  }
  int result = tar_writer_folder(w, "folder/", e);
  if (result == 0 && (result = tar_writer_file(w, "folder/a", 10, e)) == 0 &&
      (result = tar_writer_bytes(w, SLICE("01234"), e)) == 0 &&
      (result = tar_writer_bytes(w, SLICE("56789"), e)) == 0 &&
      (result = tar_writer_file(w, "empty", 0, e)) == 0) {
    result = tar_writer_end(w, e);
  }
  tar_writer_free(w);
  return result;
}

static struct buf all_of(struct fixture *f, const char *name) {
  struct buf bytes = {0};
  assert_int_equal(file_read(fixture_path(f, name), 1 << 20, &bytes, NULL), 0);
  return bytes;
}

static void it_is_read_as_it_was_written(void **state) {
  struct fixture *f = *state;
  int fd = open_file(f, "a.tar");
  assert_int_equal(write_one(fd, &f->e), 0);
  close(fd);
  struct archive *a = archive_read_new();
  struct archive_entry *entry;
  char bytes[20];
  archive_read_support_format_tar(a);
  assert_int_equal(archive_read_open_filename(a, fixture_path(f, "a.tar"), 512), ARCHIVE_OK);
  assert_int_equal(archive_read_next_header(a, &entry), ARCHIVE_OK);
  assert_string_equal(archive_entry_pathname(entry), "folder/");
  assert_int_equal(archive_entry_mode(entry), S_IFDIR | 0755);
  assert_int_equal(archive_read_next_header(a, &entry), ARCHIVE_OK);
  assert_string_equal(archive_entry_pathname(entry), "folder/a");
  assert_int_equal(archive_entry_mode(entry), S_IFREG | 0644);
  assert_int_equal(archive_entry_mtime(entry), 0);
  assert_int_equal(archive_read_data(a, bytes, sizeof bytes), 10);
  assert_memory_equal(bytes, "0123456789", 10);
  assert_int_equal(archive_read_next_header(a, &entry), ARCHIVE_OK);
  assert_string_equal(archive_entry_pathname(entry), "empty");
  assert_int_equal(archive_read_next_header(a, &entry), ARCHIVE_EOF);
  archive_read_free(a);
}

/* 512 each for three headers and one file, and the mark of the end: who has read that may stop. */
static void nothing_follows_the_end_s_mark(void **state) {
  struct fixture *f = *state;
  for (int i = 0; i < 2; i++) {
    int fd = open_file(f, i == 0 ? "a.tar" : "b.tar");
    assert_int_equal(write_one(fd, &f->e), 0);
    close(fd);
  }
  struct buf a = all_of(f, "a.tar");
  struct buf b = all_of(f, "b.tar");
  assert_int_equal(a.len, 4 * 512 + 1024);
  assert_true(slice_equal(buf_view(&a), buf_view(&b)));
  buf_free(&a);
  buf_free(&b);
}

static void a_size_that_is_wrong(void **state) {
  struct fixture *f = *state;
  struct tar_writer *w;
  int fd = open_file(f, "a.tar");
  assert_int_equal(tar_writer_new(fd, "it", -1, &w, &f->e), 0);
  assert_int_equal(tar_writer_file(w, "a", 3, &f->e), 0);
  assert_int_equal(tar_writer_bytes(w, SLICE("0123"), &f->e), -1);
  assert_non_null(strstr(f->e.text, "more bytes"));
  assert_int_equal(tar_writer_bytes(w, SLICE("01"), &f->e), 0);
  assert_int_equal(tar_writer_file(w, "b", 0, &f->e), -1);
  assert_non_null(strstr(f->e.text, "lacks bytes"));
  assert_int_equal(tar_writer_end(w, &f->e), -1);
  tar_writer_free(w);
  assert_int_equal(lseek(fd, 0, SEEK_END), 0); /* what is not ended is not padded either */
  close(fd);
}

/* More than a tar's usual header can say. */
static void a_size_of_many_digits(void **state) {
  struct fixture *f = *state;
  struct tar_writer *w;
  static const char big[1024 * 1024];
  int fd = open_file(f, "a.tar");
  assert_int_equal(tar_writer_new(fd, "it", -1, &w, &f->e), 0);
  assert_int_equal(tar_writer_file(w, "a", UINT64_C(1) << 40, &f->e), 0);
  assert_int_equal(tar_writer_bytes(w, slice_of(big, sizeof big), &f->e), 0);
  tar_writer_free(w);
  close(fd);
  struct archive *a = archive_read_new();
  struct archive_entry *entry;
  archive_read_support_format_tar(a);
  assert_int_equal(archive_read_open_filename(a, fixture_path(f, "a.tar"), 512), ARCHIVE_OK);
  assert_int_equal(archive_read_next_header(a, &entry), ARCHIVE_OK);
  assert_string_equal(archive_entry_pathname(entry), "a");
  assert_int_equal(archive_entry_size(entry), INT64_C(1) << 40);
  archive_read_free(a);
}

static int fill(int fd, int stop, struct error *e) {
  static const char bytes[1024 * 1024];
  struct tar_writer *w;
  assert_int_equal(tar_writer_new(fd, "it", stop, &w, e), 0);
  int result = tar_writer_file(w, "a", sizeof bytes, e);
  if (result == 0 && (result = tar_writer_bytes(w, slice_of(bytes, sizeof bytes), e)) == 0) {
    result = tar_writer_end(w, e);
  }
  tar_writer_free(w);
  return result;
}

static void a_reader_that_is_gone(void **state) {
  struct fixture *f = *state;
  int ends[2];
  signal(SIGPIPE, SIG_IGN);
  assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
  close(ends[0]);
  assert_int_equal(fill(ends[1], -1, &f->e), -1);
  assert_string_equal(f->e.text, "cannot write it: Broken pipe");
  close(ends[1]);
}

/* Nobody reads: it waits until it is told to stop, and is told already. */
static void a_reader_that_waits(void **state) {
  struct fixture *f = *state;
  int ends[2];
  int stop = eventfd(1, EFD_CLOEXEC);
  assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
  assert_int_equal(fill(ends[1], stop, &f->e), -1);
  assert_string_equal(f->e.text, "interrupted");
  close(stop);
  close(ends[0]);
  close(ends[1]);
}

static void a_disk_that_is_full(void **state) {
  struct fixture *f = *state;
  int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
  assert_true(fd >= 0);
  assert_int_equal(fill(fd, -1, &f->e), -1);
  assert_string_equal(f->e.text, "cannot write it: No space left on device");
  close(fd);
}

static int write_again(void *arg, struct error *e) {
  int fd = open_file(arg, "a.tar");
  int result = write_one(fd, e);
  close(fd);
  return result;
}

static void memory_that_runs_out_is_said(void **state) {
  tar_writer_free(NULL);
  heap_exhaust(write_again, *state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(it_is_read_as_it_was_written), TEST(nothing_follows_the_end_s_mark),
      TEST(a_size_that_is_wrong),         TEST(a_size_of_many_digits),
      TEST(a_reader_that_is_gone),        TEST(a_reader_that_waits),
      TEST(a_disk_that_is_full),          TEST(memory_that_runs_out_is_said),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
