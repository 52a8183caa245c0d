#include "node/shelf.h"

#include "base/file.h"
#include "unit/cmocka_all.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX = 100 };

struct fixture {
  char folder[64], blobs[96], unfinished[96];
  struct shelf *shelf;
  char removed[16]; /* the letters of the blobs that were removed, in order */
};

/* A blob is called by one letter. */
static const char *digest(char letter) {
  static char text[2][sizeof "sha256:" + 64];
  static int turn;
  char *out = text[turn++ % 2];
  int len = snprintf(out, sizeof text[0], "sha256:");
  memset(out + len, letter, 64);
  return out;
}

static void path_of(const struct fixture *f, char letter, char out[256]) {
  snprintf(out, 256, "%s/%s", f->blobs, digest(letter) + 7);
}

static void put_file(const struct fixture *f, char letter, size_t size) {
  char path[256];
  char bytes[MAX] = {0};
  path_of(f, letter, path);
  assert_int_equal(file_write(path, slice_of(bytes, size), 0644, NULL), 0);
}

static bool has_file(const struct fixture *f, char letter) {
  char path[256];
  path_of(f, letter, path);
  return access(path, F_OK) == 0;
}

static void on_removes(void *arg, struct shelf_blob *blob) {
  struct fixture *f = arg;
  assert_int_equal(blob->uses, 0);
  f->removed[strlen(f->removed)] = blob->digest[7];
}

static void open_it(struct fixture *f, uint64_t max) {
  const struct shelf_options options = {.folder = f->folder,
                                        .unfinished = f->unfinished,
                                        .max_size = max,
                                        .removes = on_removes,
                                        .arg = f};
  struct error e = {0};
  if (shelf_open(&options, &f->shelf, &e) != 0) {
    fail_msg("%s", e.text);
  }
}

static int set_up(void **state) {
  struct fixture *f = calloc(1, sizeof *f);
  snprintf(f->folder, sizeof f->folder, "/tmp/shelf-XXXXXX");
  assert_non_null(mkdtemp(f->folder));
  snprintf(f->blobs, sizeof f->blobs, "%s/blobs/sha256", f->folder);
  snprintf(f->unfinished, sizeof f->unfinished, "%s/unfinished", f->folder);
  assert_int_equal(file_make_folders(f->unfinished, NULL), 0);
  open_it(f, MAX);
  *state = f;
  return 0;
}

static int tear_down(void **state) {
  struct fixture *f = *state;
  char command[128];
  shelf_close(f->shelf);
  snprintf(command, sizeof command, "rm -r %s", f->folder);
  int result = system(command); /* NOLINT(cert-env33-c): a test's own folder */
  free(f);
  return result;
}

/* A blob that has landed and that nobody uses. */
static void land(struct fixture *f, char letter, uint64_t size) {
  struct shelf_blob *b = shelf_add(f->shelf, digest(letter), size, NULL);
  assert_non_null(b);
  put_file(f, letter, size);
  shelf_landed(b);
  shelf_release(f->shelf, b);
}

static void use(struct fixture *f, char letter) {
  struct shelf_blob *b = shelf_find(f->shelf, digest(letter));
  assert_non_null(b);
  shelf_use(f->shelf, b);
  shelf_release(f->shelf, b);
}

static void what_was_used_longest_ago_goes(void **state) {
  struct fixture *f = *state;
  land(f, 'a', 40);
  land(f, 'b', 40);
  use(f, 'a');
  land(f, 'c', 40);
  assert_string_equal(f->removed, "b");
  assert_false(has_file(f, 'b'));
  assert_true(has_file(f, 'a'));
  assert_int_equal(shelf_size(f->shelf), 80);
  land(f, 'd', 100); /* all of it */
  assert_string_equal(f->removed, "bac");
  assert_null(shelf_find(f->shelf, digest('a')));
}

