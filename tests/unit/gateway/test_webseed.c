#include "world.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

#define GATEWAY_BASIC "Basic Z2F0ZXdheTpzZWNyZXQ="
#define OTHER         "sha256:60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"

/* Writes the pattern with every `@` replaced. */
static void expand(char *out, size_t size, const char *pattern, const char *value) {
  size_t at = 0;
  out[0] = '\0';
  for (const char *p = pattern; *p != '\0'; p++) {
    int n = *p == '@' ? snprintf(out + at, size - at, "%s", value)
                      : snprintf(out + at, size - at, "%c", *p);
    at += (size_t)n;
    assert_true(at < size);
  }
}

static void assert_etag(const struct world *w, const struct reply *r) {
  char etag[80];
  snprintf(etag, sizeof etag, "\"%s\"", w->registry.digest);
  assert_slice(reply_field(r, "ETag"), etag);
}

static void gives_the_blob(void **state) {
  struct world *w = *state;
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  w->registry.basic = GATEWAY_BASIC;
  w->registry.challenge = "Basic realm=\"r\"";
  struct http_memory *m = world_read_blob(w, "GET", "");
  struct reply r = world_wait(w, m);
  assert_int_equal(r.status, 200);
  assert_slice(r.body, "a small layer");
  assert_slice(reply_field(&r, "Content-Length"), "13");
  assert_slice(reply_field(&r, "Accept-Ranges"), "bytes");
  assert_null(reply_field(&r, "Content-Encoding").ptr);
  assert_null(reply_field(&r, "Content-Range").ptr);
  assert_etag(w, &r);
  http_memory_free(m);
}

static void takes_the_names_clients_ask_for(void **state) {
  static const struct {
    const char *pattern; /* @: the digest's hex */
    int status;
  } rows[] = {
      {"/sha256-@", 200},
      {"/sha256:@", 200},
      {"/sha256%3A@", 200},
      {"/sha256%3a@", 200},
      {"/sha256%2D@", 200},
      {"/sha256-@/sha256-@", 200},
      {"/sha256:@/sha256-@", 200},
      {"/sha256-@?x=y", 200},
      {"", 404},
      {"/", 200},
      {"//", 404},
      {"/sha256-", 404},
      {"/sha256-@/", 404},
      {"//sha256-@", 404},
      {"/sha256-@0", 404},
      {"/SHA256-@", 404},
      {"/@", 404},
      {"/sha256-@%00", 404},
      {"/sha256-@%", 404},
      {"/sha256-@/sha256-@/sha256-@", 404},
      {"/../sha256-@", 404},
      {"/sha256-60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752", 404},
  };
  struct world *w = *state;
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    char file[512];
    expand(file, sizeof file, rows[i].pattern, w->registry.digest + 7);
    w->registry.request_count = 0;
    struct http_memory *m = world_read_file(w, "GET", file, "");
    struct reply r = world_wait(w, m);
    if (r.status != rows[i].status) {
      fail_msg("%s: %d", file, r.status);
    }
    http_memory_free(m);
  }
}

static void head_tells_the_size(void **state) {
  struct world *w = *state;
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  struct http_memory *m = world_read_blob(w, "HEAD", "Range: bytes=0-3\r\n");
  while (world_reply(m).status == 0) {
    uv_run(&w->loop, UV_RUN_ONCE);
  }
  struct reply r = world_reply(m);
  assert_int_equal(r.status, 200);
  assert_slice(reply_field(&r, "Content-Length"), "13");
  assert_slice(reply_field(&r, "Accept-Ranges"), "bytes");
  assert_int_equal(r.body.len, 0);
  assert_etag(w, &r);
  http_memory_free(m);
}

/* The torrent may have been removed since the token was issued. */
static void asks_the_registry_for_an_unknown_size(void **state) {
  struct world *w = *state;
  struct http_memory *m = world_read_blob(w, "GET", "Range: bytes=-5\r\n");
  struct reply r = world_wait(w, m);
  assert_int_equal(r.status, 206);
  assert_slice(r.body, "layer");
  assert_slice(reply_field(&r, "Content-Range"), "bytes 8-12/13");
  assert_int_equal(w->registry.request_count, 2);
  assert_string_equal(w->registry.requests[0].method, "HEAD");
  assert_string_equal(w->registry.requests[1].range, "bytes=8-12");
  http_memory_free(m);

  static const struct {
    int registry, gateway;
  } rows[] = {{404, 404}, {401, 502}, {403, 502}, {500, 502}};
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    w->registry.request_count = 0;
    w->registry.status = rows[i].registry;
    m = world_read_blob(w, "GET", "");
    r = world_wait(w, m);
    assert_problem(&r, rows[i].gateway, rows[i].gateway == 404 ? "BLOB_UNKNOWN" : "UNAVAILABLE");
    http_memory_free(m);
  }
}

