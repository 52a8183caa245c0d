#include "world.h"

#include <stdio.h>

static struct http_memory *ask(struct world *w, struct reply *r) {
  struct http_memory *m = world_send(w, "GET /.well-known/jwks.json HTTP/1.1\r\nHost: g\r\n\r\n");
  *r = world_wait(w, m);
  return m;
}

static void publishes_what_signs(void **state) {
  struct world *w = *state;
  struct reply r;
  struct http_memory *m = ask(w, &r);
  assert_int_equal(r.status, 200);
  assert_slice(reply_field(&r, "Content-Type"), "application/jwk-set+json");
  assert_slice(reply_field(&r, "Cache-Control"), "max-age=300");
  struct keyset set;
  assert_int_equal(keyset_parse(r.body, "jwks", &set, NULL), 0);
  assert_int_equal(set.count, 1);
  assert_string_equal(set.keys[0].kid, w->key.kid);
  keyset_free(&set);
  http_memory_free(m);
}

/* The new key is there, and a token signed by the old one opens nothing any more. */
static void takes_up_other_keys(void **state) {
  struct world *w = *state;
  char kid[64];
  char request[TOKEN_MAX + 256];
  char token[TOKEN_MAX + 1];
  snprintf(kid, sizeof kid, "%s", w->key.kid);
  world_webseed_token(w, token);
  snprintf(request, sizeof request, "GET /webseed/%s/ HTTP/1.1\r\nHost: g\r\n\r\n", token);
  struct http_memory *m = world_send(w, request);
  assert_int_equal(world_wait(w, m).status, 200);
  http_memory_free(m);

  key_free(&w->key);
  keyring_replace(w->keyring, world_make_keys(w), 0);
  struct reply r;
  m = ask(w, &r);
  assert_non_null(memmem(r.body.ptr, r.body.len, w->key.kid, strlen(w->key.kid)));
  assert_null(memmem(r.body.ptr, r.body.len, kid, strlen(kid)));
  http_memory_free(m);
  m = world_send(w, request);
  assert_int_equal(world_wait(w, m).status, 403);
  http_memory_free(m);
  m = world_read_blob(w, "GET", "");
  assert_int_equal(world_wait(w, m).status, 200);
  http_memory_free(m);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {TEST(publishes_what_signs), TEST(takes_up_other_keys)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
