#include "base/file.h"

#include "unit/cmocka_all.h"

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Every test runs in an empty folder of its own. */
static int enter(void **state) {
  char folder[] = "/tmp/test_file.XXXXXX";
  if (mkdtemp(folder) == NULL || chdir(folder) != 0) {
    return -1;
  }
  *state = strdup(folder);
  return *state == NULL ? -1 : 0;
}

static int remove_entry(const char *path, const struct stat *s, int type, struct FTW *ftw) {
  (void)s;
  (void)type;
  (void)ftw;
  return remove(path);
}

static int leave(void **state) {
  int result = chdir("/") != 0 ? -1 : nftw(*state, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
  free(*state);
  return result;
}

static size_t entries(void) {
  size_t count = 0;
  DIR *dir = opendir(".");
  assert_non_null(dir);
  for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
    count += entry->d_name[0] != '.';
  }
  closedir(dir);
  return count;
}

static void assert_holds(const char *path, struct slice want) {
  struct buf got = {0};
  assert_int_equal(file_read(path, 1 << 20, &got, NULL), 0);
  assert_true(slice_equal(buf_view(&got), want));
  buf_free(&got);
}

static mode_t mode_of(const char *path) {
  struct stat s;
  assert_int_equal(stat(path, &s), 0);
  return s.st_mode & 07777;
}

static void test_write(void **state) {
  (void)state;
  mode_t mask = umask(077);
  assert_int_equal(file_write("a", SLICE("one"), 0644, NULL), 0);
  assert_holds("a", SLICE("one"));
  assert_int_equal(mode_of("a"), 0644); /* whatever the umask is */
  assert_int_equal(file_write("a", SLICE("t\0wo"), 0600, NULL), 0);
  assert_holds("a", SLICE("t\0wo"));
  assert_int_equal(mode_of("a"), 0600);
  assert_int_equal(file_write("empty", (struct slice){NULL, 0}, 0600, NULL), 0);
  assert_holds("empty", SLICE(""));
  assert_int_equal(entries(), 2);
  umask(mask);
}

static void test_write_fails(void **state) {
  (void)state;
  struct error e = {0};
  assert_int_equal(file_write("no/such/folder", SLICE("x"), 0600, &e), -1);
  assert_int_equal(e.kind, ERROR_FAILED);
  assert_string_equal(e.text, "cannot write no/such/folder: No such file or directory");
  /* A folder is in the way: nothing is left behind. */
  assert_int_equal(mkdir("dir", 0700), 0);
  assert_int_equal(file_write("dir", SLICE("x"), 0600, &e), -1);
  assert_int_equal(entries(), 1);
}

static void test_create(void **state) {
  (void)state;
  struct error e = {0};
  assert_int_equal(file_create("a", SLICE("one"), 0600, &e), 0);
  assert_int_equal(mode_of("a"), 0600);
  assert_int_equal(file_create("a", SLICE("two"), 0600, &e), -1);
  assert_string_equal(e.text, "cannot write a: it exists, and is not overwritten");
  assert_holds("a", SLICE("one"));
  assert_int_equal(symlink("nowhere", "link"), 0);
  assert_int_equal(file_create("link", SLICE("two"), 0600, &e), -1);
  assert_int_equal(entries(), 2);
}

static void test_write_for(void **state) {
  (void)state;
  struct error e = {0};
  struct stat s;
  const struct file_owner self = {geteuid(), getegid()};
  const struct file_owner other = {65534, 65533};
  assert_int_equal(file_write_for("a", SLICE("one"), 0600, &self, &e), 0);
  assert_holds("a", SLICE("one"));
  int result = file_write_for("a", SLICE("two"), 0640, &other, &e);
  assert_int_equal(stat("a", &s), 0);
  if (geteuid() == 0) {
    assert_int_equal(result, 0);
    assert_holds("a", SLICE("two"));
    assert_int_equal(mode_of("a"), 0640);
    assert_true(s.st_uid == 65534 && s.st_gid == 65533);
  } else {
    assert_int_equal(result, -1);
    assert_holds("a", SLICE("one"));
  }
  assert_int_equal(entries(), 1);
}

static void test_check_private(void **state) {
  (void)state;
  static const mode_t refused[] = {0604, 0640, 0620, 0610, 0602, 0601, 0777};
  static const mode_t accepted[] = {0600, 0400, 0700};
  struct error e = {0};
  assert_int_equal(file_check_private("none", &e), 0);
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
    assert_int_equal(file_write("a", SLICE("x"), refused[i], NULL), 0);
    assert_int_equal(file_check_private("a", &e), -1);
    assert_int_equal(e.kind, ERROR_USAGE);
    assert_non_null(strstr(e.text, ": chmod 600 a"));
  }
  for (size_t i = 0; i < sizeof accepted / sizeof *accepted; i++) {
    assert_int_equal(file_write("a", SLICE("x"), accepted[i], NULL), 0);
    assert_int_equal(file_check_private("a", &e), 0);
  }
}

