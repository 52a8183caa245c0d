#include "auth/revocation.h"
#include "auth/revocation_set.h"
#include "support/heap.h"
#include "unit/auth/rig.h"
#include "unit/cmocka_all.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

/* The first bytes of a hash, made another way. */
static uint64_t name_of(const char *text) {
  unsigned char hash[32];
  uint64_t name;
  assert_int_equal(EVP_Digest(text, strlen(text), hash, NULL, EVP_sha256(), NULL), 1);
  memcpy(&name, hash, sizeof name);
  return name;
}

static void add(struct revocation_list *list, enum revocation_kind kind, const char *value,
                int64_t at, int64_t until) {
  const struct revocation like = {.kind = kind, .at = at, .until = until, .expires = INT64_MAX};
  assert_int_equal(revocation_list_add(list, &like, slice_str(value), NULL), 0);
}

static struct revocation_set *set_of(struct revocation_list *list) {
  struct revocation_set *set = revocation_set_new(list, RIG_NOW);
  assert_non_null(set);
  revocation_list_free(list);
  return set;
}

static void names_of_a_swarm_token(void **state) {
  (void)state;
  struct token t = rig_swarm_claims();
  struct revocation_names names;
  revocation_names_of(&t, SLICE("key"), SLICE("other"), &names);
  assert_true(names.jti == name_of("000102030405060708090a0b0c0d0e0f"));
  assert_true(names.sub == name_of("registry.example/node"));
  assert_true(names.repository == 0);
  assert_true(names.kid == name_of("key"));
  assert_true(names.header_kid == name_of("other"));
  t.registry = SLICE("registry.example");
  revocation_names_of(&t, SLICE(""), SLICE(""), &names);
  assert_true(names.sub == name_of("registry.example/node"));
  assert_true(names.repository == 0);
  assert_true(names.kid == 0 && names.header_kid == 0);
  t.repository = SLICE("team/app");
  revocation_names_of(&t, SLICE(""), SLICE(""), &names);
  assert_true(names.repository == name_of("registry.example/team/app"));
  t = (struct token){.kind = TOKEN_SWARM, .repository = SLICE("team/app")};
  revocation_names_of(&t, SLICE(""), SLICE(""), &names);
  assert_true(names.jti == 0 && names.sub == 0 && names.repository == 0);
}

static void names_of_a_registry_token(void **state) {
  (void)state;
  struct token t = {
      .kind = TOKEN_REGISTRY, .subject = SLICE("alice"), .registry = SLICE("registry.example")};
  struct revocation_names names;
  revocation_names_of(&t, SLICE(""), SLICE(""), &names);
  assert_true(names.sub == name_of("registry.example/alice"));
  assert_true(names.repository == 0);
  t.subject = SLICE(""); /* who has no name has one in a registry */
  revocation_names_of(&t, SLICE(""), SLICE(""), &names);
  assert_true(names.sub == name_of("registry.example/"));
  t = (struct token){.kind = TOKEN_REGISTRY, .subject = SLICE("alice")};
  revocation_names_of(&t, SLICE(""), SLICE(""), &names);
  assert_true(names.sub == name_of("alice"));
}

static void a_list_has_the_hash_of_the_full_value(void **state) {
  (void)state;
  struct revocation_list list = {0};
  unsigned char hash[32];
  add(&list, REVOCATION_INFOHASH, RIG_HEX_V2, 1, 0);
  assert_int_equal(list.count, 2);
  EVP_Digest(RIG_HEX_V2, 64, hash, NULL, EVP_sha256(), NULL);
  assert_memory_equal(list.items[0].hash, hash, 32);
  EVP_Digest(RIG_HEX_V2, 40, hash, NULL, EVP_sha256(), NULL);
  assert_memory_equal(list.items[1].hash, hash, 32);
  add(&list, REVOCATION_JTI, RIG_HEX_V2, 7, 0); /* of the same form, and no infohash */
  add(&list, REVOCATION_INFOHASH, RIG_HEX_V1, 7, 0);
  assert_int_equal(list.count, 4);
  assert_int_equal(list.items[2].kind, REVOCATION_JTI);
  assert_int_equal(list.items[2].at, 7);
  revocation_list_free(&list);
  assert_int_equal(list.count, 0);
}

