/* GET /v1/<name>/manifests/<reference>: one request a pull. */
#include "world.h"

#include "base/base64.h"
#include "base/hex.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ALICE    "Basic YWxpY2U6c2VjcmV0"
#define GATEWAY  "Basic Z2F0ZXdheTpzZWNyZXQ="
#define MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define INDEX    "application/vnd.oci.image.index.v1+json"
#define CONFIG   "application/vnd.oci.image.config.v1+json"
#define LAYER    "application/vnd.oci.image.layer.v1.tar+gzip"
#define FOREIGN  "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
#define EMPTY    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define NOWHERE  "sha256:1111111111111111111111111111111111111111111111111111111111111111"

static const struct slice CONFIG_BYTES = {"{\"os\":\"linux\"}", 14};
static const struct slice LAYER_BYTES = {"the second layer", 16};

static char document[128 * 1024];

static size_t count(const struct upstream *u, const char *method, const char *what) {
  size_t n = 0;
  for (size_t i = 0; i < u->request_count; i++) {
    n += strcmp(u->requests[i].method, method) == 0 && strstr(u->requests[i].path, what) != NULL;
  }
  return n;
}

static struct http_memory *ask_in(struct world *w, const char *repository, const char *target,
                                  const char *fields) {
  static char request[TOKEN_REGISTRY_MAX + 1024];
  snprintf(request, sizeof request, "GET /v1/%s/manifests/%s HTTP/1.1\r\nHost: g\r\n%s\r\n",
           repository, target, fields);
  return world_send(w, request);
}

static struct http_memory *ask_with(struct world *w, const char *target, const char *fields) {
  return ask_in(w, WORLD_REPOSITORY, target, fields);
}

static struct http_memory *ask(struct world *w, const char *target) {
  return ask_with(w, target, "");
}

static void assert_refused(struct world *w, const char *target, int status, const char *code) {
  struct http_memory *m = ask(w, target);
  struct reply r = world_wait(w, m);
  assert_problem(&r, status, code);
  http_memory_free(m);
}

static json_t *json_of(const struct reply *r) {
  json_error_t why;
  assert_int_equal(r->status, 200);
  assert_slice(reply_field(r, "Content-Type"), "application/json");
  assert_slice(reply_field(r, "Cache-Control"), "no-store");
  json_t *json = json_loadb(r->body.ptr, r->body.len, 0, &why);
  if (json == NULL) {
    fail_msg("%s", why.text);
  }
  return json;
}

static const char *text_of(const json_t *json, const char *member) {
  const char *text = json_string_value(json_object_get(json, member));
  assert_non_null(text);
  return text;
}

static struct token verify(struct world *w, struct slice jws, enum token_kind kind,
                           struct arena *arena) {
  struct token t;
  struct error e = {0};
  if (keyring_verify(w->keyring, jws, kind, (int64_t)time(NULL), arena, &t, &e) != TOKEN_VALID) {
    fail_msg("%s", e.text);
  }
  assert_slice(t.registry, WORLD_REGISTRY);
  assert_slice(t.repository, WORLD_REPOSITORY);
  return t;
}

/* A blob's entry, with a torrent that has right tokens inside. \return its swarm token. */
static struct slice assert_torrent(struct world *w, const json_t *entry, struct arena *arena) {
  static const char announce[] = "http://track.example/announce?jwt=";
  static const char webseed[] = "http://gate.example/webseed/";
  struct slice text = slice_str(text_of(entry, "torrent"));
  char *bytes = arena_alloc(arena, text.len);
  size_t len;
  struct metainfo m;
  struct error e = {0};
  char hex[65];
  assert_true(base64_decode(BASE64_STANDARD, text, bytes, &len));
  if (metainfo_read(slice_of(bytes, len), arena, &m, &e) != 0) {
    fail_msg("%s", e.text);
  }
  assert_int_equal(m.size, json_integer_value(json_object_get(entry, "size")));
  assert_slice(slice_from(m.name, 7), text_of(entry, "digest") + 7);
  hex_encode(m.infohash, sizeof m.infohash, hex);
  assert_string_equal(hex, text_of(entry, "infohash"));