static void test_read_limit(void **state) {
  (void)state;
  struct error e = {0};
  struct buf got = {0};
  assert_int_equal(file_write("a", SLICE("12345"), 0600, NULL), 0);
  assert_int_equal(file_read("a", 5, &got, &e), 0);
  assert_int_equal(got.len, 5);
  buf_str(&got, " and more"); /* the limit was for reading */
  assert_false(got.failed);
  buf_free(&got);
  assert_int_equal(file_read("a", 4, &got, &e), -1);
  assert_int_equal(e.kind, ERROR_FAILED);
  assert_string_equal(e.text, "cannot read a: it is larger than 4 bytes");
  assert_int_equal(file_read("/dev/zero", 1 << 20, &got, &e), -1);
}

static void test_read_large(void **state) {
  (void)state;
  const size_t size = 300001;
  struct buf got = {0};
  char *data = malloc(size);
  assert_non_null(data);
  for (size_t i = 0; i < size; i++) {
    data[i] = (char)(i % 251);
  }
  assert_int_equal(file_write("a", slice_of(data, size), 0600, NULL), 0);
  assert_int_equal(file_read("a", size, &got, NULL), 0);
  assert_int_equal(got.len, size);
  assert_memory_equal(got.ptr, data, size);
  buf_free(&got);
  free(data);
}

static void test_read_fails(void **state) {
  (void)state;
  struct error e = {0};
  struct buf got = {0};
  assert_int_equal(file_read("nothing", 10, &got, &e), -1);
  assert_int_equal(e.kind, ERROR_NOT_FOUND);
  assert_string_equal(e.text, "cannot read nothing: No such file or directory");
  assert_int_equal(mkdir("dir", 0700), 0);
  assert_int_equal(file_read("dir", 10, &got, &e), -1);
  assert_int_equal(e.kind, ERROR_FAILED);
  assert_null(got.ptr);
  assert_int_equal(file_read("nothing", 10, &got, NULL), -1);
}

static void test_make_folders(void **state) {
  (void)state;
  struct error e = {0};
  struct stat s;
  mode_t mask = umask(022);
  assert_int_equal(file_make_folders("a/b//c/", &e), 0);
  assert_int_equal(stat("a/b/c", &s), 0);
  assert_int_equal(mode_of("a/b/c"), 0755);
  assert_int_equal(file_make_folders("a/b", &e), 0);
  assert_int_equal(file_make_folders("a", &e), 0);
  assert_int_equal(file_make_folders(".", &e), 0);
  char path[4096];
  snprintf(path, sizeof path, "%s/x/y", (const char *)*state);
  assert_int_equal(file_make_folders(path, &e), 0);
  assert_int_equal(stat("x/y", &s), 0);
  umask(mask);
}

static void test_make_folders_fails(void **state) {
  (void)state;
  struct error e = {0};
  assert_int_equal(file_write("file", SLICE(""), 0600, NULL), 0);
  assert_int_equal(file_make_folders("file", &e), -1);
  assert_string_equal(e.text, "cannot make folder file: Not a directory");
  assert_int_equal(file_make_folders("file/a", &e), -1);
  assert_int_equal(e.kind, ERROR_FAILED);
}

static void assert_beside(const char *file, const char *path, const char *want) {
  char *got = file_beside(file, path);
  assert_string_equal(got, want);
  free(got);
}

static void test_beside(void **state) {
  (void)state;
  assert_beside("/etc/swarmgate/gate.yaml", "key.pem", "/etc/swarmgate/key.pem");
  assert_beside("/etc/swarmgate/gate.yaml", "/key.pem", "/key.pem");
  assert_beside("gate.yaml", "key.pem", "key.pem");
  assert_beside("./gate.yaml", "sub/key.pem", "./sub/key.pem");
  assert_beside("../a/gate.yaml", "../key.pem", "../a/../key.pem");
  assert_beside("/gate.yaml", "key.pem", "/key.pem");
}

static void test_join(void **state) {
  (void)state;
  char *got = file_join("/a/b", "c/d");
  assert_string_equal(got, "/a/b/c/d");
  free(got);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_write, enter, leave),
      cmocka_unit_test_setup_teardown(test_write_fails, enter, leave),
      cmocka_unit_test_setup_teardown(test_create, enter, leave),
      cmocka_unit_test_setup_teardown(test_write_for, enter, leave),
      cmocka_unit_test_setup_teardown(test_check_private, enter, leave),
      cmocka_unit_test_setup_teardown(test_read_limit, enter, leave),
      cmocka_unit_test_setup_teardown(test_read_large, enter, leave),
      cmocka_unit_test_setup_teardown(test_read_fails, enter, leave),
      cmocka_unit_test_setup_teardown(test_make_folders, enter, leave),
      cmocka_unit_test_setup_teardown(test_make_folders_fails, enter, leave),
      cmocka_unit_test(test_beside),
      cmocka_unit_test(test_join),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