static void what_is_in_use_stays(void **state) {
  struct fixture *f = *state;
  struct error e = {0};
  land(f, 'a', 40);
  land(f, 'b', 40);
  struct shelf_blob *a = shelf_find(f->shelf, digest('a'));
  shelf_use(f->shelf, a);
  use(f, 'b'); /* so that the one in use is the older one */
  assert_null(shelf_add(f->shelf, digest('c'), 61, &e));
  assert_int_equal(e.kind, ERROR_FAILED);
  assert_string_equal(f->removed, ""); /* nothing goes for what has no room all the same */
  struct shelf_blob *c = shelf_add(f->shelf, digest('c'), 60, NULL);
  assert_non_null(c);
  assert_string_equal(f->removed, "b");
  assert_null(shelf_add(f->shelf, digest('d'), 1, NULL)); /* what is on its way counts */
  shelf_release(f->shelf, c);                             /* it did not come */
  assert_int_equal(shelf_size(f->shelf), 40);
  shelf_release(f->shelf, a);
}

static void larger_than_the_shelf(void **state) {
  struct fixture *f = *state;
  land(f, 'a', 40);
  assert_null(shelf_add(f->shelf, digest('b'), MAX + 1, NULL));
  assert_null(shelf_add(f->shelf, digest('b'), UINT64_MAX, NULL));
  assert_true(has_file(f, 'a'));
}

static void set_time(struct fixture *f, char letter, time_t when) {
  char path[256];
  const struct timespec times[2] = {{.tv_sec = when}, {.tv_sec = 1}};
  path_of(f, letter, path);
  assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void another_run_knows_what_was_used_last(void **state) {
  struct fixture *f = *state;
  char other[256];
  land(f, 'a', 30);
  land(f, 'b', 30);
  land(f, 'c', 30);
  set_time(f, 'a', 1000);
  set_time(f, 'b', 500);
  set_time(f, 'c', 2000);
  use(f, 'b');
  snprintf(other, sizeof other, "%s/sha256-%s", f->unfinished, digest('d') + 7);
  assert_int_equal(file_write(other, SLICE("part"), 0644, NULL), 0);
  shelf_close(f->shelf);
  open_it(f, 60); /* and has to do with less */
  assert_string_equal(f->removed, "a");
  assert_true(shelf_find(f->shelf, digest('b'))->there);
  assert_int_not_equal(access(other, F_OK), 0);
  land(f, 'e', 30);
  assert_string_equal(f->removed, "ac");
}

static void a_folder_for_its_owner(void **state) {
  struct fixture *f = *state;
  char folder[128], above[96];
  struct error e = {0};
  struct stat s;
  snprintf(above, sizeof above, "%s/a", f->folder);
  snprintf(folder, sizeof folder, "%s/b//", above);
  assert_int_equal(shelf_make_folder(folder, true, &e), 0);
  assert_int_equal(stat(folder, &s), 0);
  assert_int_equal(s.st_mode & 07777, 0700);
  assert_int_equal(shelf_make_folder(folder, true, &e), 0);
  assert_int_equal(chmod(folder, 0750), 0);
  assert_int_equal(shelf_make_folder(folder, true, &e), 0);
  assert_int_equal(chmod(folder, 0751), 0);
  assert_int_equal(shelf_make_folder(folder, false, &e), 0);
  assert_int_equal(shelf_make_folder(folder, true, &e), -1);
  assert_non_null(strstr(e.text, "require_credentials"));
  assert_int_equal(rmdir(folder), 0);
  assert_int_equal(rmdir(above), 0);
}

/* The answer would begin, and be cut. */
static void a_disk_without_room(void **state) {
  struct fixture *f = *state;
  struct error e = {0};
  shelf_close(f->shelf);
  put_file(f, 'a', 10);
  open_it(f, UINT64_C(1) << 62);
  assert_null(shelf_add(f->shelf, digest('b'), UINT64_C(1) << 62, &e)); /* for which `a` would go */
  assert_non_null(strstr(e.text, "disk"));
  assert_true(has_file(f, 'a'));
  struct shelf_blob *b = shelf_add(f->shelf, digest('b'), 1000, &e);
  assert_non_null(b);
  shelf_release(f->shelf, b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(what_was_used_longest_ago_goes, set_up, tear_down),
      cmocka_unit_test_setup_teardown(what_is_in_use_stays, set_up, tear_down),
      cmocka_unit_test_setup_teardown(larger_than_the_shelf, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_folder_for_its_owner, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_disk_without_room, set_up, tear_down),
      cmocka_unit_test_setup_teardown(another_run_knows_what_was_used_last, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
