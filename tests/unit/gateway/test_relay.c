#include "world.h"

#include "base/hex.h"

#include <openssl/evp.h>

#define GATEWAY_BASIC "Basic Z2F0ZXdheTpzZWNyZXQ="
#define OTHER         "sha256:60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"

enum {
  MEBIBYTE = 1024 * 1024,
  LARGE = 48 * MEBIBYTE,
  /* What the kernel holds of a loopback connection at most, and the buffers of ours, with room. */
  HELD_MAX = 16 * MEBIBYTE,
};

/* The answer was cut: begun, not whole, and the connection is closed. */
static void assert_cut(const struct reply *r, struct http_memory *m) {
  assert_true(r->status == 200 || r->status == 206);
  assert_false(r->whole);
  assert_true(http_memory_closed(m));
}

static void tells_what_the_registry_refuses(void **state) {
  static const struct {
    int registry, gateway;
    const char *code;
  } rows[] = {
      {401, 502, "UNAVAILABLE"}, {403, 502, "UNAVAILABLE"}, {404, 404, "BLOB_UNKNOWN"},
      {204, 502, "UNAVAILABLE"}, {416, 502, "UNAVAILABLE"}, {429, 502, "UNAVAILABLE"},
      {500, 502, "UNAVAILABLE"},
  };
  struct world *w = *state;
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    w->registry.request_count = 0;
    w->registry.status = rows[i].registry;
    struct http_memory *m = world_read_blob(w, "GET", "");
    struct reply r = world_wait(w, m);
    assert_problem(&r, rows[i].gateway, rows[i].code);
    http_memory_free(m);
  }
}

/* Nothing of an answer that will not be finished. */
static void starts_no_answer_from_a_registry_that_lies(void **state) {
  static const struct {
    const char *fields;
    const char *digest;
    int64_t more;
    const char *range;
  } rows[] = {
      {"", NULL, 1, NULL},
      {"", NULL, -1, NULL},
      {"", OTHER, 0, NULL},
      {"Range: bytes=2-6\r\n", OTHER, 0, NULL},
      {"Range: bytes=2-6\r\n", NULL, 1, NULL},
      {"Range: bytes=2-6\r\n", NULL, 0, "bytes 3-7/13"},
      {"Range: bytes=2-6\r\n", NULL, 0, "bytes 2-6/14"},
      {"Range: bytes=2-6\r\n", NULL, 0, "bytes 2-6/"},
      {"Range: bytes=2-6\r\n", NULL, 0, "2-6/13"},
      {"Range: bytes=2-6\r\n", NULL, 0, ""},
  };
  struct world *w = *state;
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    w->registry.request_count = 0;
    w->registry.say_digest = rows[i].digest;
    w->registry.say_more = rows[i].more;
    w->registry.say_range = rows[i].range;
    struct http_memory *m = world_read_blob(w, "GET", rows[i].fields);
    struct reply r = world_wait(w, m);
    if (r.status != 502) {
      fail_msg("row %zu: %d", i, r.status);
    }
    assert_problem(&r, 502, "UNAVAILABLE");
    http_memory_free(m);
  }
  w->registry.say_digest = NULL;
  w->registry.say_range = "bytes 2-6/*";
  w->registry.request_count = 0;
  w->registry.say_more = 0;
  struct http_memory *m = world_read_blob(w, "GET", "Range: bytes=2-6\r\n");
  struct reply r = world_wait(w, m);
  assert_int_equal(r.status, 206);
  assert_slice(r.body, "small");
  http_memory_free(m);
}

static void cuts_a_range_out_of_a_whole_blob(void **state) {
  static const char *const fields[] = {"Range: bytes=2-6\r\n", "Range: bytes=8-\r\n",
                                       "Range: bytes=0-0\r\n"};
  static const char *const bodies[] = {"small", "layer", "a"};
  struct world *w = *state;
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  w->registry.ignore_range = true;
  for (size_t i = 0; i < 3; i++) {
    struct http_memory *m = world_read_blob(w, "GET", fields[i]);
    struct reply r = world_wait(w, m);
    assert_int_equal(r.status, 206);
    assert_slice(r.body, bodies[i]);
    http_memory_free(m);
  }
}

/* The registry's connection is given up once the range is there. */
static void reads_no_further_than_the_range(void **state) {
  struct world *w = *state;
  world_put_blob(w, slice_of(NULL, 0), LARGE);
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  w->registry.ignore_range = true;
  struct http_memory *m = world_read_blob(w, "GET", "Range: bytes=1000000-1000099\r\n");
  struct reply r = world_wait(w, m);
  assert_int_equal(r.status, 206);
  assert_int_equal(r.body.len, 100);
  for (size_t i = 0; i < 100; i++) {
    assert_int_equal((unsigned char)r.body.ptr[i], world_byte(1000000 + i));
  }
  while (!w->registry.abandoned) {
    uv_run(&w->loop, UV_RUN_ONCE);
  }
  assert_true(w->registry.sent < HELD_MAX);
  http_memory_free(m);
}

static void follows_redirects_without_credentials(void **state) {
  struct world *w = *state;
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  w->registry.basic = GATEWAY_BASIC;
  w->registry.challenge = "Basic realm=\"r\"";
  w->registry.redirect_get = w->storage.url;
  struct http_memory *m = world_read_blob(w, "GET", "Range: bytes=2-6\r\n");
  struct reply r = world_wait(w, m);
  assert_int_equal(r.status, 206); /* never a redirect to the client */
  assert_slice(r.body, "small");
  assert_int_equal(w->storage.request_count, 1);
  assert_string_equal(w->storage.requests[0].authorization, "");
  assert_string_equal(w->storage.requests[0].range, "bytes=2-6");
  http_memory_free(m);
}

