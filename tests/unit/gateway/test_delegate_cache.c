#include "gateway/delegate_cache.h"

#include "unit/cmocka_all.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define DIGEST "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
#define OTHER  "sha256:60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"

static const struct delegate_question question = {
    .repository = "team/app",
    .digest = DIGEST,
    .authorization = {"Basic YWxpY2U6c2VjcmV0", 22},
};
static const struct delegate_answer yes = {.verdict = DELEGATE_YES, .status = 200};

static int setup(void **state) {
  struct error e = {0};
  *state = delegate_cache_new(&e);
  if (*state == NULL) {
    fail_msg("%s", e.text);
  }
  return 0;
}

static int teardown(void **state) {
  delegate_cache_free(*state);
  return 0;
}

static bool knows(struct delegate_cache *cache, const char *registry,
                  const struct delegate_question *q, uint64_t now) {
  struct delegate_ticket ticket;
  struct delegate_answer answer;
  return delegate_cache_find(cache, slice_str(registry), q, now, &ticket, &answer);
}

static void keep(struct delegate_cache *cache, const struct delegate_question *q, uint64_t now,
                 const struct delegate_answer *answer) {
  struct delegate_ticket ticket;
  struct delegate_answer ignored;
  assert_false(delegate_cache_find(cache, SLICE("r"), q, now, &ticket, &ignored));
  delegate_cache_keep(cache, &ticket, answer);
}

static void keeps_a_yes_for_a_minute(void **state) {
  struct delegate_cache *cache = *state;
  keep(cache, &question, 1000, &yes);
  assert_true(knows(cache, "r", &question, 1000));
  assert_true(knows(cache, "r", &question, 60999));
  assert_false(knows(cache, "r", &question, 61000));
  assert_int_equal(DELEGATE_CACHE_KEEP_MS, 60000);
}

/* The time that the registry takes to answer is no gift. */
static void counts_from_the_question(void **state) {
  struct delegate_cache *cache = *state;
  struct delegate_ticket ticket;
  struct delegate_answer answer;
  assert_false(delegate_cache_find(cache, SLICE("r"), &question, 1000, &ticket, &answer));
  assert_true(ticket.asked == 1000);
  delegate_cache_keep(cache, &ticket, &yes);
  assert_false(knows(cache, "r", &question, 61000));
}

/* A later yes to the same question counts from its own time. */
static void a_later_answer_takes_the_place_of_an_earlier(void **state) {
  struct delegate_cache *cache = *state;
  struct delegate_ticket tickets[2];
  struct delegate_answer answer;
  for (size_t i = 0; i < 2; i++) {
    assert_false(
        delegate_cache_find(cache, SLICE("r"), &question, 1000 + i * 500, &tickets[i], &answer));
  }
  for (size_t i = 0; i < 2; i++) {
    delegate_cache_keep(cache, &tickets[i], &yes);
    assert_int_equal(delegate_cache_count(cache), 1);
  }
  assert_true(knows(cache, "r", &question, 61400));
  assert_false(knows(cache, "r", &question, 61500));
}

static void keeps_the_size_that_a_yes_depends_on(void **state) {
  struct delegate_cache *cache = *state;
  struct delegate_ticket ticket;
  struct delegate_answer answer;
  const struct delegate_answer if_size = {
      .verdict = DELEGATE_YES_IF_SIZE, .status = 200, .size = UINT64_C(1) << 40};
  keep(cache, &question, 0, &if_size);
  assert_true(delegate_cache_find(cache, SLICE("r"), &question, 1, &ticket, &answer));
  assert_int_equal(answer.verdict, DELEGATE_YES_IF_SIZE);
  assert_true(answer.size == UINT64_C(1) << 40);
  assert_int_equal(answer.status, 200);
  assert_int_equal(answer.challenge.len, 0);
}

static void keeps_nothing_but_a_yes(void **state) {
  static const enum delegate_verdict verdicts[] = {DELEGATE_CHALLENGE, DELEGATE_HIDDEN,
                                                   DELEGATE_UNCLEAR};
  struct delegate_cache *cache = *state;
  for (size_t i = 0; i < sizeof verdicts / sizeof verdicts[0]; i++) {
    const struct delegate_answer answer = {.verdict = verdicts[i]};
    keep(cache, &question, 0, &answer);
    assert_false(knows(cache, "r", &question, 0));
  }
  assert_int_equal(delegate_cache_count(cache), 0);
}

