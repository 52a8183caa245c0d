/* `authorise: token`: the registry's bearer token, verified by the gateway. */
#include "world.h"

#include <stdio.h>
#include <time.h>

#define CHALLENGE                                                                                  \
  "Bearer realm=\"https://auth.example/token\",service=\"registry\","                              \
  "scope=\"repository:" WORLD_REPOSITORY ":pull\""

static int setup(void **state) {
  world_setup(state);
  struct world *w = *state;
  w->registries[0].authorise = GATEWAY_TOKEN;
  w->registry.status = 401;
  w->registry.challenge = CHALLENGE;
  return 0;
}

/* The field with a token; `out` has room for TOKEN_REGISTRY_MAX bytes and some. */
static const char *bearer(const struct key *key, const struct token *t, char *out) {
  char jws[TOKEN_MAX + 1];
  world_sign(key, t, jws);
  snprintf(out, TOKEN_REGISTRY_MAX, "Authorization: Bearer %s\r\n", jws);
  return out;
}

static const char *right_bearer(struct world *w, char *out) {
  struct token t = world_registry_token();
  return bearer(&w->key, &t, out);
}

static struct http_memory *ask_in(struct world *w, const char *repository, const char *fields) {
  char request[TOKEN_REGISTRY_MAX + 512];
  snprintf(request, sizeof request, "GET /v1/%s/blobs/%s HTTP/1.1\r\nHost: g\r\n%s\r\n", repository,
           w->registry.digest, fields);
  return world_send(w, request);
}

static struct http_memory *ask(struct world *w, const char *fields) {
  return ask_in(w, WORLD_REPOSITORY, fields);
}

/* Is answered so, after so many requests to the registry in all. */
static void ask_and_count(struct world *w, const char *fields, int status, size_t requests) {
  struct http_memory *m = ask(w, fields);
  struct reply r = world_wait(w, m);
  if (r.status != status || w->registry.request_count != requests) {
    fail_msg("%d after %zu requests: %.*s", r.status, w->registry.request_count, SLICE_ARG(r.body));
  }
  http_memory_free(m);
}

static void assert_challenged(struct world *w, const char *fields, const char *challenge) {
  struct http_memory *m = ask(w, fields);
  struct reply r = world_wait(w, m);
  assert_problem(&r, 401, "UNAUTHORIZED");
  assert_slice(reply_field(&r, "WWW-Authenticate"), challenge);
  http_memory_free(m);
}

/* The registry is not there, and not needed. */
static void takes_a_token_for_what_is_registered(void **state) {
  struct world *w = *state;
  char field[TOKEN_REGISTRY_MAX];
  struct arena arena = {0};
  struct metainfo torrent;
  struct token t;
  struct error e = {0};
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  world_stop(&w->registry);
  struct http_memory *m = ask(w, right_bearer(w, field));
  struct reply r = world_wait(w, m);
  assert_int_equal(r.status, 200);
  assert_int_equal(metainfo_read(r.body, &arena, &torrent, &e), 0);
  struct slice jws = torrent.announce[0];
  slice_cut(&jws, '=');
  assert_int_equal(
      keyring_verify(w->keyring, jws, TOKEN_SWARM, (int64_t)time(NULL), &arena, &t, &e),
      TOKEN_VALID);
  assert_slice(t.subject, WORLD_REGISTRY "/alice");
  assert_slice(t.repository, WORLD_REPOSITORY);
  http_memory_free(m);
  arena_free(&arena);
}

/* Whether the blob is there the registry alone knows, and it decides as it does by delegation. */
static void asks_the_registry_for_what_is_not(void **state) {
  static const struct {
    int registry, gateway;
  } rows[] = {{404, 404}, {403, 404}, {500, 502}, {401, 401}, {0, 200}};
  struct world *w = *state;
  char field[TOKEN_REGISTRY_MAX];
  world_register(w, TORRENT_V1, "team/other");
  right_bearer(w, field);
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    w->registry.status = rows[i].registry;
    assert_false(world_registered(w, WORLD_REPOSITORY));
    ask_and_count(w, field, rows[i].gateway, i + 1);
    assert_true(slice_starts(slice_str(field), SLICE("Authorization: ")));
    assert_int_equal(strncmp(w->registry.requests[i].authorization, field + 15,
                             strlen(w->registry.requests[i].authorization)),
                     0);
    assert_true(strlen(w->registry.requests[i].authorization) > 200);
  }
  assert_true(world_registered(w, WORLD_REPOSITORY)); /* so that from now on it is not asked */
  ask_and_count(w, field, 200, sizeof rows / sizeof rows[0]);
}

