#include "node/offer.h"

#include "base/base64.h"
#include "base/hex.h"
#include "image/json.h"
#include "unit/cmocka_all.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

enum { CONFIG_SIZE = 20, LAYER_SIZE = 300 * 1024, PIECE = 256 * 1024 };

/* An answer as the gateway makes it, of one layer; what is wrong with it is set by each test. */
struct answer {
  struct arena arena;
  json_t *json;
  char config[72], layer[72];
};

static void digest_of(const void *bytes, size_t len, char out[72]) {
  unsigned char sha256[32];
  assert_int_equal(EVP_Digest(bytes, len, sha256, NULL, EVP_sha256(), NULL), 1);
  snprintf(out, 72, "sha256:");
  hex_encode(sha256, sizeof sha256, out + 7);
}

static json_t *base64(struct slice bytes) {
  char *text = malloc(BASE64_SPACE(bytes.len));
  size_t len = base64_encode(BASE64_STANDARD, bytes.ptr, bytes.len, text);
  json_t *json = json_stringn(text, len);
  free(text);
  return json;
}

/* The torrent of a blob of zeros, under any name. */
static json_t *torrent(struct arena *arena, const char *name, size_t size, const char *webseed) {
  const struct hasher_options options = {
      .format = TORRENT_V1, .size = size, .piece_length = PIECE, .threads = 1};
  const struct slice url = slice_str(webseed);
  const struct slice announce = SLICE("http://tracker.example/announce?jwt=x");
  char *zeros = calloc(1, size);
  struct hasher *hasher;
  struct hashes hashes;
  struct metainfo m;
  struct buf file = {0};
  assert_int_equal(hasher_new(&options, &hasher, NULL), 0);
  assert_int_equal(hasher_feed(hasher, slice_of(zeros, size), NULL), 0);
  assert_int_equal(hasher_finish(hasher, &hashes, NULL), 0);
  assert_int_equal(metainfo_make(&hashes, slice_str(name), slice_of(NULL, 0), arena, &m, NULL), 0);
  m.announce = &announce;
  m.announce_count = 1;
  m.webseeds = &url;
  m.webseed_count = webseed == NULL ? 0 : 1;
  assert_int_equal(metainfo_write(&m, &file, NULL), 0);
  json_t *json = base64(buf_view(&file));
  buf_free(&file);
  hashes_free(&hashes);
  free(zeros);
  return json;
}

static const char *name_of(struct arena *arena, const char *digest) {
  return arena_printf(arena, "sha256-%s", digest + 7).ptr;
}

static json_t *describe(struct answer *a, const char *digest, size_t size) {
  return json_pack(
      "{s:s, s:I, s:o}", "digest", digest, "size", (json_int_t)size, "torrent",
      torrent(&a->arena, name_of(&a->arena, digest), size, "http://gate.example/webseed/token/"));
}

static int set_up(void **state) {
  struct answer *a = calloc(1, sizeof *a);
  char *zeros = calloc(1, LAYER_SIZE);
  char digest[72];
  digest_of(zeros, CONFIG_SIZE, a->config);
  digest_of(zeros, LAYER_SIZE, a->layer);
  free(zeros);
  struct slice manifest =
      arena_printf(&a->arena,
                   "{\"schemaVersion\":2,\"mediaType\":"
                   "\"application/vnd.oci.image.manifest.v1+json\",\"config\":{\"mediaType\":"
                   "\"application/vnd.oci.image.config.v1+json\",\"digest\":\"%s\",\"size\":%d},"
                   "\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\","
                   "\"digest\":\"%s\",\"size\":%d}]}",
                   a->config, CONFIG_SIZE, a->layer, LAYER_SIZE);
  digest_of(manifest.ptr, manifest.len, digest);
  a->json = json_pack("{s:s, s:s, s:o, s:o, s:[o], s:i}", "digest", digest, "mediaType",
                      "application/vnd.oci.image.manifest.v1+json", "manifest", base64(manifest),
                      "config", describe(a, a->config, CONFIG_SIZE), "layers",
                      describe(a, a->layer, LAYER_SIZE), "expires_in", 600);
  assert_non_null(a->json);
  *state = a;
  return 0;
}

