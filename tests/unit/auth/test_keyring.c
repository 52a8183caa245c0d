#include "auth/keyring.h"

#include "base/cleanup.h"
#include "unit/auth/rig.h"
#include "unit/cmocka_all.h"

#include <pthread.h>

/* A state with two rows of our own, of the given keys, and one of somebody else's. Their times are
 * set afterwards. */
static struct keyring_state *state_of(struct rig *rig, int announce, int registry) {
  static const char *const names[3][2] = {
      {"swarmgate", "tracker"}, {"auth.example", "service"}, {"other", "tracker"}};
  const int keys[3] = {announce, registry, RIG_STRANGER};
  struct keyring_state *state = keyring_state_new();
  assert_non_null(state);
  state->trust =
      (struct trust){.rows = calloc(3, sizeof(struct trust_row)), .count = 3, .leeway = 60};
  for (size_t i = 0; i < 3; i++) {
    struct trust_row *row = &state->trust.rows[i];
    row->issuer = strdup(names[i][0]);
    row->audience = strdup(names[i][1]);
    row->algorithms = KEY_ALL;
    row->accept = i == 1 ? TOKEN_REGISTRY : TOKEN_SWARM | TOKEN_WEBSEED;
    row->registry = i == 1 ? strdup("registry.example") : NULL;
    row->own = i < 2;
    assert_int_equal(keyset_parse(buf_view(&rig->pem[keys[i]]), "key", &row->keys, NULL), 0);
  }
  struct keyring_signer *signers[] = {&state->swarm, &state->service};
  for (size_t i = 0; i < 2; i++) {
    signers[i]->issuer = strdup(names[i][0]);
    signers[i]->audience = strdup(names[i][1]);
    assert_int_equal(key_parse_private(buf_view(&rig->pem[keys[i]]), "key", &signers[i]->key, NULL),
                     0);
  }
  return state;
}

static void who_holds_a_state_keeps_it(void **state) {
  struct keyring *keyring = keyring_new(state_of(*state, RIG_ES256, RIG_RS256));
  struct keyring_state *first = keyring_hold(keyring);
  assert_int_equal(first->generation, 1);
  assert_int_equal(keyring_generation(keyring), 1);
  keyring_replace(keyring, state_of(*state, RIG_EDDSA, RIG_RS256), RIG_NOW);
  assert_int_equal(keyring_generation(keyring), 2);
  /* Would be of memory that is freed if it were not held. */
  assert_int_equal(first->swarm.key.algorithm, KEY_ES256);
  struct keyring_state *second = keyring_hold(keyring);
  assert_int_equal(second->generation, 2);
  assert_int_equal(second->swarm.key.algorithm, KEY_EDDSA);
  keyring_release(first);
  keyring_release(second);
  keyring_free(keyring);
  keyring_free(NULL);
  keyring_state_free(NULL);
}

static struct slice sign(struct rig *rig, struct keyring *keyring, const struct token *t) {
  struct buf out = {0};
  struct error e = {0};
  if (keyring_sign(keyring, t, &out, &e) != 0) {
    fail_msg("%s", e.text);
  }
  struct slice copy = slice_of(arena_copy(&rig->arena, buf_view(&out)), out.len);
  buf_free(&out);
  return copy;
}

static struct token registry_claims(void) {
  static const struct token_access access = {.repository = {"team/app", 8}};
  return (struct token){.kind = TOKEN_REGISTRY,
                        .expires = RIG_NOW + 300,
                        .issued = RIG_NOW,
                        .access = &access,
                        .access_count = 1};
}

