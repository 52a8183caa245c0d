#include "world.h"

#include "gateway/caller.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ALICE     "Basic YWxpY2U6c2VjcmV0"
#define CHALLENGE "Bearer realm=\"https://auth.example/token\",service=\"registry.example\""
#define PATH      "/v1/" WORLD_REPOSITORY "/tokens"

static struct http_memory *post(struct world *w, const char *target, const char *fields,
                                const char *body) {
  static char request[16384];
  int len = snprintf(request, sizeof request,
                     "POST %s HTTP/1.1\r\nHost: g\r\nContent-Length: %zu\r\n%s\r\n%s", target,
                     strlen(body), fields, body);
  assert_true(len > 0 && (size_t)len < sizeof request);
  return world_send(w, request);
}

/* Asks for the digests of `count` numbers from `first` on. */
static struct http_memory *ask(struct world *w, unsigned first, unsigned count,
                               const char *fields) {
  static char body[8192];
  char digest[72];
  size_t len = (size_t)snprintf(body, sizeof body, "{\"digests\":[");
  for (unsigned i = 0; i < count; i++) {
    world_digest(first + i, digest);
    len += (size_t)snprintf(body + len, sizeof body - len, "%s\"%s\"", i == 0 ? "" : ",", digest);
  }
  snprintf(body + len, sizeof body - len, "]}");
  return post(w, PATH, fields, body);
}

