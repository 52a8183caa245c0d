/* What was verified a moment ago is no more than what was verified. */
#include "gateway/webseed_tokens.h"

#include "unit/gateway/world.h"

#include <stdio.h>

struct rig {
  struct world *w;
  struct webseed_tokens *tokens;
  struct token token;
  char text[TOKEN_MAX + 1];
};

static int begin(void **state) {
  struct rig *r = calloc(1, sizeof *r);
  assert_non_null(r);
  void *w = NULL;
  world_setup(&w);
  r->w = w;
  r->tokens = webseed_tokens_new();
  r->token = world_token(r->w);
  world_sign(&r->w->key, &r->token, r->text);
  *state = r;
  return 0;
}

static int end(void **state) {
  struct rig *r = *state;
  void *w = r->w;
  webseed_tokens_free(r->tokens);
  free(r);
  return world_teardown(&w);
}

static bool check(struct rig *r, const char *text, int64_t now) {
  struct webseed_grant grant;
  struct arena arena = {0};
  struct error why = {0};
  bool good =
      webseed_tokens_check(r->tokens, r->w->keyring, slice_str(text), now, &arena, &grant, &why);
  if (good) {
    assert_slice(grant.registry, WORLD_REGISTRY);
    assert_string_equal(grant.repository.ptr, WORLD_REPOSITORY);
    assert_string_equal(grant.digest.ptr, r->w->registry.digest);
    assert_int_equal(grant.issued, r->token.issued);
  } else {
    assert_true(why.text[0] != '\0');
  }
  arena_free(&arena);
  return good;
}

static void the_time_of_a_known_one_ends_as_it_says(void **state) {
  struct rig *r = *state;
  assert_true(check(r, r->text, r->token.issued));
  assert_true(check(r, r->text, r->token.expires - 1));
  assert_true(check(r, r->text, r->token.expires + 59)); /* within the leeway */
  assert_false(check(r, r->text, r->token.expires + 61));
}

static void other_bytes_are_another_token(void **state) {
  struct rig *r = *state;
  size_t len = strlen(r->text);
  assert_true(check(r, r->text, r->token.issued));
  for (size_t i = 0; i < len; i += 7) {
    char kept = r->text[i];
    r->text[i] = kept == 'A' ? 'B' : 'A';
    assert_false(check(r, r->text, r->token.issued));
    r->text[i] = kept;
  }
  assert_true(check(r, r->text, r->token.issued));
}

static void other_keys_verify_anew(void **state) {
  struct rig *r = *state;
  assert_true(check(r, r->text, r->token.issued));
  keyring_replace(r->w->keyring, keyring_state_new(), r->token.issued);
  assert_false(check(r, r->text, r->token.issued));
}

/* More than there are places for. */
static void many_do_not_mix(void **state) {
  enum { MANY = 2 * WEBSEED_TOKENS_MAX };
  struct rig *r = *state;
  static char texts[MANY][TOKEN_MAX + 1];
  for (int i = 0; i < MANY; i++) {
    char id[16];
    snprintf(id, sizeof id, "%d", i);
    r->token.id = slice_str(id);
    r->token.issued++;
    world_sign(&r->w->key, &r->token, texts[i]);
  }
  r->token.issued -= MANY;
  for (int round = 0; round < 2; round++) {
    int64_t first = r->token.issued;
    for (int i = 0; i < MANY; i++) {
      r->token.issued++;
      assert_true(check(r, texts[i], first + MANY));
      assert_true(check(r, texts[i], first + MANY));
    }
    r->token.issued = first;
  }
}

static uint64_t name_of(struct rig *r) {
  struct webseed_grant grant = {0}, known = {0};
  struct arena arena = {0};
  struct error why = {0};
  world_sign(&r->w->key, &r->token, r->text); /* a signature is never the same twice */
  struct slice text = slice_str(r->text);
  assert_true(
      webseed_tokens_check(r->tokens, r->w->keyring, text, r->token.issued, &arena, &grant, &why));
  assert_true(
      webseed_tokens_check(r->tokens, r->w->keyring, text, r->token.issued, &arena, &known, &why));
  arena_free(&arena);
  assert_int_equal(known.name, grant.name);
  return grant.name;
}

static void a_token_has_one_name_however_it_is_spelt(void **state) {
  struct rig *r = *state;
  uint64_t name = name_of(r);
  assert_int_equal(name_of(r), name);
  r->token.id = SLICE("another");
  assert_int_not_equal(name_of(r), name);
  r->token.id = SLICE("");
  name = name_of(r);
  assert_int_not_equal(name_of(r), name);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(the_time_of_a_known_one_ends_as_it_says),
      TEST(other_bytes_are_another_token),
      TEST(other_keys_verify_anew),
      TEST(many_do_not_mix),
      TEST(a_token_has_one_name_however_it_is_spelt),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
