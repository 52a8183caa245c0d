/* Rows whose keys are fetched: others are put in force there, and nowhere else. */
#include "auth/keyring.h"
#include "auth/keyset.h"

#include "support/heap.h"
#include "unit/auth/rig.h"
#include "unit/cmocka_all.h"

#include <pthread.h>
#include <stdlib.h>

#define URL   "https://issuer.example/jwks"
#define OTHER "https://other.example/jwks"

enum { OWN, FETCHED, AGAIN, ELSEWHERE, ROWS };

static char *copy(const char *text) {
  char *made = strdup(text);
  assert_non_null(made);
  return made;
}

static void add_row(struct trust *trust, const char *issuer, const char *url) {
  struct trust_row *row = &trust->rows[trust->count++];
  *row = (struct trust_row){.issuer = copy(issuer),
                            .audience = copy("tracker"),
                            .algorithms = KEY_ALL,
                            .accept = TOKEN_SWARM,
                            .own = url == NULL};
  if (url != NULL) {
    row->keys.named = true;
    row->registry = copy("registry.example");
    row->source = trust_source_new(url);
    assert_non_null(row->source);
  }
}

/* A row of our own, two of URL, one of OTHER, none of these with keys; and a signer. */
static struct keyring_state *make_state(struct rig *rig) {
  struct keyring_state *state = keyring_state_new();
  state->trust = (struct trust){
      .rows = calloc(ROWS, sizeof(struct trust_row)), .leeway = 61, .lifetime = 3600};
  add_row(&state->trust, "swarmgate", NULL);
  add_row(&state->trust, "issuer", URL);
  add_row(&state->trust, "again", URL);
  add_row(&state->trust, "elsewhere", OTHER);
  struct keyset *own = &state->trust.rows[OWN].keys;
  assert_int_equal(keyset_parse(buf_view(&rig->pem[RIG_ES256]), "own", own, NULL), 0);
  state->swarm = (struct keyring_signer){.issuer = copy("swarmgate"), .audience = copy("tracker")};
  assert_int_equal(
      key_parse_private(buf_view(&rig->pem[RIG_ES256]), "own", &state->swarm.key, NULL), 0);
  return state;
}

static struct keyset jwks_of(struct rig *rig, int first, int second) {
  struct keyset set;
  assert_int_equal(keyset_parse(rig_jwks(rig, first, second), "jwks", &set, NULL), 0);
  return set;
}

static bool put(struct keyring *keyring, const char *url, const struct keyset *keys) {
  bool changed = false;
  assert_int_equal(keyring_replace_fetched(keyring, url, keys, RIG_NOW, &changed, NULL), 0);
  return changed;
}

/* The verdict on a token of \p issuer by that key. */
static enum token_verdict judge(struct rig *rig, struct keyring *keyring, const char *issuer,
                                int key) {
  struct token claims = rig_swarm_claims(), out;
  claims.issuer = slice_str(issuer);
  return keyring_verify(keyring, rig_sign(rig, key, &claims), TOKEN_SWARM, RIG_NOW, &rig->arena,
                        &out, NULL);
}

static bool missed(struct keyring *keyring, size_t row) {
  struct keyring_state *state = keyring_hold(keyring);
  bool was = atomic_exchange(&state->trust.rows[row].source->missed, false);
  keyring_release(state);
  return was;
}

static void they_are_put_in_force_where_they_belong(void **state) {
  struct rig *rig = *state;
  struct keyring *keyring = keyring_new(make_state(rig));
  struct keyset first = jwks_of(rig, RIG_EDDSA, RIG_RS256);
  assert_int_equal(judge(rig, keyring, "issuer", RIG_EDDSA), TOKEN_INVALID);
  assert_true(put(keyring, URL, &first));
  assert_int_equal(keyring_generation(keyring), 2);
  assert_int_equal(judge(rig, keyring, "issuer", RIG_EDDSA), TOKEN_VALID);
  assert_int_equal(judge(rig, keyring, "again", RIG_EDDSA), TOKEN_VALID);
  assert_int_equal(judge(rig, keyring, "elsewhere", RIG_EDDSA), TOKEN_INVALID);
  assert_int_equal(judge(rig, keyring, "swarmgate", RIG_EDDSA), TOKEN_INVALID);
  assert_int_equal(judge(rig, keyring, "swarmgate", RIG_ES256), TOKEN_VALID);
  /* All else is what it was. */
  struct keyring_state *held = keyring_hold(keyring);
  assert_int_equal(held->trust.leeway, 61);
  assert_int_equal(held->trust.lifetime, 3600);
  assert_string_equal(held->trust.rows[FETCHED].registry, "registry.example");
  assert_string_equal(held->swarm.issuer, "swarmgate");
  assert_null(held->service.key.pkey);
  keyring_release(held);
  struct buf token = {0};
  struct token claims = rig_swarm_claims();
  assert_int_equal(keyring_sign(keyring, &claims, &token, NULL), 0);
  buf_free(&token);
  /* The next ones. */
  struct keyset second = jwks_of(rig, RIG_STRANGER, RIG_RS256);
  assert_true(put(keyring, URL, &second));
  assert_int_equal(judge(rig, keyring, "issuer", RIG_EDDSA), TOKEN_INVALID);
  assert_int_equal(judge(rig, keyring, "issuer", RIG_STRANGER), TOKEN_VALID);
  keyset_free(&first);
  keyset_free(&second);
  keyring_free(keyring);
}