static void register_numbers(struct world *w, unsigned first, unsigned count) {
  for (unsigned i = 0; i < count; i++) {
    world_register_number(w, first + i, WORLD_REPOSITORY);
  }
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
  assert_int_equal(json_object_size(json), 4);
  return json;
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

static struct token swarm_token(struct world *w, const json_t *json, struct arena *arena) {
  return verify(w, slice_str(json_string_value(json_object_get(json, "token"))), TOKEN_SWARM,
                arena);
}

static void assert_webseed(struct world *w, const json_t *json, const char *digest,
                           const char *subject) {
  static const struct slice prefix = {"http://gate.example/webseed/", 28};
  struct arena arena = {0};
  const json_t *webseeds = json_object_get(json, "webseeds");
  struct slice url = slice_str(json_string_value(json_object_get(webseeds, digest)));
  assert_true(slice_starts(url, prefix) && slice_ends(url, SLICE("/")));
  struct slice jws = slice_from(url, prefix.len);
  jws.len--;
  struct token t = verify(w, jws, TOKEN_WEBSEED, &arena);
  assert_slice(t.digest, digest);
  assert_slice(t.subject, subject);
  arena_free(&arena);
}

/* Whether the token names the torrent of that number. */
static bool names(const struct token *t, unsigned number) {
  unsigned char infohash[20] = {0};
  memcpy(infohash, &number, sizeof number);
  for (size_t i = 0; i < t->infohash_count; i++) {
    if (memcmp(t->infohashes[i].bytes, infohash, sizeof infohash) == 0) {
      return true;
    }
  }
  return false;
}

static void gives_tokens_for_what_may_be_read(void **state) {
  struct world *w = *state;
  struct arena arena = {0};
  char hidden[72];
  char digest[72];
  world_digest(3, hidden);
  register_numbers(w, 1, 3); /* there is no torrent of 4 */
  w->registry.has_all = true;
  w->registry.hides = hidden;
  w->registry.basic = ALICE;
  struct http_memory *m = ask(w, 1, 4, "Authorization: " ALICE "\r\n");
  struct reply r = world_wait(w, m);
  json_t *json = json_of(&r);
  struct token t = swarm_token(w, json, &arena);
  assert_int_equal(t.infohash_count, 2);
  assert_true(names(&t, 1) && names(&t, 2));
  assert_slice(t.subject, WORLD_REGISTRY "/alice");
  assert_int_equal(json_integer_value(json_object_get(json, "expires_in")), 600);
  assert_int_equal(t.expires - t.issued, 600);
  assert_int_equal(json_integer_value(json_object_get(json, "session")), t.session);
  assert_int_equal(t.session - t.issued, 86400);
  assert_int_equal(json_object_size(json_object_get(json, "webseeds")), 2);
  for (unsigned i = 1; i <= 2; i++) {
    world_digest(i, digest);
    assert_webseed(w, json, digest, WORLD_REGISTRY "/alice");
  }

  assert_int_equal(w->registry.request_count, 4);
  for (size_t i = 0; i < 4; i++) {
    assert_string_equal(w->registry.requests[i].method, "HEAD");
    assert_string_equal(w->registry.requests[i].authorization, ALICE);
    assert_true(slice_starts(slice_str(w->registry.requests[i].path),
                             SLICE("/v2/" WORLD_REPOSITORY "/blobs/sha256:00")));
  }
  json_decref(json);
  http_memory_free(m);
  arena_free(&arena);
}

static void counts_doubled_digests_once(void **state) {
  struct world *w = *state;
  static char body[8192] = "{\"digests\":[";
  char digest[72];
  world_digest(1, digest);
  size_t len = strlen(body);
  for (unsigned i = 0; i < 60; i++) { /* more than a token has room for */
    len += (size_t)snprintf(body + len, sizeof body - len, "%s\"%s\"", i == 0 ? "" : ",", digest);
  }
  snprintf(body + len, sizeof body - len, "],\"digest\":null}");
  register_numbers(w, 1, 1);
  w->registry.has_all = true;
  struct http_memory *m = post(w, PATH, "", body);
  struct reply r = world_wait(w, m);
  json_t *json = json_of(&r);
  assert_int_equal(w->registry.request_count, 1);
  assert_int_equal(json_object_size(json_object_get(json, "webseeds")), 1);
  assert_webseed(w, json, digest, WORLD_REGISTRY "/");
  json_decref(json);
  http_memory_free(m);
}

static void asks_four_questions_at_a_time(void **state) {
  struct world *w = *state;
  register_numbers(w, 1, 7);
  w->registry.has_all = true;
  w->registry.silent = true;
  struct http_memory *m = ask(w, 1, 7, "");
  for (size_t asked = 4; asked <= 7; asked++) {
    world_await_requests(w, &w->registry, asked);
    world_idle(w);
    assert_int_equal(w->registry.request_count, asked);
    assert_int_equal(w->registry.held_count, 4);
    world_answer_held(&w->registry);
  }
  for (size_t i = 0; i < 3; i++) {
    world_answer_held(&w->registry);
  }
  struct reply r = world_wait(w, m);
  json_t *json = json_of(&r);
  assert_int_equal(json_object_size(json_object_get(json, "webseeds")), 7);
  assert_int_equal(w->registry.request_count, 7);
  json_decref(json);
  http_memory_free(m);
}

/* What is remembered costs no question, and the answer no loop. */
static void asks_no_question_twice(void **state) {
  struct world *w = *state;
  register_numbers(w, 1, 9);
  w->registry.has_all = true;
  for (size_t i = 0; i < 3; i++) {
    struct http_memory *m = ask(w, 1, i == 0 ? 3 : 9, "");
    struct reply r = world_wait(w, m);
    json_t *json = json_of(&r);
    assert_int_equal(json_object_size(json_object_get(json, "webseeds")), i == 0 ? 3 : 9);
    assert_int_equal(w->registry.request_count, i == 0 ? 3 : 9);
    json_decref(json);
    http_memory_free(m);
  }
}

static void hides_what_may_not_be_read(void **state) {
  struct world *w = *state;
  struct http_memory *m;
  struct reply r;
  char body[512];
  size_t len;
  register_numbers(w, 1, 2);
  w->registry.status = 404;
  m = ask(w, 1, 2, "");
  r = world_wait(w, m);
  assert_problem(&r, 404, "BLOB_UNKNOWN");
  assert_true(r.body.len < sizeof body);
  memcpy(body, r.body.ptr, r.body.len);
  len = r.body.len;
  http_memory_free(m);

  w->registry.status = 403;
  m = world_send(w, "GET /v1/" WORLD_REPOSITORY "/blobs/sha256:"
                    "0000000000000000000000000000000000000000000000000000000000000001 "
                    "HTTP/1.1\r\nHost: g\r\n\r\n");
  r = world_wait(w, m);
  assert_true(slice_equal(r.body, slice_of(body, len)));
  http_memory_free(m);
}

static void says_how_torrents_come_to_be(void **state) {
  struct world *w = *state;
  w->registry.has_all = true;
  struct http_memory *m = ask(w, 1, 2, "");
  struct reply r = world_wait(w, m);
  assert_problem(&r, 404, "BLOB_UNKNOWN");
  assert_non_null(memmem(r.body.ptr, r.body.len, "swarmgate torrent create --register", 35));
  http_memory_free(m);
}

/* What was given up is told to nobody, now that whoever asked is gone, and nothing else is asked.
 */
static void answer_all_to_nobody(struct world *w) {
  size_t count = w->registry.request_count;
  while (w->registry.held_count > 0) {
    world_answer_held(&w->registry);
    world_idle(w);
  }
  assert_int_equal(w->registry.request_count, count);
}

/* One answer about the caller is enough: the other questions are given up. */
static void passes_on_a_challenge(void **state) {
  struct world *w = *state;
  register_numbers(w, 1, 6);
  w->registry.has_all = true;
  w->registry.silent = true;
  w->registry.challenge = CHALLENGE;
  struct http_memory *m = ask(w, 1, 6, "");
  world_await_requests(w, &w->registry, 4);
  world_answer_held(&w->registry);
  world_await_requests(w, &w->registry, 5);
  w->registry.status = 401;
  world_answer_held(&w->registry);
  struct reply r = world_wait(w, m);
  assert_problem(&r, 401, "UNAUTHORIZED");
  assert_slice(reply_field(&r, "WWW-Authenticate"), CHALLENGE);
  http_memory_free(m);
  assert_int_equal(w->registry.held_count, 3);
  answer_all_to_nobody(w);
}

static void answers_502_to_what_is_unclear(void **state) {
  static const int statuses[] = {400, 429, 500, 503};
  struct world *w = *state;
  register_numbers(w, 1, 2);
  for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
    w->registry.status = statuses[i];
    struct http_memory *m = ask(w, 1, 2, "");
    struct reply r = world_wait(w, m);
    assert_problem(&r, 502, "UNAVAILABLE");
    http_memory_free(m);
  }
}