static void gives_ranges(void **state) {
  static const struct {
    const char *fields;
    int status;
    const char *body;
    const char *content_range; /* NULL: none */
    const char *asked;         /* of the registry; NULL: it is not asked */
  } rows[] = {
      {"Range: bytes=0-0\r\n", 206, "a", "bytes 0-0/13", "bytes=0-0"},
      {"Range: bytes=2-6\r\n", 206, "small", "bytes 2-6/13", "bytes=2-6"},
      {"Range: bytes=8-\r\n", 206, "layer", "bytes 8-12/13", "bytes=8-12"},
      {"Range: bytes=-5\r\n", 206, "layer", "bytes 8-12/13", "bytes=8-12"},
      {"Range: bytes=12-99\r\n", 206, "r", "bytes 12-12/13", "bytes=12-12"},
      {"Range: bytes=0-\r\n", 206, "a small layer", "bytes 0-12/13", ""},
      {"Range: bytes=-99\r\n", 206, "a small layer", "bytes 0-12/13", ""},
      {"Range: bytes=13-\r\n", 416, "", "bytes */13", NULL},
      {"Range: bytes=-0\r\n", 416, "", "bytes */13", NULL},
      {"Range: bytes=0-1,3-4\r\n", 200, "a small layer", NULL, ""},
      {"Range: bytes=5-2\r\n", 200, "a small layer", NULL, ""},
      {"Range: lines=0-1\r\n", 200, "a small layer", NULL, ""},
      {"Range: nonsense\r\n", 200, "a small layer", NULL, ""},
      {"Range: bytes=0-0\r\nIf-Range: \"other\"\r\n", 200, "a small layer", NULL, ""},
      {"Range: bytes=0-0\r\nIf-Range: Tue, 24 Nov 2026 01:00:00 GMT\r\n", 200, "a small layer",
       NULL, ""},
  };
  struct world *w = *state;
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    w->registry.request_count = 0;
    w->registry.requests[0].range[0] = '\0';
    struct http_memory *m = world_read_blob(w, "GET", rows[i].fields);
    struct reply r = world_wait(w, m);
    if (r.status != rows[i].status) {
      fail_msg("%s: %d", rows[i].fields, r.status);
    }
    assert_true(r.whole);
    assert_slice(r.body, rows[i].body);
    if (rows[i].content_range == NULL) {
      assert_null(reply_field(&r, "Content-Range").ptr);
    } else {
      assert_slice(reply_field(&r, "Content-Range"), rows[i].content_range);
    }
    assert_slice(reply_field(&r, "Accept-Ranges"), "bytes");
    assert_int_equal(w->registry.request_count, rows[i].asked == NULL ? 0 : 1);
    if (rows[i].asked != NULL) {
      assert_string_equal(w->registry.requests[0].range, rows[i].asked);
    }
    http_memory_free(m);
  }
}

static void honours_conditions(void **state) {
  static const struct {
    const char *pattern; /* @: the digest */
    int status;
  } rows[] = {
      {"If-None-Match: \"@\"\r\n", 304},
      {"If-None-Match: W/\"@\"\r\n", 304},
      {"If-None-Match: \"x\", \"@\"\r\n", 304},
      {"If-None-Match: *\r\n", 304},
      {"If-None-Match: \"x\"\r\n", 200},
      {"If-None-Match: @\r\n", 200},
      {"If-None-Match:\r\n", 200},
      {"Range: bytes=0-0\r\nIf-Range: \"@\"\r\n", 206},
      {"Range: bytes=0-0\r\nIf-Range: W/\"@\"\r\n", 200},
  };
  struct world *w = *state;
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    char fields[256];
    expand(fields, sizeof fields, rows[i].pattern, w->registry.digest);
    w->registry.request_count = 0;
    struct http_memory *m = world_read_blob(w, "GET", fields);
    struct reply r = world_wait(w, m);
    if (r.status != rows[i].status) {
      fail_msg("%s: %d", fields, r.status);
    }
    assert_etag(w, &r);
    http_memory_free(m);
  }
}

/* Sends a request with that token for the blob. */
static struct reply present(struct world *w, const char *token, struct http_memory **m) {
  char request[TOKEN_MAX + 1024];
  snprintf(request, sizeof request, "GET /webseed/%s/sha256-%s HTTP/1.1\r\nHost: g\r\n\r\n", token,
           w->registry.digest + 7);
  *m = world_send(w, request);
  return world_wait(w, *m);
}

static void assert_forbidden(struct world *w, const char *token) {
  struct http_memory *m;
  struct reply r = present(w, token, &m);
  assert_problem(&r, 403, "DENIED");
  assert_int_equal(w->registry.request_count, 0);
  http_memory_free(m);
}

static void refuses_stale_tokens(void **state) {
  struct world *w = *state;
  char text[TOKEN_MAX + 1];
  struct http_memory *m;
  int64_t now = clock_now();
  struct token t = world_token(w);
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  t.issued = now - 600;
  t.expires = now - 120;
  world_sign(&w->key, &t, text);
  assert_forbidden(w, text);
  t.issued = now + 3600;
  t.expires = now + 7200;
  world_sign(&w->key, &t, text);
  assert_forbidden(w, text);

  t.issued = now - 600;
  t.expires = now - 5; /* within the leeway */
  world_sign(&w->key, &t, text);
  assert_int_equal(present(w, text, &m).status, 200);
  http_memory_free(m);
}

