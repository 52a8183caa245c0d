#include "image/manifest.h"

#include "base/buf.h"
#include "image/reference.h"
#include "unit/cmocka_all.h"

#define HEX       "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde"
#define DIGEST(n) "sha256:" HEX n
#define OCI       "application/vnd.oci.image."
#define DOCKER    "application/vnd.docker.distribution.manifest."
#define CONFIG    "{'mediaType':'" OCI "config.v1+json','digest':'" DIGEST("0") "','size':7}"
#define LAYER(n, size)                                                                             \
  "{'mediaType':'" OCI "layer.v1.tar+gzip','digest':'" DIGEST(n) "','size':" size "}"
#define FOREIGN                                                                                    \
  "{'mediaType':'" OCI "layer.nondistributable.v1.tar','digest':'" DIGEST("3") "','size':1}"
#define WITH_URLS        "{'mediaType':'a/b','digest':'" DIGEST("4") "','size':1,'urls':['x']}"
#define MANIFEST(layers) "{'schemaVersion':2,'config':" CONFIG ",'layers':[" layers "]}"
#define ENTRY(n, platform)                                                                         \
  "{'mediaType':'" OCI "manifest.v1+json','digest':'" DIGEST(n) "','size':9" platform "}"
#define PLATFORM(arch, more) ",'platform':{'os':'linux','architecture':'" arch "'" more "}"
#define INDEX(entries)       "{'schemaVersion':2,'manifests':[" entries "]}"

/* JSON is written with single quotes here, for legibility. */
static int parse(const char *text, const char *type, struct arena *arena, struct image_manifest *m,
                 struct error *e) {
  char *json = arena_copy(arena, slice_str(text));
  assert_non_null(json);
  for (char *p = json; *p != '\0'; p++) {
    *p = (char)(*p == '\'' ? '"' : *p);
  }
  return image_manifest_parse(slice_str(json), type, arena, m, e);
}

static const struct {
  const char *json, *type;
  bool is_index;
  size_t count;
} GOOD[] = {
    {MANIFEST(LAYER("1", "0") "," LAYER("2", "9007199254740991")), NULL, false, 2},
    {MANIFEST(""), NULL, false, 0},
    {MANIFEST(""), OCI "manifest.v1+json", false, 0},
    {MANIFEST(""), "Application/vnd.OCI.image.manifest.v1+json ; charset=utf-8", false, 0},
    {MANIFEST(""), "application/octet-stream", false, 0},
    {"{'schemaVersion':2,'mediaType':'" DOCKER "v2+json','config':" CONFIG ",'layers':[]}",
     DOCKER "v2+json", false, 0},
    {"{'schemaVersion':2,'mediaType':'" DOCKER "v2+json','config':" CONFIG ",'layers':[]}", NULL,
     false, 0},
    {INDEX(""), NULL, true, 0},
    {INDEX(ENTRY("1", PLATFORM("amd64", ""))), OCI "index.v1+json", true, 1},
    {"{'schemaVersion':2,'mediaType':'" DOCKER "list.v2+json','manifests':[]}",
     DOCKER "list.v2+json", true, 0},
    /* What JSON null stands for, and Go makes empty. */
    {"{'schemaVersion':2,'mediaType':null,'config':" CONFIG ",'layers':null,'manifests':null}",
     NULL, false, 0},
    {"{'schemaVersion':2,'manifests':null}", OCI "index.v1+json", true, 0},
    {"{'schemaVersion':2,'fsLayers':null,'layers':null,'manifests':[]}", NULL, true, 0},
    {INDEX(ENTRY("1", ",'platform':null,'annotations':null")), NULL, true, 1},
    {INDEX(ENTRY("1", PLATFORM("amd64", ",'variant':null"))), NULL, true, 1},
    {INDEX(ENTRY("1", ",'annotations':{'org.opencontainers.image.ref.name':null}")), NULL, true, 1},
    {MANIFEST(
         "{'mediaType':'text/plain; charset=\\'utf-8\\'','digest':'" DIGEST("1") "','size':1}"),
     NULL, false, 1},
    {INDEX("{'mediaType':'" OCI "manifest.v1+json','digest':'sha512:" HEX "0" HEX "0','size':9}"),
     NULL, true, 1},
};