  assert_true(slice_starts(m.webseeds[0], SLICE(webseed)));
  struct slice jws = slice_from(m.webseeds[0], sizeof webseed - 1);
  jws.len--; /* the slash */
  assert_slice(verify(w, jws, TOKEN_WEBSEED, arena).digest, text_of(entry, "digest"));

  assert_true(slice_starts(m.announce[0], SLICE(announce)));
  jws = slice_from(m.announce[0], sizeof announce - 1);
  struct token swarm = verify(w, jws, TOKEN_SWARM, arena);
  bool named = false;
  for (size_t i = 0; i < swarm.infohash_count; i++) {
    named = named || memcmp(swarm.infohashes[i].bytes, m.infohash, sizeof m.infohash) == 0;
  }
  assert_true(named);
  return jws;
}

static void assert_bare(const json_t *entry, const char *digest, int size) {
  assert_int_equal(json_object_size(entry), 3);
  assert_string_equal(text_of(entry, "digest"), digest);
  assert_int_equal(json_integer_value(json_object_get(entry, "size")), size);
  assert_non_null(text_of(entry, "mediaType"));
}

/* An image of a config, two layers, one of them twice, a foreign and an empty one. */
static struct world_document *add_image(struct world *w, const char *tag) {
  struct world_document *config = world_add(w, "application/octet-stream", NULL, CONFIG_BYTES);
  struct world_document *layer = world_add(w, "application/octet-stream", NULL, LAYER_BYTES);
  int len = snprintf(document, sizeof document,
                     "{\"schemaVersion\":2,\"mediaType\":\"" MANIFEST
                     "\",\"config\":{\"mediaType\":\"" CONFIG
                     "\",\"digest\":\"%s\",\"size\":%zu},\"layers\":["
                     "{\"mediaType\":\"" LAYER "\",\"digest\":\"%s\",\"size\":%zu},"
                     "{\"mediaType\":\"" LAYER "\",\"digest\":\"%s\",\"size\":%zu},"
                     "{\"mediaType\":\"" FOREIGN "\",\"digest\":\"" NOWHERE "\",\"size\":7},"
                     "{\"mediaType\":\"" LAYER "\",\"digest\":\"" EMPTY "\",\"size\":0},"
                     "{\"mediaType\":\"x/other\",\"digest\":\"%s\",\"size\":%zu}]}",
                     config->digest, CONFIG_BYTES.len, w->registry.digest, w->registry.blob.len,
                     layer->digest, LAYER_BYTES.len, w->registry.digest, w->registry.blob.len);
  return world_add(w, MANIFEST, tag, slice_of(document, (size_t)len));
}

static int setup(void **state) {
  world_setup(state);
  world_start_manifests(*state);
  world_start_hashing(*state, 0);
  return 0;
}

static void has_all_that_a_pull_takes(void **state) {
  struct world *w = *state;
  struct arena arena = {0};
  const struct world_document *image = add_image(w, "latest");
  w->registry.challenge = "Basic realm=\"registry\"";
  struct http_memory *m = ask(w, "latest");
  struct reply r = world_wait(w, m);
  json_t *json = json_of(&r);
  char etag[80];
  snprintf(etag, sizeof etag, "\"%s\"", image->digest);
  assert_slice(reply_field(&r, "ETag"), etag);
  assert_int_equal(json_object_size(json), 8);
  assert_string_equal(text_of(json, "digest"), image->digest);
  assert_string_equal(text_of(json, "mediaType"), MANIFEST);
  char *bytes = arena_alloc(&arena, sizeof document);
  size_t len;
  assert_true(base64_decode(BASE64_STANDARD, slice_str(text_of(json, "manifest")), bytes, &len));
  assert_true(slice_equal(slice_of(bytes, len), image->bytes));

  const char *token = text_of(json, "token");
  const json_t *layers = json_object_get(json, "layers");
  assert_int_equal(json_array_size(layers), 5);
  assert_slice(assert_torrent(w, json_object_get(json, "config"), &arena), token);
  for (size_t i = 0; i < 5; i++) {
    if (i != 2 && i != 3) {
      assert_slice(assert_torrent(w, json_array_get(layers, i), &arena), token);
    }
  }
  assert_bare(json_array_get(layers, 2), NOWHERE, 7);
  assert_bare(json_array_get(layers, 3), EMPTY, 0);
  assert_string_equal(text_of(json_array_get(layers, 4), "mediaType"), "x/other");
  assert_string_equal(text_of(json_array_get(layers, 4), "torrent"),
                      text_of(json_array_get(layers, 0), "torrent"));
  struct token swarm = verify(w, slice_str(token), TOKEN_SWARM, &arena);
  assert_int_equal(swarm.infohash_count, 3);
  assert_int_equal(json_integer_value(json_object_get(json, "expires_in")), 600);
  assert_int_equal(json_integer_value(json_object_get(json, "session")), swarm.session);
  struct buf log = world_audit(w);
  size_t lines = 0;
  for (size_t i = 0; i < log.len; i++) {
    lines += log.ptr[i] == '\n';
  }
  assert_int_equal(lines, 4);
  buf_free(&log);
  json_decref(json);
  http_memory_free(m);
  arena_free(&arena);
}

