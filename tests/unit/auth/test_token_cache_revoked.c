/* Remembered tokens and the revocations in force. */
#include "auth/token_cache.h"
#include "support/heap.h"
#include "unit/auth/rig.h"
#include "unit/cmocka_all.h"

#include <pthread.h>
#include <stdlib.h>

#define JTI  "0123456789abcdef0123456789abcdef"
#define BASE "registry.example/team/base"

static const unsigned char infohashes[2][20] = {
    {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20},
    {0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa,
     0xab, 0xac, 0xad, 0xae, 0xaf, 0xb0, 0xb1, 0xb2, 0xb3, 0xb4}};

/* A cache, and what it said last. */
struct desk {
  struct rig *rig;
  struct revocations *revocations;
  struct token_cache *cache;
  struct token_grant grant;
  bool covers[2];
};

static struct desk open_desk(struct rig *rig) {
  struct desk d = {.rig = rig, .revocations = revocations_new()};
  assert_non_null(d.revocations);
  d.cache = token_cache_new(rig->keyring, d.revocations, 1000);
  assert_non_null(d.cache);
  return d;
}

static void close_desk(struct desk *d) {
  token_cache_free(d->cache);
  revocations_free(d->revocations);
}

/* In force is one revocation, up to \p at; or none, for NULL. */
static void put_in_force(struct revocations *revocations, enum revocation_kind kind,
                         const char *value, int64_t at) {
  struct revocation_list list = {0};
  const struct revocation like = {.kind = kind, .at = at, .expires = INT64_MAX};
  if (value != NULL) {
    assert_int_equal(revocation_list_add(&list, &like, slice_str(value), NULL), 0);
  }
  struct revocation_set *set = revocation_set_new(&list, RIG_NOW);
  assert_non_null(set);
  revocations_replace(revocations, set);
  revocation_list_free(&list);
}

static bool is_registered(void *arg, struct slice registry, struct slice repository,
                          const unsigned char infohash[20]) {
  (void)arg;
  const char *name = memcmp(infohash, infohashes[0], 20) == 0 ? "team/app" : "team/base";
  return slice_equal(registry, SLICE("registry.example")) &&
         slice_equal(repository, slice_str(name));
}

static enum token_verdict check(struct desk *d, struct slice jws) {
  const struct token_question question = {.kinds = TOKEN_SWARM | TOKEN_REGISTRY,
                                          .now = RIG_NOW,
                                          .infohashes = infohashes[0],
                                          .count = 2,
                                          .registered = is_registered};
  return token_cache_check(d->cache, jws, &question, &d->grant, d->covers, NULL);
}

static struct slice swarm_token(struct rig *rig, int64_t issued) {
  static const struct slice texts[] = {{RIG_HEX_V1, 40}, {RIG_HEX_V2, 64}};
  struct token t = rig_swarm_claims();
  t.id = SLICE(JTI);
  t.subject = SLICE("registry.example/alice");
  t.registry = SLICE("registry.example");
  t.repository = SLICE("team/app");
  t.issued = issued;
  t.infohash_texts = texts;
  t.infohash_count = 2;
  return rig_sign(rig, RIG_ES256, &t);
}

static struct slice registry_token(struct rig *rig) {
  const struct token_access access[] = {{SLICE("team/app"), SCOPE_PULL},
                                        {SLICE("team/base"), SCOPE_PULL}};
  struct token t = {.kind = TOKEN_REGISTRY,
                    .issuer = SLICE("auth.example"),
                    .audience = SLICE("registry.example"),
                    .subject = SLICE("alice"),
                    .issued = RIG_NOW,
                    .expires = RIG_NOW + 300,
                    .access = access,
                    .access_count = 2};
  return rig_sign(rig, RIG_RS256, &t);
}

static void is_refused_by_each_of_its_names(void **state) {
  struct rig *rig = *state;
  const char *kid = rig->trust.rows[0].keys.keys[0].kid;
  const struct {
    const char *value;
    enum revocation_kind kind;
    enum token_verdict verdict;
  } rows[] = {
      {JTI, REVOCATION_JTI, TOKEN_REVOKED},
      {"registry.example/alice", REVOCATION_SUB, TOKEN_REVOKED},
      {"registry.example/team/app", REVOCATION_REPOSITORY, TOKEN_REVOKED},
      {kid, REVOCATION_KID, TOKEN_REVOKED},
      {"registry.example/bob", REVOCATION_SUB, TOKEN_VALID},
      {JTI, REVOCATION_SUB, TOKEN_VALID},
  };
  struct desk d = open_desk(rig);
  struct slice before = swarm_token(rig, RIG_NOW - 1), after = swarm_token(rig, RIG_NOW + 1);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    /* Where it lies, and met for the first time. */
    for (int fresh = 0; fresh < 2; fresh++) {
      if (fresh == 1) {
        token_cache_free(d.cache);
        d.cache = token_cache_new(rig->keyring, d.revocations, 1000);
      }
      put_in_force(d.revocations, rows[i].kind, rows[i].value, RIG_NOW);
      assert_int_equal(check(&d, before), rows[i].verdict);
      assert_int_equal(d.covers[0], rows[i].verdict == TOKEN_VALID);
      assert_int_equal(d.grant.expires != 0, rows[i].verdict == TOKEN_VALID);
      assert_int_equal(check(&d, after), TOKEN_VALID);
      put_in_force(d.revocations, REVOCATION_JTI, NULL, 0);
      assert_int_equal(check(&d, before), TOKEN_VALID);
      assert_true(d.covers[0] && d.covers[1]);
    }
  }
  close_desk(&d);
}