static void test_reads(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof GOOD / sizeof GOOD[0]; i++) {
    struct arena arena = {0};
    struct image_manifest m;
    struct error e = {0};
    if (parse(GOOD[i].json, GOOD[i].type, &arena, &m, &e) != 0) {
      fail_msg("%s: %s", GOOD[i].json, e.text);
    }
    assert_int_equal(m.is_index, GOOD[i].is_index);
    assert_int_equal(m.layer_count, GOOD[i].count);
    arena_free(&arena);
  }
}

static const struct {
  const char *json, *type, *why;
} BAD[] = {
    {"", NULL, "line"},
    {"{", NULL, "line"},
    {"[]", NULL, "object"},
    {"null", NULL, "line"},
    {"{}", NULL, "schemaVersion"},
    {"{}x", NULL, "line"},
    {"{'schemaVersion':2}", NULL, "config"},
    {"{'schemaVersion':'2'}", NULL, "schemaVersion"},
    {"{'schemaVersion':2.0}", NULL, "schemaVersion"},
    {"{'schemaVersion':3}", NULL, "schemaVersion"},
    {"{'schemaVersion':99999999999999999999}", NULL, "line"},
    {"{'schemaVersion':1,'fsLayers':[]}", NULL, "schema 1"},
    {"{'schemaVersion':2,'fsLayers':[],'config':" CONFIG ",'layers':[]}", NULL, "schema 1"},
    {"{'schemaVersion':2,'mediaType':'" DOCKER "v1+prettyjws'}", NULL, "schema 1"},
    {MANIFEST(""), DOCKER "v1+json", "schema 1"},
    {MANIFEST(""), "text/html", "served as"},
    {MANIFEST(""), OCI "index.v1+json", "manifests is missing"},
    {MANIFEST(""), DOCKER "v2+json", "mediaType is missing"},
    {INDEX(""), OCI "manifest.v1+json", "config"},
    {INDEX(""), DOCKER "list.v2+json", "mediaType is missing"},
    {"{'schemaVersion':2,'mediaType':'" OCI "manifest.v1+json','config':" CONFIG ",'layers':[]}",
     DOCKER "v2+json", "it says it is"},
    {"{'schemaVersion':2,'mediaType':'x/y','config':" CONFIG ",'layers':[]}", NULL, "x/y"},
    {"{'schemaVersion':2,'mediaType':1,'config':" CONFIG ",'layers':[]}", NULL, "mediaType"},
    {"{'schemaVersion':2,'config':" CONFIG ",'layers':[],'manifests':[]}", NULL, "at once"},
    {"{'schemaVersion':2,'config':" CONFIG ",'manifests':[]}", OCI "manifest.v1+json", "at once"},
    {"{'schemaVersion':2,'schemaVersion':2,'config':" CONFIG ",'layers':[]}", NULL, "duplicate"},
    {"{'schemaVersion':2,'layers':[]}", NULL, "config"},
    {"{'schemaVersion':2,'config':[],'layers':[]}", NULL, "config"},
    {"{'schemaVersion':2,'config':" CONFIG "}", NULL, "layers is missing"},
    {"{'schemaVersion':2,'config':" CONFIG ",'layers':{}}", NULL, "not a list"},
    {MANIFEST("1"), NULL, "layers[0]"},
    {MANIFEST("null"), NULL, "layers[0]"},
    {MANIFEST(LAYER("1", "-1")), NULL, "size"},
    {MANIFEST(LAYER("1", "1.5")), NULL, "size"},
    {MANIFEST(LAYER("1", "'1'")), NULL, "size"},
    {MANIFEST(LAYER("1", "null")), NULL, "size"},
    {MANIFEST(LAYER("1", "9007199254740992")), NULL, "size"},
    {MANIFEST(LAYER("1", "18446744073709551616")), NULL, "line"},
    {MANIFEST(LAYER("", "1")), NULL, "digest"},
    {MANIFEST(LAYER("00", "1")), NULL, "digest"},
    {MANIFEST(LAYER("G", "1")), NULL, "digest"},
    {MANIFEST(LAYER("F", "1")), NULL, "digest"},
    {MANIFEST(LAYER("1\\u0000", "1")), NULL, "line"},
    {MANIFEST("{'mediaType':'a/b','size':1}"), NULL, "digest is missing"},
    {MANIFEST("{'mediaType':'a/b','digest':7,'size':1}"), NULL, "digest is not a string"},
    {MANIFEST("{'digest':'" DIGEST("1") "','size':1}"), NULL, "mediaType is missing"},
    {MANIFEST("{'mediaType':'tar','digest':'" DIGEST("1") "','size':1}"), NULL, "no media type"},
    {MANIFEST("{'mediaType':'a/b\\r\\nc','digest':'" DIGEST("1") "','size':1}"), NULL, "no media"},
    {MANIFEST("{'mediaType':'a/b;c=\\u001b[2J','digest':'" DIGEST("1") "','size':1}"), NULL,
     "no media"},
    {MANIFEST("{'mediaType':'a/b;c=\\u00e9','digest':'" DIGEST("1") "','size':1}"), NULL,
     "no media"},
    {MANIFEST("{'mediaType':';a/b','digest':'" DIGEST("1") "','size':1}"), NULL, "no media"},
    {MANIFEST("{'mediaType':null,'digest':'" DIGEST("1") "','size':1}"), NULL,
     "mediaType is missing"},
    {MANIFEST("{'mediaType':'a/b','digest':null,'size':1}"), NULL, "digest is missing"},
    {MANIFEST("{'mediaType':'a/b','digest':'sha512:" HEX "0" HEX "0','size':1}"), NULL,
     "only sha256"},
    {INDEX("{'mediaType':'a/b','size':9}"), NULL, "digest is missing"},
    {INDEX(ENTRY("1", ",'platform':'linux/amd64'")), NULL, "platform"},
    {INDEX(ENTRY("1", ",'platform':{'os':1}")), NULL, "os is not"},
    {INDEX(ENTRY("1", ",'annotations':{'org.opencontainers.image.ref.name':[]}")), NULL,
     "ref.name"},
};

