/* Small pieces that are written in large steps. */
#include "cache/internal.h"

#include "unit/cmocka_all.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define STEP  ((uint64_t)256 * 1024)
#define PIECE ((size_t)1000)
#define SIZE  (4 * STEP + 100)

static char content[SIZE];

static int begin(void **state) {
  FILE *file = tmpfile();
  assert_non_null(file);
  for (size_t i = 0; i < sizeof content; i++) {
    content[i] = (char)(i * 131 + i / 251);
  }
  *state = file;
  return 0;
}

static int end(void **state) {
  return fclose(*state);
}

static uint64_t size_of(int fd) {
  struct stat s;
  assert_int_equal(fstat(fd, &s), 0);
  return (uint64_t)s.st_size;
}

/* Of the content from \p from on, which begins there in the file, too. */
static void write_from(int fd, uint64_t from) {
  struct steps *s = steps_new(fd, from, SIZE - from);
  assert_non_null(s);
  uint64_t written = size_of(fd), at = from;
  while (at < SIZE) {
    size_t n = PIECE < SIZE - at ? PIECE : (size_t)(SIZE - at);
    assert_int_equal(steps_add(s, slice_of(content + at, n)), 0);
    at += n;
    assert_int_equal(size_of(fd), at < STEP ? written : at - at % STEP);
  }
  assert_int_equal(steps_flush(s), 0);
  free(s);
  char *got = malloc(SIZE);
  assert_non_null(got);
  assert_int_equal(size_of(fd), SIZE);
  assert_int_equal(pread(fd, got, SIZE, 0), SIZE);
  assert_memory_equal(got + from, content + from, SIZE - from);
  free(got);
}

static void small_pieces_are_written_in_large_steps(void **state) {
  write_from(fileno(*state), 0);
}

static void steps_end_where_the_file_has_them_end(void **state) {
  write_from(fileno(*state), 3 * UINT64_C(16384));
}

static void a_large_piece_is_as_many_small_ones(void **state) {
  int fd = fileno(*state);
  struct steps *s = steps_new(fd, 0, SIZE);
  assert_int_equal(steps_add(s, slice_of(content, SIZE)), 0);
  assert_int_equal(size_of(fd), 4 * STEP);
  assert_int_equal(steps_flush(s), 0);
  free(s);
  assert_int_equal(size_of(fd), SIZE);
}

static void what_cannot_be_written_is_told(void **state) {
  struct rlimit before, none = {0};
  int fd = fileno(*state);
  struct steps *s = steps_new(fd, 0, SIZE);
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
  none.rlim_max = before.rlim_max;
  signal(SIGXFSZ, SIG_IGN);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
  int waits = steps_add(s, slice_of(content, STEP - 1));
  int written = steps_add(s, slice_of(content, 1));
  int flushed = steps_flush(s);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
  free(s);
  assert_int_equal(waits, 0);
  assert_int_equal(written, EFBIG);
  assert_int_equal(flushed, EFBIG);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(small_pieces_are_written_in_large_steps),
      TEST(steps_end_where_the_file_has_them_end),
      TEST(a_large_piece_is_as_many_small_ones),
      TEST(what_cannot_be_written_is_told),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