static void costs_the_registry_one_of_each(void **state) {
  enum { ASKERS = 20 };
  struct world *w = *state;
  struct http_memory *m[ASKERS];
  const struct world_document *image = add_image(w, "latest");
  for (size_t i = 0; i < ASKERS; i++) {
    m[i] = ask(w, i % 2 == 0 ? "latest" : image->digest);
  }
  for (size_t i = 0; i < ASKERS; i++) {
    assert_int_equal(world_wait(w, m[i]).status, 200);
    http_memory_free(m[i]);
  }
  assert_int_equal(count(&w->registry, "GET", "/manifests/"), 1);
  assert_int_equal(count(&w->registry, "GET", "/blobs/"), 3);
  assert_int_equal(count(&w->registry, "HEAD", "/blobs/"), 0);

  /* A yes to a digest is remembered, that to a tag is asked for each time. */
  w->registry.request_count = 0;
  m[0] = ask(w, image->digest);
  m[1] = ask(w, "latest");
  for (size_t i = 0; i < 2; i++) {
    assert_int_equal(world_wait(w, m[i]).status, 200);
    http_memory_free(m[i]);
  }
  assert_int_equal(w->registry.request_count, 1);
  assert_int_equal(count(&w->registry, "HEAD", "/manifests/latest"), 1);
}

static void asks_with_the_callers_credentials(void **state) {
  struct world *w = *state;
  add_image(w, "latest");
  w->registry.basic = ALICE;
  w->registry.challenge = "Basic realm=\"registry\"";
  struct http_memory *m = ask(w, "latest");
  struct reply r = world_wait(w, m);
  assert_problem(&r, 401, "UNAUTHORIZED");
  assert_slice(reply_field(&r, "WWW-Authenticate"), "Basic realm=\"registry\"");
  assert_int_equal(w->registry.request_count, 1);
  http_memory_free(m);
  w->registry.silent = true;
  m = ask_with(w, "latest", "Authorization: " ALICE "\r\n");
  world_await_requests(w, &w->registry, 2);
  assert_string_equal(w->registry.requests[1].authorization, ALICE);
  world_answer_held(&w->registry);
  w->registry.basic = GATEWAY;
  w->registry.silent = false;
  assert_int_equal(world_wait(w, m).status, 200);
  http_memory_free(m);
  for (size_t i = 3; i < w->registry.request_count; i++) {
    assert_string_not_equal(w->registry.requests[i].authorization, ALICE);
  }
}

static void follows_a_tag(void **state) {
  struct world *w = *state;
  struct world_document *old = add_image(w, "latest");
  struct http_memory *m = ask(w, "latest");
  struct reply r = world_wait(w, m);
  json_t *json = json_of(&r);
  assert_string_equal(text_of(json, "digest"), old->digest);
  json_decref(json);
  http_memory_free(m);

  old->tag = NULL;
  static char other[512];
  int len = snprintf(other, sizeof other,
                     "{\"schemaVersion\":2,\"mediaType\":\"" MANIFEST
                     "\",\"config\":{\"mediaType\":\"" CONFIG
                     "\",\"digest\":\"%s\",\"size\":%zu},\"layers\":[]}",
                     w->registry.digest, w->registry.blob.len);
  const struct world_document *now = world_add(w, MANIFEST, "latest", slice_of(other, (size_t)len));
  m = ask(w, "latest");
  r = world_wait(w, m);
  json = json_of(&r);
  assert_string_equal(text_of(json, "digest"), now->digest);
  json_decref(json);
  http_memory_free(m);
}

