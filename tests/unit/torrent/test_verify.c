#include "torrent/verify.h"

#include "base/file.h"
#include "unit/cmocka_all.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE ((size_t)16384)

/* What the next calls of the code under test come to: an errno value each; 0: the truth. */
static int reads_end[3];
static int fstat_ends;

/* The linker's --wrap makes the names. NOLINTBEGIN(cert-dcl51-cpp) */
ssize_t __real_read(int fd, void *to, size_t len);
ssize_t __wrap_read(int fd, void *to, size_t len);
int __real_fstat(int fd, struct stat *s);
int __wrap_fstat(int fd, struct stat *s);

ssize_t __wrap_read(int fd, void *to, size_t len) {
  int now = reads_end[0];
  memmove(reads_end, reads_end + 1, sizeof reads_end - sizeof *reads_end);
  errno = now;
  return now == 0 ? __real_read(fd, to, len) : -1;
}

int __wrap_fstat(int fd, struct stat *s) {
  errno = fstat_ends;
  return fstat_ends == 0 ? __real_fstat(fd, s) : -1;
}
/* NOLINTEND(cert-dcl51-cpp) */

struct place {
  char folder[64];
  char path[80];
};

static int make_place(void **state) {
  struct place *p = calloc(1, sizeof *p);
  assert_non_null(p);
  snprintf(p->folder, sizeof p->folder, "/tmp/test_verify.XXXXXX");
  assert_non_null(mkdtemp(p->folder));
  snprintf(p->path, sizeof p->path, "%s/data", p->folder);
  *state = p;
  return 0;
}

static int remove_place(void **state) {
  struct place *p = *state;
  unlink(p->path);
  rmdir(p->folder);
  free(p);
  return 0;
}

static struct metainfo torrent_of(struct slice data, enum torrent_format format,
                                  struct arena *arena) {
  struct hasher *h;
  struct hashes hashes;
  struct metainfo m;
  const struct hasher_options o = {format, data.len, PIECE, 2, false};
  assert_int_equal(hasher_new(&o, &h, NULL), 0);
  assert_int_equal(hasher_feed(h, data, NULL), 0);
  assert_int_equal(hasher_finish(h, &hashes, NULL), 0);
  assert_int_equal(metainfo_make(&hashes, SLICE("data"), slice_of(NULL, 0), arena, &m, NULL), 0);
  hashes_free(&hashes);
  return m;
}

static void count_up(void *arg, uint64_t done) {
  uint64_t *last = arg;
  assert_true(done > *last);
  *last = done;
}

static void verify(const struct place *p, const struct metainfo *m, struct slice data,
                   enum error_kind want, const char *says) {
  struct error e = {0};
  uint64_t done = 0;
  assert_int_equal(file_write(p->path, data, 0600, NULL), 0);
  int result = verify_file(m, p->path, count_up, &done, &e);
  assert_int_equal(e.kind, want);
  assert_int_equal(result, want == ERROR_NONE ? 0 : -1);
  if (strstr(e.text, says) == NULL) {
    fail_msg("\"%s\" does not say \"%s\"", e.text, says);
  }
  if (want == ERROR_NONE) {
    assert_int_equal(done, data.len);
  }
}

static void test_pieces(void **state) {
  char data[5 * PIECE + 100];
  memset(data, 'x', sizeof data);
  for (int format = TORRENT_V1; format <= TORRENT_HYBRID; format++) {
    struct arena arena = {0};
    struct slice whole = slice_of(data, sizeof data);
    struct metainfo m = torrent_of(whole, (enum torrent_format)format, &arena);
    verify(*state, &m, whole, ERROR_NONE, "");
    data[2 * PIECE] ^= 1;
    verify(*state, &m, whole, ERROR_MISMATCH,
           "1 of 6 pieces differ, the first is piece 2, at byte 32768");
    data[sizeof data - 1] ^= 1;
    verify(*state, &m, whole, ERROR_MISMATCH, "2 of 6 pieces differ, the first is piece 2");
    data[2 * PIECE] ^= 1;
    verify(*state, &m, whole, ERROR_MISMATCH, "1 of 6 pieces differ, the first is piece 5");
    data[sizeof data - 1] ^= 1;
    verify(*state, &m, slice_of(data, sizeof data - 1), ERROR_MISMATCH,
           "it has 82019 bytes instead of 82020");
    arena_free(&arena);
  }
}

