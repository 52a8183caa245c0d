/* `blob:` and `oci:`, and what all sources have in common. */
#include "image/source.h"

#include "unit/image/layout.h"

#include <fcntl.h>
#include <openssl/evp.h>

static const char *oci(struct fixture *f, const char *name) {
  return arena_printf(&f->arena, "oci:%s%s", f->dir, name).ptr;
}

static void must_be_the_image(struct fixture *f, struct slice manifest) {
  assert_string_equal(image_source_digest(f->source), fixture_digest(f, manifest));
  assert_true(slice_equal(image_source_manifest(f->source), manifest));
  assert_int_equal(fixture_count(f), 2);
  fixture_must_read(f, 1, LAYOUT_LAYER);
  fixture_must_read(f, 0, LAYOUT_CONFIG);
}

static void test_oci(void **state) {
  struct fixture *f = *state;
  struct slice manifest = layout_put(f);
  layout_put_index(f, layout_entry(f, MANIFEST_TYPE, manifest, ""));
  fixture_must_open(f, oci(f, ""));
  must_be_the_image(f, manifest);
  fixture_must_fail(f, oci(f, ":v1"), ERROR_NOT_FOUND, "none with a name");
}

static void test_oci_by_name(void **state) {
  struct fixture *f = *state;
  struct slice manifest = layout_put(f);
  layout_put_index(
      f, arena_printf(&f->arena, "%s,%s",
                      layout_entry(f, MANIFEST_TYPE, LAYOUT_CONFIG,
                                   ",'annotations':{'org.opencontainers.image.ref.name':'v1'}"),
                      layout_entry(f, MANIFEST_TYPE, manifest,
                                   ",'annotations':{'org.opencontainers.image.ref.name':'v2'}"))
             .ptr);
  fixture_must_open(f, oci(f, ":v2"));
  must_be_the_image(f, manifest);
  fixture_must_fail(f, oci(f, ":v3"), ERROR_NOT_FOUND, "v1, v2");
  fixture_must_fail(f, oci(f, ""), ERROR_USAGE, "v1, v2");
  fixture_must_fail(f, oci(f, ":v1"), ERROR_FAILED, "schemaVersion");
}

static void test_oci_index(void **state) {
  struct fixture *f = *state;
  struct slice manifest = layout_put(f);
  struct slice inner = layout_index_of(
      f, layout_entry(f, MANIFEST_TYPE, manifest,
                      ",'platform':{'os':'linux','architecture':'amd64','variant':'v1'}"));
  struct slice outer = layout_index_of(f, layout_entry(f, INDEX_TYPE, inner, ""));
  struct slice outmost = layout_index_of(f, layout_entry(f, INDEX_TYPE, outer, ""));
  layout_put_blob(f, inner);
  layout_put_blob(f, outer);
  layout_put_blob(f, outmost);
  layout_put_index(f, layout_entry(f, INDEX_TYPE, outer, ""));
  fixture_must_open(f, oci(f, ""));
  must_be_the_image(f, manifest);
  layout_put_index(f, layout_entry(f, INDEX_TYPE, outmost, ""));
  fixture_must_fail(f, oci(f, ""), ERROR_FAILED, "nested");
  struct slice arm =
      layout_index_of(f, layout_entry(f, MANIFEST_TYPE, manifest,
                                      ",'platform':{'os':'linux','architecture':'arm64'}"));
  layout_put_blob(f, arm);
  layout_put_index(f, layout_entry(f, INDEX_TYPE, arm, ""));
  fixture_must_fail(f, oci(f, ""), ERROR_NOT_FOUND, "linux/arm64");
  layout_put_index(f, layout_entry(f, MANIFEST_TYPE, arm, ""));
  fixture_must_fail(f, oci(f, ""), ERROR_FAILED, "it says it is");
}

