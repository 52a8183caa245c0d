/* From a reference to the blobs of all platforms, and what is left out on the way. */
#include "image/source.h"

#include "unit/image/layout.h"

#define PLATFORM(os, arch) ",'platform':{'os':'" os "','architecture':'" arch "'}"
#define LAYER_TYPE         "application/vnd.oci.image.layer.v1.tar"

static const struct slice OTHER = {"another layer", 13};
static const struct slice PROOF = {"an attestation", 14};

static const char *oci(struct fixture *f) {
  return arena_printf(&f->arena, "oci:%s", f->dir).ptr;
}

static struct slice put_manifest(struct fixture *f, const char *layers) {
  struct slice manifest = fixture_json(
      f,
      arena_printf(&f->arena, "{'schemaVersion':2,'config':%s,'layers':[%s]}",
                   fixture_descriptor(f, "application/vnd.oci.image.config.v1+json", LAYOUT_CONFIG),
                   layers)
          .ptr);
  layout_put_blob(f, manifest);
  return manifest;
}

static const char *layer(struct fixture *f, struct slice bytes) {
  return fixture_descriptor(f, LAYER_TYPE, bytes);
}

/* Puts an index of these entries, and index.json with it alone. */
static struct slice put_top(struct fixture *f, const char *entries) {
  struct slice index = layout_index_of(f, entries);
  layout_put_blob(f, index);
  layout_put_index(f, layout_entry(f, INDEX_TYPE, index, ""));
  return index;
}

static void must_hold(struct fixture *f, const struct slice *blobs, size_t count) {
  assert_int_equal(fixture_count(f), count);
  for (size_t i = 0; i < count; i++) {
    fixture_must_read(f, i, blobs[i]);
  }
}

static void test_all_platforms(void **state) {
  struct fixture *f = *state;
  struct slice amd64 = layout_put(f);
  layout_put_blob(f, OTHER);
  layout_put_blob(f, PROOF);
  struct slice arm64 = put_manifest(
      f, arena_printf(&f->arena, "%s,%s", layer(f, LAYOUT_LAYER), layer(f, OTHER)).ptr);
  struct slice proof = put_manifest(f, layer(f, PROOF));
  struct slice index =
      put_top(f, arena_printf(&f->arena, "%s,%s,%s,%s,%s",
                              layout_entry(f, MANIFEST_TYPE, amd64, PLATFORM("linux", "amd64")),
                              layout_entry(f, MANIFEST_TYPE, arm64, PLATFORM("linux", "arm64")),
                              layout_entry(f, MANIFEST_TYPE, arm64, PLATFORM("linux", "arm")),
                              layout_entry(f, MANIFEST_TYPE, proof, PLATFORM("unknown", "unknown")),
                              layout_entry(f, "application/x-spdx", OTHER, ""))
                     .ptr);
  const struct slice all[] = {LAYOUT_CONFIG, LAYOUT_LAYER, OTHER, PROOF};
  f->all = true;
  fixture_must_open(f, oci(f));
  must_hold(f, all, 4);
  assert_string_equal(image_source_digest(f->source), fixture_digest(f, index));
  assert_true(slice_equal(image_source_manifest(f->source), index));
  f->all = false;
  fixture_must_open(f, oci(f));
  must_hold(f, all, 2);
  assert_string_equal(image_source_digest(f->source), fixture_digest(f, amd64));
}

static void test_all_of_a_manifest(void **state) {
  struct fixture *f = *state;
  struct slice manifest = layout_put(f);
  layout_put_index(f, layout_entry(f, MANIFEST_TYPE, manifest, ""));
  f->all = true;
  fixture_must_open(f, oci(f));
  assert_string_equal(image_source_digest(f->source), fixture_digest(f, manifest));
  assert_int_equal(fixture_count(f), 2);
}

static void test_all_nested(void **state) {
  struct fixture *f = *state;
  struct slice manifest = layout_put(f);
  layout_put_blob(f, OTHER);
  struct slice other = put_manifest(f, layer(f, OTHER));
  struct slice inner = layout_index_of(f, layout_entry(f, MANIFEST_TYPE, other, ""));
  layout_put_blob(f, inner);
  const char *inner_entry = layout_entry(f, INDEX_TYPE, inner, "");
  struct slice outer = put_top(
      f, arena_printf(&f->arena, "%s,%s", inner_entry, layout_entry(f, MANIFEST_TYPE, manifest, ""))
             .ptr);
  f->all = true;
  fixture_must_open(f, oci(f));
  const struct slice all[] = {LAYOUT_CONFIG, OTHER, LAYOUT_LAYER};
  must_hold(f, all, 3);
  put_top(f, layout_entry(f, INDEX_TYPE, outer, ""));
  fixture_must_fail(f, oci(f), ERROR_FAILED, "nested more than 2 deep");
}