/* jansson passes over one behind a number. */
static void test_holds_no_nul(void **state) {
  (void)state;
  struct arena arena = {0};
  struct image_manifest m;
  struct error e = {0};
  static const char text[] = "{\"schemaVersion\":2\0,\"manifests\":[]}";
  assert_int_equal(image_manifest_parse(slice_of(text, sizeof text - 1), NULL, &arena, &m, &e), -1);
  assert_non_null(strstr(e.text, "NUL"));
  arena_free(&arena);
}

static void test_refuses_and_says_why(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
    struct arena arena = {0};
    struct image_manifest m;
    struct error e = {0};
    if (parse(BAD[i].json, BAD[i].type, &arena, &m, &e) == 0) {
      fail_msg("%s was taken", BAD[i].json);
    }
    assert_int_equal(e.kind, ERROR_FAILED);
    if (strstr(e.text, BAD[i].why) == NULL) {
      fail_msg("%s: %s", BAD[i].json, e.text);
    }
    arena_free(&arena);
  }
}

/* \p before, then \p count times \p part with commas between, then \p after. */
static int parse_many(const char *before, const char *part, size_t count, const char *after,
                      struct error *e) {
  struct buf text = {0};
  struct arena arena = {0};
  struct image_manifest m;
  buf_str(&text, before);
  for (size_t i = 0; i < count; i++) {
    buf_str(&text, i == 0 ? "" : ",");
    buf_str(&text, part);
  }
  buf_str(&text, after);
  buf_append(&text, "", 1);
  assert_false(text.failed);
  int result = parse(text.ptr, NULL, &arena, &m, e);
  arena_free(&arena);
  buf_free(&text);
  return result;
}

static void test_bounds(void **state) {
  (void)state;
  struct error e = {0};
  const char *before = "{'schemaVersion':2,'config':" CONFIG ",'layers':[";
  assert_int_equal(parse_many(before, LAYER("1", "1"), IMAGE_LAYERS_MAX, "]}", &e), 0);
  assert_int_equal(parse_many(before, LAYER("1", "1"), IMAGE_LAYERS_MAX + 1, "]}", &e), -1);
  assert_non_null(strstr(e.text, "1025 entries"));
  const char *index = "{'schemaVersion':2,'manifests':[";
  assert_int_equal(parse_many(index, ENTRY("1", ""), IMAGE_INDEX_MAX, "]}", &e), 0);
  assert_int_equal(parse_many(index, ENTRY("1", ""), IMAGE_INDEX_MAX + 1, "]}", &e), -1);
  assert_int_equal(parse_many("{'x':[", "{}", 1000000, "]}", &e), -1);
  assert_non_null(strstr(e.text, "values"));
  assert_int_equal(parse_many("{'x':'\\',[[{'", "", IMAGE_MANIFEST_MAX, "}", &e), -1);
  assert_non_null(strstr(e.text, "larger"));
  assert_int_equal(parse_many("[", "[[[[[[[[", 10000, "]", &e), -1);
}

