/* Passwords: which are looked at, remembered, counted, held up. */
#include "base/base64.h"
#include "gateway/guesses.h"
#include "gateway/login.h"

#include "token_rig.h"

#include <stdio.h>

static void tells_wrong_and_unknown_not_apart(void **state) {
  struct rig *r = *state;
  static const char *const fields[] = {MALLORY, UNKNOWN, "Authorization: Basic /zpzZWNyZXQ=\r\n"};
  struct buf first = {0};
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
    struct http_memory *m = token_rig_get(r, "scope=repository:public/tool:pull", fields[i]);
    struct reply reply = world_wait(r->w, m);
    assert_problem(&reply, 401, "UNAUTHORIZED");
    assert_int_equal(r->looks, i + 1);
    if (i == 0) {
      buf_slice(&first, reply.body);
    }
    assert_true(slice_equal(buf_view(&first), reply.body));
    http_memory_free(m);
  }
  buf_free(&first);
}

/* As containerd shows an identity token that was refused. */
static void no_name_is_not_nobody(void **state) {
  struct rig *r = *state;
  assert_int_equal(token_rig_status(r, token_rig_get(r, "scope=repository:public/tool:pull",
                                                     "Authorization: Basic OnRva2Vu\r\n")),
                   401);
  assert_int_equal(r->looks, 0);
}

static void remembers_what_was_right(void **state) {
  struct rig *r = *state;
  struct user_change changed = {"alice", "another", NULL, 0};
  for (unsigned i = 0; i < 5; i++) {
    assert_int_equal(token_rig_status(r, token_rig_get(r, "", ALICE)), 200);
    assert_int_equal(r->looks, 1);
  }
  assert_int_equal(token_rig_status(r, token_rig_get(r, "", MALLORY)), 401);
  assert_int_equal(token_rig_status(r, token_rig_get(r, "", MALLORY)), 401);
  assert_int_equal(r->looks, 3);
  r->now_ms += LOGIN_REMEMBER_MS - 1;
  assert_int_equal(token_rig_status(r, token_rig_get(r, "", ALICE)), 200);
  assert_int_equal(r->looks, 3);
  r->now_ms += 1;
  assert_int_equal(token_rig_status(r, token_rig_get(r, "", ALICE)), 200);
  assert_int_equal(r->looks, 4);
  token_rig_change(r, token_rig_set_password, &changed);
  r->looks = 0;
  assert_int_equal(token_rig_status(r, token_rig_get(r, "", ALICE)), 401);
  assert_int_equal(r->looks, 1);
  char name[] = "alice";
  token_rig_change(r, token_rig_remove_user, name);
  assert_int_equal(token_rig_status(r, token_rig_get(r, "", ALICE)), 401);
}

static void looks_at_the_same_once(void **state) {
  struct rig *r = *state;
  struct http_memory *m[20];
  r->waits = true;
  for (size_t i = 0; i < 20; i++) {
    m[i] = token_rig_get(r, "scope=" APP "pull", i % 2 == 0 ? ALICE : MALLORY);
  }
  token_rig_wait_for_looks(r, 2);
  token_rig_let_go(r, 2);
  for (size_t i = 0; i < 20; i++) {
    assert_int_equal(token_rig_status(r, m[i]), i % 2 == 0 ? 200 : 401);
  }
  assert_int_equal(r->looks, 2);
}

/* One waits on, one has left, and what is wrong counts although nobody waits. */
static void survives_callers_who_leave_while_it_hashes(void **state) {
  struct rig *r = *state;
  r->waits = true;
  struct http_memory *leaves = token_rig_get(r, "", ALICE), *stays = token_rig_get(r, "", ALICE);
  struct http_memory *alone = token_rig_get(r, "", UNKNOWN);
  token_rig_wait_for_looks(r, 2);
  http_memory_free(leaves);
  http_memory_free(alone);
  world_idle(r->w);
  assert_int_equal(http_memory_output(stays).len, 0);
  token_rig_let_go(r, 2);
  assert_int_equal(token_rig_status(r, stays), 200);
}

static void guess(struct rig *r, unsigned times, int status) {
  for (unsigned i = 0; i < times; i++) {
    assert_int_equal(token_rig_status(r, token_rig_get(r, "", MALLORY)), status);
  }
}

static void holds_up_who_guesses(void **state) {
  struct rig *r = *state;
  assert_int_equal(token_rig_status(r, token_rig_get(r, "", BOB)), 200);
  guess(r, GUESSES_FREE + 1, 401);
  r->looks = 0;
  struct http_memory *m = token_rig_get(r, "", MALLORY);
  struct reply reply = world_wait(r->w, m);
  assert_problem(&reply, 429, "TOOMANYREQUESTS");
  assert_slice(reply_field(&reply, "Retry-After"), "1");
  http_memory_free(m);
  /* The right one too, for it might be guessed; but nobody else. */
  assert_int_equal(token_rig_status(r, token_rig_get(r, "", ALICE)), 429);
  assert_int_equal(r->looks, 0);
  assert_int_equal(token_rig_status(r, token_rig_get(r, "", BOB)), 200);
  m = token_rig_send(r, "192.0.2.2", "GET /token HTTP/1.1\r\nHost: g\r\n" ALICE "\r\n");
  assert_int_equal(token_rig_status(r, m), 200);
  /* Nor is it told from wrong ones when it is remembered because the user has logged in elsewhere.
   */
  assert_int_equal(token_rig_status(r, token_rig_get(r, "", ALICE)), 429);
  assert_int_equal(token_rig_status(r, token_rig_get(r, "", MALLORY)), 429);
}