static void says_that_nothing_has_changed(void **state) {
  struct world *w = *state;
  char field[128];
  const struct world_document *image = add_image(w, "latest");
  snprintf(field, sizeof field, "If-None-Match: W/\"x\", \"%s\"\r\n", image->digest);
  struct http_memory *m = ask_with(w, "latest", field);
  struct reply r = world_wait(w, m);
  assert_int_equal(r.status, 304);
  assert_slice(slice_of(reply_field(&r, "ETag").ptr + 1, 71), image->digest);
  http_memory_free(m);
  assert_int_equal(count(&w->registry, "GET", "/blobs/"), 0); /* there is nothing to hand out */

  m = ask_with(w, "latest", "If-None-Match: \"sha256:0\"\r\n");
  assert_int_equal(world_wait(w, m).status, 200);
  http_memory_free(m);

  w->registry.status = 404; /* who has no right learns nothing */
  m = ask_with(w, "latest", field);
  r = world_wait(w, m);
  assert_problem(&r, 404, "MANIFEST_UNKNOWN");
  http_memory_free(m);
}

static void chooses_from_an_index(void **state) {
  static char index[2048];
  static char outer[512];
  struct world *w = *state;
  const struct world_document *image = add_image(w, NULL);
  int len = snprintf(index, sizeof index,
                     "{\"schemaVersion\":2,\"mediaType\":\"" INDEX "\",\"manifests\":["
                     "{\"mediaType\":\"" MANIFEST "\",\"digest\":\"" NOWHERE
                     "\",\"size\":1,\"platform\":{\"os\":\"linux\",\"architecture\":\"s390x\"}},"
                     "{\"mediaType\":\"" MANIFEST "\",\"digest\":\"%s\",\"size\":%zu,"
                     "\"platform\":{\"os\":\"plan9\",\"architecture\":\"mips\"}}]}",
                     image->digest, image->bytes.len);
  const struct world_document *inner = world_add(w, INDEX, "all", slice_of(index, (size_t)len));
  len = snprintf(outer, sizeof outer,
                 "{\"schemaVersion\":2,\"mediaType\":\"" INDEX "\",\"manifests\":["
                 "{\"mediaType\":\"" INDEX "\",\"digest\":\"%s\",\"size\":%zu,"
                 "\"platform\":{\"os\":\"plan9\",\"architecture\":\"mips\"}}]}",
                 inner->digest, inner->bytes.len);
  world_add(w, INDEX, "nested", slice_of(outer, (size_t)len));
  static const char *const targets[] = {"all?platform=plan9/mips", "all?platform=plan9%2Fmips",
                                        "nested?platform=plan9/mips"};
  for (size_t i = 0; i < 3; i++) {
    struct http_memory *m = ask(w, targets[i]);
    struct reply r = world_wait(w, m);
    json_t *json = json_of(&r);
    assert_string_equal(text_of(json, "digest"), image->digest);
    json_decref(json);
    http_memory_free(m);
  }
  struct http_memory *m = ask(w, "all?platform=plan9/arm64");
  struct reply r = world_wait(w, m);
  assert_problem(&r, 404, "MANIFEST_UNKNOWN");
  assert_non_null(memmem(r.body.ptr, r.body.len, "linux/s390x, plan9/mips", 23));
  http_memory_free(m);
  assert_refused(w, "all", 404, "MANIFEST_UNKNOWN"); /* of this machine's platform there is none */
  static const char *const wrong[] = {"all?platform=plan9", "all?platform=", "all?platform=%",
                                      "all?platform=a/b&platform=a/b", "all?platform=a/b%00"};
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    assert_refused(w, wrong[i], 400, "UNSUPPORTED");
  }
  assert_refused(w, "all?platform=linux/s390x", 502, "UNAVAILABLE"); /* other bytes */
}