static void test_bound_of_media_types(void **state) {
  (void)state;
  for (int beyond = 0; beyond <= 1; beyond++) {
    struct arena arena = {0};
    struct image_manifest m;
    struct error e = {0};
    const char *text =
        arena_printf(&arena,
                     "{'schemaVersion':2,'config':{'mediaType':'a/%0*d','digest':'" DIGEST(
                         "0") "','size':7},'layers':[]}",
                     IMAGE_MEDIA_TYPE_MAX - 2 + beyond, 0)
            .ptr;
    assert_int_equal(parse(text, NULL, &arena, &m, &e), -beyond);
    assert_int_equal(strstr(e.text, "mediaType") != NULL, beyond);
    arena_free(&arena);
  }
}

static void test_values_in_strings_do_not_count(void **state) {
  (void)state;
  struct error e = {0};
  assert_int_equal(parse_many("{'schemaVersion':2,'config':" CONFIG ",'layers':[],'x':'", "\\'{[",
                              200000, "'}", &e),
                   0);
}

static void test_blobs(void **state) {
  (void)state;
  struct arena arena = {0};
  struct image_manifest m;
  struct error e = {0};
  size_t count = 0;
  assert_int_equal(parse(MANIFEST(LAYER("1", "1") "," LAYER("2", "2") "," LAYER(
                             "1", "1") "," FOREIGN "," WITH_URLS),
                         NULL, &arena, &m, &e),
                   0);
  assert_int_equal(m.layer_count, 5);
  assert_false(m.layers[0].foreign);
  assert_true(m.layers[3].foreign);
  assert_true(m.layers[4].foreign);
  struct image_descriptor *blobs = image_manifest_blobs(&m, &arena, &count, &e);
  assert_non_null(blobs);
  assert_int_equal(count, 3);
  assert_string_equal(blobs[0].digest, DIGEST("0"));
  assert_string_equal(blobs[1].digest, DIGEST("1"));
  assert_string_equal(blobs[2].digest, DIGEST("2"));
  assert_int_equal(blobs[2].size, 2);
  assert_int_equal(parse(MANIFEST(LAYER("1", "1") "," LAYER("1", "2")), NULL, &arena, &m, &e), 0);
  assert_null(image_manifest_blobs(&m, &arena, &count, &e));
  assert_int_equal(e.kind, ERROR_FAILED);
  arena_free(&arena);
}

/* A config is in the registry wherever else it may be: no image is without. */
static void test_config_is_never_foreign(void **state) {
  (void)state;
  static const char *const types[] = {"a/b", OCI "layer.nondistributable.v1.tar"};
  for (size_t i = 0; i < 2; i++) {
    struct arena arena = {0};
    struct image_manifest m;
    struct error e = {0};
    size_t count = 0;
    const char *text =
        arena_printf(&arena,
                     "{'schemaVersion':2,'config':{'mediaType':'%s','digest':'" DIGEST(
                         "0") "','size':7,'urls':['http://h/x']},'layers':[" WITH_URLS "]}",
                     types[i])
            .ptr;
    assert_int_equal(parse(text, NULL, &arena, &m, &e), 0);
    struct image_descriptor *blobs = image_manifest_blobs(&m, &arena, &count, &e);
    assert_non_null(blobs);
    assert_int_equal(count, 1);
    assert_string_equal(blobs[0].digest, DIGEST("0"));
    arena_free(&arena);
  }
}

#define SPDX        "{'mediaType':'application/spdx+json','digest':'" DIGEST("9") "','size':9}"
#define ATTESTATION ENTRY("1", ",'platform':{'os':'unknown','architecture':'unknown'}")
#define ARM_V6      ENTRY("2", PLATFORM("arm", ",'variant':'v6'"))
#define ARM_V5      ENTRY("3", PLATFORM("arm", ",'variant':'v5'"))
#define ARM64       ENTRY("4", PLATFORM("arm64", ",'variant':'v8'"))
#define AMD64       ENTRY("5", PLATFORM("amd64", ""))

static const char *const MIXED = INDEX(ATTESTATION "," ARM_V6 "," ARM_V5 "," ARM64 "," AMD64);