/* One node of many with an old password must not lock the others behind its address out. */
static void holds_up_nobody_who_was_right_there(void **state) {
  struct rig *r = *state;
  struct http_memory *m =
      token_rig_send(r, "192.0.2.2", "GET /token HTTP/1.1\r\nHost: g\r\n" ALICE "\r\n");
  assert_int_equal(token_rig_status(r, m), 200);
  r->now_ms += 1000;
  assert_int_equal(token_rig_status(r, token_rig_get(r, "", ALICE)), 200);
  assert_int_equal(r->looks, 1);
  guess(r, GUESSES_FREE + 1, 401);
  guess(r, 1, 429);
  assert_int_equal(token_rig_status(r, token_rig_get(r, "", ALICE)), 200);
  /* As long as it would be remembered anyway. */
  r->now_ms += LOGIN_REMEMBER_MS - 1001;
  guess(r, 1, 401);
  guess(r, 1, 429);
  assert_int_equal(token_rig_status(r, token_rig_get(r, "", ALICE)), 200);
  r->now_ms += 1;
  assert_int_equal(token_rig_status(r, token_rig_get(r, "", ALICE)), 429);
}

static void holds_up_for_a_while_only(void **state) {
  struct rig *r = *state;
  guess(r, GUESSES_FREE + 1, 401);
  r->now_ms += 999;
  assert_int_equal(token_rig_status(r, token_rig_get(r, "", ALICE)), 429);
  r->now_ms += 1;
  guess(r, 1, 401);
  r->now_ms += 1001;
  struct http_memory *m = token_rig_get(r, "", ALICE);
  struct reply reply = world_wait(r->w, m);
  assert_problem(&reply, 429, "TOOMANYREQUESTS");
  assert_slice(reply_field(&reply, "Retry-After"), "1");
  http_memory_free(m);
  r->now_ms += 999;
  assert_int_equal(token_rig_status(r, token_rig_get(r, "", ALICE)), 200);
  /* The right one makes good for all. */
  guess(r, GUESSES_FREE, 401);
  r->now_ms += LOGIN_REMEMBER_MS;
  assert_int_equal(token_rig_status(r, token_rig_get(r, "", ALICE)), 200);
}

static struct http_memory *log_in(struct rig *r, const char *credentials) {
  char encoded[128], field[256];
  base64_encode(BASE64_STANDARD, credentials, strlen(credentials), encoded);
  snprintf(field, sizeof field, "Authorization: Basic %s\r\n", encoded);
  return token_rig_get(r, "", field);
}

static struct http_memory *guess_number(struct rig *r, size_t number) {
  char credentials[64];
  snprintf(credentials, sizeof credentials, "alice:wrong%zu", number);
  return log_in(r, credentials);
}

/* As many at once as one by one, and after the wait one. */
static void holds_up_who_guesses_at_once(void **state) {
  struct rig *r = *state;
  struct http_memory *m[GUESSES_FREE + 1];
  r->waits = true;
  for (size_t i = 0; i <= GUESSES_FREE; i++) {
    m[i] = guess_number(r, i);
  }
  assert_int_equal(token_rig_status(r, guess_number(r, GUESSES_FREE + 1)), 429);
  struct http_memory *same = guess_number(r, 0);
  token_rig_let_go(r, GUESSES_FREE + 1);
  for (size_t i = 0; i <= GUESSES_FREE; i++) {
    assert_int_equal(token_rig_status(r, m[i]), 401);
  }
  assert_int_equal(token_rig_status(r, same), 401);
  assert_int_equal(r->looks, GUESSES_FREE + 1);
  r->now_ms += 2000; /* for which the twelfth held it up: the same one was sent twice */
  r->waits = true;
  same = guess_number(r, 0);
  assert_int_equal(token_rig_status(r, guess_number(r, 1)), 429);
  struct http_memory *other =
      token_rig_send(r, "192.0.2.2", "GET /token HTTP/1.1\r\nHost: g\r\n" ALICE "\r\n");
  token_rig_let_go(r, 2);
  assert_int_equal(token_rig_status(r, same), 401);
  assert_int_equal(token_rig_status(r, other), 200);
}

/* A guess whose sender does not wait for the answer. */
static void counts_guesses_that_were_left(void **state) {
  struct rig *r = *state;
  const unsigned idle = r->w->loop.active_handles;
  for (unsigned i = 0; i <= GUESSES_FREE; i++) {
    r->waits = true;
    struct http_memory *m = token_rig_get(r, "", MALLORY);
    token_rig_wait_for_looks(r, i + 1);
    http_memory_free(m);
    token_rig_let_go(r, 1);
    while (r->w->loop.active_handles > idle) {
      uv_run(&r->w->loop, UV_RUN_ONCE);
    }
  }
  guess(r, 1, 429);
}

