/* The folder of unfinished data: one pull's at a time, and gone when it should be. */
#include "node/unfinished.h"

#include "support/heap.h"
#include "unit/image/fixture.h"

#include <sys/wait.h>

enum { NOBODY = 65534 };

#define HEX "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static bool is_there(struct fixture *f, const char *name) {
  return access(fixture_path(f, name), F_OK) == 0;
}

static struct unfinished *must_take(struct fixture *f, const char *path) {
  struct unfinished *u;
  if (unfinished_beside(fixture_path(f, path), &u, &f->e) != 0) {
    fail_msg("%s", f->e.text);
  }
  return u;
}

static void what_is_done_leaves_nothing(void **state) {
  struct fixture *f = *state;
  struct unfinished *u = must_take(f, "new/image.tar");
  assert_string_equal(unfinished_folder(u), fixture_path(f, "new/image.tar.unfinished"));
  assert_string_equal(unfinished_layout(u), fixture_path(f, "new/image.tar.unfinished/layout"));
  fixture_write(f, "new/image.tar.unfinished/sha256-" HEX, SLICE("x"));
  fixture_write(f, "new/image.tar.unfinished/" HEX, SLICE("x"));
  fixture_folder(f, "new/image.tar.unfinished/layout");
  fixture_folder(f, "new/image.tar.unfinished/layout/blobs");
  fixture_folder(f, "new/image.tar.unfinished/layout/blobs/sha256");
  fixture_write(f, "new/image.tar.unfinished/layout/blobs/sha256/" HEX, SLICE("x"));
  fixture_write(f, "new/image.tar.unfinished/layout/index.json", SLICE("x"));
  fixture_write(f, "new/image.tar.unfinished/making", SLICE("x"));
  unfinished_close(u, true);
  assert_false(is_there(f, "new/image.tar.unfinished"));
  unfinished_close(NULL, true);
}

static void what_is_not_ours_stays(void **state) {
  struct fixture *f = *state;
  assert_int_equal(mkdir(fixture_path(f, "a.unfinished"), 0700), 0);
  fixture_write(f, "a.unfinished/mine", SLICE("x"));
  unfinished_close(must_take(f, "a"), true);
  assert_true(is_there(f, "a.unfinished/mine"));
  assert_false(is_there(f, "a.unfinished/lock"));
}

/* Somebody else has made it, with links in it to what he would have removed or written to. */
static void somebody_elses_is_not_taken(void **state) {
  struct fixture *f = *state;
  struct unfinished *u;
  fixture_folder(f, "his");
  fixture_write(f, "his/thesis", SLICE("x"));
  fixture_folder(f, "a.unfinished");
  assert_int_equal(chmod(fixture_path(f, "a.unfinished"), 0777), 0);
  assert_int_equal(symlink(fixture_path(f, "his"), fixture_path(f, "a.unfinished/making")), 0);
  assert_int_equal(unfinished_beside(fixture_path(f, "a"), &u, &f->e), -1);
  assert_non_null(strstr(f->e.text, "no folder of ours alone"));
  assert_true(is_there(f, "his/thesis"));
}

static void what_was_fetched_stays(void **state) {
  struct fixture *f = *state;
  struct unfinished *u = must_take(f, "a");
  fixture_write(f, "a.unfinished/sha256-" HEX, SLICE("x"));
  fixture_folder(f, "a.unfinished/making");
  fixture_write(f, "a.unfinished/making/version", SLICE("x"));
  unfinished_close(u, false);
  assert_true(is_there(f, "a.unfinished/sha256-" HEX));
  assert_false(is_there(f, "a.unfinished/making"));
  fixture_write(f, "a.unfinished/making", SLICE("of one that was killed"));
  u = must_take(f, "a");
  assert_false(is_there(f, "a.unfinished/making"));
  assert_string_equal(unfinished_making(u), fixture_path(f, "a.unfinished/making"));
  unfinished_close(u, true);
  assert_false(is_there(f, "a.unfinished"));
  unfinished_close(must_take(f, "a"), false); /* nothing was fetched */
  assert_false(is_there(f, "a.unfinished"));
}

static void one_at_a_time(void **state) {
  struct fixture *f = *state;
  struct unfinished *u = must_take(f, "a");
  struct unfinished *second;
  assert_int_equal(unfinished_beside(fixture_path(f, "a//"), &second, &f->e), -1);
  assert_non_null(strstr(f->e.text, "under way"));
  unfinished_close(must_take(f, "b"), false);
  unfinished_close(u, false);
  unfinished_close(must_take(f, "a/"), false);
}

