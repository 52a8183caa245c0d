/* A tracker that stands alone: which lists it takes, and what it is without one. */
#include "gateway/subscription.h"

#include "auth/revocation_feed.h"
#include "base/clock.h"
#include "unit/cmocka_all.h"
#include "unit/gateway/issuer.h"

#include <stdlib.h>

#define NOW   INT64_C(1800000000)
#define ALICE "registry.example/alice"
#define BOB   "registry.example/bob"

struct rig {
  struct issuer issuer;
  struct key key, strange; /* private */
  struct keyring *keyring;
  struct revocations *revocations;
  struct subscription *subscription;
  bool started;
  struct buf list; /* what write_list() made last */
};

static char *copy(const char *text) {
  char *made = strdup(text);
  assert_non_null(made);
  return made;
}

static void make_key(struct key *out) {
  struct buf pem = {0};
  assert_int_equal(key_generate(KEY_ES256, &pem, NULL), 0);
  assert_int_equal(key_parse_private(buf_view(&pem), "rig", out, NULL), 0);
  buf_free(&pem);
}

/* Row 0 for registry tokens alone, row 1 for swarm tokens. */
static struct keyring_state *make_state(const struct key *registry, const struct key *swarm) {
  const struct key *keys[] = {registry, swarm};
  struct keyring_state *state = keyring_state_new();
  state->trust =
      (struct trust){.rows = calloc(2, sizeof(struct trust_row)), .count = 2, .leeway = 60};
  for (size_t i = 0; i < 2; i++) {
    struct trust_row *row = &state->trust.rows[i];
    *row = (struct trust_row){.issuer = copy("swarmgate"),
                              .audience = copy("swarmgate-tracker"),
                              .keys = {.keys = calloc(1, sizeof(struct key)), .count = 1},
                              .algorithms = KEY_ALL,
                              .accept = i == 0 ? TOKEN_REGISTRY : TOKEN_SWARM};
    assert_int_equal(key_public(keys[i], row->keys.keys, NULL), 0);
  }
  return state;
}

static int set_up(void **state) {
  struct rig *rig = calloc(1, sizeof *rig);
  assert_non_null(rig);
  issuer_open(&rig->issuer);
  make_key(&rig->key);
  make_key(&rig->strange);
  rig->keyring = keyring_new(make_state(&rig->strange, &rig->key));
  rig->revocations = revocations_new();
  const struct subscription_options options = {.url = rig->issuer.url,
                                               .keyring = rig->keyring,
                                               .revocations = rig->revocations,
                                               .log = &rig->issuer.log};
  rig->subscription = subscription_new(&options);
  assert_non_null(rig->subscription);
  *state = rig;
  return 0;
}

static int tear_down(void **state) {
  struct rig *rig = *state;
  if (rig->started) {
    subscription_stop(rig->subscription);
  }
  issuer_close(&rig->issuer);
  subscription_free(rig->subscription);
  revocations_free(rig->revocations);
  keyring_free(rig->keyring);
  key_free(&rig->key);
  key_free(&rig->strange);
  buf_free(&rig->list);
  free(rig);
  return 0;
}

/* A list of one subject, by \p key, of \p iat. */
static struct slice write_list(struct rig *rig, const struct key *key, const char *sub,
                               int64_t iat) {
  const struct revocation like = {.kind = REVOCATION_SUB, .at = NOW, .expires = INT64_MAX};
  struct revocation_list list = {0};
  assert_int_equal(revocation_list_add(&list, &like, slice_str(sub), NULL), 0);
  buf_free(&rig->list);
  assert_int_equal(
      revocation_feed_write(key, "swarmgate", "swarmgate-tracker", &list, iat, &rig->list, NULL),
      0);
  revocation_list_free(&list);
  return buf_view(&rig->list);
}

static bool is_revoked(struct rig *rig, const char *sub) {
  const struct revocation_set *set = revocations_hold(rig->revocations, NULL);
  bool revoked =
      revocation_set_refuses_name(set, REVOCATION_SUB, revocation_name(slice_str(sub)), NOW);
  revocations_release(rig->revocations);
  return revoked;
}