/* A new generation has every token verified again. */
static void the_same_keys_are_no_change(void **state) {
  struct rig *rig = *state;
  struct keyring *keyring = keyring_new(make_state(rig));
  struct keyset set = jwks_of(rig, RIG_EDDSA, RIG_RS256);
  assert_true(put(keyring, URL, &set));
  assert_false(put(keyring, URL, &set));
  assert_false(put(keyring, "https://nowhere.example/", &set));
  assert_int_equal(keyring_generation(keyring), 2);
  set.keys[1].expires = RIG_NOW + 5;
  assert_true(put(keyring, URL, &set));
  set.keys[1].kid[0] ^= 1;
  assert_true(put(keyring, URL, &set));
  set.keys[1].retired = RIG_NOW;
  assert_true(put(keyring, URL, &set));
  struct keyset fewer = {.keys = set.keys, .count = 1, .named = true};
  assert_true(put(keyring, URL, &fewer));
  struct keyset swapped = jwks_of(rig, RIG_RS256, RIG_EDDSA);
  assert_true(put(keyring, URL, &swapped));
  struct keyset stranger = jwks_of(rig, RIG_RS256, RIG_STRANGER);
  char *kid = stranger.keys[1].kid; /* another key by the same name */
  stranger.keys[1].kid = swapped.keys[1].kid;
  assert_true(put(keyring, URL, &stranger));
  stranger.keys[1].kid = kid;
  keyset_free(&set);
  keyset_free(&swapped);
  keyset_free(&stranger);
  keyring_free(keyring);
}

static void a_key_that_is_missed_is_noted(void **state) {
  struct rig *rig = *state;
  struct keyring *keyring = keyring_new(make_state(rig));
  struct keyset set = jwks_of(rig, RIG_EDDSA, RIG_RS256);
  put(keyring, URL, &set);
  assert_false(missed(keyring, FETCHED));
  judge(rig, keyring, "issuer", RIG_EDDSA);
  assert_false(missed(keyring, FETCHED));
  judge(rig, keyring, "issuer", RIG_STRANGER);
  assert_true(missed(keyring, FETCHED));
  assert_false(missed(keyring, AGAIN));
  judge(rig, keyring, "swarmgate", RIG_STRANGER); /* has no source */
  judge(rig, keyring, "nobody", RIG_STRANGER);
  assert_false(missed(keyring, FETCHED));
  /* It has that key, which has not signed this; and that one has no name. */
  struct token claims = rig_swarm_claims(), out;
  claims.issuer = SLICE("issuer");
  struct slice good = rig_sign(rig, RIG_EDDSA, &claims);
  char *forged = strndup(good.ptr, good.len);
  forged[good.len - 10] = forged[good.len - 10] == 'A' ? 'B' : 'A';
  assert_int_equal(
      keyring_verify(keyring, slice_str(forged), TOKEN_SWARM, RIG_NOW, &rig->arena, &out, NULL),
      TOKEN_INVALID);
  free(forged);
  assert_false(missed(keyring, FETCHED));
  struct slice unnamed =
      rig_jws(rig, RIG_STRANGER, "{\"alg\":\"ES256\",\"typ\":\"swarm+jwt\"}",
              SLICE("{\"iss\":\"issuer\",\"aud\":\"tracker\",\"exp\":1800000600,\"infohash\":"
                    "\"" RIG_HEX_V1 "\"}"));
  assert_int_equal(keyring_verify(keyring, unnamed, TOKEN_SWARM, RIG_NOW, &rig->arena, &out, NULL),
                   TOKEN_INVALID);
  assert_false(missed(keyring, FETCHED));
  keyset_free(&set);
  keyring_free(keyring);
}

/* Those that are in force when it is done, whatever was when it began. */
static void a_reload_keeps_them(void **state) {
  struct rig *rig = *state;
  struct keyring *keyring = keyring_new(make_state(rig));
  struct keyset set = jwks_of(rig, RIG_EDDSA, RIG_RS256);
  put(keyring, URL, &set);
  assert_int_equal(keyring_reload(keyring, make_state(rig), RIG_NOW, NULL), 0);
  assert_int_equal(judge(rig, keyring, "again", RIG_EDDSA), TOKEN_VALID);
  assert_int_equal(judge(rig, keyring, "elsewhere", RIG_EDDSA), TOKEN_INVALID);
  keyset_free(&set);
  keyring_free(keyring);
}