static void a_token_is_refused_up_to_the_time(void **state) {
  (void)state;
  static const char *const values[] = {"id", "r/alice", "r/team/app", "key", "header's key"};
  static const enum revocation_kind kinds[] = {
      REVOCATION_JTI, REVOCATION_SUB, REVOCATION_REPOSITORY, REVOCATION_KID, REVOCATION_KID};
  const struct token t = {.kind = TOKEN_SWARM,
                          .id = SLICE("id"),
                          .subject = SLICE("r/alice"),
                          .registry = SLICE("r"),
                          .repository = SLICE("team/app")};
  struct revocation_names names;
  revocation_names_of(&t, SLICE("key"), SLICE("header's key"), &names);
  for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
    struct revocation_list list = {0};
    for (int kind = 1; kind <= REVOCATION_KINDS; kind++) {
      if (kind != (int)kinds[i]) { /* what is revoked as something else is no matter */
        add(&list, (enum revocation_kind)kind, values[i], RIG_NOW + 100, 0);
      }
    }
    add(&list, kinds[i], values[i], RIG_NOW, 0);
    struct revocation_set *set = set_of(&list);
    assert_int_equal(revocation_set_refuses(set, &names, RIG_NOW - 1), kinds[i]);
    assert_int_equal(revocation_set_refuses(set, &names, RIG_NOW), kinds[i]);
    assert_int_equal(revocation_set_refuses(set, &names, RIG_NOW + 1), 0);
    assert_int_equal(revocation_set_refuses(set, &names, 0), kinds[i]);
    revocation_set_free(set);
  }
}

static void what_has_no_name_is_not_refused(void **state) {
  (void)state;
  struct revocation_list list = {0};
  const struct revocation none = {.kind = REVOCATION_JTI, .at = RIG_NOW, .expires = INT64_MAX};
  assert_int_equal(revocation_list_add_hash(&list, &none, NULL), 0); /* its name would be 0 */
  struct revocation_set *set = set_of(&list);
  assert_int_equal(revocation_set_count(set), 1);
  assert_int_equal(revocation_set_refuses(set, &(struct revocation_names){0}, 0), 0);
  revocation_set_free(set);
}

static void an_infohash_is_refused_however_it_was_revoked(void **state) {
  (void)state;
  static const char *const values[] = {RIG_HEX_V1, RIG_HEX_V2};
  for (unsigned char i = 0; i < 2; i++) {
    struct revocation_list list = {0};
    unsigned char infohash[20];
    for (unsigned char k = 0; k < 20; k++) {
      infohash[k] = (unsigned char)((i == 0 ? 0x01 : 0xa1) + k);
    }
    add(&list, REVOCATION_JTI, values[i], RIG_NOW + 100, 0);
    struct revocation_set *set = set_of(&list);
    assert_false(revocation_set_refuses_infohash(set, infohash, 0));
    revocation_set_free(set);
    add(&list, REVOCATION_INFOHASH, values[i], RIG_NOW, 0);
    set = set_of(&list);
    assert_true(revocation_set_refuses_infohash(set, infohash, RIG_NOW));
    assert_true(revocation_set_refuses_infohash(set, infohash, 0));
    assert_false(revocation_set_refuses_infohash(set, infohash, RIG_NOW + 1));
    assert_true(revocation_set_refuses_name(set, REVOCATION_INFOHASH, name_of(values[i]), RIG_NOW));
    infohash[19] ^= 1;
    assert_false(revocation_set_refuses_infohash(set, infohash, RIG_NOW));
    revocation_set_free(set);
  }
}

static void the_latest_of_several_counts(void **state) {
  (void)state;
  struct revocation_list list = {0};
  int64_t until = 0;
  add(&list, REVOCATION_SUB, "a", 100, RIG_NOW + 5);
  add(&list, REVOCATION_SUB, "a", 300, RIG_NOW + 3);
  add(&list, REVOCATION_SUB, "a", 200, RIG_NOW + 9);
  struct revocation_set *set = set_of(&list);
  assert_int_equal(revocation_set_count(set), 1);
  assert_true(revocation_set_refuses_name(set, REVOCATION_SUB, name_of("a"), 300));
  assert_false(revocation_set_refuses_name(set, REVOCATION_SUB, name_of("a"), 301));
  assert_int_equal(revocation_set_bars(set, name_of("a"), 0, RIG_NOW, &until), REVOCATION_SUB);
  assert_int_equal(until, RIG_NOW + 9);
  revocation_set_free(set);
}

static void the_expired_are_left_out(void **state) {
  (void)state;
  struct revocation_list list = {0};
  for (int64_t i = -1; i <= 1; i++) {
    const struct revocation like = {.kind = REVOCATION_JTI, .at = 1, .expires = RIG_NOW + i};
    char value[2] = {(char)('b' + i), 0};
    assert_int_equal(revocation_list_add(&list, &like, slice_str(value), NULL), 0);
  }
  struct revocation_set *set = set_of(&list);
  assert_int_equal(revocation_set_count(set), 1);
  assert_true(revocation_set_refuses_name(set, REVOCATION_JTI, name_of("c"), 0));
  revocation_set_free(set);
}