static void test_one_piece(void **state) {
  for (int format = TORRENT_V1; format <= TORRENT_HYBRID; format++) {
    struct arena arena = {0};
    struct metainfo m = torrent_of(SLICE("abc"), (enum torrent_format)format, &arena);
    verify(*state, &m, SLICE("abc"), ERROR_NONE, "");
    verify(*state, &m, SLICE("abd"), ERROR_MISMATCH, "1 of 1 pieces differ");
    verify(*state, &m, SLICE(""), ERROR_MISMATCH, "0 bytes instead of 3");
    arena_free(&arena);
  }
}

static void test_no_file(void **state) {
  const struct place *p = *state;
  struct arena arena = {0};
  struct error e = {0};
  struct metainfo m = torrent_of(SLICE("abc"), TORRENT_V1, &arena);
  assert_int_equal(verify_file(&m, p->path, NULL, NULL, &e), -1);
  assert_int_equal(e.kind, ERROR_NOT_FOUND);
  assert_int_equal(verify_file(&m, p->folder, NULL, NULL, &e), -1);
  assert_int_equal(e.kind, ERROR_FAILED);
  assert_int_equal(mkfifo(p->path, 0600), 0);
  assert_int_equal(verify_file(&m, p->path, NULL, NULL, &e), -1);
  assert_int_equal(e.kind, ERROR_FAILED);
  arena_free(&arena);
}

static void cut(void *arg, uint64_t done) {
  const struct place *p = arg;
  (void)done;
  assert_int_equal(truncate(p->path, 1024 * 1024 + 1), 0);
}

/* More than a read at once takes. */
static void test_cut_while_read(void **state) {
  struct place *p = *state;
  struct arena arena = {0};
  struct error e = {0};
  static char data[3 * 1024 * 1024];
  struct metainfo m = torrent_of(slice_of(data, sizeof data), TORRENT_V1, &arena);
  assert_int_equal(file_write(p->path, slice_of(data, sizeof data), 0600, NULL), 0);
  assert_int_equal(verify_file(&m, p->path, cut, p, &e), -1);
  assert_int_equal(e.kind, ERROR_MISMATCH);
  assert_non_null(strstr(e.text, "became shorter"));
  arena_free(&arena);
}

static void test_read_fails(void **state) {
  const struct place *p = *state;
  struct arena arena = {0};
  struct error e = {0};
  struct metainfo m = torrent_of(SLICE("abc"), TORRENT_V1, &arena);
  assert_int_equal(file_write(p->path, SLICE("abc"), 0600, NULL), 0);
  reads_end[0] = EINTR;
  assert_int_equal(verify_file(&m, p->path, NULL, NULL, &e), 0);
  assert_int_equal(reads_end[0], 0);
  reads_end[0] = EINTR;
  reads_end[1] = EIO;
  assert_int_equal(verify_file(&m, p->path, NULL, NULL, &e), -1);
  assert_int_equal(e.kind, ERROR_FAILED);
  assert_non_null(strstr(e.text, strerror(EIO)));
  assert_non_null(strstr(e.text, p->path));
  fstat_ends = EIO;
  assert_int_equal(verify_file(&m, p->path, NULL, NULL, &e), -1);
  fstat_ends = 0;
  assert_int_equal(e.kind, ERROR_FAILED);
  assert_non_null(strstr(e.text, strerror(EIO)));
  /* A torrent that no reader makes. */
  m.piece_length = 5;
  assert_int_equal(verify_file(&m, p->path, NULL, NULL, &e), -1);
  assert_int_equal(e.kind, ERROR_USAGE);
  assert_int_equal(verify_file(&m, "/none", NULL, NULL, NULL), -1);
  arena_free(&arena);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_pieces, make_place, remove_place),
      cmocka_unit_test_setup_teardown(test_one_piece, make_place, remove_place),
      cmocka_unit_test_setup_teardown(test_no_file, make_place, remove_place),
      cmocka_unit_test_setup_teardown(test_cut_while_read, make_place, remove_place),
      cmocka_unit_test_setup_teardown(test_read_fails, make_place, remove_place),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