static void gives_the_registrys_decision(void **state) {
  static const struct {
    int registry, gateway;
    const char *code;
  } rows[] = {
      {401, 401, "UNAUTHORIZED"}, {403, 404, "MANIFEST_UNKNOWN"}, {404, 404, "MANIFEST_UNKNOWN"},
      {500, 502, "UNAVAILABLE"},  {204, 502, "UNAVAILABLE"},
  };
  struct world *w = *state;
  const struct world_document *image = add_image(w, "latest");
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    w->registry.request_count = 0;
    w->registry.status = rows[i].registry;
    assert_refused(w, "latest", rows[i].gateway, rows[i].code);
    assert_refused(w, image->digest, rows[i].gateway, rows[i].code);
    assert_int_equal(count(&w->registry, "GET", "/"), 0);
  }
  w->registry.status = 0;
  assert_refused(w, "-x", 400, "MANIFEST_INVALID");
  assert_refused(w, "sha256:00", 400, "MANIFEST_INVALID");
  w->registry.say_digest = "nonsense";
  assert_refused(w, "latest", 502, "UNAVAILABLE");
  w->registry.say_digest = "";
  assert_refused(w, "latest", 502, "UNAVAILABLE"); /* which manifest would that be? */
  struct http_memory *m = ask(w, image->digest);   /* it is as long as was said */
  assert_int_equal(world_wait(w, m).status, 200);
  http_memory_free(m);
}

static void hands_out_nothing_that_is_wrong(void **state) {
  static const char *const texts[] = {
      "",
      "{}",
      "[",
      "no manifest at all",
      "{\"schemaVersion\":1}",
      "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"" CONFIG "\",\"digest\":\"" NOWHERE
      "\",\"size\":1},\"layers\":[{\"mediaType\":\"" LAYER "\",\"digest\":\"" NOWHERE
      "\",\"size\":2}]}",
  };
  struct world *w = *state;
  const struct world_document *image = add_image(w, "latest");
  w->registry.lies_of_documents = true;
  assert_refused(w, "latest", 502, "UNAVAILABLE");
  w->registry.lies_of_documents = false;
  w->registry.get_status = 401;
  assert_refused(w, "latest", 502, "UNAVAILABLE");
  w->registry.get_status = 404;
  assert_refused(w, "latest", 404, "MANIFEST_UNKNOWN");
  w->registry.get_status = 0;
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
    struct world_document *d = world_add(w, MANIFEST, "wrong", slice_str(texts[i]));
    assert_refused(w, "wrong", 502, "MANIFEST_INVALID");
    d->tag = NULL;
  }
  /* Of a blob's size the manifest may say what it likes. */
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  char *at = strstr(document, "\"size\":13}");
  assert_non_null(at);
  for (; at != NULL; at = strstr(document, "\"size\":13}")) {
    at[8] = '4';
  }
  struct slice bytes = image->bytes;
  world_add(w, MANIFEST, "wrong", bytes);
  assert_refused(w, "wrong", 502, "MANIFEST_INVALID");
}

static void refuses_a_manifest_that_is_too_large(void **state) {
  struct world *w = *state;
  char *large = calloc(1, 4 * 1024 * 1024 + 1);
  assert_non_null(large);
  world_add(w, MANIFEST, "large", slice_of(large, 4 * 1024 * 1024 + 1));
  assert_refused(w, "large", 502, "UNAVAILABLE");
  free(large);
}

/* A manifest names what its author liked; the registry knows what is in the repository. */
static void asks_for_what_belongs_to_another_repository(void **state) {
  struct world *w = *state;
  add_image(w, "latest");
  world_register(w, TORRENT_V1, "team/other");
  w->registry.hides = w->registry.digest;
  assert_refused(w, "latest", 404, "MANIFEST_UNKNOWN");
  assert_int_equal(count(&w->registry, "HEAD", "/blobs/"), 1);
  assert_false(world_registered(w, WORLD_REPOSITORY));
  w->registry.hides = NULL;
  struct http_memory *m = ask_with(w, "latest", "Authorization: " ALICE "\r\n");
  assert_int_equal(world_wait(w, m).status, 200);
  http_memory_free(m);
  assert_true(world_registered(w, WORLD_REPOSITORY));
  assert_int_equal(count(&w->registry, "HEAD", "/blobs/"), 2);
  const struct world_request *last = &w->registry.requests[w->registry.request_count - 1];
  assert_string_equal(last->method, "HEAD");
  assert_string_equal(last->authorization, ALICE);
}