static void cuts_what_the_registry_cuts(void **state) {
  struct world *w = *state;
  world_put_blob(w, slice_of(NULL, 0), MEBIBYTE);
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  w->registry.cut_at = 300000;
  static const char *const fields[] = {"", "Range: bytes=1000-\r\n"};
  for (size_t i = 0; i < 2; i++) {
    struct http_memory *m = world_read_blob(w, "GET", fields[i]);
    struct reply r = world_wait(w, m);
    assert_cut(&r, m);
    assert_true(r.body.len <= 300000);
    http_memory_free(m);
  }
}

static void answers_502_when_nothing_comes(void **state) {
  struct world *w = *state;
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  w->registries[0].upstream.url = "http://127.0.0.1:1";
  struct http_memory *m = world_read_blob(w, "GET", "");
  struct reply r = world_wait(w, m);
  assert_problem(&r, 502, "UNAVAILABLE");
  http_memory_free(m);
}

/* Wrong bytes never make a whole blob: the end is held back. */
static void cuts_wrong_bytes(void **state) {
  struct world *w = *state;
  static const uint64_t wrong[] = {1, MEBIBYTE / 2, MEBIBYTE};
  static const char *const fields[] = {"", "Range: bytes=0-\r\n"};
  world_put_blob(w, slice_of(NULL, 0), MEBIBYTE);
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  for (size_t i = 0; i < 6; i++) {
    w->registry.wrong_at = wrong[i / 2];
    struct http_memory *m = world_read_blob(w, "GET", fields[i % 2]);
    struct reply r = world_wait(w, m);
    assert_cut(&r, m);
    http_memory_free(m);
  }
  w->registry.wrong_at = 0;
  w->registry.request_count = 0;
  struct http_memory *m = world_read_blob(w, "GET", "");
  assert_true(world_wait(w, m).whole);
  http_memory_free(m);
}

/* A blob that comes in one piece is not even begun. */
static void answers_502_for_a_small_wrong_blob(void **state) {
  struct world *w = *state;
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  w->registry.wrong_at = 13;
  struct http_memory *m = world_read_blob(w, "GET", "");
  struct reply r = world_wait(w, m);
  assert_problem(&r, 502, "UNAVAILABLE");
  http_memory_free(m);
}

static void assert_large_blob(struct world *w, struct http_memory *m, EVP_MD_CTX *hash) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  char hex[2 * EVP_MAX_MD_SIZE + 1];
  unsigned len = 0;
  assert_int_equal(EVP_DigestFinal_ex(hash, digest, &len), 1);
  hex_encode(digest, len, hex);
  assert_string_equal(hex, w->registry.digest + 7);
  assert_false(http_memory_closed(m));
}

static void holds_little_for_a_slow_reader(void **state) {
  struct world *w = *state;
  world_put_blob(w, slice_of(NULL, 0), LARGE);
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  struct http_memory *m = world_read_blob(w, "GET", "");
  http_memory_take(m, 1024);
  /* Nothing tells that nothing happens any more; a gateway that went on reading would be through.
   */
  while (w->registry.sent == 0) {
    uv_run(&w->loop, UV_RUN_ONCE);
  }
  for (unsigned i = 0; i < 20000; i++) {
    uv_run(&w->loop, UV_RUN_NOWAIT);
  }
  assert_true(w->registry.sent < HELD_MAX);

  EVP_MD_CTX *hash = EVP_MD_CTX_new();
  assert_non_null(hash);
  assert_int_equal(EVP_DigestInit_ex(hash, EVP_sha256(), NULL), 1);
  uint64_t taken = 0;
  bool headless = true;
  while (taken < LARGE) {
    struct slice output = http_memory_output(m);
    if (headless) {
      output = world_reply(m).body;
      headless = output.ptr == NULL;
    }
    assert_true(headless || EVP_DigestUpdate(hash, output.ptr, output.len) == 1);
    taken += output.len;
    assert_true(w->registry.sent - taken < HELD_MAX);
    if (!headless) {
      http_memory_clear(m);
    }
    http_memory_take(m, MEBIBYTE);
    uv_run(&w->loop, UV_RUN_NOWAIT);
  }
  assert_int_equal(taken, LARGE);
  assert_large_blob(w, m, hash);
  EVP_MD_CTX_free(hash);
  http_memory_free(m);
}

static void stops_reading_when_the_reader_goes_away(void **state) {
  struct world *w = *state;
  world_put_blob(w, slice_of(NULL, 0), LARGE);
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  struct http_memory *m = world_read_blob(w, "GET", "");
  http_memory_take(m, 100000);
  while (http_memory_output(m).len < 100000) {
    uv_run(&w->loop, UV_RUN_ONCE);
  }
  http_memory_free(m);
  while (!w->registry.abandoned) {
    uv_run(&w->loop, UV_RUN_ONCE);
  }
  assert_true(w->registry.sent < LARGE);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(tells_what_the_registry_refuses),
      TEST(starts_no_answer_from_a_registry_that_lies),
      TEST(cuts_a_range_out_of_a_whole_blob),
      TEST(reads_no_further_than_the_range),
      TEST(follows_redirects_without_credentials),
      TEST(cuts_what_the_registry_cuts),
      TEST(answers_502_when_nothing_comes),
      TEST(cuts_wrong_bytes),
      TEST(answers_502_for_a_small_wrong_blob),
      TEST(holds_little_for_a_slow_reader),
      TEST(stops_reading_when_the_reader_goes_away),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