static void test_oci_lies(void **state) {
  struct fixture *f = *state;
  struct slice manifest = layout_put(f);
  const char *digest = fixture_digest(f, manifest);
  layout_put_index(f, arena_printf(&f->arena,
                                   "{'mediaType':'" MANIFEST_TYPE "','digest':'%s','size':%zu}",
                                   digest, manifest.len + 1)
                          .ptr);
  fixture_must_fail(f, oci(f, ""), ERROR_MISMATCH, "should have");
  layout_put_index(f, layout_entry(f, MANIFEST_TYPE, manifest, ""));
  const char *layer =
      arena_printf(&f->arena, "blobs/sha256/%s", fixture_digest(f, LAYOUT_LAYER) + 7).ptr;
  fixture_must_open(f, oci(f, ""));
  fixture_write(f, layer, SLICE("THE LAYER'S BYTES"));
  fixture_must_not_read(f, 1, ERROR_MISMATCH, "digest");
  fixture_write(f, layer, SLICE("the layer's"));
  fixture_must_not_read(f, 1, ERROR_MISMATCH, "11 bytes");
  fixture_write(f, layer, SLICE("the layer's bytes and more"));
  fixture_must_not_read(f, 1, ERROR_MISMATCH, "longer");
  remove(fixture_path(f, layer));
  fixture_must_not_read(f, 1, ERROR_NOT_FOUND, "No such file");
  fixture_write(f, "elsewhere", LAYOUT_LAYER);
  assert_int_equal(symlink(fixture_path(f, "elsewhere"), fixture_path(f, layer)), 0);
  fixture_must_read(f, 1, LAYOUT_LAYER); /* as in a store that several layouts share */
  fixture_write(f, "elsewhere", SLICE("THE LAYER'S BYTES"));
  fixture_must_not_read(f, 1, ERROR_MISMATCH, "digest");
  remove(fixture_path(f, layer));
  assert_int_equal(symlink("/dev/zero", fixture_path(f, layer)), 0);
  fixture_must_not_read(f, 1, ERROR_FAILED, "regular");
  remove(fixture_path(f, layer));
  assert_int_equal(mkfifo(fixture_path(f, layer), 0600), 0);
  fixture_must_not_read(f, 1, ERROR_FAILED, "regular");
  fixture_write(f, arena_printf(&f->arena, "blobs/sha256/%s", digest + 7).ptr, SLICE("{}"));
  fixture_must_fail(f, oci(f, ""), ERROR_MISMATCH, "digest should be");
}

static void test_oci_broken(void **state) {
  struct fixture *f = *state;
  fixture_must_fail(f, oci(f, ""), ERROR_NOT_FOUND, "oci-layout");
  layout_put(f);
  fixture_must_fail(f, oci(f, ""), ERROR_NOT_FOUND, "index.json");
  layout_put_index(f, "");
  fixture_must_fail(f, oci(f, ""), ERROR_NOT_FOUND, "no image");
  fixture_write(f, "index.json", SLICE("{"));
  fixture_must_fail(f, oci(f, ""), ERROR_FAILED, "index.json");
  fixture_write(f, "oci-layout", SLICE("{\"imageLayoutVersion\":\"2\"}"));
  fixture_must_fail(f, oci(f, ""), ERROR_FAILED, "1.0.0");
  fixture_write(f, "oci-layout", SLICE("x"));
  fixture_must_fail(f, oci(f, ""), ERROR_FAILED, "oci-layout");
  /* A pipe that nobody writes to is not waited for. */
  const char *pipe = arena_printf(&f->arena, "%s/oci-layout", f->dir).ptr;
  assert_int_equal(unlink(pipe), 0);
  assert_int_equal(mkfifo(pipe, 0600), 0);
  fixture_must_fail(f, oci(f, ""), ERROR_FAILED, "not a regular file");
}

static void test_blob(void **state) {
  struct fixture *f = *state;
  fixture_write(f, "a:b", LAYOUT_LAYER);
  fixture_must_open(f, arena_printf(&f->arena, "blob:%s/a:b", f->dir).ptr);
  assert_null(image_source_digest(f->source));
  assert_int_equal(image_source_manifest(f->source).len, 0);
  assert_int_equal(fixture_count(f), 1);
  assert_int_equal(fixture_blob(f, 0)->size, LAYOUT_LAYER.len);
  assert_null(fixture_blob(f, 0)->digest);
  fixture_must_read(f, 0, LAYOUT_LAYER);
  fixture_must_read(f, 0, LAYOUT_LAYER);
}

static void test_blob_of_nothing(void **state) {
  struct fixture *f = *state;
  fixture_write(f, "empty", SLICE(""));
  fixture_must_open(f, arena_printf(&f->arena, "blob:%s/empty", f->dir).ptr);
  fixture_must_read(f, 0, SLICE(""));
  fixture_must_fail(f, arena_printf(&f->arena, "blob:%s/none", f->dir).ptr, ERROR_NOT_FOUND,
                    "No such file");
  fixture_must_fail(f, arena_printf(&f->arena, "blob:%s", f->dir).ptr, ERROR_FAILED, "regular");
}

/* What happens to a file of 200,000 bytes while it is read. */
struct change {
  const char *path;
  off_t size;
  struct timespec modified;
};

static int change(void *arg, struct slice bytes, struct error *e) {
  (void)bytes, (void)e;
  const struct change *c = arg;
  const struct timespec times[] = {{.tv_nsec = UTIME_OMIT}, c->modified};
  return truncate(c->path, c->size) != 0 || utimensat(AT_FDCWD, c->path, times, 0) != 0 ? -1 : 0;
}