static void remembers_a_yes_of_the_registry(void **state) {
  struct world *w = *state;
  char field[TOKEN_REGISTRY_MAX];
  w->registry.status = 0;
  right_bearer(w, field);
  ask_and_count(w, field, 404, 1); /* there is no torrent */
  ask_and_count(w, field, 404, 1);
  delegate_cache_flush(w->options.delegate_cache);
  ask_and_count(w, field, 404, 2);
}

static void passes_on_the_registrys_challenge(void **state) {
  static const char *const fields[] = {
      "",
      "Authorization: Basic YWxpY2U6c2VjcmV0\r\n",
      "Authorization: Bearer nonsense\r\n",
      "Authorization: Digest username=\"alice\"\r\n",
  };
  struct world *w = *state;
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
    assert_challenged(w, fields[i], CHALLENGE);
  }
  /* It was asked once, and was shown nothing. */
  assert_int_equal(w->registry.request_count, 1);
  assert_string_equal(w->registry.requests[0].authorization, "");
}

/* None of these is a token of this registry in time: not even its yes to nobody helps them. */
static void takes_no_other_token(void **state) {
  static const char *const changes[] = {
      "issuer", "audience", "second", "expired", "future", "kind", "key", "signature",
  };
  struct world *w = *state;
  struct key other;
  w->options.registry_count = 2;
  world_make_key(w, KEY_ES256, &other);
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
    const char *change = changes[i];
    char field[TOKEN_REGISTRY_MAX];
    struct token t = world_registry_token();
    int64_t now = t.issued;
    const struct key *key = strcmp(change, "key") == 0 ? &other : &w->key;
    if (strcmp(change, "issuer") == 0) {
      t.issuer = SLICE("auth2.example");
    } else if (strcmp(change, "audience") == 0) {
      t.audience = SLICE("registry2");
    } else if (strcmp(change, "second") == 0) {
      t.audience = SLICE("second"); /* a good token, of the other registry */
    } else if (strcmp(change, "expired") == 0) {
      t.issued = now - 1000;
      t.expires = now - 60;
    } else if (strcmp(change, "future") == 0) {
      t.not_before = now + 1000;
    } else if (strcmp(change, "kind") == 0) {
      t = world_token(w);
    }
    for (int open = 0; open < 2; open++) {
      char request[TOKEN_REGISTRY_MAX + 512];
      snprintf(request, sizeof request,
               "GET /v1/" WORLD_REPOSITORY "/blobs/%s?ns=" WORLD_REGISTRY
               " HTTP/1.1\r\nHost: g\r\n%s\r\n",
               w->registry.digest, bearer(key, &t, field));
      if (strcmp(change, "signature") == 0) {
        char *first = strrchr(request, '.') + 1;
        *first = *first == 'A' ? 'B' : 'A';
      }
      w->registry.status = open ? 0 : 401;
      w->registry.request_count = 0;
      gateway_free(w->gateway); /* and with it what it remembers of challenges */
      w->gateway = NULL;
      struct http_memory *m = world_send(w, request);
      struct reply r = world_wait(w, m);
      if (r.status != 401) {
        fail_msg("%s: %d", change, r.status);
      }
      assert_slice(reply_field(&r, "WWW-Authenticate"),
                   open ? "Bearer error=\"invalid_token\"" : CHALLENGE);
      assert_int_equal(w->registry.request_count, 1);
      assert_string_equal(w->registry.requests[0].authorization, "");
      http_memory_free(m);
    }
  }
  key_free(&other);
}

static void says_which_scope_is_missing(void **state) {
  struct world *w = *state;
  char field[TOKEN_REGISTRY_MAX];
  const struct token_access access[] = {{.repository = SLICE("team/apps"), .actions = SCOPE_PULL},
                                        {.repository = SLICE("team"), .actions = SCOPE_PULL},
                                        {.repository = SLICE("*"), .actions = SCOPE_PULL}};
  struct token t = world_registry_token();
  t.access = access;
  t.access_count = 3;
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  for (unsigned i = 0; i < 2; i++) {
    assert_challenged(w, bearer(&w->key, &t, field), CHALLENGE ",error=\"insufficient_scope\"");
    t.access_count = 0; /* what a login gets */
  }
  assert_int_equal(w->registry.request_count, 1);
}