static void expect(const char *json, const char *platform, const char *digest) {
  struct arena arena = {0};
  struct image_manifest m;
  struct image_platform p;
  struct error e = {0};
  assert_int_equal(parse(json, NULL, &arena, &m, &e), 0);
  assert_int_equal(image_platform_parse(platform, &arena, &p, &e), 0);
  const struct image_descriptor *entry = image_index_select(&m, &p, &e);
  if (digest == NULL) {
    assert_null(entry);
    assert_int_equal(e.kind, ERROR_NOT_FOUND);
  } else {
    assert_non_null(entry);
    assert_string_equal(entry->digest, digest);
  }
  arena_free(&arena);
}

static void test_select(void **state) {
  (void)state;
  expect(MIXED, "linux/amd64", DIGEST("5"));
  expect(MIXED, "linux/arm64", DIGEST("4"));
  expect(MIXED, "linux/arm", DIGEST("2"));
  expect(MIXED, "linux/arm/v5", DIGEST("3"));
  expect(MIXED, "linux/riscv64", NULL);
  expect(MIXED, "unknown/unknown", NULL);
  expect(INDEX(""), "linux/amd64", NULL);
  expect(INDEX(ENTRY("1", "") "," ENTRY("2", PLATFORM("amd64", ""))), "linux/amd64", DIGEST("2"));
  expect(INDEX(ENTRY("1", "") "," ENTRY("2", PLATFORM("amd64", ""))), "linux/arm", DIGEST("1"));
}

#define SIGNATURE ENTRY("8", ",'artifactType':'a/b'")

/* What says that it is an artifact is no image of any platform. */
static void test_artifacts_are_not_selected(void **state) {
  (void)state;
  expect(INDEX(SIGNATURE "," AMD64), "linux/amd64", DIGEST("5"));
  expect(INDEX(SIGNATURE "," AMD64), "linux/arm64", NULL);
  expect(INDEX(SIGNATURE), "linux/amd64", NULL);
  expect(INDEX(SIGNATURE "," ENTRY("1", "")), "linux/amd64", DIGEST("1"));
  expect(INDEX(ENTRY("8", PLATFORM("amd64", "") ",'artifactType':'a/b'")), "linux/amd64", NULL);
  expect(INDEX(ENTRY("1", ",'artifactType':''")), "linux/amd64", DIGEST("1"));
  expect(INDEX(ENTRY("1", ",'artifactType':null")), "linux/amd64", DIGEST("1"));
}

static void test_select_lists_what_there_is(void **state) {
  (void)state;
  struct arena arena = {0};
  struct image_manifest m;
  struct error e = {0};
  assert_int_equal(parse(MIXED, NULL, &arena, &m, &e), 0);
  const struct image_platform want = {"linux", "s390x", NULL};
  assert_null(image_index_select(&m, &want, &e));
  assert_non_null(strstr(e.text, "linux/s390x;"));
  assert_non_null(strstr(e.text, "linux/arm/v6, linux/arm/v5, linux/arm64/v8, linux/amd64"));
  assert_null(strstr(e.text, "unknown"));
  arena_free(&arena);
}

static void test_entries_that_are_no_manifests(void **state) {
  (void)state;
  expect(INDEX(SPDX "," ENTRY("1", "")), "linux/amd64", DIGEST("1"));
  expect(INDEX(SPDX), "linux/amd64", NULL);
}

static void test_type(void **state) {
  (void)state;
  struct error e = {0};
  assert_int_equal(image_manifest_check_type(NULL, &e), 0);
  assert_int_equal(image_manifest_check_type("application/json", &e), 0);
  assert_int_equal(image_manifest_check_type(OCI "index.v1+json; charset=utf-8", &e), 0);
  assert_int_equal(image_manifest_check_type(DOCKER "v1+prettyjws", &e), -1);
  assert_non_null(strstr(e.text, "push the image again"));
  assert_int_equal(image_manifest_check_type("text/html", &e), -1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_reads),
      cmocka_unit_test(test_holds_no_nul),
      cmocka_unit_test(test_refuses_and_says_why),
      cmocka_unit_test(test_bounds),
      cmocka_unit_test(test_bound_of_media_types),
      cmocka_unit_test(test_values_in_strings_do_not_count),
      cmocka_unit_test(test_blobs),
      cmocka_unit_test(test_config_is_never_foreign),
      cmocka_unit_test(test_select),
      cmocka_unit_test(test_artifacts_are_not_selected),
      cmocka_unit_test(test_entries_that_are_no_manifests),
      cmocka_unit_test(test_type),
      cmocka_unit_test(test_select_lists_what_there_is),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
