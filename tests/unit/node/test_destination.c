#include "node/destination.h"

#include "support/heap.h"
#include "unit/image/fixture.h"

static const struct image_reference TAGGED = {
    .host = "registry.example", .repository = "team/app", .tag = "1"};
static const struct image_reference BY_DIGEST = {
    .host = "registry.example", .repository = "team/app", .digest = "sha256:…"};

static bool same(const char *a, const char *b) {
  return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static void must_be(struct fixture *f, const struct image_reference *image, const char *text,
                    struct destination want) {
  struct destination got;
  if (destination_parse(text, image, &f->arena, &got, &f->e) != 0) {
    fail_msg("%s: %s", text, f->e.text);
  }
  if (got.kind != want.kind || !same(got.path, want.path) || !same(got.name, want.name) ||
      !same(got.store, want.store) || !same(got.space, want.space)) {
    fail_msg("%s: kind %d, path %s, name %s, store %s, namespace %s", text, (int)got.kind, got.path,
             got.name, got.store, got.space);
  }
}

#define IS(text, ...) must_be(f, &TAGGED, text, (struct destination){__VA_ARGS__})

static void every_kind(void **state) {
  struct fixture *f = *state;
  const char *name = "registry.example/team/app:1";
  IS("oci:a/b", .kind = DESTINATION_OCI, .path = "a/b", .name = "1");
  IS("oci:a:other", .kind = DESTINATION_OCI, .path = "a", .name = "other");
  IS("oci-archive:a.tar", .kind = DESTINATION_OCI_ARCHIVE, .path = "a.tar", .name = "1");
  IS("docker-archive:a.tar", .kind = DESTINATION_DOCKER_ARCHIVE, .path = "a.tar", .name = name);
  IS("docker-archive:a.tar:b.example/c:2", .kind = DESTINATION_DOCKER_ARCHIVE, .path = "a.tar",
     .name = "b.example/c:2");
  IS("-", .kind = DESTINATION_OUTPUT, .name = name);
  IS("dir:a:b", .kind = DESTINATION_DIR, .path = "a:b");
  IS("containers-storage:", .kind = DESTINATION_STORAGE, .name = name);
  IS("containers-storage:b.example/c", .kind = DESTINATION_STORAGE, .name = "b.example/c:latest");
  IS("containers-storage:[vfs@/a+/b]", .kind = DESTINATION_STORAGE, .name = name,
     .store = "[vfs@/a+/b]");
  IS("containers-storage:[vfs@/a+/b]c:2", .kind = DESTINATION_STORAGE,
     .name = "docker.io/library/c:2", .store = "[vfs@/a+/b]");
  IS("containerd:", .kind = DESTINATION_CONTAINERD, .name = name);
  IS("containerd:k8s.io", .kind = DESTINATION_CONTAINERD, .name = name, .space = "k8s.io");
}

static void an_image_without_a_tag(void **state) {
  struct fixture *f = *state;
  static const char *const all[] = {"oci:a", "oci-archive:a", "docker-archive:a",
                                    "-",     "containerd:",   "containers-storage:"};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    struct destination got;
    assert_int_equal(destination_parse(all[i], &BY_DIGEST, &f->arena, &got, &f->e), 0);
    assert_null(got.name);
    assert_true(i < 2 || same(got.repository, "registry.example/team/app"));
  }
}

static void refused(void **state) {
  struct fixture *f = *state;
  static const char *const all[] = {"",
                                    "oci",
                                    "oci:",
                                    "dir:",
                                    "blob:a",
                                    "docker://a.example/b",
                                    "docker-archive:a:B",
                                    "containers-storage",
                                    "containers-storage:B",
                                    "containers-storage:[vfs",
                                    "containerd",
                                    "containerd:-n",
                                    "containerd:a b",
                                    "containerd:a/b",
                                    "elsewhere:a"};
  struct destination got;
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    if (destination_parse(all[i], &TAGGED, &f->arena, &got, &f->e) == 0 ||
        f->e.kind != ERROR_USAGE || strstr(f->e.text, "--to") == NULL) {
      fail_msg("%s: %s", all[i], f->e.text);
    }
  }
  const char *digest = arena_printf(&f->arena, "containers-storage:a@sha256:%064d", 0).ptr;
  assert_int_equal(destination_parse(digest, &TAGGED, &f->arena, &got, &f->e), -1);
}

static void what_is_missing_is_said(void **state) {
  struct fixture *f = *state;
  static const char *const all[][2] = {{"oci:", "--to oci: the path behind the colon is missing"},
                                       {"podman", "write --to containers-storage:, with"},
                                       {"containers-storage", "write --to containers-storage:"},
                                       {"containerd", "write --to containerd:, with the colon"}};
  struct destination got;
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    assert_int_equal(destination_parse(all[i][0], &TAGGED, &f->arena, &got, &f->e), -1);
    assert_non_null(strstr(f->e.text, all[i][1]));
  }
}