static void test_blob_that_changes(void **state) {
  struct fixture *f = *state;
  static const char bytes[200000];
  const char *path = fixture_path(f, "file");
  struct stat before;
  fixture_write(f, "file", slice_of(bytes, sizeof bytes));
  assert_int_equal(stat(path, &before), 0);
  struct change changes[] = {{path, 100000, before.st_mtim},
                             {path, 300000, before.st_mtim},
                             {path, 200000, {.tv_sec = before.st_mtim.tv_sec + 1}}};
  for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
    fixture_write(f, "file", slice_of(bytes, sizeof bytes));
    struct change back = {path, sizeof bytes, before.st_mtim};
    assert_int_equal(change(&back, SLICE(""), NULL), 0);
    fixture_must_open(f, arena_printf(&f->arena, "blob:%s", path).ptr);
    assert_int_equal(
        image_source_read(f->source, fixture_blob(f, 0), change, NULL, &changes[i], &f->e), -1);
    assert_int_equal(f->e.kind, ERROR_FAILED);
    assert_non_null(strstr(f->e.text, "changed"));
    assert_null(fixture_blob(f, 0)->digest);
  }
}

static int give_up(void *arg, struct slice bytes, struct error *e) {
  (void)arg, (void)bytes;
  return error_set(e, ERROR_USAGE, "the sink is full");
}

static void test_sink_gives_up(void **state) {
  struct fixture *f = *state;
  fixture_write(f, "file", LAYOUT_LAYER);
  fixture_must_open(f, arena_printf(&f->arena, "blob:%s/file", f->dir).ptr);
  assert_int_equal(image_source_read(f->source, fixture_blob(f, 0), give_up, NULL, NULL, &f->e),
                   -1);
  assert_int_equal(f->e.kind, ERROR_USAGE);
  assert_string_equal(f->e.text, "the sink is full");
}

/* A sink that hashes, or says that it did. */
static int own_digest(void *arg, unsigned char sha256[32], struct error *e) {
  const struct buf *got = arg;
  (void)e;
  assert_int_equal(EVP_Q_digest(NULL, "SHA256", NULL, got->ptr, got->len, sha256, NULL), 1);
  return 0;
}

static int wrong_digest(void *arg, unsigned char sha256[32], struct error *e) {
  (void)arg, (void)e;
  memset(sha256, 7, 32);
  return 0;
}

static int no_digest(void *arg, unsigned char sha256[32], struct error *e) {
  (void)arg, (void)sha256;
  return error_set(e, ERROR_USAGE, "no digest today");
}

static int never_asked(void *arg, unsigned char sha256[32], struct error *e) {
  (void)arg, (void)sha256, (void)e;
  fail_msg("asked for the digest of bytes that are no blob");
  return -1;
}

/* What it says is compared as what would be computed, and is a `blob:`'s digest. */
static void test_sink_that_hashes(void **state) {
  struct fixture *f = *state;
  struct buf got = {0};
  layout_put_index(f, layout_entry(f, MANIFEST_TYPE, layout_put(f), ""));
  fixture_must_open(f, oci(f, ""));
  const struct image_descriptor *layer = fixture_blob(f, 1);
  assert_int_equal(image_source_read(f->source, layer, fixture_keep, own_digest, &got, &f->e), 0);
  assert_true(slice_equal(buf_view(&got), LAYOUT_LAYER));
  assert_int_equal(image_source_read(f->source, layer, fixture_keep, wrong_digest, &got, &f->e),
                   -1);
  assert_int_equal(f->e.kind, ERROR_MISMATCH);
  assert_non_null(strstr(f->e.text, "digest sha256:0707"));
  assert_int_equal(image_source_read(f->source, layer, fixture_keep, no_digest, &got, &f->e), -1);
  assert_string_equal(f->e.text, "no digest today");
  fixture_write(f,
                arena_printf(&f->arena, "blobs/sha256/%s", layer->digest + strlen("sha256:")).ptr,
                SLICE("less"));
  assert_int_equal(image_source_read(f->source, layer, fixture_keep, never_asked, &got, &f->e), -1);
  assert_int_equal(f->e.kind, ERROR_MISMATCH);

  fixture_write(f, "file", LAYOUT_LAYER);
  fixture_must_open(f, arena_printf(&f->arena, "blob:%s/file", f->dir).ptr);
  buf_free(&got);
  assert_int_equal(
      image_source_read(f->source, fixture_blob(f, 0), fixture_keep, own_digest, &got, &f->e), 0);
  assert_string_equal(fixture_blob(f, 0)->digest, fixture_digest(f, LAYOUT_LAYER));
  buf_free(&got);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_oci),
      TEST(test_oci_by_name),
      TEST(test_oci_index),
      TEST(test_oci_lies),
      TEST(test_oci_broken),
      TEST(test_blob),
      TEST(test_blob_of_nothing),
      TEST(test_blob_that_changes),
      TEST(test_sink_gives_up),
      TEST(test_sink_that_hashes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