static void a_bare_key_is_named_by_its_thumbprint(void **state) {
  struct rig *rig = *state;
  struct desk d = open_desk(rig);
  struct slice jws = registry_token(rig);
  char *thumbprint = key_thumbprint(&rig->keys[RIG_RS256]);
  char *libtrust = key_libtrust_id(&rig->keys[RIG_RS256]);
  assert_int_equal(check(&d, jws), TOKEN_VALID);
  put_in_force(d.revocations, REVOCATION_KID, thumbprint, RIG_NOW);
  assert_int_equal(check(&d, jws), TOKEN_REVOKED);
  put_in_force(d.revocations, REVOCATION_KID, libtrust, RIG_NOW); /* as the token itself says */
  assert_int_equal(check(&d, jws), TOKEN_REVOKED);
  free(thumbprint);
  free(libtrust);
  close_desk(&d);
}

/* Nothing is verified, parsed or allocated for it. */
static void is_held_against_a_new_set_where_it_lies(void **state) {
  struct rig *rig = *state;
  struct desk d = open_desk(rig);
  struct slice jws[] = {swarm_token(rig, RIG_NOW), registry_token(rig)};
  assert_int_equal(check(&d, jws[0]), TOKEN_VALID);
  assert_int_equal(check(&d, jws[1]), TOKEN_VALID);
  for (int i = 0; i < 4; i++) {
    put_in_force(d.revocations, REVOCATION_SUB, i % 2 == 0 ? "registry.example/alice" : "x",
                 RIG_NOW);
    for (int k = 0; k < 4; k++) {
      heap_fail(HEAP_NONE, 0);
      enum token_verdict verdict = check(&d, jws[k % 2]);
      size_t allocations = heap_allocations();
      assert_int_equal(verdict, i % 2 == 0 ? TOKEN_REVOKED : TOKEN_VALID);
      assert_int_equal(allocations, 0);
    }
  }
  close_desk(&d);
}

static void an_infohash_is_withheld_by_itself(void **state) {
  struct rig *rig = *state;
  struct desk d = open_desk(rig);
  struct slice jws[] = {swarm_token(rig, RIG_NOW), registry_token(rig)};
  static const char *const texts[] = {RIG_HEX_V1, RIG_HEX_V2};
  for (size_t i = 0; i < 4; i++) {
    put_in_force(d.revocations, REVOCATION_INFOHASH, texts[i / 2], RIG_NOW);
    assert_int_equal(check(&d, jws[i % 2]), TOKEN_VALID);
    assert_int_equal(d.covers[0], i / 2 == 1);
    assert_int_equal(d.covers[1], i / 2 == 0);
    assert_true(d.grant.withheld);
    put_in_force(d.revocations, REVOCATION_INFOHASH, texts[i / 2], RIG_NOW - 1);
    assert_int_equal(check(&d, jws[i % 2]), TOKEN_VALID);
    assert_true(d.covers[0] && d.covers[1]);
    assert_false(d.grant.withheld);
  }
  close_desk(&d);
}

static void a_repository_of_several_covers_nothing(void **state) {
  struct rig *rig = *state;
  struct desk d = open_desk(rig);
  struct slice jws = registry_token(rig);
  put_in_force(d.revocations, REVOCATION_REPOSITORY, BASE, RIG_NOW);
  assert_int_equal(check(&d, jws), TOKEN_VALID);
  assert_true(d.covers[0] && !d.covers[1]);
  assert_true(d.grant.withheld);
  put_in_force(d.revocations, REVOCATION_REPOSITORY, "other.example/team/base", RIG_NOW);
  assert_int_equal(check(&d, jws), TOKEN_VALID);
  assert_true(d.covers[0] && d.covers[1]);
  assert_false(d.grant.withheld);
  close_desk(&d);
}

static bool is_registered_to_both(void *arg, struct slice registry, struct slice repository,
                                  const unsigned char infohash[20]) {
  (void)arg;
  (void)registry;
  (void)repository;
  (void)infohash;
  return true;
}