static void a_private_one(void **state) {
  struct fixture *f = *state;
  struct unfinished *u;
  struct unfinished *second;
  struct stat s;
  setenv("TMPDIR", f->dir, 1);
  assert_int_equal(unfinished_private("key", false, &u, &f->e), 0);
  assert_int_equal(stat(unfinished_folder(u), &s), 0);
  assert_int_equal(s.st_mode & 07777, 0700);
  const char *folder = arena_copy(&f->arena, slice_str(unfinished_folder(u)));
  assert_int_equal(unfinished_private("key", false, &second, &f->e), -1);
  assert_non_null(strstr(f->e.text, "under way"));
  assert_int_equal(unfinished_private("other", false, &second, &f->e), 0);
  unfinished_close(second, true);
  assert_int_equal(unfinished_private("key", true, &second, &f->e), 0); /* beside it */
  assert_string_not_equal(unfinished_folder(second), folder);
  unfinished_close(second, true);
  unfinished_close(u, true);
  assert_int_not_equal(access(folder, F_OK), 0);
  assert_int_equal(unfinished_private("key", true, &u, &f->e), 0); /* the same again */
  assert_string_equal(unfinished_folder(u), folder);
  unfinished_close(u, true);
}

static void a_private_one_that_is_not(void **state) {
  struct fixture *f = *state;
  struct unfinished *u;
  setenv("TMPDIR", f->dir, 1);
  assert_int_equal(unfinished_private("key", false, &u, &f->e), 0);
  const char *folder = arena_copy(&f->arena, slice_str(unfinished_folder(u)));
  unfinished_close(u, true);
  fixture_folder(f, "elsewhere");
  assert_int_equal(symlink(fixture_path(f, "elsewhere"), folder), 0);
  assert_int_equal(unfinished_private("key", false, &u, &f->e), -1);
  assert_non_null(strstr(f->e.text, "no folder of ours alone"));
  assert_int_equal(unlink(folder), 0);
  assert_int_equal(mkdir(folder, 0700), 0);
  assert_int_equal(chmod(folder, 0770), 0);
  assert_int_equal(unfinished_private("key", true, &u, &f->e), -1);
  assert_non_null(strstr(f->e.text, "no folder of ours alone"));
  if (geteuid() == 0) {
    assert_int_equal(chmod(folder, 0700), 0);
    assert_int_equal(chown(folder, 1, 1), 0);
    assert_int_equal(unfinished_private("key", false, &u, &f->e), -1);
    assert_non_null(strstr(f->e.text, "no folder of ours alone"));
  }
  setenv("TMPDIR", "/a:b", 1);
  assert_int_equal(unfinished_private("key", false, &u, &f->e), -1);
  assert_int_equal(f->e.kind, ERROR_USAGE);
  unsetenv("TMPDIR");
}

/* As a service that owns a folder, but not the one above. */
static int take_as_nobody(struct fixture *f, const char *wanted) {
  struct unfinished *u;
  if (setgid(NOBODY) != 0 || setuid(NOBODY) != 0 ||
      unfinished_beside(fixture_path(f, "own"), &u, &f->e) != 0) {
    return 1;
  }
  int result = strcmp(unfinished_folder(u), wanted) == 0 ? 0 : 2;
  unfinished_close(u, true);
  return result;
}

static void a_folder_beside_which_nothing_can_be_made(void **state) {
  struct fixture *f = *state;
  int status = 0;
  fixture_folder(f, "own");
  if (geteuid() != 0) {
    skip();
  }
  assert_int_equal(chmod(f->dir, 0755), 0);
  assert_int_equal(chown(fixture_path(f, "own"), NOBODY, NOBODY), 0);
  pid_t child = fork();
  if (child == 0) {
    _exit(take_as_nobody(f, fixture_path(f, "own/.unfinished")));
  }
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
  assert_false(is_there(f, "own/.unfinished"));
}

static int take_both(void *arg, struct error *e) {
  struct fixture *f = arg;
  struct unfinished *u = NULL;
  char path[200];
  snprintf(path, sizeof path, "%s/a", f->dir);
  int result = unfinished_beside(path, &u, e);
  if (result == 0) {
    unfinished_close(u, true);
    result = unfinished_private("key", true, &u, e);
  }
  if (result == 0) {
    unfinished_close(u, true);
  }
  return result;
}

static void memory_that_runs_out_is_said(void **state) {
  struct fixture *f = *state;
  setenv("TMPDIR", f->dir, 1);
  heap_exhaust(take_both, f);
  unsetenv("TMPDIR");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(what_is_done_leaves_nothing),
      TEST(what_is_not_ours_stays),
      TEST(somebody_elses_is_not_taken),
      TEST(what_was_fetched_stays),
      TEST(one_at_a_time),
      TEST(a_private_one),
      TEST(a_private_one_that_is_not),
      TEST(a_folder_beside_which_nothing_can_be_made),
      TEST(memory_that_runs_out_is_said),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