/* What is remembered of one repository is not there in another, which an index may pretend. */
static void remembers_a_manifest_by_repository(void **state) {
  struct world *w = *state;
  const struct world_document *image = add_image(w, "latest");
  struct http_memory *m = ask(w, "latest");
  assert_int_equal(world_wait(w, m).status, 200);
  http_memory_free(m);
  w->registry.get_status = 404;
  m = ask_in(w, "team/other", image->digest, "");
  struct reply r = world_wait(w, m);
  assert_problem(&r, 404, "MANIFEST_UNKNOWN");
  http_memory_free(m);
  m = ask(w, image->digest); /* but here it is */
  assert_int_equal(world_wait(w, m).status, 200);
  http_memory_free(m);
}

/* An image of so many layers whose torrents are registered. */
static void add_layers_of(struct world *w, unsigned layers, const char *repository) {
  size_t len = (size_t)snprintf(document, sizeof document,
                                "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"" CONFIG
                                "\",\"digest\":\"%s\",\"size\":13},\"layers\":[",
                                w->registry.digest);
  for (unsigned i = 1; i <= layers; i++) {
    char digest[72];
    world_digest(i, digest);
    world_register_number(w, i, repository);
    len += (size_t)snprintf(document + len, sizeof document - len,
                            "%s{\"mediaType\":\"" LAYER "\",\"digest\":\"%s\",\"size\":13}",
                            i == 1 ? "" : ",", digest);
  }
  len += (size_t)snprintf(document + len, sizeof document - len, "]}");
  world_add(w, MANIFEST, "many", slice_of(document, len));
}

static void add_layers(struct world *w, unsigned layers) {
  add_layers_of(w, layers, WORLD_REPOSITORY);
}

static void asks_four_questions_at_a_time(void **state) {
  enum { LAYERS = 6, BEFORE = 2, AT_ONCE = 4 };
  struct world *w = *state;
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  add_layers_of(w, LAYERS, "team/other");
  w->registry.has_all = true;
  w->registry.silent = true;
  struct http_memory *m = ask(w, "many");
  for (size_t i = 1; i <= BEFORE; i++) { /* for the manifest, and it */
    world_await_requests(w, &w->registry, i);
    world_answer_held(&w->registry);
  }
  for (size_t i = AT_ONCE; i <= LAYERS; i++) {
    world_await_requests(w, &w->registry, BEFORE + i);
    world_idle(w);
    assert_int_equal(w->registry.request_count, BEFORE + i);
    world_answer_held(&w->registry);
  }
  while (w->registry.held_count > 0) {
    world_answer_held(&w->registry);
  }
  assert_int_equal(world_wait(w, m).status, 200);
  http_memory_free(m);
  assert_int_equal(count(&w->registry, "HEAD", "/blobs/"), LAYERS);
}

static void signs_as_few_tokens_as_fit(void **state) {
  static const struct {
    enum torrent_format format;
    unsigned layers;
    size_t tokens;
  } rows[] = {
      {TORRENT_V1, 47, 1},     {TORRENT_V1, 48, 2}, {TORRENT_V1, 96, 3},
      {TORRENT_HYBRID, 30, 2}, {TORRENT_V2, 47, 2},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    if (i > 0) {
      world_setup(state);
    }
    struct world *w = *state;
    struct arena arena = {0};
    w->options.format = rows[i].format;
    if (i > 0) {
      world_start_manifests(w);
    }
    world_register(w, rows[i].format, WORLD_REPOSITORY);
    add_layers(w, rows[i].layers);
    struct http_memory *m = ask(w, "many");
    struct reply r = world_wait(w, m);
    json_t *json = json_of(&r);
    const json_t *tokens = json_object_get(json, "tokens");
    assert_int_equal(tokens == NULL ? 1 : json_array_size(tokens), rows[i].tokens);
    size_t named = 0;
    for (size_t k = 0; k < rows[i].tokens; k++) {
      struct slice jws = slice_str(tokens == NULL ? text_of(json, "token")
                                                  : json_string_value(json_array_get(tokens, k)));
      named += verify(w, jws, TOKEN_SWARM, &arena).infohash_count;
      assert_true(k > 0 || slice_equal(jws, slice_str(text_of(json, "token"))));
    }
    assert_int_equal(named, (rows[i].layers + 1) * (rows[i].format == TORRENT_HYBRID ? 2 : 1));
    struct buf log = world_audit(w);
    size_t lines = 0;
    for (size_t k = 0; k < log.len; k++) {
      lines += log.ptr[k] == '\n';
    }
    assert_int_equal(lines, rows[i].tokens + rows[i].layers + 1);
    buf_free(&log);
    json_decref(json);
    http_memory_free(m);
    arena_free(&arena);
    if (i + 1 < sizeof rows / sizeof rows[0]) {
      world_teardown(state);
    }
  }
}