static int tear_down(void **state) {
  struct answer *a = *state;
  json_decref(a->json);
  arena_free(&a->arena);
  free(a);
  return 0;
}

static int parse(const struct answer *a, struct offer *out, struct error *e) {
  char *text = json_dumps(a->json, JSON_COMPACT);
  int result = offer_parse(slice_str(text), out, e);
  free(text);
  return result;
}

static void refused(const struct answer *a, enum error_kind kind, const char *text) {
  struct offer offer;
  struct error e = {0};
  assert_int_equal(parse(a, &offer, &e), -1);
  assert_int_equal(e.kind, kind);
  if (strstr(e.text, text) == NULL) {
    fail_msg("`%s` does not say `%s`", e.text, text);
  }
}

static void a_good_answer_is_read(void **state) {
  const struct answer *a = *state;
  struct offer offer;
  assert_int_equal(parse(a, &offer, NULL), 0);
  assert_int_equal(offer.blob_count, 2);
  assert_int_equal(offer.size, CONFIG_SIZE + LAYER_SIZE);
  assert_int_equal(offer.lifetime, 600);
  assert_string_equal(offer.blobs[0].digest, a->config);
  assert_string_equal(offer.blobs[1].digest, a->layer);
  assert_int_equal(offer.blobs[1].metainfo.piece_length, PIECE);
  assert_true(slice_starts(slice_str(offer.blobs[1].webseed),
                           SLICE("http://gate.example/webseed/token/sha256-")));
  offer_free(&offer);
}

/* Nobody's sums of them run over. */
static void times_are_bounded(void **state) {
  static const struct {
    int64_t said, read;
  } times[] = {{INT64_MIN, 0}, {-1, 0}, {0, 0}, {1, 1}, {INT64_MAX, INT64_C(1) << 40}};
  struct answer *a = *state;
  for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
    struct offer offer;
    json_object_set_new(a->json, "session", json_integer(times[i].said));
    json_object_set_new(a->json, "expires_in", json_integer(times[i].said));
    assert_int_equal(parse(a, &offer, NULL), 0);
    assert_int_equal(offer.session, times[i].read);
    assert_int_equal(offer.lifetime, times[i].read);
    offer_free(&offer);
  }
}

/* An empty array takes three bytes of the answer, and more than a hundred of memory. */
static void too_many_values_are_refused(void **state) {
  struct answer *a = *state;
  json_t *arrays = json_array();
  for (int i = 0; i < IMAGE_JSON_VALUES_MAX; i++) {
    json_array_append_new(arrays, json_array());
  }
  json_object_set_new(a->json, "more", arrays);
  refused(a, ERROR_FAILED, "values");
}

static void another_manifest_is_refused(void **state) {
  struct answer *a = *state;
  json_object_set_new(a->json, "manifest", base64(SLICE("{}")));
  refused(a, ERROR_MISMATCH, "the manifest is sha256:");
  json_object_set_new(a->json, "manifest", json_string("?"));
  refused(a, ERROR_FAILED, "not base64");
  json_object_del(a->json, "manifest");
  refused(a, ERROR_FAILED, "manifest is missing");
  json_object_set_new(a->json, "digest", json_string("sha256:../.."));
  refused(a, ERROR_FAILED, "no digest");
}

static json_t *make_index(struct slice text) {
  char digest[72];
  digest_of(text.ptr, text.len, digest);
  return json_pack("{s:s, s:s, s:o}", "digest", digest, "mediaType",
                   "application/vnd.oci.image.index.v1+json", "manifest", base64(text));
}

