/* libjwt, an independent implementation: what it signs verifies here, and the other way round. */
#include "auth/token.h"
#include "base/cleanup.h"
#include "unit/auth/rig.h"
#include "unit/cmocka_all.h"

#include <jwt.h>
#include <stdlib.h>

static const struct {
  int key;
  jwt_alg_t alg;
} cases[] = {{RIG_RS256, JWT_ALG_RS256}, {RIG_ES256, JWT_ALG_ES256}};
enum { CASES = sizeof cases / sizeof *cases };

#define ACCESS                                                                                     \
  "{\"access\":[{\"type\":\"repository\",\"name\":\"team/app\",\"actions\":[\"pull\"]}]}"

/* Trust in the rig's bare key of that number, for registry tokens. */
static struct trust trust_in(struct rig *rig, int key) {
  struct trust trust = {.count = 1, .leeway = 60, .rows = calloc(1, sizeof *trust.rows)};
  assert_non_null(trust.rows);
  *trust.rows = (struct trust_row){.issuer = strdup("auth.example"),
                                   .audience = strdup("registry.example"),
                                   .algorithms = KEY_ALL,
                                   .accept = TOKEN_REGISTRY};
  assert_int_equal(
      keyset_parse(rig_public_pem(rig, rig->keys[key].pkey), "pem", &trust.rows->keys, NULL), 0);
  return trust;
}

static void its_tokens_verify_here(void **state) {
  struct rig *rig = *state;
  for (size_t i = 0; i < CASES; i++) {
    jwt_t *jwt = NULL;
    const struct buf *pem = &rig->pem[cases[i].key];
    assert_int_equal(jwt_new(&jwt), 0);
    assert_int_equal(jwt_add_grant(jwt, "iss", "auth.example"), 0);
    assert_int_equal(jwt_add_grant(jwt, "aud", "registry.example"), 0);
    assert_int_equal(jwt_add_grant(jwt, "sub", "ann"), 0);
    assert_int_equal(jwt_add_grant_int(jwt, "exp", RIG_NOW + 300), 0);
    assert_int_equal(jwt_add_grants_json(jwt, ACCESS), 0);
    assert_int_equal(jwt_set_alg(jwt, cases[i].alg, (const unsigned char *)pem->ptr, (int)pem->len),
                     0);
    char *text = jwt_encode_str(jwt);
    assert_non_null(text);
    struct trust trust = trust_in(rig, cases[i].key);
    struct token got;
    struct error why = {0};
    if (token_verify(&trust, slice_str(text), TOKEN_REGISTRY, RIG_NOW, &rig->arena, &got, &why) !=
        TOKEN_VALID) {
      fail_msg("%s", why.text);
    }
    assert_true(slice_equal(got.subject, SLICE("ann")));
    assert_int_equal(got.access_count, 1);
    assert_true(slice_equal(got.access[0].repository, SLICE("team/app")));
    trust_free(&trust);
    free(text);
    jwt_free(jwt);
  }
}

static void our_tokens_verify_there(void **state) {
  struct rig *rig = *state;
  const struct token_access access[] = {{SLICE("team/app"), SCOPE_PULL}};
  struct token t = {.kind = TOKEN_REGISTRY,
                    .issuer = SLICE("auth.example"),
                    .audience = SLICE("registry.example"),
                    .subject = SLICE("ann"),
                    .expires = RIG_NOW + 300,
                    .access = access,
                    .access_count = 1};
  for (size_t i = 0; i < CASES; i++) {
    struct slice pem = rig_public_pem(rig, rig->keys[cases[i].key].pkey);
    struct slice text = rig_sign(rig, cases[i].key, &t);
    jwt_t *jwt = NULL;
    assert_int_equal(jwt_decode(&jwt, text.ptr, (const unsigned char *)pem.ptr, (int)pem.len), 0);
    assert_int_equal(jwt_get_alg(jwt), cases[i].alg);
    assert_string_equal(jwt_get_grant(jwt, "iss"), "auth.example");
    assert_string_equal(jwt_get_grant(jwt, "aud"), "registry.example");
    assert_int_equal(jwt_get_grant_int(jwt, "exp"), RIG_NOW + 300);
    jwt_free(jwt);
    struct slice stranger = rig_public_pem(rig, rig->keys[RIG_STRANGER].pkey);
    assert_int_not_equal(
        jwt_decode(&jwt, text.ptr, (const unsigned char *)stranger.ptr, (int)stranger.len), 0);
  }
}

/* What it lets through and we must not: the public key's text as an HMAC secret. */
static void its_confusion_is_not_ours(void **state) {
  struct rig *rig = *state;
  struct slice pem = rig_public_pem(rig, rig->keys[RIG_RS256].pkey);
  jwt_t *jwt = NULL;
  jwt_t *decoded = NULL;
  assert_int_equal(jwt_new(&jwt), 0);
  assert_int_equal(jwt_add_grant(jwt, "iss", "auth.example"), 0);
  assert_int_equal(jwt_add_grant(jwt, "aud", "registry.example"), 0);
  assert_int_equal(jwt_add_grant_int(jwt, "exp", RIG_NOW + 300), 0);
  assert_int_equal(jwt_set_alg(jwt, JWT_ALG_HS256, (const unsigned char *)pem.ptr, (int)pem.len),
                   0);
  char *text = jwt_encode_str(jwt);
  assert_int_equal(jwt_decode(&decoded, text, (const unsigned char *)pem.ptr, (int)pem.len), 0);
  struct trust trust = trust_in(rig, RIG_RS256);
  struct token got;
  assert_int_equal(
      token_verify(&trust, slice_str(text), TOKEN_REGISTRY, RIG_NOW, &rig->arena, &got, NULL),
      TOKEN_INVALID);
  trust_free(&trust);
  free(text);
  jwt_free(decoded);
  jwt_free(jwt);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(its_tokens_verify_here),
      cmocka_unit_test(our_tokens_verify_there),
      cmocka_unit_test(its_confusion_is_not_ours),
  };
  return cmocka_run_group_tests(tests, rig_set_up, rig_tear_down);
}
