/* What has a name in the layout is whole and right, and index.json says what it should. */
#include "node/layout.h"

#include "base/file.h"
#include "support/heap.h"
#include "unit/image/fixture.h"

#include <fcntl.h>
#include <jansson.h>

#define TYPE "application/vnd.oci.image.manifest.v1+json"

static const struct slice BYTES = {"the blob's bytes", 16};

static int setup(void **state) {
  return fixture_setup(state);
}

static struct layout *must_open(struct fixture *f) {
  struct layout *layout;
  if (layout_open(fixture_path(f, "a/layout"), &layout, &f->e) != 0) {
    fail_msg("%s", f->e.text);
  }
  return layout;
}

static void must_hold(struct fixture *f, const char *name, struct slice bytes) {
  struct buf found = {0};
  assert_int_equal(file_read(fixture_path(f, name), 1 << 20, &found, NULL), 0);
  assert_int_equal(found.len, bytes.len);
  assert_memory_equal(found.ptr, bytes.ptr, bytes.len);
  buf_free(&found);
}

static void a_layout_is_made_once(void **state) {
  struct fixture *f = *state;
  layout_close(NULL);
  layout_close(must_open(f));
  must_hold(f, "a/layout/oci-layout", SLICE("{\"imageLayoutVersion\":\"1.0.0\"}"));
  fixture_write(f, "a/layout/oci-layout", SLICE("another's"));
  layout_close(must_open(f));
  must_hold(f, "a/layout/oci-layout", SLICE("another's"));
  struct layout *layout;
  fixture_write(f, "file", BYTES);
  assert_int_equal(layout_open(fixture_path(f, "file"), &layout, &f->e), -1);
  assert_int_equal(f->e.kind, ERROR_FAILED);
}

static void a_blob_is_checked(void **state) {
  struct fixture *f = *state;
  const char *digest = fixture_digest(f, BYTES);
  fixture_write(f, "blob", BYTES);
  const char *path = fixture_path(f, "blob");
  assert_int_equal(layout_check(path, digest, BYTES.len, &f->e), 0);
  assert_int_equal(layout_check(path, digest, BYTES.len + 1, &f->e), -1);
  assert_int_equal(f->e.kind, ERROR_MISMATCH);
  assert_int_equal(layout_check(path, fixture_digest(f, SLICE("other")), BYTES.len, &f->e), -1);
  assert_int_equal(f->e.kind, ERROR_MISMATCH);
  assert_int_equal(layout_check(fixture_path(f, "none"), digest, BYTES.len, &f->e), -1);
  assert_int_equal(f->e.kind, ERROR_NOT_FOUND);
  assert_int_equal(symlink("blob", fixture_path(f, "link")), 0);
  assert_int_equal(layout_check(fixture_path(f, "link"), digest, BYTES.len, &f->e), -1);
  assert_int_equal(f->e.kind, ERROR_FAILED);
  assert_int_equal(layout_check(f->dir, digest, BYTES.len, &f->e), -1);
}

static void a_blob_takes_its_name(void **state) {
  struct fixture *f = *state;
  struct layout *layout = must_open(f);
  const char *digest = fixture_digest(f, BYTES);
  const char *name = arena_printf(&f->arena, "a/layout/blobs/sha256/%s", digest + 7).ptr;
  char *path = layout_path(layout, digest);
  assert_string_equal(path, fixture_path(f, name));
  free(path);
  fixture_write(f, name, SLICE("what was wrong"));
  fixture_write(f, "blob", BYTES);
  assert_int_equal(layout_link(layout, fixture_path(f, "blob"), digest, &f->e), 0);
  must_hold(f, name, BYTES);
  must_hold(f, "blob", BYTES); /* it goes on being seeded from there */
  assert_int_equal(layout_link(layout, fixture_path(f, "none"), digest, &f->e), -1);
  must_hold(f, name, BYTES);
  assert_int_equal(layout_write(layout, fixture_digest(f, SLICE("x")), SLICE("x"), &f->e), 0);
  assert_int_equal(layout_check(fixture_path(f, arena_printf(&f->arena, "a/layout/blobs/sha256/%s",
                                                             fixture_digest(f, SLICE("x")) + 7)
                                                    .ptr),
                                fixture_digest(f, SLICE("x")), 1, &f->e),
                   0);
  layout_close(layout);
}

static void enter(struct fixture *f, const char *digest, const char *name) {
  struct layout *layout = must_open(f);
  const struct layout_entry entry = {.digest = digest, .media_type = TYPE, .size = 7, .name = name};
  if (layout_enter(layout, &entry, &f->e) != 0) {
    fail_msg("%s", f->e.text);
  }
  layout_close(layout);
}

