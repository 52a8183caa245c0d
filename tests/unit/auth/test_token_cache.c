#include "auth/token_cache.h"
#include "support/heap.h"
#include "unit/auth/rig.h"
#include "unit/cmocka_all.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>

static const unsigned char v1[] = {1,  2,  3,  4,  5,  6,  7,  8,  9,  10,
                                   11, 12, 13, 14, 15, 16, 17, 18, 19, 20};

/* The question of an announce, at the rig's time. */
static struct token_question ask(void) {
  return (struct token_question){
      .kinds = TOKEN_SWARM | TOKEN_REGISTRY, .now = RIG_NOW, .infohashes = v1, .count = 1};
}

static struct slice swarm_token(struct rig *rig, int64_t expires, int64_t session) {
  struct token t = rig_swarm_claims();
  char id[33];
  assert_int_equal(token_new_id(id, NULL), 0);
  t.id = slice_str(id);
  t.expires = expires;
  t.session = session;
  return rig_sign(rig, RIG_ES256, &t);
}

static struct slice registry_token(struct rig *rig) {
  const struct token_access access[] = {{SLICE("team/app"), SCOPE_PULL},
                                        {SLICE("team/base"), SCOPE_PULL}};
  struct token t = {.kind = TOKEN_REGISTRY,
                    .issuer = SLICE("auth.example"),
                    .audience = SLICE("registry.example"),
                    .expires = RIG_NOW + 300,
                    .access = access,
                    .access_count = 2};
  return rig_sign(rig, RIG_RS256, &t);
}

/* Behind the keyring's back: what still passes with none was not verified again. */
static void trust_rows(struct rig *rig, size_t count) {
  struct keyring_state *state = keyring_hold(rig->keyring);
  state->trust.count = count;
  keyring_release(state);
}

static void a_hit_checks_no_signature_and_allocates_nothing(void **state) {
  struct rig *rig = *state;
  struct token_cache *cache = token_cache_new(rig->keyring, NULL, 1000);
  struct slice jws = swarm_token(rig, RIG_NOW + 600, RIG_NOW + 3600);
  struct slice other = swarm_token(rig, RIG_NOW + 600, RIG_NOW + 3600);
  struct token_question question = ask();
  struct token_grant first;
  struct token_grant again;
  bool covers = false;
  struct error why = {0};
  assert_int_equal(token_cache_check(cache, jws, &question, &first, &covers, &why), TOKEN_VALID);
  assert_true(covers);
  assert_int_equal(first.kind, TOKEN_SWARM);
  assert_int_equal(first.issued, RIG_NOW);
  assert_int_equal(first.expires, RIG_NOW + 600);
  assert_int_equal(first.session, RIG_NOW + 3600);
  assert_false(first.expired);
  unsigned char hash[32];
  assert_int_equal(EVP_Digest(jws.ptr, jws.len, hash, NULL, EVP_sha256(), NULL), 1);
  assert_memory_equal(first.fingerprint, hash, sizeof first.fingerprint);

  trust_rows(rig, 0);
  covers = false;
  heap_fail(HEAP_NONE, 0);
  enum token_verdict verdict = token_cache_check(cache, jws, &question, &again, &covers, &why);
  size_t allocations = heap_allocations();
  assert_int_equal(verdict, TOKEN_VALID);
  assert_true(covers);
  assert_int_equal(allocations, 0);
  assert_memory_equal(&first, &again, sizeof first);
  assert_int_equal(token_cache_check(cache, other, &question, &again, &covers, &why),
                   TOKEN_INVALID);
  assert_false(covers);
  assert_int_equal(why.kind, ERROR_DENIED);
  trust_rows(rig, rig->trust.count);
  token_cache_free(cache);
}

