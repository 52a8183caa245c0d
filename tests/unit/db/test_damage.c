/* Bytes of the file are changed behind LMDB's back: an error, never a crash, never wrong data. */
#include "unit/db/fixture.h"

#include <fcntl.h>

enum { COUNT = 50, SIZE = 3000 };

static void fill(const char *folder) {
  struct db *db = must_open(folder);
  for (uint64_t i = 1; i <= COUNT; i++) {
    struct numbered n = {.number = i, .size = SIZE};
    assert_int_equal(db_write_now(db, put_numbered, &n, NULL), 0);
  }
  db_close(db);
}

static int open_data(const char *folder) {
  char path[512];
  snprintf(path, sizeof path, "%s/db/data.mdb", folder);
  int fd = open(path, O_RDWR | O_CLOEXEC);
  assert_true(fd >= 0);
  return fd;
}

static void damage_value(const char *folder, int byte) {
  int fd = open_data(folder);
  off_t size = lseek(fd, 0, SEEK_END);
  char *bytes = malloc((size_t)size);
  assert_int_equal(pread(fd, bytes, (size_t)size, 0), size);
  char run[100];
  memset(run, byte, sizeof run);
  /* Old copies of a page may be in the file too. */
  size_t hits = 0;
  for (char *at = bytes; (at = memmem(at, (size_t)(bytes + size - at), run, sizeof run)) != NULL;
       at += SIZE, hits++) {
    at[50] ^= 1;
  }
  assert_true(hits > 0);
  assert_int_equal(pwrite(fd, bytes, (size_t)size, 0), size);
  close(fd);
  free(bytes);
}

static void a_changed_byte_is_found(void **state) {
  uint64_t records, faults;
  struct error e = {0};
  struct numbered n = {.number = 33};
  fill(*state);
  damage_value(*state, 33);
  struct db *db = must_open(*state);
  assert_int_equal(db_read(db, get_numbered, &n, &e), -1);
  assert_int_equal(e.kind, ERROR_FAILED);
  assert_non_null(strstr(e.text, "damaged"));
  assert_non_null(strstr(e.text, *state));
  assert_true(has_number(db, 32)); /* the others are as they were */
  assert_int_equal(db_check(db, &records, &faults, &e), -1);
  assert_int_equal(records, COUNT + 1);
  /* These records are no rights of a torrent's, so all but the schema are faults of form. */
  assert_int_equal(faults, COUNT);
  db_close(db);
}

static void a_file_cut_short_is_an_error(void **state) {
  fill(*state);
  int fd = open_data(*state);
  /* Down to where not even the second of the two pages that LMDB begins with is whole. */
  for (off_t size = lseek(fd, 0, SEEK_END) / 3; size > 4096; size -= size > 32768 ? 16384 : 1234) {
    assert_int_equal(ftruncate(fd, size), 0);
    struct error e = {0};
    struct db *db = NULL;
    if (db_open(*state, &db, &e) == 0) {
      uint64_t records, faults;
      assert_int_equal(db_check(db, &records, &faults, &e), -1);
      db_close(db);
    }
    assert_int_equal(e.kind, ERROR_FAILED);
    assert_non_null(strstr(e.text, "damaged"));
  }
  close(fd);
}

static void a_file_of_something_else_is_an_error(void **state) {
  fill(*state);
  for (size_t size = 1; size <= 4096; size += 4095) {
    static const char noise[4096] = "something else";
    struct error e = {0};
    struct db *db = NULL;
    int fd = open_data(*state);
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(pwrite(fd, noise, size, 0), (ssize_t)size);
    close(fd);
    assert_int_equal(db_open(*state, &db, &e), -1);
    assert_int_equal(e.kind, ERROR_FAILED);
    assert_non_null(strstr(e.text, "not a database"));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_changed_byte_is_found),
      TEST(a_file_cut_short_is_an_error),
      TEST(a_file_of_something_else_is_an_error),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
