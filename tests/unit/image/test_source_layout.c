/* `oci-archive:` and `dir:`, as skopeo writes them. */
#include "image/source.h"
#include "image/tar.h"

#include "unit/image/maker.h"

#include <fcntl.h>

static const struct slice CONFIG = {"{}", 2};
static const struct slice LAYER = {"the layer's bytes", 17};

/* The name in an archive, or in a folder, of some bytes. */
static const char *name_of(struct fixture *f, const char *before, struct slice bytes,
                           const char *after) {
  return arena_printf(&f->arena, "%s%s%s", before, fixture_digest(f, bytes) + 7, after).ptr;
}

static void add_blob(struct fixture *f, struct maker *m, struct slice bytes) {
  maker_add_file(m, name_of(f, "blobs/sha256/", bytes, ""), bytes);
}

static struct slice index_of(struct fixture *f, struct slice manifest, const char *more) {
  const char *type = "application/vnd.oci.image.manifest.v1+json";
  return fixture_json(f, arena_printf(&f->arena,
                                      "{'schemaVersion':2,'manifests':[{'mediaType':'%s','digest':"
                                      "'%s','size':%zu%s}]}",
                                      type, fixture_digest(f, manifest), manifest.len, more)
                             .ptr);
}

static const char *oci(struct fixture *f, const char *name) {
  return arena_printf(&f->arena, "oci-archive:%s/a.tar%s", f->dir, name).ptr;
}

static void must_be_the_image(struct fixture *f, struct slice manifest) {
  assert_string_equal(image_source_digest(f->source), fixture_digest(f, manifest));
  assert_true(slice_equal(image_source_manifest(f->source), manifest));
  assert_int_equal(fixture_count(f), 2);
  fixture_must_read(f, 1, LAYER);
  fixture_must_read(f, 0, CONFIG);
  fixture_must_read(f, 1, LAYER);
}

static void test_oci_archive(void **state) {
  struct fixture *f = *state;
  static const int filters[] = {ARCHIVE_FILTER_NONE, ARCHIVE_FILTER_GZIP, ARCHIVE_FILTER_ZSTD,
                                ARCHIVE_FILTER_XZ, ARCHIVE_FILTER_BZIP2};
  struct slice manifest = fixture_manifest(f, CONFIG, LAYER);
  for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++) {
    struct maker m = maker_start(f, filters[i]);
    add_blob(f, &m, LAYER);
    add_blob(f, &m, CONFIG);
    add_blob(f, &m, manifest);
    maker_add_file(
        &m, "index.json",
        index_of(f, manifest, ",'annotations':{'org.opencontainers.image.ref.name':'v1'}"));
    maker_add_file(&m, "./oci-layout", SLICE("{\"imageLayoutVersion\":\"1.0.0\"}"));
    maker_end(&m);
    fixture_must_open(f, oci(f, ""));
    must_be_the_image(f, manifest);
    assert_int_equal(image_source_position(f->source, fixture_blob(f, 0)), 1);
    assert_int_equal(image_source_position(f->source, fixture_blob(f, 1)), 0);
    fixture_must_open(f, oci(f, ":v1"));
    must_be_the_image(f, manifest);
    fixture_must_fail(f, oci(f, ":v2"), ERROR_NOT_FOUND, "there is: v1");
  }
}

/* A compressed archive with 400 MiB in front, so many documents of 4 MiB, and a layout in the worst
 * order: what is read first comes last. */
static void put_large_archive(struct fixture *f, struct slice manifest, int documents) {
  char *document = malloc(IMAGE_MANIFEST_MAX);
  assert_non_null(document);
  memset(document, ' ', IMAGE_MANIFEST_MAX);
  document[0] = '{';
  struct maker m = maker_start(f, ARCHIVE_FILTER_ZSTD);
  maker_add_zeros(&m, "large", 400);
  for (int i = 0; i < documents; i++) {
    maker_add_file(&m, arena_printf(&f->arena, "%d", i).ptr,
                   slice_of(document, IMAGE_MANIFEST_MAX));
  }
  add_blob(f, &m, LAYER);
  add_blob(f, &m, CONFIG);
  add_blob(f, &m, manifest);
  maker_add_file(&m, "index.json", index_of(f, manifest, ""));
  maker_add_file(&m, "oci-layout", SLICE("{\"imageLayoutVersion\":\"1.0.0\"}"));
  maker_end(&m);
  free(document);
}

/* Documents are kept where going back to them means to unpack all again, within a bound: a file
 * that is unpacked three times goes beyond what may be unpacked at all. */
static void test_documents_are_kept(void **state) {
  struct fixture *f = *state;
  struct slice manifest = fixture_manifest(f, CONFIG, LAYER);
  put_large_archive(f, manifest, 7);
  fixture_must_open(f, oci(f, ""));
  assert_string_equal(image_source_digest(f->source), fixture_digest(f, manifest));
  fixture_must_read(f, 0, CONFIG);
  fixture_must_read(f, 1, LAYER);
  put_large_archive(f, manifest, 8);
  fixture_must_fail(f, oci(f, ""), ERROR_FAILED, "gives more than 1024 times its size");
}