/* The index as `digest=name digest=name`. */
static const char *listed(struct fixture *f) {
  json_t *index = json_load_file(fixture_path(f, "a/layout/index.json"), 0, NULL);
  const char *text = "";
  size_t i;
  json_t *m;
  assert_int_equal(json_integer_value(json_object_get(index, "schemaVersion")), 2);
  json_array_foreach(json_object_get(index, "manifests"), i, m) {
    const char *name = json_string_value(
        json_object_get(json_object_get(m, "annotations"), "org.opencontainers.image.ref.name"));
    text = arena_printf(&f->arena, "%s%s%s=%s", text, i == 0 ? "" : " ",
                        json_string_value(json_object_get(m, "digest")), name == NULL ? "" : name)
               .ptr;
  }
  json_decref(index);
  return text;
}

static void manifests_are_entered(void **state) {
  struct fixture *f = *state;
  enter(f, "sha256:a", "1");
  enter(f, "sha256:b", "2");
  assert_string_equal(listed(f), "sha256:a=1 sha256:b=2");
  enter(f, "sha256:c", "1"); /* the tag has moved */
  assert_string_equal(listed(f), "sha256:b=2 sha256:c=1");
  enter(f, "sha256:b", NULL);
  enter(f, "sha256:b", NULL);
  assert_string_equal(listed(f), "sha256:b=2 sha256:c=1 sha256:b=");
}

static void what_others_entered_stays(void **state) {
  struct fixture *f = *state;
  layout_close(must_open(f));
  fixture_write(f, "a/layout/index.json",
                fixture_json(f, "{'schemaVersion':2,'annotations':{'mine':'yes'},'manifests':"
                                "[{'digest':'sha256:z','size':1,'platform':{'os':'x'}}]}"));
  enter(f, "sha256:a", "1");
  assert_string_equal(listed(f), "sha256:z= sha256:a=1");
  json_t *index = json_load_file(fixture_path(f, "a/layout/index.json"), 0, NULL);
  assert_non_null(json_object_get(json_object_get(index, "annotations"), "mine"));
  json_decref(index);
}

static void an_index_that_is_none_is_left_alone(void **state) {
  struct fixture *f = *state;
  static const char *const wrong[] = {"", "{", "[]", "{\"manifests\":{}}"};
  struct layout *layout = must_open(f);
  const struct layout_entry entry = {.digest = "sha256:a", .media_type = TYPE, .size = 7};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    fixture_write(f, "a/layout/index.json", slice_str(wrong[i]));
    assert_int_equal(layout_enter(layout, &entry, &f->e), -1);
    assert_non_null(strstr(f->e.text, "is no index of an OCI layout"));
    must_hold(f, "a/layout/index.json", slice_str(wrong[i]));
  }
  layout_close(layout);
}

static int all_of_it(void *arg, struct error *e) {
  struct fixture *f = arg;
  struct layout *layout = NULL;
  char blob[200];
  char folder[200];
  snprintf(blob, sizeof blob, "%s/blob", f->dir);
  snprintf(folder, sizeof folder, "%s/a/layout", f->dir);
  static const char *const digest =
      "sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"; /* of `x` */
  const struct layout_entry entry = {.digest = digest, .media_type = TYPE, .size = 7, .name = "1"};
  int result = layout_open(folder, &layout, e);
  if (result == 0 && (result = layout_check(blob, digest, 1, e)) == 0 &&
      (result = layout_link(layout, blob, digest, e)) == 0 &&
      (result = layout_write(layout, digest, SLICE("x"), e)) == 0) {
    result = layout_enter(layout, &entry, e);
  }
  layout_close(layout);
  if (result == 0) { /* the name, too */
    char text[4096] = "";
    snprintf(folder, sizeof folder, "%s/a/layout/index.json", f->dir);
    int fd = open(folder, O_RDONLY | O_CLOEXEC);
    assert_true(read(fd, text, sizeof text - 1) > 0);
    close(fd);
    assert_non_null(strstr(text, "\"org.opencontainers.image.ref.name\": \"1\""));
  }
  return result;
}

static void memory_that_runs_out_is_said(void **state) {
  struct fixture *f = *state;
  fixture_write(f, "blob", SLICE("x"));
  heap_exhaust(all_of_it, f);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)

int main(void) {
  json_set_alloc_funcs(malloc, free);
  const struct CMUnitTest tests[] = {
      TEST(a_layout_is_made_once),        TEST(a_blob_is_checked),
      TEST(a_blob_takes_its_name),        TEST(manifests_are_entered),
      TEST(what_others_entered_stays),    TEST(an_index_that_is_none_is_left_alone),
      TEST(memory_that_runs_out_is_said),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