static void has_no_room_for_more_blobs(void **state) {
  struct world *w = *state;
  add_layers(w, 256);
  assert_refused(w, "many", 400, "UNSUPPORTED");
}

static void says_how_far_it_is(void **state) {
  struct world *w = *state;
  world_start_manifests(w);
  world_start_hashing(w, 1);
  const struct world_document *image = add_image(w, "latest");
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  struct http_memory *m = ask_with(w, "latest", "If-None-Match: *\r\n"); /* has the manifest read */
  assert_int_equal(world_wait(w, m).status, 304);
  http_memory_free(m);
  w->registry.silent = true;
  m = ask(w, image->digest);
  world_await_requests(w, &w->registry, 3);
  world_answer_held(&w->registry); /* the question; of the blobs none */
  struct reply r = world_wait(w, m);
  assert_int_equal(r.status, 202);
  assert_slice(reply_field(&r, "Retry-After"), "1");
  char want[160];
  int len = snprintf(want, sizeof want, "{\"digest\":\"%s\",\"done\":13,\"size\":%zu}",
                     image->digest, 13 + CONFIG_BYTES.len + LAYER_BYTES.len);
  assert_slice(r.body, want);
  assert_int_equal(r.body.len, len);
  http_memory_free(m);
  world_await_requests(w, &w->registry, 5);
  world_answer_held(&w->registry);
  world_answer_held(&w->registry);
  w->registry.silent = false;
  for (int status = 202; status == 202;) {
    m = ask(w, image->digest);
    status = world_wait(w, m).status;
    http_memory_free(m);
    assert_true(status == 202 || status == 200);
  }
  assert_int_equal(count(&w->registry, "GET", "/blobs/"), 2);
}

static void fails_as_a_blob_does(void **state) {
  struct world *w = *state;
  add_image(w, "latest");
  w->registry.wrong_at = 3; /* of the first layer */
  assert_refused(w, "latest", 502, "UNAVAILABLE");
  w->registry.wrong_at = 0;
  struct http_memory *m = ask(w, "latest");
  assert_int_equal(world_wait(w, m).status, 200);
  http_memory_free(m);
}

/* Where the gateway verifies tokens it asks for the tag itself. */
static void asks_for_itself_where_tokens_are_verified(void **state) {
  struct world *w = *state;
  char token[TOKEN_REGISTRY_MAX + 1];
  char field[TOKEN_REGISTRY_MAX + 64];
  struct token claims = world_registry_token();
  const struct world_document *image = add_image(w, "latest");
  w->registries[0].authorise = GATEWAY_TOKEN;
  w->registry.basic = GATEWAY;
  w->registry.challenge = "Basic realm=\"registry\"";
  world_sign(&w->key, &claims, token);
  snprintf(field, sizeof field, "Authorization: Bearer %s\r\n", token);
  const char *targets[] = {"latest", image->digest};
  for (size_t i = 0; i < 2; i++) {
    struct http_memory *m = ask_with(w, targets[i], field);
    assert_int_equal(world_wait(w, m).status, 200);
    http_memory_free(m);
  }
  for (size_t i = 0; i < w->registry.request_count; i++) {
    const char *sent = w->registry.requests[i].authorization;
    assert_true(sent[0] == '\0' || strcmp(sent, GATEWAY) == 0);
  }
  /* A token that is none, or none at all, opens nothing. */
  struct http_memory *m = ask_with(w, "latest", "Authorization: Bearer a.b.c\r\n");
  assert_int_equal(world_wait(w, m).status, 401);
  http_memory_free(m);
  m = ask(w, "latest");
  assert_int_equal(world_wait(w, m).status, 401);
  http_memory_free(m);
  /* That the gateway's own credentials do not work is not for the caller to mend. */
  w->registry.basic = "another";
  m = ask_with(w, "latest", field);
  struct reply r = world_wait(w, m);
  assert_problem(&r, 502, "UNAVAILABLE");
  assert_null(reply_field(&r, "WWW-Authenticate").ptr);
  http_memory_free(m);
}