static void issuing_is_barred_until_then(void **state) {
  (void)state;
  struct revocation_list list = {0};
  int64_t until = 0;
  add(&list, REVOCATION_SUB, "r/alice", RIG_NOW, RIG_NOW + 600);
  add(&list, REVOCATION_SUB, "r/mallory", RIG_NOW, REVOCATION_BAN);
  add(&list, REVOCATION_SUB, "r/bob", RIG_NOW, 0);
  add(&list, REVOCATION_REPOSITORY, "r/app", RIG_NOW, RIG_NOW + 60);
  add(&list, REVOCATION_REPOSITORY, "r/tool", RIG_NOW, RIG_NOW + 900);
  struct revocation_set *set = set_of(&list);
  const uint64_t alice = name_of("r/alice"), mallory = name_of("r/mallory"), bob = name_of("r/bob"),
                 app = name_of("r/app"), tool = name_of("r/tool"), base = name_of("r/base");
  assert_int_equal(revocation_set_bars(set, alice, base, RIG_NOW + 599, &until), REVOCATION_SUB);
  assert_int_equal(until, RIG_NOW + 600);
  assert_int_equal(revocation_set_bars(set, alice, base, RIG_NOW + 600, &until), 0);
  assert_int_equal(revocation_set_bars(set, bob, base, RIG_NOW, &until), 0);
  assert_int_equal(revocation_set_bars(set, bob, app, RIG_NOW, &until), REVOCATION_REPOSITORY);
  assert_int_equal(until, RIG_NOW + 60);
  assert_int_equal(revocation_set_bars(set, 0, app, RIG_NOW, &until), REVOCATION_REPOSITORY);
  assert_int_equal(revocation_set_bars(set, alice, app, RIG_NOW, &until), REVOCATION_SUB);
  assert_int_equal(revocation_set_bars(set, alice, app, RIG_NOW + 60, &until), REVOCATION_SUB);
  assert_int_equal(revocation_set_bars(set, alice, tool, RIG_NOW, &until), REVOCATION_REPOSITORY);
  assert_int_equal(until, RIG_NOW + 900);
  assert_int_equal(revocation_set_bars(set, mallory, 0, INT64_MAX - 1, &until), REVOCATION_SUB);
  assert_true(until == REVOCATION_BAN);
  assert_int_equal(revocation_set_bars(set, 0, 0, RIG_NOW, &until), 0);
  assert_int_equal(revocation_set_bars(set, app, alice, RIG_NOW, &until), 0); /* not each other's */
  revocation_set_free(set);
}

/* Every one is found under its own kind, at its own time, and no other is. */
static void a_hundred_thousand(void **state) {
  (void)state;
  enum { COUNT = 100000 };
  struct revocation_list list = {0};
  char value[32];
  for (int i = 0; i < COUNT; i++) {
    snprintf(value, sizeof value, "value %d", i);
    add(&list, (enum revocation_kind)(i % REVOCATION_KINDS + 1), value, i, 0);
  }
  struct revocation_set *set = set_of(&list);
  assert_int_equal(revocation_set_count(set), COUNT);
  for (int i = 0; i < 2 * COUNT; i++) {
    snprintf(value, sizeof value, "value %d", i);
    uint64_t name = revocation_name(slice_str(value));
    for (int k = 0; k < REVOCATION_KINDS; k++) {
      bool own = i < COUNT && k == i % REVOCATION_KINDS;
      enum revocation_kind kind = (enum revocation_kind)(k + 1);
      assert_int_equal(revocation_set_refuses_name(set, kind, name, i), own);
      assert_false(revocation_set_refuses_name(set, kind, name, i + 1));
    }
  }
  revocation_set_free(set);
}

static void only_another_set_is_a_new_generation(void **state) {
  (void)state;
  struct revocations *revocations = revocations_new();
  struct revocation_list list = {0};
  uint64_t generation = 0;
  assert_non_null(revocations);
  assert_int_equal(revocations_generation(revocations), 1);
  assert_int_equal(revocation_set_count(revocations_hold(revocations, &generation)), 0);
  revocations_release(revocations);
  assert_int_equal(generation, 1);
  assert_false(revocations_replace(revocations, set_of(&list)));
  assert_int_equal(revocations_generation(revocations), 1);
  const int64_t times[][2] = {{5, 0}, {6, 0}, {6, 7}}; /* each differs from the one before */
  for (size_t i = 0; i < 3; i++) {
    for (int again = 0; again < 2; again++) {
      /* In another order it is the same. */
      add(&list, REVOCATION_SUB, again == 0 ? "a" : "b", times[i][0], times[i][1]);
      add(&list, REVOCATION_SUB, again == 0 ? "b" : "a", times[i][0], times[i][1]);
      assert_int_equal(revocations_replace(revocations, set_of(&list)), again == 0);
      assert_int_equal(revocations_generation(revocations), i + 2);
    }
  }
  const struct revocation_set *held = revocations_hold(revocations, NULL);
  assert_true(revocation_set_refuses_name(held, REVOCATION_SUB, name_of("b"), 6));
  revocations_release(revocations);
  revocations_free(revocations);
  revocations_free(NULL);
}