/* An archive of \p layout, \p index, the manifest, and \p layer under the name of LAYER. */
static void put_archive(struct fixture *f, const char *layout, struct slice index,
                        struct slice layer) {
  struct maker m = maker_start(f, ARCHIVE_FILTER_NONE);
  if (layout != NULL) {
    maker_add_file(&m, "oci-layout", slice_str(layout));
  }
  maker_add_file(&m, "index.json", index);
  add_blob(f, &m, fixture_manifest(f, CONFIG, LAYER));
  maker_add_file(&m, name_of(f, "blobs/sha256/", LAYER, ""), layer);
  maker_end(&m);
}

static void test_oci_archive_lies(void **state) {
  struct fixture *f = *state;
  static const char *const layout = "{\"imageLayoutVersion\":\"1.0.0\"}";
  struct slice index = index_of(f, fixture_manifest(f, CONFIG, LAYER), "");
  put_archive(f, layout, index, SLICE("THE LAYER'S BYTES"));
  fixture_must_open(f, oci(f, ""));
  fixture_must_not_read(f, 1, ERROR_MISMATCH, "digest");
  fixture_must_not_read(f, 0, ERROR_NOT_FOUND, "in the archive");
  put_archive(f, layout, index, SLICE("the layer's"));
  fixture_must_open(f, oci(f, ""));
  fixture_must_not_read(f, 1, ERROR_MISMATCH, "11 bytes");
  put_archive(f, layout, index, SLICE("the layer's bytes and more"));
  fixture_must_open(f, oci(f, ""));
  fixture_must_not_read(f, 1, ERROR_MISMATCH, "longer");
  put_archive(f, NULL, index, LAYER);
  fixture_must_fail(f, oci(f, ""), ERROR_NOT_FOUND, "it is no OCI image layout");
  put_archive(f, "{}", index, LAYER);
  fixture_must_fail(f, oci(f, ""), ERROR_FAILED, "imageLayoutVersion");
  put_archive(f, layout, SLICE("{"), LAYER);
  fixture_must_fail(f, oci(f, ""), ERROR_FAILED, "index.json");
  put_archive(f, layout, index_of(f, CONFIG, ""), LAYER);
  fixture_must_fail(f, oci(f, ""), ERROR_NOT_FOUND, "in the archive");
  fixture_write(f, "a.tar", SLICE("no tar at all, but long enough"));
  fixture_must_fail(f, oci(f, ""), ERROR_FAILED, "cannot read");
  remove(fixture_path(f, "a.tar"));
  fixture_must_fail(f, oci(f, ""), ERROR_NOT_FOUND, "No such file");
}

static void test_oci_archive_links(void **state) {
  struct fixture *f = *state;
  struct slice manifest = fixture_manifest(f, CONFIG, LAYER);
  struct maker m = maker_start(f, ARCHIVE_FILTER_NONE);
  maker_add(&m, name_of(f, "blobs/sha256/", LAYER, ""), "/etc/passwd", NULL, SLICE(""));
  maker_add(&m, name_of(f, "blobs/sha256/", CONFIG, ""), "../../config", NULL, SLICE(""));
  maker_add_file(&m, "config", CONFIG);
  add_blob(f, &m, manifest);
  maker_add_file(&m, "index.json", index_of(f, manifest, ""));
  maker_add_file(&m, "oci-layout", SLICE("{\"imageLayoutVersion\":\"1.0.0\"}"));
  maker_end(&m);
  fixture_must_open(f, oci(f, ""));
  fixture_must_read(f, 0, CONFIG);
  fixture_must_not_read(f, 1, ERROR_NOT_FOUND, "in the archive");
}

static void test_oci_archive_bounds(void **state) {
  struct fixture *f = *state;
  char name[TAR_NAME_MAX + 2];
  struct maker m = maker_start(f, ARCHIVE_FILTER_NONE);
  for (int i = 0; i <= TAR_FILES_MAX; i++) {
    snprintf(name, sizeof name, "%d", i);
    maker_add_file(&m, name, SLICE(""));
  }
  maker_end(&m);
  fixture_must_fail(f, oci(f, ""), ERROR_FAILED, "more than 16384 files");
  memset(name, 'a', sizeof name - 1);
  name[sizeof name - 1] = '\0';
  m = maker_start(f, ARCHIVE_FILTER_NONE);
  maker_add_file(&m, name, SLICE(""));
  maker_end(&m);
  fixture_must_fail(f, oci(f, ""), ERROR_FAILED, "more than 1024 bytes");
  char *large = calloc(1, IMAGE_MANIFEST_MAX + 1);
  assert_non_null(large);
  put_archive(f, "{\"imageLayoutVersion\":\"1.0.0\"}", slice_of(large, IMAGE_MANIFEST_MAX + 1),
              LAYER);
  fixture_must_fail(f, oci(f, ""), ERROR_FAILED, "larger than 4194304 bytes");
  free(large);
}