/* As --from has it. */
static void storage_of_a_runtime(void **state) {
  struct fixture *f = *state;
  struct destination got;
  assert_true(destination_is_runtime("containerd:"));
  assert_true(destination_is_runtime("containers-storage:a"));
  assert_false(destination_is_runtime("containerd"));
  assert_false(destination_is_runtime("oci:containerd:"));
  assert_int_equal(destination_parse_runtime("containerd:k8s.io", &TAGGED, &f->arena, &got, &f->e),
                   0);
  assert_int_equal(got.kind, DESTINATION_CONTAINERD);
  assert_string_equal(got.space, "k8s.io");
  assert_int_equal(
      destination_parse_runtime("containers-storage:B", &TAGGED, &f->arena, &got, &f->e), -1);
  assert_null(strstr(f->e.text, "--to"));
}

static void put_program(struct fixture *f, const char *name) {
  fixture_write(f, name, SLICE("#!/bin/sh\n"));
  assert_int_equal(chmod(fixture_path(f, name), 0755), 0);
}

static void check(struct fixture *f, const char *text, bool good) {
  struct destination d;
  assert_int_equal(destination_parse(text, &TAGGED, &f->arena, &d, &f->e), 0);
  assert_int_equal(destination_check(&d, &f->arena, &f->e), good ? 0 : -1);
}

static void programs(void **state) {
  struct fixture *f = *state;
  struct destination d;
  setenv("PATH", f->dir, 1);
  fixture_write(f, "ctr", SLICE("not executable"));
  check(f, "containerd:", false);
  assert_non_null(strstr(f->e.text, "ctr"));
  check(f, "containers-storage:", false);
  assert_int_equal(destination_parse(NULL, &TAGGED, &f->arena, &d, &f->e), -1);
  assert_int_equal(f->e.kind, ERROR_USAGE);
  put_program(f, "podman");
  check(f, "containers-storage:", true);
  check(f, "containers-storage:[vfs@/a+/b]", false);
  assert_int_equal(destination_parse(NULL, &TAGGED, &f->arena, &d, &f->e), 0);
  assert_int_equal(d.kind, DESTINATION_STORAGE);
  put_program(f, "skopeo");
  check(f, "containers-storage:[vfs@/a+/b]", true);
  put_program(f, "ctr");
  check(f, "containerd:", true);
}

static void paths(void **state) {
  struct fixture *f = *state;
  struct destination d;
  const char *link = arena_printf(&f->arena, "oci-archive:%s", fixture_path(f, "link")).ptr;
  fixture_write(f, "file", SLICE("x"));
  assert_int_equal(symlink("file", fixture_path(f, "link")), 0);
  assert_int_equal(destination_parse(link, &TAGGED, &f->arena, &d, &f->e), 0);
  assert_int_equal(destination_check(&d, &f->arena, &f->e), 0);
  assert_string_equal(d.path, fixture_path(f, "file"));
  check(f, arena_printf(&f->arena, "oci-archive:%s", f->dir).ptr, false);
  check(f, "docker-archive:/dev/null", false);
  check(f, arena_printf(&f->arena, "oci-archive:%s/none", f->dir).ptr, true);
  check(f, arena_printf(&f->arena, "dir:%s", f->dir).ptr, false);
  check(f, arena_printf(&f->arena, "dir:%s/file", f->dir).ptr, false);
  fixture_write(f, "version", SLICE("Directory Transport Version: 1.1\n"));
  check(f, arena_printf(&f->arena, "dir:%s", f->dir).ptr, true);
  fixture_folder(f, "empty");
  check(f, arena_printf(&f->arena, "dir:%s/empty", f->dir).ptr, true);
  check(f, arena_printf(&f->arena, "oci:%s/empty", f->dir).ptr, true);
  check(f, arena_printf(&f->arena, "oci:%s", f->dir).ptr, false);
  assert_non_null(strstr(f->e.text, "oci-layout"));
}

static int parse_all(void *arg, struct error *e) {
  static const char *const all[] = {
      "oci:a:b", "docker-archive:a:b", "containerd:a", "containers-storage:[x]b/c", "dir:/", "-"};
  struct arena arena = {0};
  struct destination d;
  int result = 0;
  (void)arg;
  for (size_t i = 0; i < sizeof all / sizeof *all && result == 0; i++) {
    result = destination_parse(all[i], &TAGGED, &arena, &d, e);
  }
  arena_free(&arena);
  return result;
}

static void memory_that_runs_out_is_said(void **state) {
  (void)state;
  heap_exhaust(parse_all, NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(every_kind),
      TEST(an_image_without_a_tag),
      TEST(refused),
      TEST(what_is_missing_is_said),
      TEST(storage_of_a_runtime),
      TEST(programs),
      TEST(paths),
      TEST(memory_that_runs_out_is_said),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