/* Whether sessions are honoured, and if not that the words for it hold \p says. */
static bool is_ready(struct rig *rig, int64_t now, const char *says) {
  struct buf why = {0};
  bool ready = subscription_ready(rig->subscription, now, &why);
  assert_int_equal(ready, revocations_fresh(rig->revocations, now));
  buf_append(&why, "", 1);
  assert_non_null(strstr(why.ptr, ready ? "" : says));
  buf_free(&why);
  return ready;
}

/* That the list is refused, for that reason, and changes nothing. */
static void refuses(struct rig *rig, struct slice list, int64_t now, const char *why) {
  struct error e = {0};
  uint64_t generation = revocations_generation(rig->revocations);
  bool fresh = revocations_fresh(rig->revocations, now);
  assert_int_equal(subscription_take(rig->subscription, list, now, &e), -1);
  assert_int_equal(e.kind, ERROR_DENIED);
  if (strstr(e.text, why) == NULL) {
    fail_msg("`%s` does not say `%s`", e.text, why);
  }
  assert_int_equal(revocations_generation(rig->revocations), generation);
  assert_int_equal(revocations_fresh(rig->revocations, now), fresh);
}

static void take(struct rig *rig, struct slice list, int64_t now) {
  struct error e = {0};
  if (subscription_take(rig->subscription, list, now, &e) != 0) {
    fail_msg("%s", e.text);
  }
}

static void without_a_list_no_session_goes_on(void **state) {
  struct rig *rig = *state;
  assert_false(is_ready(rig, NOW, "no list of revocations has come from http://127.0.0.1:"));
  refuses(rig, SLICE(""), NOW, "");
  refuses(rig, SLICE("<html>no such page</html>"), NOW, "");
  assert_false(is_ready(rig, NOW, "no list"));
  take(rig, write_list(rig, &rig->key, ALICE, NOW), NOW);
  assert_true(is_ready(rig, NOW, ""));
  assert_true(is_revoked(rig, ALICE));
}

static void a_list_is_fresh_for_five_minutes(void **state) {
  struct rig *rig = *state;
  take(rig, write_list(rig, &rig->key, ALICE, NOW), NOW + 20);
  assert_true(is_ready(rig, NOW + 300, ""));
  assert_false(is_ready(rig, NOW + 301, " is 301 s old: no session goes on past its token's exp"));
  assert_true(is_revoked(rig, ALICE)); /* stays in force */
  take(rig, write_list(rig, &rig->key, BOB, NOW + 400), NOW + 401);
  assert_true(is_ready(rig, NOW + 401, ""));
  assert_false(is_revoked(rig, ALICE));
  assert_true(is_revoked(rig, BOB));
  /* By clocks that differ it is taken for a little longer, but it is no younger for that. */
  take(rig, write_list(rig, &rig->key, ALICE, NOW + 500), NOW + 830);
  assert_false(is_ready(rig, NOW + 830, "330 s old"));
  assert_true(is_revoked(rig, ALICE));
}

static void an_older_list_is_refused(void **state) {
  struct rig *rig = *state;
  struct slice replayed = write_list(rig, &rig->key, BOB, NOW);
  char *old = strndup(replayed.ptr, replayed.len);
  assert_non_null(old);
  take(rig, slice_str(old), NOW);
  take(rig, write_list(rig, &rig->key, ALICE, NOW + 2), NOW + 2);
  refuses(rig, slice_str(old), NOW + 3, "older by 2 s than the list that was taken last");
  assert_true(is_revoked(rig, ALICE));
  assert_false(is_revoked(rig, BOB));
  /* Nor does it make what is there any fresher. */
  refuses(rig, slice_str(old), NOW + 303, "older by 2 s");
  assert_false(is_ready(rig, NOW + 303, "301 s old"));
  take(rig, write_list(rig, &rig->key, ALICE, NOW + 2), NOW + 3); /* the same once more is none */
  free(old);
}