/* A registry that tells nothing of a realm, or would let anybody in, has hidden it. */
static void hides_what_a_narrow_token_may_not_read(void **state) {
  static const struct {
    const char *challenge;
    int registry, gateway;
  } rows[] = {{"Basic realm=\"r\"", 401, 404},
              {NULL, 401, 404},
              {NULL, 0, 404},
              {NULL, 404, 404},
              {NULL, 500, 502}};
  struct world *w = *state;
  char field[TOKEN_REGISTRY_MAX];
  struct token t = world_registry_token();
  t.access_count = 0;
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  bearer(&w->key, &t, field);
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    w->registry.status = rows[i].registry;
    w->registry.challenge = rows[i].challenge;
    gateway_free(w->gateway);
    w->gateway = NULL;
    ask_and_count(w, field, rows[i].gateway, i + 1);
  }
}

/* What the registry says to who shows nothing counts for who shows nothing. */
static void lets_in_whom_the_registry_asks_for_nothing(void **state) {
  struct world *w = *state;
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  w->registry.status = 0;
  ask_and_count(w, "", 200, 1);
  ask_and_count(w, "", 200, 1);
}

static void remembers_challenges_by_repository(void **state) {
  struct world *w = *state;
  ask_and_count(w, "", 401, 1);
  ask_and_count(w, "", 401, 1);
  struct http_memory *m = ask_in(w, "team/other", "");
  assert_int_equal(world_wait(w, m).status, 401);
  assert_int_equal(w->registry.request_count, 2);
  http_memory_free(m);
}

/* A registry by the side that decides itself is asked as ever. */
static void leaves_other_registries_alone(void **state) {
  struct world *w = *state;
  char request[TOKEN_REGISTRY_MAX + 512];
  char field[TOKEN_REGISTRY_MAX];
  w->options.registry_count = 2;
  w->storage.status = 404;
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  struct token t = world_registry_token();
  t.audience = SLICE("second");
  snprintf(request, sizeof request,
           "GET /v1/" WORLD_REPOSITORY "/blobs/%s?ns=" WORLD_SECOND
           " HTTP/1.1\r\nHost: g\r\n%s\r\n",
           w->registry.digest, bearer(&w->key, &t, field));
  struct http_memory *m = world_send(w, request);
  assert_int_equal(world_wait(w, m).status, 404);
  assert_int_equal(w->storage.request_count, 1);
  assert_true(strlen(w->storage.requests[0].authorization) > 200);
  http_memory_free(m);
}

static struct http_memory *ask_tokens(struct world *w, const char *fields) {
  char request[TOKEN_REGISTRY_MAX + 1024];
  char body[256];
  char digest[72];
  world_digest(1, digest);
  snprintf(body, sizeof body, "{\"digests\":[\"%s\",\"%s\"]}", w->registry.digest, digest);
  snprintf(request, sizeof request,
           "POST /v1/" WORLD_REPOSITORY
           "/tokens HTTP/1.1\r\nHost: g\r\nContent-Length: %zu\r\n%s\r\n%s",
           strlen(body), fields, body);
  return world_send(w, request);
}

static void gives_tokens_for_many(void **state) {
  struct world *w = *state;
  char field[TOKEN_REGISTRY_MAX];
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  world_register_number(w, 1, NULL); /* the registry says whether it is there */
  w->registry.status = 404;
  struct http_memory *m = ask_tokens(w, right_bearer(w, field));
  struct reply r = world_wait(w, m);
  assert_int_equal(r.status, 200);
  assert_non_null(memmem(r.body.ptr, r.body.len, w->registry.digest, 71));
  assert_null(memmem(r.body.ptr, r.body.len, "00000000000001\":", 16));
  assert_int_equal(w->registry.request_count, 1);
  http_memory_free(m);

  w->registry.status = 401;
  m = ask_tokens(w, "");
  r = world_wait(w, m);
  assert_problem(&r, 401, "UNAUTHORIZED");
  assert_slice(reply_field(&r, "WWW-Authenticate"), CHALLENGE);
  http_memory_free(m);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, world_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(takes_a_token_for_what_is_registered),
      TEST(asks_the_registry_for_what_is_not),
      TEST(remembers_a_yes_of_the_registry),
      TEST(passes_on_the_registrys_challenge),
      TEST(takes_no_other_token),
      TEST(says_which_scope_is_missing),
      TEST(hides_what_a_narrow_token_may_not_read),
      TEST(lets_in_whom_the_registry_asks_for_nothing),
      TEST(remembers_challenges_by_repository),
      TEST(leaves_other_registries_alone),
      TEST(gives_tokens_for_many),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