static void hands_out_nothing_that_it_cannot_record(void **state) {
  struct world *w = *state;
  char path[96];
  add_image(w, "latest");
  snprintf(path, sizeof path, "%s/audit/audit.jsonl", w->dir);
  assert_int_equal(unlink(path), 0);
  assert_int_equal(mkdir(path, 0700), 0);
  struct http_memory *m = ask(w, "latest");
  struct reply r = world_wait(w, m);
  assert_problem(&r, 503, "UNAVAILABLE");
  assert_null(memmem(r.body.ptr, r.body.len, "eyJ", 3));
  http_memory_free(m);
  assert_int_equal(rmdir(path), 0);
}

/* Whatever was under way: the question, the manifest, the blobs. */
static void survives_a_caller_who_leaves(void **state) {
  struct world *w = *state;
  static const size_t under_way[] = {1, 2, 4};
  add_image(w, "latest");
  w->registry.silent = true;
  for (size_t i = 0; i < 3; i++) {
    struct http_memory *m = ask(w, "latest");
    for (size_t k = 0; k <= i; k++) {
      world_await_requests(w, &w->registry, under_way[k]);
      if (k < i) {
        world_answer_held(&w->registry);
      }
    }
    http_memory_free(m);
    world_idle(w);
    if (i < 2) { /* everything anew */
      world_teardown(state);
      setup(state);
      w = *state;
      add_image(w, "latest");
      w->registry.silent = true;
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(has_all_that_a_pull_takes, setup, world_teardown),
      cmocka_unit_test_setup_teardown(costs_the_registry_one_of_each, setup, world_teardown),
      cmocka_unit_test_setup_teardown(asks_with_the_callers_credentials, setup, world_teardown),
      cmocka_unit_test_setup_teardown(follows_a_tag, setup, world_teardown),
      cmocka_unit_test_setup_teardown(says_that_nothing_has_changed, setup, world_teardown),
      cmocka_unit_test_setup_teardown(chooses_from_an_index, setup, world_teardown),
      cmocka_unit_test_setup_teardown(gives_the_registrys_decision, setup, world_teardown),
      cmocka_unit_test_setup_teardown(hands_out_nothing_that_is_wrong, setup, world_teardown),
      cmocka_unit_test_setup_teardown(refuses_a_manifest_that_is_too_large, setup, world_teardown),
      cmocka_unit_test_setup_teardown(asks_for_what_belongs_to_another_repository, setup,
                                      world_teardown),
      cmocka_unit_test_setup_teardown(remembers_a_manifest_by_repository, setup, world_teardown),
      cmocka_unit_test_setup_teardown(asks_four_questions_at_a_time, setup, world_teardown),
      cmocka_unit_test_setup_teardown(signs_as_few_tokens_as_fit, setup, world_teardown),
      cmocka_unit_test_setup_teardown(has_no_room_for_more_blobs, setup, world_teardown),
      cmocka_unit_test_setup_teardown(says_how_far_it_is, world_setup, world_teardown),
      cmocka_unit_test_setup_teardown(fails_as_a_blob_does, setup, world_teardown),
      cmocka_unit_test_setup_teardown(asks_for_itself_where_tokens_are_verified, setup,
                                      world_teardown),
      cmocka_unit_test_setup_teardown(hands_out_nothing_that_it_cannot_record, setup,
                                      world_teardown),
      cmocka_unit_test_setup_teardown(survives_a_caller_who_leaves, setup, world_teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