/* In the set of generation g, name g is refused and no later one. */
struct watched {
  struct revocations *revocations;
  atomic_bool ended;
  atomic_int faults;
};

static void *watch(void *arg) {
  struct watched *w = arg;
  uint64_t before = 0;
  while (!atomic_load(&w->ended)) {
    uint64_t seen = revocations_generation(w->revocations), generation;
    const struct revocation_set *set = revocations_hold(w->revocations, &generation);
    bool good =
        generation >= seen && seen >= before && revocation_set_count(set) == generation - 1 &&
        revocation_set_refuses_name(set, REVOCATION_JTI, generation, 0) == (generation > 1) &&
        !revocation_set_refuses_name(set, REVOCATION_JTI, generation + 1, 0);
    revocations_release(w->revocations);
    before = generation;
    atomic_fetch_add(&w->faults, !good);
  }
  return NULL;
}

static void threads_share_the_set_in_force(void **state) {
  (void)state;
  enum { READERS = 3, SETS = 500 };
  struct watched w = {.revocations = revocations_new()};
  pthread_t threads[READERS];
  struct revocation_list list = {0};
  for (size_t i = 0; i < READERS; i++) {
    assert_int_equal(pthread_create(&threads[i], NULL, watch, &w), 0);
  }
  for (uint64_t name = 2; name < SETS; name++) {
    struct revocation r = {.kind = REVOCATION_JTI, .at = 1, .expires = INT64_MAX};
    memcpy(r.hash, &name, sizeof name);
    assert_int_equal(revocation_list_add_hash(&list, &r, NULL), 0);
    struct revocation_set *set = revocation_set_new(&list, 0);
    assert_non_null(set);
    assert_true(revocations_replace(w.revocations, set));
  }
  atomic_store(&w.ended, true);
  for (size_t i = 0; i < READERS; i++) {
    pthread_join(threads[i], NULL);
  }
  assert_int_equal(atomic_load(&w.faults), 0);
  revocation_list_free(&list);
  revocations_free(w.revocations);
}

static void it_is_fresh_until_then(void **state) {
  (void)state;
  struct revocations *revocations = revocations_new();
  uint64_t generation = revocations_generation(revocations);
  assert_true(revocations_fresh(revocations, INT64_MAX));
  revocations_set_fresh(revocations, 10);
  assert_true(revocations_fresh(revocations, 10));
  assert_false(revocations_fresh(revocations, 11));
  assert_int_equal(revocations_generation(revocations), generation);
  revocations_free(revocations);
}

static int make_all(void *arg, struct error *e) {
  (void)arg;
  const struct revocation like = {.kind = REVOCATION_INFOHASH, .at = 1, .expires = INT64_MAX};
  struct revocation_list list = {0};
  struct revocations *revocations = revocations_new();
  struct revocation_set *set = NULL;
  int rc = revocations == NULL ? error_set(e, ERROR_FAILED, "out of memory") : 0;
  for (int i = 0; i < 40 && rc == 0; i++) {
    size_t before = list.count;
    rc = revocation_list_add(&list, &like, SLICE(RIG_HEX_V2), e) != 0 ||
                 revocation_list_add_hash(&list, &like, e) != 0
             ? -1
             : 0;
    assert_true(rc == 0 || list.count == before || list.count == before + 2);
  }
  if (rc == 0) {
    set = revocation_set_new(&list, 0);
    rc = set == NULL ? error_set(e, ERROR_FAILED, "out of memory") : 0;
  }
  if (set != NULL) {
    assert_int_equal(revocation_set_count(set), 3);
    assert_true(revocations_replace(revocations, set));
  }
  revocation_list_free(&list);
  revocations_free(revocations);
  return rc;
}

static void memory_runs_out(void **state) {
  (void)state;
  heap_exhaust(make_all, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(names_of_a_swarm_token),
      cmocka_unit_test(names_of_a_registry_token),
      cmocka_unit_test(a_list_has_the_hash_of_the_full_value),
      cmocka_unit_test(a_token_is_refused_up_to_the_time),
      cmocka_unit_test(what_has_no_name_is_not_refused),
      cmocka_unit_test(an_infohash_is_refused_however_it_was_revoked),
      cmocka_unit_test(the_latest_of_several_counts),
      cmocka_unit_test(the_expired_are_left_out),
      cmocka_unit_test(issuing_is_barred_until_then),
      cmocka_unit_test(a_hundred_thousand),
      cmocka_unit_test(only_another_set_is_a_new_generation),
      cmocka_unit_test(threads_share_the_set_in_force),
      cmocka_unit_test(it_is_fresh_until_then),
      cmocka_unit_test(memory_runs_out),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