static void a_token_expires_where_it_lies(void **state) {
  struct rig *rig = *state;
  struct token_cache *cache = token_cache_new(rig->keyring, NULL, 1000);
  struct slice jws = swarm_token(rig, RIG_NOW + 600, RIG_NOW + 3600);
  struct token_question question = ask();
  struct token_grant grant;
  bool covers = false;
  assert_int_equal(token_cache_check(cache, jws, &question, &grant, &covers, NULL), TOKEN_VALID);
  trust_rows(rig, 0);
  question.now = RIG_NOW + 659;
  assert_int_equal(token_cache_check(cache, jws, &question, &grant, &covers, NULL), TOKEN_VALID);
  question.now = RIG_NOW + 660;
  struct error why = {0};
  assert_int_equal(token_cache_check(cache, jws, &question, &grant, &covers, &why), TOKEN_EXPIRED);
  assert_true(grant.expired);
  assert_true(covers);
  assert_int_equal(grant.session, RIG_NOW + 3600);
  assert_int_equal(why.kind, ERROR_DENIED);
  trust_rows(rig, rig->trust.count);
  token_cache_free(cache);
}

/* First seen after `exp`, as after a restart: a session may go on. */
static void an_expired_token_is_remembered_too(void **state) {
  struct rig *rig = *state;
  struct token_cache *cache = token_cache_new(rig->keyring, NULL, 1000);
  struct slice jws = swarm_token(rig, RIG_NOW - 600, RIG_NOW + 3600);
  struct token_question question = ask();
  struct token_grant grant;
  bool covers = false;
  assert_int_equal(token_cache_check(cache, jws, &question, &grant, &covers, NULL), TOKEN_EXPIRED);
  trust_rows(rig, 0);
  assert_int_equal(token_cache_check(cache, jws, &question, &grant, &covers, NULL), TOKEN_EXPIRED);
  assert_true(grant.expired);
  assert_true(covers);
  trust_rows(rig, rig->trust.count);
  token_cache_free(cache);
}

static void the_invalid_is_not_remembered(void **state) {
  struct rig *rig = *state;
  struct token_cache *cache = token_cache_new(rig->keyring, NULL, 1000);
  struct token t = rig_swarm_claims();
  struct slice jws = rig_sign(rig, RIG_STRANGER, &t);
  char *large = arena_alloc(&rig->arena, TOKEN_REGISTRY_MAX + 1);
  memset(large, 'a', TOKEN_REGISTRY_MAX + 1);
  const struct slice bad[] = {jws,
                              slice_of(NULL, 0),
                              SLICE("a"),
                              SLICE(".."),
                              SLICE("a.b.c"),
                              slice_of(jws.ptr, jws.len - 1),
                              slice_of(large, TOKEN_REGISTRY_MAX + 1)};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    struct token_question question = ask();
    struct token_grant grant;
    struct error why = {0};
    bool covers = true;
    memset(&grant, 0xff, sizeof grant);
    assert_int_equal(token_cache_check(cache, bad[i], &question, &grant, &covers, &why),
                     TOKEN_INVALID);
    assert_false(covers);
    assert_int_equal(grant.expires, 0);
    assert_int_equal(why.kind, ERROR_DENIED);
  }
  assert_int_equal(token_cache_count(cache), 0);
  token_cache_free(cache);
}

static void kinds_hold_for_what_is_remembered(void **state) {
  struct rig *rig = *state;
  struct token_cache *cache = token_cache_new(rig->keyring, NULL, 1000);
  struct slice jws = swarm_token(rig, RIG_NOW + 600, 0);
  struct token_question question = ask();
  struct token_grant grant;
  bool covers = false;
  for (int i = 0; i < 2; i++) {
    question.kinds = TOKEN_SWARM;
    assert_int_equal(token_cache_check(cache, jws, &question, &grant, &covers, NULL), TOKEN_VALID);
    question.kinds = TOKEN_REGISTRY | TOKEN_WEBSEED;
    assert_int_equal(token_cache_check(cache, jws, &question, &grant, &covers, NULL),
                     TOKEN_INVALID);
    assert_false(covers);
    assert_int_equal(grant.expires, 0);
  }
  token_cache_free(cache);
}