static void what_is_signed_verifies_and_outlives_the_state(void **state) {
  struct rig *rig = *state;
  struct keyring *keyring = keyring_new(state_of(rig, RIG_ES256, RIG_RS256));
  struct token swarm = rig_swarm_claims();
  swarm.issuer = SLICE("is not looked at");
  struct token registry = registry_claims();
  struct slice texts[] = {sign(rig, keyring, &swarm), sign(rig, keyring, &registry)};
  struct token got[2];
  for (size_t i = 0; i < 2; i++) {
    assert_int_equal(keyring_verify(keyring, texts[i], TOKEN_SWARM | TOKEN_REGISTRY, RIG_NOW,
                                    &rig->arena, &got[i], NULL),
                     TOKEN_VALID);
  }
  keyring_replace(keyring, state_of(rig, RIG_EDDSA, RIG_ES256), RIG_NOW);
  assert_true(slice_equal(got[0].issuer, SLICE("swarmgate")));
  assert_true(slice_equal(got[0].audience, SLICE("tracker")));
  assert_true(slice_equal(got[1].audience, SLICE("service")));
  assert_true(slice_equal(got[1].registry, SLICE("registry.example")));
  for (size_t i = 0; i < 2; i++) {
    assert_int_equal(keyring_verify(keyring, texts[i], TOKEN_SWARM | TOKEN_REGISTRY, RIG_NOW,
                                    &rig->arena, &got[i], NULL),
                     TOKEN_INVALID);
  }
  keyring_free(keyring);
}

static void without_a_key_nothing_is_signed(void **state) {
  struct rig *rig = *state;
  struct token swarm = rig_swarm_claims();
  struct buf out = {0};
  struct error e = {0};
  assert_false(keyring_signs(rig->keyring, TOKEN_SWARM));
  assert_int_equal(keyring_sign(rig->keyring, &swarm, &out, &e), -1);
  assert_int_equal(e.kind, ERROR_FAILED);
  assert_int_equal(out.len, 0);
}

static char *jwks(struct keyring *keyring, int64_t now) {
  struct buf out = {0};
  assert_int_equal(keyring_jwks(keyring, now, &out, NULL), 0);
  buf_append(&out, "", 1);
  return out.ptr;
}

static void our_own_keys_are_published_until_they_are_over(void **state) {
  struct rig *rig = *state;
  struct keyring_state *keys = state_of(rig, RIG_ES256, RIG_RS256);
  keys->trust.rows[1].keys.keys[0].retired = RIG_NOW - 10;
  keys->trust.rows[1].keys.keys[0].expires = RIG_NOW + 10;
  struct keyring *keyring = keyring_new(keys);
  CLEANUP_FREE char *before = jwks(keyring, RIG_NOW + 9);
  CLEANUP_FREE char *after = jwks(keyring, RIG_NOW + 10);
  CLEANUP_FREE char *libtrust = key_libtrust_id(&rig->keys[RIG_RS256]);
  assert_non_null(strstr(before, rig->keys[RIG_ES256].kid));
  assert_non_null(strstr(before, libtrust));
  assert_non_null(strstr(before, "\"exp\": 1800000010"));
  assert_non_null(strstr(before, "\"swarmgate_retired\": 1799999990"));
  assert_null(strstr(before, rig->keys[RIG_STRANGER].kid));
  assert_null(strstr(before, "\"d\""));
  assert_non_null(strstr(after, rig->keys[RIG_ES256].kid));
  assert_null(strstr(after, libtrust));
  struct keyset read;
  assert_int_equal(keyset_parse(slice_str(before), "jwks", &read, NULL), 0);
  assert_int_equal(read.count, 2);
  keyset_free(&read);
  keyring_free(keyring);
}

/* The times of the announce key, in the state in force. */
static const struct key *in_force(struct keyring *keyring) {
  struct keyring_state *state = keyring_hold(keyring);
  const struct key *key = &state->trust.rows[0].keys.keys[0];
  keyring_release(state);
  return key;
}

static struct keyring_state *retired_at(struct rig *rig, int64_t retired, int64_t expires) {
  struct keyring_state *state = state_of(rig, RIG_ES256, RIG_RS256);
  state->trust.rows[0].keys.keys[0].retired = retired;
  state->trust.rows[0].keys.keys[0].expires = expires;
  return state;
}