static void test_all_must_be_there(void **state) {
  struct fixture *f = *state;
  struct slice manifest = layout_put(f);
  struct slice none = SLICE("not there");
  const char *right = layout_entry(f, MANIFEST_TYPE, manifest, PLATFORM("linux", "amd64"));
  put_top(f, arena_printf(&f->arena, "%s,%s", right,
                          layout_entry(f, MANIFEST_TYPE, none, PLATFORM("linux", "arm64")))
                 .ptr);
  fixture_must_open(f, oci(f));
  f->all = true;
  fixture_must_fail(f, oci(f), ERROR_NOT_FOUND, "No such file");
  struct slice lies = put_manifest(
      f, arena_printf(&f->arena, "{'mediaType':'" LAYER_TYPE "','digest':'%s','size':99}",
                      fixture_digest(f, LAYOUT_LAYER))
             .ptr);
  put_top(f, arena_printf(&f->arena, "%s,%s", right, layout_entry(f, MANIFEST_TYPE, lies, "")).ptr);
  fixture_must_fail(f, oci(f), ERROR_FAILED, "two sizes");
  const char *schema1 = "application/vnd.docker.distribution.manifest.v1+prettyjws";
  put_top(f, layout_entry(f, schema1, manifest, ""));
  fixture_must_fail(f, oci(f), ERROR_FAILED, "schema 1 manifest");
}

/* A digest of another kind is no reason to refuse the other platforms. */
static void test_other_digests(void **state) {
  struct fixture *f = *state;
  struct slice manifest = layout_put(f);
  const char *right = layout_entry(f, MANIFEST_TYPE, manifest, PLATFORM("linux", "amd64"));
  const char *other =
      arena_printf(&f->arena,
                   "{'mediaType':'" MANIFEST_TYPE
                   "','digest':'sha512:%0128d','size':9" PLATFORM("linux", "%s") "}",
                   0, "s390x")
          .ptr;
  put_top(f, arena_printf(&f->arena, "%s,%s", other, right).ptr);
  fixture_must_open(f, oci(f));
  assert_string_equal(image_source_digest(f->source), fixture_digest(f, manifest));
  f->all = true;
  fixture_must_fail(f, oci(f), ERROR_FAILED, "only sha256");
  f->all = false;
  put_top(f, arena_printf(&f->arena,
                          "{'mediaType':'" MANIFEST_TYPE
                          "','digest':'sha512:%0128d','size':9" PLATFORM("linux", "amd64") "}",
                          0)
                 .ptr);
  fixture_must_fail(f, oci(f), ERROR_FAILED, "only sha256");
  layout_put_index(f, other);
  fixture_must_fail(f, oci(f), ERROR_FAILED, "only sha256");
}

static void test_foreign_layers(void **state) {
  struct fixture *f = *state;
  layout_put(f);
  struct slice manifest = put_manifest(
      f, arena_printf(&f->arena,
                      "{'mediaType':'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',"
                      "'digest':'%s','size':%zu,'urls':['https://other.example/x']},%s",
                      fixture_digest(f, OTHER), OTHER.len, layer(f, LAYOUT_LAYER))
             .ptr);
  layout_put_index(f, layout_entry(f, MANIFEST_TYPE, manifest, ""));
  fixture_must_open(f, oci(f));
  const struct slice all[] = {LAYOUT_CONFIG, LAYOUT_LAYER};
  must_hold(f, all, 2);
  assert_int_equal(image_source_foreign(f->source), 1);
}

/* `artifactType`, the empty config with its data, a subject, blobs of nothing and blobs twice (OCI
 * image specification 1.1, manifest.md). */
static void test_artifact(void **state) {
  struct fixture *f = *state;
  struct slice subject = layout_put(f);
  layout_put_blob(f, SLICE(""));
  struct slice manifest = fixture_json(
      f, arena_printf(
             &f->arena,
             "{'schemaVersion':2,'mediaType':'" MANIFEST_TYPE "','artifactType':'a/b','config':{"
             "'mediaType':'application/vnd.oci.empty.v1+json','digest':'%s','size':2,'data':'e30='}"
             ",'layers':[%s,%s,%s],'subject':%s,'annotations':{'a':'b'}}",
             fixture_digest(f, LAYOUT_CONFIG), fixture_descriptor(f, "text/plain", SLICE("")),
             fixture_descriptor(f, "application/vnd.oci.empty.v1+json", LAYOUT_CONFIG),
             fixture_descriptor(f, "text/plain", SLICE("")),
             fixture_descriptor(f, MANIFEST_TYPE, subject))
             .ptr);
  layout_put_blob(f, manifest);
  layout_put_index(f, layout_entry(f, MANIFEST_TYPE, manifest, ",'artifactType':'a/b'"));
  fixture_must_open(f, oci(f));
  const struct slice all[] = {LAYOUT_CONFIG, SLICE("")};
  must_hold(f, all, 2);
  assert_string_equal(fixture_blob(f, 0)->media_type, "application/vnd.oci.empty.v1+json");
}