static void several_infohashes_are_answered_at_once(void **state) {
  struct rig *rig = *state;
  struct token_cache *cache = token_cache_new(rig->keyring, NULL, 1000);
  const struct slice texts[] = {SLICE(RIG_HEX_V1), SLICE(RIG_HEX_V2)};
  struct token t = rig_swarm_claims();
  t.infohash_texts = texts;
  t.infohash_count = 2;
  struct slice jws = rig_sign(rig, RIG_EDDSA, &t);
  unsigned char infohashes[3 * 20] = {0};
  for (size_t i = 0; i < 20; i++) {
    infohashes[i] = (unsigned char)(0xa1 + i);
  }
  memcpy(infohashes + 40, v1, 20);
  struct token_question question = ask();
  question.infohashes = infohashes;
  question.count = 3;
  struct token_grant grant;
  bool covers[3] = {false, true, false};
  assert_int_equal(token_cache_check(cache, jws, &question, &grant, covers, NULL), TOKEN_VALID);
  assert_true(covers[0] && !covers[1] && covers[2]);
  question.infohashes = NULL;
  question.count = 0;
  assert_int_equal(token_cache_check(cache, jws, &question, &grant, NULL, NULL), TOKEN_VALID);
  token_cache_free(cache);
}

/* A keyring with a state like that in the rig's, but for the leeway. \return the state. */
static struct keyring_state *state_of(struct rig *rig, unsigned leeway) {
  struct keyring_state *state = keyring_state_new();
  assert_non_null(state);
  state->trust =
      (struct trust){.rows = calloc(1, sizeof(struct trust_row)), .count = 1, .leeway = leeway};
  *state->trust.rows = (struct trust_row){.issuer = strdup("swarmgate"),
                                          .audience = strdup("tracker"),
                                          .algorithms = KEY_ES256,
                                          .accept = TOKEN_SWARM};
  assert_int_equal(
      keyset_parse(buf_view(&rig->pem[RIG_ES256]), "key", &state->trust.rows->keys, NULL), 0);
  return state;
}

/* With other keys in force it is verified anew, and by the leeway that goes with them. */
static void what_was_in_force_does_not_count(void **state) {
  struct rig *rig = *state;
  struct keyring *keyring = keyring_new(state_of(rig, 60));
  struct token_cache *cache = token_cache_new(keyring, NULL, 1000);
  struct slice jws = swarm_token(rig, RIG_NOW + 600, RIG_NOW + 3600);
  struct slice other = swarm_token(rig, RIG_NOW + 600, RIG_NOW + 3600);
  struct token_question question = ask();
  struct token_grant grant;
  bool covers = false;
  question.now = RIG_NOW + 610;
  assert_int_equal(token_cache_check(cache, jws, &question, &grant, &covers, NULL), TOKEN_VALID);
  assert_int_equal(token_cache_check(cache, other, &question, &grant, &covers, NULL), TOKEN_VALID);
  keyring_replace(keyring, state_of(rig, 10), RIG_NOW);
  assert_int_equal(token_cache_check(cache, jws, &question, &grant, &covers, NULL), TOKEN_EXPIRED);
  assert_int_equal(token_cache_count(cache), 2);
  heap_fail(HEAP_NONE, 0);
  assert_int_equal(token_cache_check(cache, jws, &question, &grant, &covers, NULL), TOKEN_EXPIRED);
  assert_int_equal(heap_allocations(), 0);
  struct keyring_state *nothing = keyring_state_new();
  assert_non_null(nothing);
  keyring_replace(keyring, nothing, RIG_NOW);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(token_cache_check(cache, jws, &question, &grant, &covers, NULL),
                     TOKEN_INVALID);
    assert_false(covers);
  }
  /* What nobody asks for lies there. */
  assert_int_equal(token_cache_count(cache), 1);
  token_cache_free(cache);
  keyring_free(keyring);
}

static void a_key_ends_where_its_tokens_lie(void **state) {
  struct rig *rig = *state;
  struct keyring_state *keys = state_of(rig, 60);
  keys->trust.rows->keys.keys[0].expires = RIG_NOW + 100;
  struct keyring *keyring = keyring_new(keys);
  struct token_cache *cache = token_cache_new(keyring, NULL, 1000);
  struct slice jws = swarm_token(rig, RIG_NOW + 600, RIG_NOW + 3600);
  struct token_question question = ask();
  struct token_grant grant;
  bool covers = false;
  for (int i = 0; i < 2; i++) {
    question.now = RIG_NOW + 99;
    assert_int_equal(token_cache_check(cache, jws, &question, &grant, &covers, NULL), TOKEN_VALID);
    heap_fail(HEAP_NONE, 0);
    assert_int_equal(token_cache_check(cache, jws, &question, &grant, &covers, NULL), TOKEN_VALID);
    assert_int_equal(heap_allocations(), 0);
    question.now = RIG_NOW + 100;
    assert_int_equal(token_cache_check(cache, jws, &question, &grant, &covers, NULL),
                     TOKEN_INVALID);
    assert_int_equal(token_cache_count(cache), 0);
  }
  token_cache_free(cache);
  keyring_free(keyring);
}

