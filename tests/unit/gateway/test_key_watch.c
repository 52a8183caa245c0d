/* Keys that are fetched: how often, and what stays when they cannot be. */
#include "gateway/key_watch.h"

#include "auth/jwk.h"
#include "unit/cmocka_all.h"
#include "unit/gateway/issuer.h"

#include <stdio.h>
#include <stdlib.h>

#define NOW     INT64_C(1800000000)
#define HEX     "0102030405060708090a0b0c0d0e0f1011121314"
#define CANNOT  "cannot fetch the keys of an issuer: "
#define FETCHED "fetched 1 key from http://127.0.0.1:"

enum { KEYS = 3 };

struct rig {
  struct issuer issuer;
  struct key keys[KEYS]; /* private */
  struct buf jwks[KEYS]; /* of one of them each */
  struct keyring *keyring;
  struct key_watch *watch;
};

static uint64_t clock_ms;

/* The linker's --wrap makes the name. NOLINTBEGIN(cert-dcl51-cpp) */
uint64_t __wrap_clock_monotonic_ms(void);
uint64_t __wrap_clock_monotonic_ms(void) {
  return clock_ms;
}
/* NOLINTEND(cert-dcl51-cpp) */

static char *copy(const char *text) {
  char *made = strdup(text);
  assert_non_null(made);
  return made;
}

/* Rows `issuer`, `again` and so on, one for each URL. */
static struct keyring_state *make_state(const char *const *urls, size_t count) {
  static const char *const issuers[] = {"issuer", "again", "third"};
  struct keyring_state *state = keyring_state_new();
  state->trust = (struct trust){
      .rows = calloc(count + 1, sizeof(struct trust_row)), .count = count, .leeway = 60};
  for (size_t i = 0; i < count; i++) {
    state->trust.rows[i] = (struct trust_row){.issuer = copy(issuers[i]),
                                              .audience = copy("tracker"),
                                              .keys = {.named = true},
                                              .algorithms = KEY_ALL,
                                              .accept = TOKEN_SWARM,
                                              .source = trust_source_new(urls[i])};
  }
  return state;
}

static void make_key(struct rig *rig, size_t i) {
  struct buf pem = {0};
  assert_int_equal(key_generate(KEY_ES256, &pem, NULL), 0);
  assert_int_equal(key_parse_private(buf_view(&pem), "rig", &rig->keys[i], NULL), 0);
  assert_int_equal(jwks_write(&rig->keys[i], 1, &rig->jwks[i], NULL), 0);
  buf_free(&pem);
}

static int set_up(void **state) {
  struct rig *rig = calloc(1, sizeof *rig);
  assert_non_null(rig);
  clock_ms = 5000;
  issuer_open(&rig->issuer);
  for (size_t i = 0; i < KEYS; i++) {
    make_key(rig, i);
  }
  const char *const urls[] = {rig->issuer.url, rig->issuer.url};
  rig->keyring = keyring_new(make_state(urls, 2));
  rig->watch =
      key_watch_new(&(struct key_watch_options){.keyring = rig->keyring, .log = &rig->issuer.log});
  assert_non_null(rig->watch);
  rig->issuer.answer = buf_view(&rig->jwks[0]);
  *state = rig;
  return 0;
}

static int tear_down(void **state) {
  struct rig *rig = *state;
  key_watch_stop(rig->watch);
  issuer_close(&rig->issuer);
  key_watch_free(rig->watch);
  keyring_free(rig->keyring);
  for (size_t i = 0; i < KEYS; i++) {
    key_free(&rig->keys[i]);
    buf_free(&rig->jwks[i]);
  }
  free(rig);
  return 0;
}

static void start(struct rig *rig) {
  key_watch_start(rig->watch, &rig->issuer.loop, rig->issuer.client);
}

/* Whether a token of \p issuer by that key is good. */
static bool good(struct rig *rig, const char *issuer, size_t key) {
  static const struct slice infohash = {HEX, 40};
  const struct token claims = {.kind = TOKEN_SWARM,
                               .issuer = slice_str(issuer),
                               .audience = SLICE("tracker"),
                               .issued = NOW,
                               .expires = NOW + 600,
                               .infohash_texts = &infohash,
                               .infohash_count = 1};
  struct buf jws = {0};
  struct arena arena = {0};
  struct token out;
  assert_int_equal(token_sign(&rig->keys[key], &claims, &jws, NULL), 0);
  bool valid = keyring_verify(rig->keyring, buf_view(&jws), TOKEN_SWARM, NOW, &arena, &out, NULL) ==
               TOKEN_VALID;
  arena_free(&arena);
  buf_free(&jws);
  return valid;
}