/* The server has signed by the old key until it was told of the rotation. */
static void a_late_reload_counts_from_then_on(void **state) {
  struct rig *rig = *state;
  struct keyring *keyring = keyring_new(state_of(rig, RIG_ES256, RIG_RS256));
  keyring_replace(keyring, retired_at(rig, RIG_NOW, RIG_NOW + 1000), RIG_NOW + 400);
  assert_int_equal(in_force(keyring)->retired, RIG_NOW + 401);
  assert_int_equal(in_force(keyring)->expires, RIG_NOW + 1401);
  /* The file says the same at the next reload, which changes nothing. */
  keyring_replace(keyring, retired_at(rig, RIG_NOW, RIG_NOW + 1000), RIG_NOW + 500);
  assert_int_equal(in_force(keyring)->retired, RIG_NOW + 401);
  assert_int_equal(in_force(keyring)->expires, RIG_NOW + 1401);
  keyring_replace(keyring, retired_at(rig, RIG_NOW + 600, RIG_NOW + 1600), RIG_NOW + 700);
  assert_int_equal(in_force(keyring)->retired, RIG_NOW + 600);
  keyring_free(keyring);
  /* Who was not there before has signed nothing here. */
  keyring = keyring_new(state_of(rig, RIG_EDDSA, RIG_RS256));
  keyring_replace(keyring, retired_at(rig, RIG_NOW, 0), RIG_NOW + 400);
  assert_int_equal(in_force(keyring)->retired, RIG_NOW);
  assert_int_equal(in_force(keyring)->expires, 0);
  keyring_free(keyring);
}

enum { THREADS = 3, ROUNDS = 100 };

struct work {
  struct rig *rig;
  struct keyring *keyring;
  struct slice texts[2];
  size_t wrong;
};

/* The token of one of the two states verifies by that one alone. */
static void *verify_all_the_time(void *arg) {
  struct work *work = arg;
  for (size_t i = 0; i < ROUNDS; i++) {
    struct keyring_state *held = keyring_hold(work->keyring);
    for (size_t k = 0; k < 2; k++) {
      struct arena arena = {0};
      struct token got;
      bool good = token_verify(&held->trust, work->texts[k], TOKEN_SWARM, RIG_NOW, &arena, &got,
                               NULL) == TOKEN_VALID;
      work->wrong += good != (held->generation % 2 == (k == 0 ? 1 : 0));
      arena_free(&arena);
    }
    keyring_release(held);
  }
  return NULL;
}

static void threads_hold_what_is_replaced(void **state) {
  struct rig *rig = *state;
  struct keyring *keyring = keyring_new(state_of(rig, RIG_ES256, RIG_EDDSA));
  struct token claims = rig_swarm_claims();
  struct work work[THREADS];
  pthread_t threads[THREADS];
  for (size_t i = 0; i < THREADS; i++) {
    work[i] = (struct work){
        .rig = rig,
        .keyring = keyring,
        .texts = {rig_sign(rig, RIG_ES256, &claims), rig_sign(rig, RIG_EDDSA, &claims)}};
    assert_int_equal(pthread_create(&threads[i], NULL, verify_all_the_time, &work[i]), 0);
  }
  for (int i = 0; i < ROUNDS; i++) {
    keyring_replace(keyring, state_of(rig, i % 2 == 0 ? RIG_EDDSA : RIG_ES256, RIG_EDDSA), RIG_NOW);
  }
  for (size_t i = 0; i < THREADS; i++) {
    pthread_join(threads[i], NULL);
    assert_int_equal(work[i].wrong, 0);
  }
  keyring_free(keyring);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(who_holds_a_state_keeps_it),
      cmocka_unit_test(what_is_signed_verifies_and_outlives_the_state),
      cmocka_unit_test(without_a_key_nothing_is_signed),
      cmocka_unit_test(our_own_keys_are_published_until_they_are_over),
      cmocka_unit_test(a_late_reload_counts_from_then_on),
      cmocka_unit_test(threads_hold_what_is_replaced),
  };
  return cmocka_run_group_tests(tests, rig_set_up, rig_tear_down);
}