struct registered {
  struct token_cache *cache;
  struct slice jws;
  const char *registry, *repository; /* that the infohash is registered to */
  size_t calls;
};

static bool is_registered(void *arg, struct slice registry, struct slice repository,
                          const unsigned char infohash[20]) {
  struct registered *r = arg;
  r->calls++;
  assert_true(slice_equal(registry, slice_str(r->registry)));
  assert_memory_equal(infohash, v1, 20);
  /* Would wait for ever if the shard's lock were held. */
  struct token_question question = ask();
  struct token_grant grant;
  bool covers = true;
  assert_int_equal(token_cache_check(r->cache, r->jws, &question, &grant, &covers, NULL),
                   TOKEN_VALID);
  assert_false(covers);
  return slice_equal(repository, slice_str(r->repository));
}

static void a_registry_token_covers_what_is_registered(void **state) {
  struct rig *rig = *state;
  struct token_cache *cache = token_cache_new(rig->keyring, NULL, 1000);
  struct registered r = {
      .cache = cache, .jws = registry_token(rig), .registry = "registry.example"};
  static const struct {
    const char *repository;
    bool covers;
    size_t calls;
  } cases[] = {
      {"team/app", true, 1}, {"team/base", true, 2}, {"team/secret", false, 2}, {"team", false, 2}};
  struct token_question question = ask();
  question.registered = is_registered;
  question.arg = &r;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct token_grant grant;
    bool covers = !cases[i].covers;
    r.repository = cases[i].repository;
    r.calls = 0;
    assert_int_equal(token_cache_check(cache, r.jws, &question, &grant, &covers, NULL),
                     TOKEN_VALID);
    assert_int_equal(grant.kind, TOKEN_REGISTRY);
    assert_int_equal(covers, cases[i].covers);
    assert_int_equal(r.calls, cases[i].calls);
  }
  token_cache_free(cache);
}

/* It is for whoever is asked to know of no such registry. */
static void a_row_may_name_no_registry(void **state) {
  struct rig *rig = *state;
  struct token_cache *cache = token_cache_new(rig->keyring, NULL, 1000);
  struct registered r = {
      .cache = cache, .jws = registry_token(rig), .registry = "", .repository = "none"};
  struct token_question question = ask();
  struct token_grant grant;
  bool covers = true;
  char *kept = rig->trust.rows[1].registry;
  rig->trust.rows[1].registry = NULL;
  question.registered = is_registered;
  question.arg = &r;
  assert_int_equal(token_cache_check(cache, r.jws, &question, &grant, &covers, NULL), TOKEN_VALID);
  rig->trust.rows[1].registry = kept;
  assert_int_equal(r.calls, 2);
  assert_false(covers);
  token_cache_free(cache);
}

static void check_all(struct token_cache *cache, const struct slice *tokens, size_t count,
                      int64_t now) {
  struct token_question question = ask();
  question.now = now;
  for (size_t i = 0; i < count; i++) {
    struct token_grant grant;
    bool covers = false;
    assert_int_not_equal(token_cache_check(cache, tokens[i], &question, &grant, &covers, NULL),
                         TOKEN_INVALID);
    assert_true(covers);
  }
}

enum { MANY = 400 };

/* The hot one is of a key that is trusted no more: once it were gone it would not come back. */
static void the_least_recently_used_goes(void **state) {
  struct rig *rig = *state;
  /* Two a shard. */
  struct token_cache *cache = token_cache_new(rig->keyring, NULL, 128);
  struct token t = rig_swarm_claims();
  struct slice hot = rig_sign(rig, RIG_EDDSA, &t);
  check_all(cache, &hot, 1, RIG_NOW);
  rig->trust.rows[0].algorithms = KEY_ES256;
  for (size_t i = 0; i < MANY; i++) {
    struct slice cold = swarm_token(rig, RIG_NOW + 600, RIG_NOW + 3600);
    check_all(cache, &cold, 1, RIG_NOW);
    check_all(cache, &hot, 1, RIG_NOW);
    assert_true(token_cache_count(cache) <= 128);
  }
  rig->trust.rows[0].algorithms = KEY_ES256 | KEY_EDDSA;
  assert_true(token_cache_count(cache) > 100);
  token_cache_free(cache);
}