static void await_good(struct rig *rig, size_t key) {
  while (!good(rig, "issuer", key)) {
    uv_run(&rig->issuer.loop, UV_RUN_ONCE);
  }
}

static void await_logged(struct rig *rig, const char *text, unsigned count) {
  while (issuer_logged(text) < count) {
    uv_run(&rig->issuer.loop, UV_RUN_ONCE);
  }
}

/* Many of its seconds; whatever is under way ends in them. */
static void pass(struct rig *rig) {
  for (int i = 0; i < 60; i++) {
    uv_run(&rig->issuer.loop, UV_RUN_ONCE);
  }
}

static bool ready(const struct rig *rig) {
  struct buf why = {0};
  bool is = key_watch_ready(rig->watch, &why);
  buf_append(&why, "", 1);
  char expected[128];
  snprintf(expected, sizeof expected, "not fetched yet: %s", rig->issuer.url);
  assert_string_equal(why.ptr, is ? "" : expected);
  buf_free(&why);
  return is;
}

static void are_fetched_again_before_they_are_stale(void **state) {
  struct rig *rig = *state;
  start(rig);
  await_logged(rig, FETCHED, 1);
  assert_true(good(rig, "issuer", 0));
  assert_true(good(rig, "again", 0)); /* one fetch for both rows */
  assert_true(ready(rig));
  clock_ms += KEY_WATCH_PAUSE_MS;
  pass(rig);
  assert_int_equal(rig->issuer.asked, 1);
  clock_ms += KEY_WATCH_FRESH_MS - KEY_WATCH_PAUSE_MS - 1;
  pass(rig);
  assert_int_equal(rig->issuer.asked, 1);
  rig->issuer.answer = buf_view(&rig->jwks[1]);
  clock_ms++;
  await_good(rig, 1);
  assert_false(good(rig, "issuer", 0));
  await_logged(rig, FETCHED, 2);
  assert_int_equal(rig->issuer.asked, 2);
  assert_int_equal(issuer_logged(CANNOT), 0);
}

/* However many tokens name however many keys: one in so many seconds. */
static void an_unknown_key_has_them_fetched(void **state) {
  struct rig *rig = *state;
  start(rig);
  await_good(rig, 0);
  await_logged(rig, FETCHED, 1);
  uint64_t generation = keyring_generation(rig->keyring);
  for (unsigned asked = 1; asked <= 3; asked++) {
    for (int i = 0; i < 50; i++) {
      assert_false(good(rig, i % 2 == 0 ? "issuer" : "again", 1 + (size_t)i % 2));
      uv_run(&rig->issuer.loop, UV_RUN_NOWAIT);
    }
    pass(rig);
    assert_int_equal(rig->issuer.asked, asked);
    assert_int_equal(keyring_generation(rig->keyring), generation); /* the same keys came */
    if (asked == 3) {
      rig->issuer.answer = buf_view(&rig->jwks[1]); /* what a rotation comes to */
    }
    clock_ms += KEY_WATCH_PAUSE_MS - 1;
    pass(rig);
    assert_int_equal(rig->issuer.asked, asked);
    clock_ms++;
    issuer_await(&rig->issuer, asked + 1);
  }
  while (keyring_generation(rig->keyring) == generation) {
    uv_run(&rig->issuer.loop, UV_RUN_ONCE);
  }
  assert_true(good(rig, "issuer", 1));
  clock_ms += KEY_WATCH_PAUSE_MS;
  pass(rig); /* nothing was missed */
  assert_int_equal(rig->issuer.asked, 4);
}