/* --- dir: --- */

static const char *dir(struct fixture *f) {
  return arena_printf(&f->arena, "dir:%s", f->dir).ptr;
}

static void put_blobs(struct fixture *f) {
  fixture_write(f, "version", SLICE("Directory Transport Version: 1.1\n"));
  fixture_write(f, name_of(f, "", CONFIG, ""), CONFIG);
  fixture_write(f, name_of(f, "", LAYER, ""), LAYER);
}

static void test_dir(void **state) {
  struct fixture *f = *state;
  struct slice manifest = fixture_manifest(f, CONFIG, LAYER);
  put_blobs(f);
  fixture_write(f, "manifest.json", manifest);
  fixture_must_open(f, dir(f));
  must_be_the_image(f, manifest);
  fixture_write(f, "version", SLICE("Directory Transport Version: 2\n"));
  fixture_must_fail(f, dir(f), ERROR_FAILED, "version");
  remove(fixture_path(f, "version"));
  fixture_must_open(f, dir(f));
  must_be_the_image(f, manifest);
}

static void test_dir_index(void **state) {
  struct fixture *f = *state;
  struct slice manifest = fixture_manifest(f, CONFIG, LAYER);
  struct slice index = index_of(f, manifest, ",'platform':{'os':'linux','architecture':'amd64'}");
  put_blobs(f);
  fixture_write(f, "manifest.json", index);
  fixture_must_fail(f, dir(f), ERROR_NOT_FOUND, ".manifest.json");
  fixture_write(f, name_of(f, "", manifest, ".manifest.json"), manifest);
  fixture_must_open(f, dir(f));
  must_be_the_image(f, manifest);
  f->all = true;
  fixture_must_open(f, dir(f));
  assert_string_equal(image_source_digest(f->source), fixture_digest(f, index));
  assert_true(slice_equal(image_source_manifest(f->source), index));
  assert_int_equal(image_source_position(f->source, fixture_blob(f, 1)), 0);
  assert_int_equal(fixture_count(f), 2);
  fixture_write(f, name_of(f, "", manifest, ".manifest.json"), CONFIG);
  fixture_must_fail(f, dir(f), ERROR_MISMATCH, "digest should be");
}

static void test_dir_lies(void **state) {
  struct fixture *f = *state;
  const char *layer = name_of(f, "", LAYER, "");
  fixture_must_fail(f, dir(f), ERROR_NOT_FOUND, "manifest.json");
  put_blobs(f);
  fixture_write(f, "manifest.json", SLICE("{"));
  fixture_must_fail(f, dir(f), ERROR_FAILED, "manifest");
  fixture_write(f, "manifest.json", fixture_manifest(f, CONFIG, LAYER));
  fixture_must_open(f, dir(f));
  fixture_write(f, layer, SLICE("THE LAYER'S BYTES"));
  fixture_must_not_read(f, 1, ERROR_MISMATCH, "digest");
  fixture_write(f, layer, SLICE("the layer's bytes and more"));
  fixture_must_not_read(f, 1, ERROR_MISMATCH, "longer");
  remove(fixture_path(f, layer));
  fixture_must_not_read(f, 1, ERROR_NOT_FOUND, "No such file");
  fixture_write(f, "elsewhere", LAYER);
  assert_int_equal(symlink(fixture_path(f, "elsewhere"), fixture_path(f, layer)), 0);
  fixture_must_read(f, 1, LAYER);
  fixture_write(f, "elsewhere", SLICE("THE LAYER'S BYTES"));
  fixture_must_not_read(f, 1, ERROR_MISMATCH, "digest");
  remove(fixture_path(f, "manifest.json"));
  assert_int_equal(mkfifo(fixture_path(f, "manifest.json"), 0600), 0);
  fixture_must_fail(f, dir(f), ERROR_FAILED, "not a regular file");
  fixture_must_fail(f, arena_printf(&f->arena, "dir:%s/none", f->dir).ptr, ERROR_NOT_FOUND,
                    "No such file");
  fixture_must_fail(f, "dir:/dev", ERROR_NOT_FOUND, "manifest.json");
}

static void test_dir_bounds(void **state) {
  struct fixture *f = *state;
  put_blobs(f);
  fixture_write(f, "manifest.json", SLICE(" "));
  assert_int_equal(truncate(fixture_path(f, "manifest.json"), IMAGE_MANIFEST_MAX + 1), 0);
  fixture_must_fail(f, dir(f), ERROR_FAILED, "larger than 4194304 bytes");
  assert_int_equal(truncate(fixture_path(f, "version"), 1 << 20), 0);
  fixture_must_fail(f, dir(f), ERROR_FAILED, "version");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_oci_archive),       TEST(test_documents_are_kept), TEST(test_oci_archive_lies),
      TEST(test_oci_archive_links), TEST(test_oci_archive_bounds), TEST(test_dir),
      TEST(test_dir_index),         TEST(test_dir_lies),           TEST(test_dir_bounds),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