static void another_key_s_list_is_refused(void **state) {
  struct rig *rig = *state;
  /* Its key is trusted, but not for swarm tokens. */
  refuses(rig, write_list(rig, &rig->strange, ALICE, NOW), NOW, "does not verify");
  take(rig, write_list(rig, &rig->key, ALICE, NOW), NOW);
  refuses(rig, write_list(rig, &rig->strange, BOB, NOW + 5), NOW + 5, "does not verify");
  char *cut = strndup(write_list(rig, &rig->key, BOB, NOW + 5).ptr, rig->list.len - 9);
  refuses(rig, slice_str(cut), NOW + 5, "");
  free(cut);
  assert_true(is_revoked(rig, ALICE));
  /* It is another's turn. */
  keyring_replace(rig->keyring, make_state(&rig->key, &rig->strange), NOW);
  refuses(rig, write_list(rig, &rig->key, BOB, NOW + 6), NOW + 6, "does not verify");
  take(rig, write_list(rig, &rig->strange, BOB, NOW + 7), NOW + 7);
  assert_true(is_revoked(rig, BOB));
}

/* --- over HTTP --- */

static void start(struct rig *rig) {
  subscription_start(rig->subscription, &rig->issuer.loop, rig->issuer.client);
  rig->started = true;
}

static void await_fresh(struct rig *rig) {
  while (!revocations_fresh(rig->revocations, clock_now())) {
    uv_run(&rig->issuer.loop, UV_RUN_ONCE);
  }
}

static void await_logged(struct rig *rig, const char *text, unsigned count) {
  while (issuer_logged(text) < count) {
    uv_run(&rig->issuer.loop, UV_RUN_ONCE);
  }
}

/* Down, up, down, full of garbage, up: each change is logged once, however often it was asked. */
static void polls_whatever_comes(void **state) {
  struct rig *rig = *state;
  struct issuer *issuer = &rig->issuer;
  static const char cannot[] = "cannot take the revocations of another machine: ",
                    again[] = "are taken again", first[] = "took the first list of revocations",
                    stay[] = "those that were taken before stay in force";
  issuer->status = 503;
  start(rig);
  issuer_await(issuer, 4);
  assert_int_equal(issuer_logged(cannot), 1);
  assert_int_equal(issuer_logged("it answers 503"), 1);
  assert_int_equal(issuer_logged(stay), 0); /* for there are none */
  assert_int_equal(issuer_logged("no list of revocations has come"), 1);
  issuer->answer = write_list(rig, &rig->key, ALICE, clock_now());
  issuer->status = 200;
  await_fresh(rig);
  await_logged(rig, first, 1);
  assert_int_equal(issuer_logged("sessions go on again"), 1);
  assert_true(is_revoked(rig, ALICE));
  issuer->answer = SLICE("garbage");
  await_logged(rig, cannot, 2);
  assert_int_equal(issuer_logged(stay), 1);
  issuer_await(issuer, issuer->asked + 4);
  assert_int_equal(issuer_logged(cannot), 2);
  assert_int_equal(issuer_logged("no list of revocations has come"), 1); /* fresh still */
  assert_true(is_revoked(rig, ALICE));
  issuer->answer = write_list(rig, &rig->key, BOB, clock_now());
  while (!is_revoked(rig, BOB)) {
    uv_run(&issuer->loop, UV_RUN_ONCE);
  }
  await_logged(rig, again, 1);
  assert_int_equal(issuer_logged(first), 1);
}

static void stops_while_an_answer_is_awaited(void **state) {
  struct rig *rig = *state;
  rig->issuer.status = 0;
  start(rig);
  issuer_await(&rig->issuer, 1);
  /* One at a time. */
  for (int i = 0; i < 100; i++) {
    uv_run(&rig->issuer.loop, UV_RUN_ONCE);
  }
  assert_int_equal(rig->issuer.asked, 1);
}

static void stops_before_it_has_begun(void **state) {
  struct rig *rig = *state;
  start(rig);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(without_a_list_no_session_goes_on),
      TEST(a_list_is_fresh_for_five_minutes),
      TEST(an_older_list_is_refused),
      TEST(another_key_s_list_is_refused),
      TEST(polls_whatever_comes),
      TEST(stops_while_an_answer_is_awaited),
      TEST(stops_before_it_has_begun),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