static void answers_502_without_a_registry(void **state) {
  struct world *w = *state;
  w->registries[0].upstream.url = "http://127.0.0.1:1";
  struct http_memory *m = ask(w, 1, 6, "");
  struct reply r = world_wait(w, m);
  assert_problem(&r, 502, "UNAVAILABLE");
  http_memory_free(m);
}

/* Without a digest of the registry's the size counts, of every blob. */
static void believes_the_size(void **state) {
  struct world *w = *state;
  register_numbers(w, 1, 2);
  w->registry.say_digest = "";
  struct http_memory *m = ask(w, 1, 3, ""); /* nothing can be said of 3 */
  struct reply r = world_wait(w, m);
  json_t *json = json_of(&r);
  assert_int_equal(json_object_size(json_object_get(json, "webseeds")), 2);
  json_decref(json);
  http_memory_free(m);

  delegate_cache_flush(w->options.delegate_cache);
  w->registry.say_more = 1;
  m = ask(w, 1, 2, "");
  r = world_wait(w, m);
  assert_problem(&r, 502, "UNAVAILABLE");
  http_memory_free(m);
}

static void registers_what_was_not(void **state) {
  struct world *w = *state;
  char digests[4][72];
  for (unsigned i = 1; i <= 3; i++) {
    world_digest(i, digests[i]);
    world_register_number(w, i, i == 2 ? WORLD_REPOSITORY : NULL);
  }
  w->registry.has_all = true;
  w->registry.hides = digests[3];
  struct http_memory *m = ask(w, 1, 3, "");
  assert_int_equal(world_wait(w, m).status, 200);
  assert_true(world_registered_digest(w, digests[1], WORLD_REPOSITORY));
  assert_true(world_registered_digest(w, digests[2], WORLD_REPOSITORY));
  assert_false(world_registered_digest(w, digests[3], WORLD_REPOSITORY));
  assert_false(world_registered_digest(w, digests[1], "team/other"));
  http_memory_free(m);
}