static void the_smallest_cache_works(void **state) {
  struct rig *rig = *state;
  for (size_t max = 0; max < 3; max++) {
    struct token_cache *cache = token_cache_new(rig->keyring, NULL, max);
    for (size_t i = 0; i < 100; i++) {
      struct slice jws = swarm_token(rig, RIG_NOW + 600, 0);
      check_all(cache, &jws, 1, RIG_NOW);
      check_all(cache, &jws, 1, RIG_NOW);
    }
    assert_true(token_cache_count(cache) <= 64);
    token_cache_free(cache);
  }
}

/* Those whose session is over make room as others come; those whose session goes on stay. */
static void the_dead_are_dropped(void **state) {
  struct rig *rig = *state;
  struct token_cache *cache = token_cache_new(rig->keyring, NULL, 100000);
  struct slice dead[MANY];
  struct slice seeding[MANY];
  struct slice fresh[MANY];
  const int64_t later = RIG_NOW + 1000;
  for (size_t i = 0; i < MANY; i++) {
    dead[i] = swarm_token(rig, RIG_NOW + 600, RIG_NOW + 900);
    seeding[i] = swarm_token(rig, RIG_NOW + 600, RIG_NOW + 3600);
    fresh[i] = swarm_token(rig, RIG_NOW + 1600, 0);
  }
  check_all(cache, dead, MANY, RIG_NOW);
  assert_int_equal(token_cache_count(cache), MANY);
  check_all(cache, seeding, MANY, later);
  check_all(cache, fresh, MANY, later);
  assert_true(token_cache_count(cache) >= 2 * (size_t)MANY);
  assert_true(token_cache_count(cache) < 2 * MANY + MANY / 10);
  trust_rows(rig, 0);
  check_all(cache, seeding, MANY, later);
  check_all(cache, fresh, MANY, later);
  trust_rows(rig, rig->trust.count);
  token_cache_free(cache);
}

enum { THREADS = 4, TOKENS = 24, ROUNDS = 400 };

struct work {
  struct token_cache *cache;
  const struct slice *tokens;
  size_t start;
  size_t wrong;
};

static void *hammer(void *arg) {
  struct work *work = arg;
  struct token_question question = ask();
  for (size_t i = 0; i < ROUNDS; i++) {
    struct token_grant grant;
    bool covers = false;
    size_t which = (work->start + i * 7) % TOKENS;
    question.now = RIG_NOW + (int64_t)(i % 3) * 1000;
    enum token_verdict verdict =
        token_cache_check(work->cache, work->tokens[which], &question, &grant, &covers, NULL);
    work->wrong += verdict != (i % 3 == 0 ? TOKEN_VALID : TOKEN_EXPIRED) || !covers;
  }
  return NULL;
}

/* More tokens than room, so that entries come and go under those who read them. */
static void threads_share_it(void **state) {
  struct rig *rig = *state;
  struct token_cache *cache = token_cache_new(rig->keyring, NULL, 1);
  struct slice tokens[TOKENS];
  struct work work[THREADS];
  pthread_t threads[THREADS];
  for (size_t i = 0; i < TOKENS; i++) {
    tokens[i] = swarm_token(rig, RIG_NOW + 600, RIG_NOW + 1500);
  }
  for (size_t i = 0; i < THREADS; i++) {
    work[i] = (struct work){.cache = cache, .tokens = tokens, .start = i * 5};
    assert_int_equal(pthread_create(&threads[i], NULL, hammer, &work[i]), 0);
  }
  for (size_t i = 0; i < THREADS; i++) {
    pthread_join(threads[i], NULL);
    assert_int_equal(work[i].wrong, 0);
  }
  token_cache_free(cache);
}

struct race {
  struct token_cache *cache;
  const struct slice *tokens;
  pthread_barrier_t *barrier;
};