static void what_cannot_be_fetched_changes_nothing(void **state) {
  struct rig *rig = *state;
  start(rig);
  await_good(rig, 0);
  await_logged(rig, FETCHED, 1);
  uint64_t generation = keyring_generation(rig->keyring);
  struct buf huge = {0};
  buf_str(&huge, "{\"keys\":[],\"pad\":\"");
  for (int i = 0; i < 1025; i++) {
    buf_printf(&huge, "%01024d", i);
  }
  buf_str(&huge, "\"}");
  struct buf pem = {0}, private = {0};
  assert_int_equal(key_generate(KEY_ES256, &pem, NULL), 0);
  buf_printf(&private,
             "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"a\",\"d\":\"AA\"}]}");
  const struct {
    int status;
    struct slice answer;
    const char *says;
  } answers[] = {
      {500, buf_view(&rig->jwks[1]), "it answers 500"},
      {302, buf_view(&rig->jwks[1]), "use the URL that this leads to"},
      {200, SLICE(""), "holds no key"},
      {200, SLICE("<html>no such page</html>"), "holds no key"},
      {200, SLICE("{\"keys\":{}}"), "not a JWKS"},
      {200, SLICE("{\"keys\":[]}"), "not a JWKS"},
      {200, SLICE("{\"keys\":[{\"kty\":\"EC\"}]}"), "no key of use"},
      {200, buf_view(&huge), "larger than 1048576 bytes"},
      {200, buf_view(&pem), "it is no JWKS"},
      {200, buf_view(&private), "private"},
  };
  for (unsigned i = 0; i < sizeof answers / sizeof *answers; i++) {
    rig->issuer.status = answers[i].status;
    rig->issuer.answer = answers[i].answer;
    clock_ms += KEY_WATCH_FRESH_MS;
    await_logged(rig, CANNOT, i + 1);
    if (issuer_logged(answers[i].says) == 0) {
      fail_msg("answer %u: `%s` is not logged", i, answers[i].says);
    }
    assert_int_equal(keyring_generation(rig->keyring), generation);
    assert_true(good(rig, "issuer", 0));
    assert_true(ready(rig));
    /* Once more, which is not logged; and then all is well. */
    unsigned asked = rig->issuer.asked;
    clock_ms += KEY_WATCH_PAUSE_MS;
    issuer_await(&rig->issuer, asked + 1);
    pass(rig);
    assert_int_equal(issuer_logged(CANNOT), i + 1);
    rig->issuer.status = 200;
    rig->issuer.answer = buf_view(&rig->jwks[0]);
    clock_ms += KEY_WATCH_PAUSE_MS;
    await_logged(rig, FETCHED, i + 2);
  }
  buf_free(&huge);
  buf_free(&pem);
  buf_free(&private);
}

static void without_any_it_is_not_ready(void **state) {
  struct rig *rig = *state;
  rig->issuer.status = 503;
  start(rig);
  await_logged(rig, CANNOT, 1);
  assert_false(ready(rig));
  clock_ms += KEY_WATCH_PAUSE_MS - 1;
  pass(rig);
  assert_int_equal(rig->issuer.asked, 1);
  rig->issuer.status = 200;
  clock_ms++;
  await_good(rig, 0);
  await_logged(rig, FETCHED, 1);
  assert_true(ready(rig));
}

/* A reload puts other rows in force. */
static void follows_the_rows(void **state) {
  struct rig *rig = *state;
  start(rig);
  await_good(rig, 0);
  await_logged(rig, FETCHED, 1);
  char other[80];
  snprintf(other, sizeof other, "%s2", rig->issuer.url);
  const char *const two[] = {rig->issuer.url, other};
  struct keyring_state *fresh = make_state(two, 2);
  assert_int_equal(keyring_reload(rig->keyring, fresh, NOW, NULL), 0);
  assert_true(good(rig, "issuer", 0));
  await_logged(rig, FETCHED, 2);
  assert_int_equal(rig->issuer.asked, 2);
  assert_true(good(rig, "again", 0));
  keyring_replace(rig->keyring, make_state(NULL, 0), NOW);
  clock_ms += KEY_WATCH_FRESH_MS;
  pass(rig);
  assert_int_equal(rig->issuer.asked, 2);
  assert_true(ready(rig));
}

static void a_reload_has_them_fetched_at_once(void **state) {
  struct rig *rig = *state;
  start(rig);
  await_good(rig, 0);
  await_logged(rig, FETCHED, 1);
  rig->issuer.answer = buf_view(&rig->jwks[2]);
  pass(rig);
  assert_true(good(rig, "issuer", 0));
  key_watch_refresh(rig->watch);
  await_good(rig, 2);
  assert_int_equal(rig->issuer.asked, 2);
}

static void stops_while_an_answer_is_awaited(void **state) {
  struct rig *rig = *state;
  rig->issuer.status = 0;
  start(rig);
  issuer_await(&rig->issuer, 1);
  clock_ms += KEY_WATCH_FRESH_MS;
  pass(rig);
  assert_int_equal(rig->issuer.asked, 1); /* one at a time */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(are_fetched_again_before_they_are_stale),
      TEST(an_unknown_key_has_them_fetched),
      TEST(what_cannot_be_fetched_changes_nothing),
      TEST(without_any_it_is_not_ready),
      TEST(follows_the_rows),
      TEST(a_reload_has_them_fetched_at_once),
      TEST(stops_while_an_answer_is_awaited),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