static void gives_up_questions_when_the_caller_has_gone_away(void **state) {
  struct world *w = *state;
  char digest[72];
  world_digest(1, digest);
  world_register_number(w, 1, NULL);
  w->registry.has_all = true;
  w->registry.silent = true;
  struct http_memory *m = ask(w, 1, 6, "");
  world_await_requests(w, &w->registry, 4);
  world_answer_held(&w->registry);
  world_await_requests(w, &w->registry, 5);
  http_memory_free(m);
  assert_int_equal(w->registry.held_count, 4);
  answer_all_to_nobody(w);
  assert_false(world_registered_digest(w, digest, WORLD_REPOSITORY));
}

static void survives_a_caller_who_leaves_while_it_registers(void **state) {
  struct world *w = *state;
  char digest[72];
  world_digest(1, digest);
  world_register_number(w, 1, NULL);
  w->registry.has_all = true;
  world_block_writes(w);
  struct http_memory *m = ask(w, 1, 1, "");
  while (w->registry.answered == 0) {
    uv_run(&w->loop, UV_RUN_ONCE);
  }
  world_idle(w); /* Nothing tells when the gateway waits for the disk. */
  assert_int_equal(http_memory_output(m).len, 0);
  http_memory_free(m);
  world_unblock_writes(w);
  while (!world_registered_digest(w, digest, WORLD_REPOSITORY)) {
    uv_run(&w->loop, UV_RUN_ONCE);
  }
}

/* As many as one token names, and no more. */
static void has_room_for_a_tokens_infohashes(void **state) {
  static const struct {
    enum torrent_format format;
    unsigned digests;
    int status;
  } rows[] = {
      {TORRENT_V1, 48, 200},     {TORRENT_V1, 49, 400},
      {TORRENT_HYBRID, 24, 200}, {TORRENT_HYBRID, 25, 400},
      {TORRENT_V2, 36, 200},     {TORRENT_V2, 48, 400}, /* that many are longer than 4 KiB */
  };
  struct world *w = *state;
  w->registry.has_all = true;
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    unsigned first = (unsigned)i * 100;
    w->options.format = rows[i].format;
    w->registry.request_count = 0;
    register_numbers(w, first, rows[i].digests);
    struct http_memory *m = ask(w, first, rows[i].digests, "");
    struct reply r = world_wait(w, m);
    if (r.status != rows[i].status) {
      fail_msg("row %zu: %.*s", i, SLICE_ARG(r.body));
    }
    if (r.status == 200) {
      struct arena arena = {0};
      json_t *json = json_of(&r);
      assert_int_equal(swarm_token(w, json, &arena).infohash_count,
                       rows[i].format == TORRENT_HYBRID ? 48 : rows[i].digests);
      json_decref(json);
      arena_free(&arena);
    } else {
      assert_problem(&r, 400, "UNSUPPORTED");
      assert_int_equal(w->registry.request_count, rows[i].format == TORRENT_V2 ? 48 : 0);
    }
    http_memory_free(m);
  }
}

