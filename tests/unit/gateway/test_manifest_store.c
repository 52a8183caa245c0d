/* Manifests that are remembered; their requests are test_manifests.c. */
#include "world.h"

#include <stdlib.h>

enum { LARGE = 4 * 1024 * 1024 };

struct news {
  unsigned told;
  enum errand_outcome outcome;
};

static void on_news(void *arg, const struct errand_news *news) {
  struct news *n = arg;
  n->told++;
  n->outcome = news->outcome;
}

static struct errand_wait *ask(struct world *w, const char *digest, struct news *news) {
  struct error e = {0};
  const struct errand_question question = {.registry = SLICE(WORLD_REGISTRY),
                                           .repository = SLICE(WORLD_REPOSITORY),
                                           .digest = slice_str(digest),
                                           .size = ERRAND_SIZE_UNKNOWN};
  return manifest_store_ask(w->options.manifests, &w->loop, &question, on_news, news, &e);
}

static bool has(struct world *w, const char *digest) {
  struct arena arena = {0};
  struct manifest_text text;
  bool found = manifest_store_find(w->options.manifests, SLICE(WORLD_REGISTRY),
                                   SLICE(WORLD_REPOSITORY), slice_str(digest), &arena, &text);
  assert_true(!found || text.bytes.len == LARGE);
  arena_free(&arena);
  return found;
}

static void await(struct world *w, const char *digest) {
  struct news news = {0};
  assert_non_null(ask(w, digest, &news));
  while (news.told == 0) {
    uv_run(&w->loop, UV_RUN_ONCE);
  }
  assert_int_equal(news.outcome, ERRAND_DONE);
}

static void the_one_longest_not_used_goes(void **state) {
  enum { KEPT = MANIFEST_STORE_BYTES / LARGE };
  struct world *w = *state;
  char *bytes[KEPT + 1];
  const char *digests[KEPT + 1];
  world_start_manifests(w);
  for (size_t i = 0; i <= KEPT; i++) {
    bytes[i] = calloc(1, LARGE);
    assert_non_null(bytes[i]);
    bytes[i][0] = (char)i;
    digests[i] = world_add(w, "text/plain", NULL, slice_of(bytes[i], LARGE))->digest;
    await(w, digests[i]);
    assert_true(has(w, digests[0])); /* it is used all the time */
  }
  assert_false(has(w, digests[1]));
  assert_int_equal(w->registry.request_count, KEPT + 1);
  await(w, digests[0]); /* whoever asks just then */
  assert_int_equal(w->registry.request_count, KEPT + 1);
  for (size_t i = 2; i <= KEPT; i++) {
    assert_true(has(w, digests[i]));
  }
  for (size_t i = 0; i <= KEPT; i++) {
    free(bytes[i]);
  }
}

static void reads_some_at_once_and_a_bounded_number(void **state) {
  struct world *w = *state;
  struct errand_wait *waits[MANIFEST_STORE_MOST];
  struct news news = {0};
  char digest[72];
  world_start_manifests(w);
  w->registry.silent = true;
  for (unsigned i = 0; i < MANIFEST_STORE_MOST; i++) {
    world_digest(i, digest);
    waits[i] = ask(w, digest, &news);
    assert_non_null(waits[i]);
  }
  world_digest(MANIFEST_STORE_MOST, digest);
  assert_null(ask(w, digest, &news));
  world_await_requests(w, &w->registry, MANIFEST_STORE_AT_ONCE);
  world_idle(w);
  assert_int_equal(w->registry.request_count, MANIFEST_STORE_AT_ONCE);
  for (unsigned i = 0; i < MANIFEST_STORE_MOST; i++) {
    errand_leave(waits[i]);
  }
  assert_int_equal(news.told, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(the_one_longest_not_used_goes, world_setup, world_teardown),
      cmocka_unit_test_setup_teardown(reads_some_at_once_and_a_bounded_number, world_setup,
                                      world_teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