static void an_index_is_read(void **state) {
  struct answer *a = *state;
  struct offer offer;
  struct slice text =
      arena_printf(&a->arena,
                   "{\"schemaVersion\":2,\"mediaType\":"
                   "\"application/vnd.oci.image.index.v1+json\",\"manifests\":[{\"mediaType\":"
                   "\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"%s\",\"size\":1}]}",
                   json_string_value(json_object_get(a->json, "digest")));
  assert_int_equal(parse(a, &offer, NULL), 0);
  assert_null(offer.index.digest);
  assert_true(offer_answers(&offer, "1"));
  assert_true(offer_answers(&offer, json_string_value(json_object_get(a->json, "digest"))));
  assert_false(offer_answers(&offer, a->layer));
  offer_free(&offer);
  json_object_set_new(a->json, "index", make_index(text));
  assert_int_equal(parse(a, &offer, NULL), 0);
  assert_true(slice_equal(offer.index.manifest, text));
  assert_string_equal(offer.index.media_type, "application/vnd.oci.image.index.v1+json");
  assert_true(offer_answers(&offer, offer.index.digest));
  assert_true(offer_answers(&offer, offer.digest));
  assert_false(offer_answers(&offer, a->layer));
  offer_free(&offer);
  json_object_set_new(a->json, "index",
                      make_index(SLICE("{\"schemaVersion\":2,\"mediaType\":"
                                       "\"application/vnd.oci.image.index.v1+json\","
                                       "\"manifests\":[]}")));
  refused(a, ERROR_FAILED, "index does not name the manifest");
  json_object_set_new(json_object_get(a->json, "index"), "manifest", base64(SLICE("{}")));
  refused(a, ERROR_MISMATCH, "index: the manifest is sha256:");
  json_object_set_new(a->json, "index", json_copy(a->json)); /* an image's manifest */
  refused(a, ERROR_FAILED, "index is none");
  json_object_set_new(a->json, "index", json_integer(1));
  refused(a, ERROR_FAILED, "index: digest is missing");
}

static void a_torrent_of_something_else_is_refused(void **state) {
  struct answer *a = *state;
  json_t *layer = json_array_get(json_object_get(a->json, "layers"), 0);
  const char *webseed = "http://gate.example/webseed/token/";
  json_object_set_new(layer, "torrent",
                      torrent(&a->arena, name_of(&a->arena, a->config), LAYER_SIZE, webseed));
  refused(a, ERROR_FAILED, "of something else");
  json_object_set_new(layer, "torrent",
                      torrent(&a->arena, name_of(&a->arena, a->layer), LAYER_SIZE - 1, webseed));
  refused(a, ERROR_FAILED, "of something else");
  json_object_set_new(layer, "torrent",
                      torrent(&a->arena, name_of(&a->arena, a->layer), LAYER_SIZE, NULL));
  refused(a, ERROR_FAILED, "no webseed");
  json_object_set_new(layer, "torrent", base64(SLICE("d4:infoe")));
  refused(a, ERROR_FAILED, a->layer);
  json_object_del(layer, "torrent");
  refused(a, ERROR_FAILED, "no torrent of it");
}

static void what_is_no_answer_is_refused(void **state) {
  (void)state;
  static const char *const texts[] = {"", "[]", "{}", "{\"digest\":1}", "{\"a\":1,\"a\":2}"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    struct offer offer;
    struct error e = {0};
    assert_int_equal(offer_parse(slice_str(texts[i]), &offer, &e), -1);
    assert_int_equal(e.kind, ERROR_FAILED);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_good_answer_is_read, set_up, tear_down),
      cmocka_unit_test_setup_teardown(times_are_bounded, set_up, tear_down),
      cmocka_unit_test_setup_teardown(too_many_values_are_refused, set_up, tear_down),
      cmocka_unit_test_setup_teardown(another_manifest_is_refused, set_up, tear_down),
      cmocka_unit_test_setup_teardown(an_index_is_read, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_torrent_of_something_else_is_refused, set_up, tear_down),
      cmocka_unit_test(what_is_no_answer_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