/* An entry without a platform may be for any, but where others name theirs it is no artifact. */
static void test_artifact_of_no_platform(void **state) {
  struct fixture *f = *state;
  struct slice image = layout_put(f);
  const char *empty = "application/vnd.oci.empty.v1+json";
  const char *configs[] = {"application/vnd.oci.image.config.v1+json", empty};
  const char *types[] = {",'artifactType':'a/b'", ""};
  for (size_t i = 0; i < 2; i++) {
    struct slice artifact =
        fixture_json(f, arena_printf(&f->arena, "{'schemaVersion':2%s,'config':%s,'layers':[]}",
                                     types[i], fixture_descriptor(f, configs[i], LAYOUT_CONFIG))
                            .ptr);
    layout_put_blob(f, artifact);
    const char *entry = layout_entry(f, MANIFEST_TYPE, artifact, "");
    const char *arm64 = layout_entry(f, MANIFEST_TYPE, image, PLATFORM("linux", "arm64"));
    put_top(f, arena_printf(&f->arena, "%s,%s", arm64, entry).ptr);
    fixture_must_fail(f, oci(f), ERROR_NOT_FOUND,
                      "not there for linux/amd64; there is: linux/arm64");
    put_top(f,
            arena_printf(&f->arena, "%s,%s", arm64, layout_entry(f, MANIFEST_TYPE, image, "")).ptr);
    fixture_must_open(f, oci(f));
    put_top(f, entry);
    fixture_must_open(f, oci(f));
    layout_put_index(f, entry);
    fixture_must_open(f, oci(f));
  }
}

/* A number, and what makes a digest of it. */
static const char *numbered(struct fixture *f, int number) {
  return arena_printf(&f->arena, "sha256:%064d", number).ptr;
}

static void test_bound_of_manifests(void **state) {
  struct fixture *f = *state;
  struct slice manifest = layout_put(f);
  struct buf entries = {0};
  /* As many as an index may list, each a manifest of its own: with the index one too many. */
  for (int i = 0; i < IMAGE_INDEX_MAX; i++) {
    struct slice one = arena_printf(&f->arena, "%.*s%*s", SLICE_ARG(manifest), i + 1, " ");
    layout_put_blob(f, one);
    buf_str(&entries, i == 0 ? "" : ",");
    buf_str(&entries, layout_entry(f, MANIFEST_TYPE, one, PLATFORM("linux", "amd64")));
  }
  buf_append(&entries, "", 1);
  assert_false(entries.failed);
  put_top(f, entries.ptr);
  fixture_must_open(f, oci(f));
  f->all = true;
  fixture_must_fail(f, oci(f), ERROR_FAILED, "more than 1024 manifests");
  buf_free(&entries);
}

static void test_bound_of_blobs(void **state) {
  struct fixture *f = *state;
  struct buf entries = {0};
  layout_put(f);
  for (int i = 0; i < IMAGE_BLOBS_MAX / IMAGE_LAYERS_MAX; i++) {
    struct buf layers = {0};
    for (int k = 0; k < IMAGE_LAYERS_MAX; k++) {
      buf_str(&layers, k == 0 ? "" : ",");
      buf_str(&layers, arena_printf(&f->arena, "{'mediaType':'a/b','digest':'%s','size':1}",
                                    numbered(f, i * IMAGE_LAYERS_MAX + k))
                           .ptr);
    }
    buf_append(&layers, "", 1);
    assert_false(layers.failed);
    buf_str(&entries, i == 0 ? "" : ",");
    buf_str(&entries, layout_entry(f, MANIFEST_TYPE, put_manifest(f, layers.ptr),
                                   PLATFORM("linux", "amd64")));
    buf_free(&layers);
  }
  buf_append(&entries, "", 1);
  assert_false(entries.failed);
  put_top(f, entries.ptr);
  f->all = true;
  fixture_must_fail(f, oci(f), ERROR_FAILED, "more than 16384 blobs"); /* the config is one */
  buf_free(&entries);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_all_platforms),      TEST(test_all_of_a_manifest),
      TEST(test_all_nested),         TEST(test_all_must_be_there),
      TEST(test_other_digests),      TEST(test_foreign_layers),
      TEST(test_artifact),           TEST(test_artifact_of_no_platform),
      TEST(test_bound_of_manifests), TEST(test_bound_of_blobs),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