static void refuses_tokens_of_others(void **state) {
  struct world *w = *state;
  char text[TOKEN_MAX + 1];
  struct token t = world_token(w);
  t.issuer = SLICE("somebody");
  world_sign(&w->key, &t, text);
  assert_forbidden(w, text);

  t = world_token(w);
  t.audience = SLICE("another-tracker");
  world_sign(&w->key, &t, text);
  assert_forbidden(w, text);

  struct key other;
  world_make_key(w, KEY_ES256, &other);
  t = world_token(w);
  world_sign(&other, &t, text);
  key_free(&other);
  assert_forbidden(w, text);
}

static void refuses_tokens_of_other_kinds(void **state) {
  static const struct token_infohash infohash = {"0123456789abcdefghij"};
  static const struct slice hex = {"303132333435363738396162636465666768696a", 40};
  struct world *w = *state;
  char text[TOKEN_MAX + 1];
  struct token t = world_token(w);
  t.kind = TOKEN_SWARM;
  t.infohashes = &infohash;
  t.infohash_texts = &hex;
  t.infohash_count = 1;
  t.session = t.expires;
  world_sign(&w->key, &t, text);
  assert_forbidden(w, text);
}

static void refuses_what_is_no_token(void **state) {
  struct world *w = *state;
  char right[TOKEN_MAX + 1];
  char text[TOKEN_MAX + 8];
  world_webseed_token(w, right);
  size_t len = strlen(right);
  static const char *const garbage[] = {
      "", "x", ".", "..", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", "%00", "sha256"};
  for (size_t i = 0; i < sizeof garbage / sizeof garbage[0]; i++) {
    assert_forbidden(w, garbage[i]);
  }
  snprintf(text, sizeof text, "%.*s", (int)len - 1, right);
  assert_forbidden(w, text);
  snprintf(text, sizeof text, "%s=", right);
  assert_forbidden(w, text);
  snprintf(text, sizeof text, "%s.", right);
  assert_forbidden(w, text);
  snprintf(text, sizeof text, "%s", right);
  text[len / 2] = text[len / 2] == 'A' ? 'B' : 'A';
  assert_forbidden(w, text);
  snprintf(text, sizeof text, "%s", right);
  text[len - 4] = text[len - 4] == 'A' ? 'B' : 'A';
  assert_forbidden(w, text);

  static char long_text[TOKEN_MAX + 1024];
  memset(long_text, 'a', sizeof long_text - 1);
  char *request = malloc(sizeof long_text + 256);
  assert_non_null(request);
  sprintf(request, "GET /webseed/%s/x HTTP/1.1\r\nHost: g\r\n\r\n", long_text);
  struct http_memory *m = world_send(w, request);
  struct reply r = world_wait(w, m);
  assert_problem(&r, 403, "DENIED");
  http_memory_free(m);
  free(request);
}

/* A token opens its own blob alone, whatever the path says. */
static void opens_nothing_but_its_own_blob(void **state) {
  struct world *w = *state;
  char text[TOKEN_MAX + 1];
  struct http_memory *m;
  struct token t = world_token(w);
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  t.digest = SLICE(OTHER);
  world_sign(&w->key, &t, text);
  struct reply r = present(w, text, &m);
  assert_problem(&r, 404, "BLOB_UNKNOWN");
  http_memory_free(m);

  t = world_token(w);
  t.registry = SLICE("gone.example");
  world_sign(&w->key, &t, text);
  r = present(w, text, &m);
  assert_problem(&r, 404, "NAME_UNKNOWN");
  http_memory_free(m);
  assert_int_equal(w->registry.request_count, 0);
}

static void answers_one_request_after_another(void **state) {
  struct world *w = *state;
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  struct http_memory *m = world_read_blob(w, "GET", "Range: bytes=2-6\r\n");
  assert_slice(world_wait(w, m).body, "small");
  http_memory_clear(m);
  char token[TOKEN_MAX + 1];
  char request[TOKEN_MAX + 256];
  world_webseed_token(w, token);
  snprintf(request, sizeof request,
           "GET /webseed/%s/%s HTTP/1.1\r\nHost: g\r\nRange: bytes=-5\r\n\r\n", token,
           w->registry.digest);
  http_memory_feed(m, slice_str(request));
  assert_slice(world_wait(w, m).body, "layer");
  http_memory_free(m);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(gives_the_blob),
      TEST(takes_the_names_clients_ask_for),
      TEST(head_tells_the_size),
      TEST(asks_the_registry_for_an_unknown_size),
      TEST(gives_ranges),
      TEST(honours_conditions),
      TEST(refuses_stale_tokens),
      TEST(refuses_tokens_of_others),
      TEST(refuses_tokens_of_other_kinds),
      TEST(refuses_what_is_no_token),
      TEST(opens_nothing_but_its_own_blob),
      TEST(answers_one_request_after_another),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