static void tells_questions_apart(void **state) {
  static const struct {
    const char *registry;
    struct delegate_question question;
  } rows[] = {
      {"r2", {"team/app", DIGEST, false, {"Basic YWxpY2U6c2VjcmV0", 22}}},
      {"r", {"team/ap", DIGEST, false, {"Basic YWxpY2U6c2VjcmV0", 22}}},
      {"r", {"team/app", OTHER, false, {"Basic YWxpY2U6c2VjcmV0", 22}}},
      {"r", {"team/app", DIGEST, false, {"Basic YWxpY2U6c2VjcmV", 21}}},
      {"r", {"team/app", DIGEST, false, {"Bearer YWxpY2U6c2VjcmV0", 23}}},
      {"r", {"team/app", DIGEST, false, {"", 0}}},
      {"r", {"team/app", DIGEST, true, {"Basic YWxpY2U6c2VjcmV0", 22}}}, /* of a manifest */
      {"rt",
       {"eam/app", DIGEST, false, {"Basic YWxpY2U6c2VjcmV0", 22}}}, /* the same bytes in a row */
  };
  struct delegate_cache *cache = *state;
  keep(cache, &question, 0, &yes);
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    if (knows(cache, rows[i].registry, &rows[i].question, 0)) {
      fail_msg("row %zu", i);
    }
  }
  assert_true(knows(cache, "r", &question, 0));
}

static void forgets_all(void **state) {
  struct delegate_cache *cache = *state;
  struct delegate_ticket ticket;
  struct delegate_answer answer;
  keep(cache, &question, 0, &yes);
  delegate_cache_flush(cache);
  assert_int_equal(delegate_cache_count(cache), 0);
  assert_false(delegate_cache_find(cache, SLICE("r"), &question, 0, &ticket, &answer));

  /* Nor does an answer count that was on its way. */
  delegate_cache_flush(cache);
  delegate_cache_keep(cache, &ticket, &yes);
  assert_false(knows(cache, "r", &question, 0));
  keep(cache, &question, 0, &yes);
  assert_true(knows(cache, "r", &question, 0));
}

static struct delegate_question numbered(unsigned number, char repository[16]) {
  snprintf(repository, 16, "r%u", number);
  struct delegate_question q = question;
  q.repository = repository;
  return q;
}

static void the_oldest_goes(void **state) {
  struct delegate_cache *cache = *state;
  char name[16];
  keep(cache, &question, 0, &yes);
  delegate_cache_flush(cache); /* what it leaves in the ring is nobody's */
  for (unsigned i = 0; i < DELEGATE_CACHE_MAX + 2; i++) {
    struct delegate_question q = numbered(i, name);
    keep(cache, &q, 0, &yes);
  }
  assert_int_equal(delegate_cache_count(cache), DELEGATE_CACHE_MAX);
  assert_int_equal(DELEGATE_CACHE_MAX, 65536);
  for (unsigned i = 0; i < 4; i++) {
    struct delegate_question q = numbered(i, name);
    assert_int_equal(knows(cache, "r", &q, 0), i >= 2);
    q = numbered(DELEGATE_CACHE_MAX + 1 - i, name);
    assert_true(knows(cache, "r", &q, 0));
  }
}

/* The key is the process's own: another one's table helps nobody to find out a password. */
static void hashes_with_a_key_of_its_own(void **state) {
  struct delegate_cache *second = delegate_cache_new(NULL);
  struct delegate_ticket tickets[2];
  struct delegate_answer answer;
  assert_non_null(second);
  delegate_cache_find(*state, SLICE("r"), &question, 0, &tickets[0], &answer);
  delegate_cache_find(second, SLICE("r"), &question, 0, &tickets[1], &answer);
  assert_memory_not_equal(tickets[0].key.hash, tickets[1].key.hash, MEMO_HASH);
  delegate_cache_free(second);
}

enum { THREADS = 4, ROUNDS = 300 };

static void *ask_and_keep(void *arg) {
  struct delegate_cache *cache = arg;
  char name[16];
  for (unsigned i = 0; i < ROUNDS; i++) {
    struct delegate_question q = numbered(i % 20, name);
    struct delegate_ticket ticket;
    struct delegate_answer answer;
    if (!delegate_cache_find(cache, SLICE("r"), &q, i, &ticket, &answer)) {
      delegate_cache_keep(cache, &ticket, &yes);
    }
  }
  return NULL;
}

static void serves_all_loops(void **state) {
  struct delegate_cache *cache = *state;
  pthread_t threads[THREADS];
  for (size_t i = 0; i < THREADS; i++) {
    assert_int_equal(pthread_create(&threads[i], NULL, ask_and_keep, cache), 0);
  }
  for (unsigned i = 0; i < ROUNDS; i++) {
    delegate_cache_flush(cache);
  }
  for (size_t i = 0; i < THREADS; i++) {
    pthread_join(threads[i], NULL);
  }
  ask_and_keep(cache);
  assert_int_equal(delegate_cache_count(cache), 20); /* each is there once */
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(keeps_a_yes_for_a_minute),
      TEST(counts_from_the_question),
      TEST(a_later_answer_takes_the_place_of_an_earlier),
      TEST(keeps_the_size_that_a_yes_depends_on),
      TEST(keeps_nothing_but_a_yes),
      TEST(tells_questions_apart),
      TEST(forgets_all),
      TEST(the_oldest_goes),
      TEST(hashes_with_a_key_of_its_own),
      TEST(serves_all_loops),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