/* What our own JWKS says is fetched from somewhere, and the file here knows better. */
static void our_own_retired_keys_are_so_there_too(void **state) {
  struct rig *rig = *state;
  struct keyring_state *made = make_state(rig);
  made->trust.rows[OWN].keys.keys[0].retired = RIG_NOW - 100;
  made->trust.rows[OWN].keys.keys[0].expires = RIG_NOW + 100;
  struct keyring *keyring = keyring_new(made);
  struct keyset set = jwks_of(rig, RIG_ES256, RIG_RS256);
  assert_true(put(keyring, URL, &set));
  struct keyring_state *held = keyring_hold(keyring);
  assert_int_equal(held->trust.rows[FETCHED].keys.keys[0].retired, RIG_NOW - 100);
  assert_int_equal(held->trust.rows[FETCHED].keys.keys[0].expires, RIG_NOW + 100);
  assert_int_equal(held->trust.rows[FETCHED].keys.keys[1].expires, 0);
  keyring_release(held);
  assert_false(put(keyring, URL, &set));
  keyset_free(&set);
  keyring_free(keyring);
}

struct exhaustion {
  struct keyring *keyring;
  struct keyset sets[2];
  unsigned turn;
};

static int replace_once(void *arg, struct error *e) {
  struct exhaustion *x = arg;
  uint64_t before = keyring_generation(x->keyring);
  bool changed = false;
  int result = keyring_replace_fetched(x->keyring, URL, &x->sets[x->turn], RIG_NOW, &changed, e);
  assert_int_equal(keyring_generation(x->keyring), result == 0 ? before + 1 : before);
  x->turn ^= result == 0 ? 1u : 0u;
  return result;
}

static int reload_once(void *arg, struct error *e) {
  struct exhaustion *x = arg;
  struct keyring_state *state = keyring_state_new();
  struct trust_row *row = calloc(1, sizeof *row);
  if (state == NULL || row == NULL || (row->source = trust_source_new(URL)) == NULL) {
    keyring_state_free(state);
    free(row);
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  state->trust = (struct trust){.rows = row, .count = 1};
  uint64_t before = keyring_generation(x->keyring);
  int result = keyring_reload(x->keyring, state, RIG_NOW, e);
  assert_int_equal(keyring_generation(x->keyring), result == 0 ? before + 1 : before);
  if (result != 0) {
    keyring_state_free(state);
  } else {
    assert_int_equal(row->keys.count, 2);
  }
  return result;
}

static void memory_runs_out(void **state) {
  struct rig *rig = *state;
  struct exhaustion x = {
      .keyring = keyring_new(make_state(rig)),
      .sets = {jwks_of(rig, RIG_EDDSA, RIG_RS256), jwks_of(rig, RIG_STRANGER, RIG_RS256)}};
  put(x.keyring, URL, &x.sets[1]);
  heap_exhaust(replace_once, &x);
  heap_exhaust(reload_once, &x);
  keyset_free(&x.sets[0]);
  keyset_free(&x.sets[1]);
  keyring_free(x.keyring);
}

/* Fetches, of which none may be lost while others reload. */
struct fetching {
  struct keyring *keyring;
  const struct keyset *sets;
  unsigned lost;
  atomic_bool over;
};

enum { FETCHES = 1000 };

static void *fetch_often(void *arg) {
  struct fetching *f = arg;
  bool changed;
  for (unsigned i = 0; i < FETCHES; i++) {
    const struct keyset *set = &f->sets[i % 2];
    bool put =
        keyring_replace_fetched(f->keyring, URL, set, RIG_NOW, &changed, NULL) == 0 && changed;
    struct keyring_state *held = keyring_hold(f->keyring);
    f->lost += !put || !keyset_equal(&held->trust.rows[FETCHED].keys, set);
    keyring_release(held);
  }
  f->over = true;
  return NULL;
}

/* What was withdrawn must not come back with a reload that began before. */
static void a_reload_loses_nothing_that_is_fetched_meanwhile(void **state) {
  struct rig *rig = *state;
  struct keyset sets[] = {jwks_of(rig, RIG_EDDSA, RIG_RS256),
                          jwks_of(rig, RIG_STRANGER, RIG_RS256)};
  struct fetching f = {.keyring = keyring_new(make_state(rig)), .sets = sets};
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, fetch_often, &f), 0);
  while (!f.over) {
    assert_int_equal(keyring_reload(f.keyring, make_state(rig), RIG_NOW, NULL), 0);
  }
  pthread_join(thread, NULL);
  assert_int_equal(f.lost, 0);
  keyset_free(&sets[0]);
  keyset_free(&sets[1]);
  keyring_free(f.keyring);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(they_are_put_in_force_where_they_belong),
      cmocka_unit_test(the_same_keys_are_no_change),
      cmocka_unit_test(a_key_that_is_missed_is_noted),
      cmocka_unit_test(a_reload_keeps_them),
      cmocka_unit_test(a_reload_loses_nothing_that_is_fetched_meanwhile),
      cmocka_unit_test(our_own_retired_keys_are_so_there_too),
      cmocka_unit_test(memory_runs_out),
  };
  return cmocka_run_group_tests(tests, rig_set_up, rig_tear_down);
}