static void *race(void *arg) {
  struct race *r = arg;
  for (size_t i = 0; i < MANY; i++) {
    struct token_question question = ask();
    struct token_grant grant;
    bool covers = false;
    pthread_barrier_wait(r->barrier);
    token_cache_check(r->cache, r->tokens[i], &question, &grant, &covers, NULL);
  }
  return NULL;
}

/* Whoever verifies a token at the same time: it is remembered once. */
static void threads_remember_a_token_once(void **state) {
  struct rig *rig = *state;
  struct token_cache *cache = token_cache_new(rig->keyring, NULL, 100000);
  struct slice tokens[MANY];
  pthread_t threads[THREADS];
  pthread_barrier_t barrier;
  struct race r = {.cache = cache, .tokens = tokens, .barrier = &barrier};
  for (size_t i = 0; i < MANY; i++) {
    tokens[i] = swarm_token(rig, RIG_NOW + 600, 0);
  }
  assert_int_equal(pthread_barrier_init(&barrier, NULL, THREADS), 0);
  for (size_t i = 0; i < THREADS; i++) {
    assert_int_equal(pthread_create(&threads[i], NULL, race, &r), 0);
  }
  for (size_t i = 0; i < THREADS; i++) {
    pthread_join(threads[i], NULL);
  }
  pthread_barrier_destroy(&barrier);
  assert_int_equal(token_cache_count(cache), MANY);
  token_cache_free(cache);
}

struct swap {
  struct token_cache *cache;
  struct slice jws;
  size_t wrong;
};

static void *check_all_the_time(void *arg) {
  struct swap *swap = arg;
  for (size_t i = 0; i < ROUNDS; i++) {
    struct token_question question = ask();
    struct token_grant grant;
    bool covers = false;
    swap->wrong += token_cache_check(swap->cache, swap->jws, &question, &grant, &covers, NULL) !=
                       TOKEN_VALID ||
                   !covers;
  }
  return NULL;
}

/* While keys come and go a good token stays good, and is there once. */
static void keys_change_while_threads_check(void **state) {
  struct rig *rig = *state;
  struct keyring *keyring = keyring_new(state_of(rig, 60));
  struct token_cache *cache = token_cache_new(keyring, NULL, 1000);
  struct swap swap[THREADS];
  pthread_t threads[THREADS];
  for (size_t i = 0; i < THREADS; i++) {
    swap[i] = (struct swap){.cache = cache,
                            .jws = i == 0 ? swarm_token(rig, RIG_NOW + 600, 0) : swap[0].jws};
    assert_int_equal(pthread_create(&threads[i], NULL, check_all_the_time, &swap[i]), 0);
  }
  for (int i = 0; i < 100; i++) {
    keyring_replace(keyring, state_of(rig, 60), RIG_NOW);
  }
  for (size_t i = 0; i < THREADS; i++) {
    pthread_join(threads[i], NULL);
    assert_int_equal(swap[i].wrong, 0);
  }
  check_all(cache, &swap[0].jws, 1, RIG_NOW);
  assert_int_equal(token_cache_count(cache), 1);
  token_cache_free(cache);
  keyring_free(keyring);
}

int main(void) {
  heap_watch_openssl();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_hit_checks_no_signature_and_allocates_nothing),
      cmocka_unit_test(a_token_expires_where_it_lies),
      cmocka_unit_test(an_expired_token_is_remembered_too),
      cmocka_unit_test(the_invalid_is_not_remembered),
      cmocka_unit_test(kinds_hold_for_what_is_remembered),
      cmocka_unit_test(several_infohashes_are_answered_at_once),
      cmocka_unit_test(what_was_in_force_does_not_count),
      cmocka_unit_test(a_key_ends_where_its_tokens_lie),
      cmocka_unit_test(a_registry_token_covers_what_is_registered),
      cmocka_unit_test(a_row_may_name_no_registry),
      cmocka_unit_test(the_least_recently_used_goes),
      cmocka_unit_test(the_smallest_cache_works),
      cmocka_unit_test(the_dead_are_dropped),
      cmocka_unit_test(threads_share_it),
      cmocka_unit_test(threads_remember_a_token_once),
      cmocka_unit_test(keys_change_while_threads_check),
  };
  return cmocka_run_group_tests(tests, rig_set_up, rig_tear_down);
}