static void another_repository_will_do(void **state) {
  struct rig *rig = *state;
  struct desk d = open_desk(rig);
  const struct token_question question = {.kinds = TOKEN_REGISTRY,
                                          .now = RIG_NOW,
                                          .infohashes = infohashes[0],
                                          .count = 1,
                                          .registered = is_registered_to_both};
  put_in_force(d.revocations, REVOCATION_REPOSITORY, "registry.example/team/app", RIG_NOW);
  assert_int_equal(
      token_cache_check(d.cache, registry_token(rig), &question, &d.grant, d.covers, NULL),
      TOKEN_VALID);
  assert_true(d.covers[0]);
  assert_false(d.grant.withheld);
  close_desk(&d);
}

static void upholds_whom_it_let_in(void **state) {
  struct rig *rig = *state;
  struct desk d = open_desk(rig);
  unsigned char swarm[TOKEN_CACHE_FINGERPRINT], registry[TOKEN_CACHE_FINGERPRINT];
  assert_int_equal(check(&d, swarm_token(rig, RIG_NOW)), TOKEN_VALID);
  memcpy(swarm, d.grant.fingerprint, sizeof swarm);
  assert_int_equal(check(&d, registry_token(rig)), TOKEN_VALID);
  memcpy(registry, d.grant.fingerprint, sizeof registry);
  assert_true(token_cache_upholds(d.cache, swarm, infohashes[0]));
  assert_true(token_cache_upholds(d.cache, registry, infohashes[0]));
  const struct {
    const char *value;
    enum revocation_kind kind;
    bool upheld[2][2]; /* swarm, registry; by infohash */
  } rows[] = {
      {JTI, REVOCATION_JTI, {{false, false}, {true, true}}},
      {"registry.example/alice", REVOCATION_SUB, {{false, false}, {false, false}}},
      {RIG_HEX_V1, REVOCATION_INFOHASH, {{false, true}, {false, true}}},
      {BASE, REVOCATION_REPOSITORY, {{true, true}, {false, false}}},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    put_in_force(d.revocations, rows[i].kind, rows[i].value, RIG_NOW);
    for (size_t k = 0; k < 4; k++) {
      assert_int_equal(
          token_cache_upholds(d.cache, k / 2 == 0 ? swarm : registry, infohashes[k % 2]),
          rows[i].upheld[k / 2][k % 2]);
    }
  }
  put_in_force(d.revocations, REVOCATION_JTI, NULL, 0);
  swarm[TOKEN_CACHE_FINGERPRINT - 1] ^= 1; /* nobody it knows */
  assert_false(token_cache_upholds(d.cache, swarm, infohashes[0]));
  close_desk(&d);
}

enum { THREADS = 4, ROUNDS = 500 };

struct racer {
  struct desk desk; /* its own answers, the cache of all */
  struct slice jws;
  pthread_t thread;
};

static void *race(void *arg) {
  struct racer *r = arg;
  for (int i = 0; i < ROUNDS; i++) {
    enum token_verdict verdict = check(&r->desk, r->jws);
    assert_true(verdict == TOKEN_VALID || verdict == TOKEN_REVOKED);
    if (verdict == TOKEN_VALID) {
      token_cache_upholds(r->desk.cache, r->desk.grant.fingerprint, infohashes[i % 2]);
    }
  }
  return NULL;
}

static void threads_meet_new_sets(void **state) {
  struct rig *rig = *state;
  struct desk d = open_desk(rig);
  struct racer racers[THREADS];
  struct slice jws = swarm_token(rig, RIG_NOW);
  for (size_t i = 0; i < THREADS; i++) {
    racers[i] = (struct racer){.desk = d, .jws = jws};
    assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
  }
  for (int i = 0; i < ROUNDS; i++) {
    put_in_force(d.revocations, i % 2 == 0 ? REVOCATION_JTI : REVOCATION_INFOHASH,
                 i % 2 == 0 ? JTI : RIG_HEX_V1, RIG_NOW);
  }
  for (size_t i = 0; i < THREADS; i++) {
    pthread_join(racers[i].thread, NULL);
  }
  put_in_force(d.revocations, REVOCATION_JTI, JTI, RIG_NOW);
  assert_int_equal(check(&d, jws), TOKEN_REVOKED);
  close_desk(&d);
}

int main(void) {
  heap_watch_openssl();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(is_refused_by_each_of_its_names),
      cmocka_unit_test(a_bare_key_is_named_by_its_thumbprint),
      cmocka_unit_test(is_held_against_a_new_set_where_it_lies),
      cmocka_unit_test(an_infohash_is_withheld_by_itself),
      cmocka_unit_test(a_repository_of_several_covers_nothing),
      cmocka_unit_test(another_repository_will_do),
      cmocka_unit_test(upholds_whom_it_let_in),
      cmocka_unit_test(threads_meet_new_sets),
  };
  return cmocka_run_group_tests(tests, rig_set_up, rig_tear_down);
}