static void reads_bodies(void **state) {
#define HEX "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
  static const struct {
    const char *body, *code;
  } rows[] = {
      {"", "UNSUPPORTED"},
      {"{", "UNSUPPORTED"},
      {"null", "UNSUPPORTED"},
      {"[\"sha256:" HEX "\"]", "UNSUPPORTED"},
      {"{}", "UNSUPPORTED"},
      {"{\"digests\":null}", "UNSUPPORTED"},
      {"{\"digests\":{}}", "UNSUPPORTED"},
      {"{\"digests\":\"sha256:" HEX "\"}", "UNSUPPORTED"},
      {"{\"digests\":[]}", "UNSUPPORTED"},
      {"{\"digests\":[\"sha256:" HEX "\"],\"digests\":[]}", "UNSUPPORTED"},
      {"{\"digests\":[\"sha256:" HEX "\"]} {}", "UNSUPPORTED"},
      {"{\"digests\":[\"sha256:" HEX "\"", "UNSUPPORTED"},
      {"{\"digests\":[\"\xff\"]}", "UNSUPPORTED"},
      {"digests=sha256:" HEX, "UNSUPPORTED"},
      {"{\"digests\":[\"\"]}", "DIGEST_INVALID"},
      {"{\"digests\":[null]}", "DIGEST_INVALID"},
      {"{\"digests\":[1]}", "DIGEST_INVALID"},
      {"{\"digests\":[[\"sha256:" HEX "\"]]}", "DIGEST_INVALID"},
      {"{\"digests\":[\"sha256:" HEX "\",\"sha256:" HEX "0\"]}", "DIGEST_INVALID"},
      {"{\"digests\":[\"latest\"]}", "DIGEST_INVALID"},
      {"{\"digests\":[\"SHA256:" HEX "\"]}", "DIGEST_INVALID"},
  };
  struct world *w = *state;
  w->registry.has_all = true;
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    struct http_memory *m = post(w, PATH, "", rows[i].body);
    struct reply r = world_wait(w, m);
    if (r.status != 400) {
      fail_msg("row %zu: %d", i, r.status);
    }
    assert_problem(&r, 400, rows[i].code);
    http_memory_free(m);
  }
  assert_int_equal(w->registry.request_count, 0);
}

static void reads_paths(void **state) {
  static const struct {
    const char *method, *path;
    int status;
    const char *code;
  } rows[] = {
      {"POST", "/v1/tokens", 404, "UNSUPPORTED"},
      {"POST", "/v1//tokens", 400, "NAME_INVALID"},
      {"POST", "/v1/A/tokens", 400, "NAME_INVALID"},
      {"POST", "/v1/a/tokens/", 404, "UNSUPPORTED"},
      {"POST", "/v1/a/tokens/x", 404, "UNSUPPORTED"},
      {"POST", "/v1/a/tokens?ns=other.example", 404, "NAME_UNKNOWN"},
      {"GET", "/v1/a/tokens", 405, "UNSUPPORTED"},
      {"GET", "/v1/a/blobs/tokens", 400, "DIGEST_INVALID"},
      {"POST", "/v1/a/blobs/tokens", 400, "UNSUPPORTED"}, /* of the repository a/blobs */
  };
  struct world *w = *state;
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    char request[256];
    snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: g\r\nContent-Length: 0\r\n\r\n",
             rows[i].method, rows[i].path);
    struct http_memory *m = world_send(w, request);
    struct reply r = world_wait(w, m);
    if (r.status != rows[i].status) {
      fail_msg("row %zu: %d", i, r.status);
    }
    assert_problem(&r, rows[i].status, rows[i].code);
    http_memory_free(m);
  }
  assert_int_equal(w->registry.request_count, 0);
}

static void asks_the_registry_that_is_named(void **state) {
  struct world *w = *state;
  w->options.registry_count = 2;
  w->storage.has_all = true;
  world_register_number(w, 1, NULL);
  struct http_memory *m = post(w, PATH "?ns=second.example", "",
                               "{\"digests\":[\"sha256:00000000000000000000000000000000000000000000"
                               "00000000000000000001\"]}");
  assert_int_equal(world_wait(w, m).status, 200);
  assert_int_equal(w->registry.request_count, 0);
  assert_int_equal(w->storage.request_count, 1);
  http_memory_free(m);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(gives_tokens_for_what_may_be_read),
      TEST(counts_doubled_digests_once),
      TEST(asks_four_questions_at_a_time),
      TEST(asks_no_question_twice),
      TEST(hides_what_may_not_be_read),
      TEST(says_how_torrents_come_to_be),
      TEST(passes_on_a_challenge),
      TEST(answers_502_to_what_is_unclear),
      TEST(answers_502_without_a_registry),
      TEST(believes_the_size),
      TEST(registers_what_was_not),
      TEST(gives_up_questions_when_the_caller_has_gone_away),
      TEST(survives_a_caller_who_leaves_while_it_registers),
      TEST(has_room_for_a_tokens_infohashes),
      TEST(reads_bodies),
      TEST(reads_paths),
      TEST(asks_the_registry_that_is_named),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