/* Of as many users as there are numbers. */
static struct http_memory *log_in_as(struct rig *r, size_t number) {
  char credentials[64];
  snprintf(credentials, sizeof credentials, "user%zu:secret", number);
  return log_in(r, credentials);
}

/* Who leaves before his turn has asked nothing: else what a flood has left behind would be looked
 * at long after it, and the server not end before. */
static void looks_at_nothing_that_nobody_waits_for(void **state) {
  struct rig *r = *state;
  struct http_memory *m[LOGIN_THREADS + 1];
  r->waits = true;
  for (size_t i = 0; i < LOGIN_THREADS; i++) {
    m[i] = log_in_as(r, i);
  }
  token_rig_wait_for_looks(r, LOGIN_THREADS);
  struct http_memory *left = token_rig_get(r, "", ALICE), *stays = token_rig_get(r, "", ALICE);
  http_memory_free(left);
  for (unsigned i = 0; i <= GUESSES_FREE; i++) {
    http_memory_free(guess_number(r, 0));
  }
  m[LOGIN_THREADS] = log_in_as(r, LOGIN_THREADS);
  token_rig_let_go(r, LOGIN_THREADS);
  token_rig_wait_for_looks(r, LOGIN_THREADS + 2);
  /* It was passed over just now, and comes again. */
  struct http_memory *again = guess_number(r, 0);
  assert_int_equal(token_rig_status(r, again), 401);
  for (size_t i = 0; i <= LOGIN_THREADS; i++) {
    assert_int_equal(token_rig_status(r, m[i]), 401);
  }
  assert_int_equal(token_rig_status(r, stays), 200);
  assert_int_equal(r->looks, LOGIN_THREADS + 3);
  guess(r, 1, 401);
}

static void let_go(uv_work_t *work) {
  token_rig_let_go(work->data, LOGIN_WAITING_PLACE_MAX);
}

static void on_gone(uv_work_t *work, int status) {
  (void)status;
  work->data = NULL;
}

/* Revocations are read on libuv's threads: a queue of passwords must not stand before them. Here it
 * waits for what is queued behind it, and without threads of its own for ever. */
static void keeps_nobody_from_the_threads_of_libuv(void **state) {
  struct rig *r = *state;
  struct http_memory *m[LOGIN_WAITING_PLACE_MAX];
  uv_work_t work = {.data = r};
  r->waits = true;
  for (size_t i = 0; i < LOGIN_WAITING_PLACE_MAX; i++) {
    m[i] = log_in_as(r, i);
  }
  token_rig_wait_for_looks(r, LOGIN_THREADS);
  assert_int_equal(uv_queue_work(&r->w->loop, &work, let_go, on_gone), 0);
  for (size_t i = 0; i < LOGIN_WAITING_PLACE_MAX; i++) {
    assert_int_equal(token_rig_status(r, m[i]), 401);
  }
  while (work.data != NULL) {
    uv_run(&r->w->loop, UV_RUN_ONCE);
  }
}

static void few_wait_at_once(void **state) {
  struct rig *r = *state;
  struct http_memory *m[LOGIN_WAITING_PLACE_MAX];
  r->waits = true;
  for (size_t i = 0; i < LOGIN_WAITING_PLACE_MAX; i++) {
    m[i] = log_in_as(r, i);
  }
  struct http_memory *late = token_rig_get(r, "", ALICE);
  struct reply reply = world_wait(r->w, late);
  assert_problem(&reply, 503, "UNAVAILABLE");
  assert_slice(reply_field(&reply, "Retry-After"), "1");
  http_memory_free(late);
  struct http_memory *other =
      token_rig_send(r, "192.0.2.2", "GET /token HTTP/1.1\r\nHost: g\r\n" ALICE "\r\n");
  assert_int_equal(http_memory_output(other).len, 0);
  token_rig_let_go(r, LOGIN_WAITING_PLACE_MAX + 1);
  for (size_t i = 0; i < LOGIN_WAITING_PLACE_MAX; i++) {
    assert_int_equal(token_rig_status(r, m[i]), 401);
  }
  assert_int_equal(token_rig_status(r, other), 200);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, token_rig_setup, token_rig_teardown)
  const struct CMUnitTest tests[] = {
      TEST(tells_wrong_and_unknown_not_apart),
      TEST(no_name_is_not_nobody),
      TEST(remembers_what_was_right),
      TEST(looks_at_the_same_once),
      TEST(survives_callers_who_leave_while_it_hashes),
      TEST(holds_up_who_guesses),
      TEST(holds_up_nobody_who_was_right_there),
      TEST(holds_up_for_a_while_only),
      TEST(holds_up_who_guesses_at_once),
      TEST(counts_guesses_that_were_left),
      TEST(looks_at_nothing_that_nobody_waits_for),
      TEST(keeps_nobody_from_the_threads_of_libuv),
      TEST(few_wait_at_once),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
