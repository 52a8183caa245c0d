/* Torrents that are made when they are first asked for. */
#include "world.h"

#include <stdio.h>

#define LARGE (3 * 1024 * 1024 + 17)

static struct http_memory *ask_in(struct world *w, const char *repository) {
  char request[512];
  snprintf(request, sizeof request, "GET /v1/%s/blobs/%s HTTP/1.1\r\nHost: g\r\n\r\n", repository,
           w->registry.digest);
  return world_send(w, request);
}

static struct http_memory *ask(struct world *w) {
  return ask_in(w, WORLD_REPOSITORY);
}

static size_t count(const struct upstream *u, const char *method) {
  size_t n = 0;
  for (size_t i = 0; i < u->request_count; i++) {
    n += strcmp(u->requests[i].method, method) == 0;
  }
  return n;
}

/* The registry's blob, whose torrent is the same as what the tool would make. */
static void assert_torrent(struct world *w, struct http_memory *m) {
  struct arena arena = {0};
  struct metainfo made;
  struct error e = {0};
  struct reply r = world_wait(w, m);
  assert_int_equal(r.status, 200);
  if (metainfo_read(r.body, &arena, &made, &e) != 0) {
    fail_msg("%s", e.text);
  }
  assert_int_equal(made.size, w->registry.size);
  assert_int_equal(made.piece_length, torrent_piece_length(w->registry.size));
  assert_slice(slice_from(made.name, strlen("sha256-")), w->registry.digest + strlen("sha256:"));
  world_register(w, w->options.format, NULL); /* fails for another torrent of this infohash */
  arena_free(&arena);
}

static void makes_what_is_missing(void **state) {
  static const enum torrent_format formats[] = {TORRENT_V1, TORRENT_V2, TORRENT_HYBRID};
  for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
    if (i > 0) {
      world_setup(state);
    }
    struct world *w = *state;
    w->options.format = formats[i];
    world_put_blob(w, slice_of(NULL, 0), LARGE);
    world_start_hashing(w, 0);
    struct http_memory *m = ask(w);
    assert_torrent(w, m);
    http_memory_free(m);
    assert_true(world_registered(w, WORLD_REPOSITORY));
    assert_int_equal(w->registry.sent, LARGE);
    if (i + 1 < sizeof formats / sizeof formats[0]) {
      world_teardown(state);
    }
  }
}

/* The caller's credentials are for the question alone. */
static void reads_with_credentials_of_its_own(void **state) {
  struct world *w = *state;
  w->registry.challenge = "Basic realm=\"registry\"";
  world_start_hashing(w, 0);
  w->registry.redirect_get = w->storage.url;
  struct http_memory *m = ask(w);
  assert_torrent(w, m);
  http_memory_free(m);
  assert_int_equal(w->registry.sent, 0);
  assert_int_equal(w->storage.request_count, 1);
  assert_string_equal(w->storage.requests[0].authorization, "");
}

static void reads_once_for_all_who_ask(void **state) {
  enum { ASKERS = 20 };
  struct world *w = *state;
  struct http_memory *m[ASKERS];
  world_put_blob(w, slice_of(NULL, 0), LARGE);
  world_start_hashing(w, 0);
  for (size_t i = 0; i < ASKERS; i++) {
    m[i] = ask_in(w, i % 2 == 0 ? WORLD_REPOSITORY : "team/other");
  }
  for (size_t i = 0; i < ASKERS; i++) {
    assert_torrent(w, m[i]);
    http_memory_free(m[i]);
  }
  assert_int_equal(count(&w->registry, "GET"), 1);
  assert_true(world_registered(w, WORLD_REPOSITORY));
  assert_true(world_registered(w, "team/other"));
}

static bool number_of(const struct reply *r, const char *name, uint64_t *out) {
  char key[32];
  int len = snprintf(key, sizeof key, "\"%s\":", name);
  const char *at = memmem(r->body.ptr, r->body.len, key, (size_t)len);
  if (at == NULL) {
    return false;
  }
  struct slice digits = slice_from(r->body, (size_t)(at - r->body.ptr) + (size_t)len);
  digits.len = strspn(digits.ptr, "0123456789");
  return slice_u64(digits, out);
}

static void says_how_far_it_is(void **state) {
  struct world *w = *state;
  uint64_t done = 0;
  uint64_t size = 0;
  world_put_blob(w, slice_of(NULL, 0), LARGE);
  world_start_hashing(w, 1);
  w->registry.silent = true;
  struct http_memory *m = ask(w);
  world_await_requests(w, &w->registry, 1);
  world_answer_held(&w->registry); /* the question; the blob is still to come */
  struct reply r = world_wait(w, m);
  assert_int_equal(r.status, 202);
  assert_slice(reply_field(&r, "Retry-After"), "1");
  assert_slice(reply_field(&r, "Content-Type"), "application/json");
  assert_true(number_of(&r, "done", &done));
  assert_int_equal(done, 0);
  assert_false(number_of(&r, "size", &size)); /* nobody has said it yet */
  assert_non_null(memmem(r.body.ptr, r.body.len, w->registry.digest, 71));
  http_memory_free(m);

  /* The blob begins to come, and is never read to its end while it is asked for again. */
  world_await_requests(w, &w->registry, 2);
  assert_string_equal(w->registry.requests[1].method, "GET");
  assert_false(world_registered(w, WORLD_REPOSITORY));
  world_answer_held(&w->registry);
  do {
    m = ask(w);
    r = world_wait(w, m);
    if (r.status == 202 && number_of(&r, "size", &size)) {
      assert_int_equal(size, LARGE);
      assert_true(number_of(&r, "done", &done));
      assert_true(done <= LARGE);
    }
    int status = r.status;
    http_memory_free(m);
    if (status == 200) {
      break;
    }
    assert_int_equal(status, 202);
  } while (true);
  assert_int_equal(count(&w->registry, "GET"), 1);
}

static void goes_on_when_nobody_waits(void **state) {
  struct world *w = *state;
  world_start_hashing(w, 0);
  w->registry.silent = true;
  struct http_memory *m = ask(w);
  world_await_requests(w, &w->registry, 1);
  world_answer_held(&w->registry);
  world_await_requests(w, &w->registry, 2);
  http_memory_free(m);
  world_answer_held(&w->registry);
  while (!world_registered(w, WORLD_REPOSITORY)) {
    uv_run(&w->loop, UV_RUN_NOWAIT);
  }
}

/* Asks, is refused, and asks again once the registry is right: nothing was remembered. */
static void assert_refused(struct world *w, int status, const char *code) {
  struct upstream *u = &w->registry;
  struct http_memory *m = ask(w);
  struct reply r = world_wait(w, m);
  assert_problem(&r, status, code);
  http_memory_free(m);
  assert_false(world_registered(w, WORLD_REPOSITORY));
  u->get_status = 0;
  u->say_more = 0;
  u->cut_at = 0;
  u->wrong_at = 0;
  m = ask(w);
  assert_torrent(w, m);
  http_memory_free(m);
}

static void says_why_there_is_none(void **state) {
  static const struct {
    int get_status, status;
    const char *code;
    uint64_t wrong_at, cut_at;
  } rows[] = {
      {404, 404, "BLOB_UNKNOWN", 0, 0},      {401, 502, "UNAVAILABLE", 0, 0},
      {403, 502, "UNAVAILABLE", 0, 0},       {500, 502, "UNAVAILABLE", 0, 0},
      {204, 502, "UNAVAILABLE", 0, 0},       {0, 502, "UNAVAILABLE", 1, 0},
      {0, 502, "UNAVAILABLE", LARGE, 0},     {0, 502, "UNAVAILABLE", 0, 1},
      {0, 502, "UNAVAILABLE", 0, LARGE - 1},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    if (i > 0) {
      world_setup(state);
    }
    struct world *w = *state;
    world_put_blob(w, slice_of(NULL, 0), LARGE);
    world_start_hashing(w, 0);
    w->registry.get_status = rows[i].get_status;
    w->registry.wrong_at = rows[i].wrong_at;
    w->registry.cut_at = rows[i].cut_at;
    assert_refused(w, rows[i].status, rows[i].code);
    if (i + 1 < sizeof rows / sizeof rows[0]) {
      world_teardown(state);
    }
  }
}

/* A registry that names no digest says yes to a size; it is that of the bytes, or it is no yes. */
static void finds_out_the_size_that_a_yes_depends_on(void **state) {
  struct world *w = *state;
  world_start_hashing(w, 0);
  w->registry.say_digest = "";
  w->registry.silent = true;
  w->registry.say_more = 5;
  struct http_memory *m = ask(w);
  world_await_requests(w, &w->registry, 1);
  world_answer_held(&w->registry);
  w->registry.say_more = 0;
  world_await_requests(w, &w->registry, 2);
  world_answer_held(&w->registry);
  struct reply r = world_wait(w, m);
  assert_problem(&r, 502, "UNAVAILABLE");
  http_memory_free(m);
  assert_false(world_registered(w, WORLD_REPOSITORY));

  w->registry.silent = false;
  delegate_cache_flush(w->options.delegate_cache);
  m = ask(w);
  assert_torrent(w, m);
  http_memory_free(m);
}

static void makes_none_for_who_has_no_right(void **state) {
  struct world *w = *state;
  world_start_hashing(w, 0);
  for (int status = 401; status <= 404; status++) {
    w->registry.status = status;
    struct http_memory *m = ask(w);
    assert_true(world_wait(w, m).status >= 400);
    http_memory_free(m);
  }
  world_idle(w);
  assert_int_equal(count(&w->registry, "GET"), 0);
}

/* --- errands, without a gateway --- */

struct news {
  unsigned told;
  enum errand_outcome outcome;
};

static void on_news(void *arg, const struct errand_news *news) {
  struct news *n = arg;
  n->told++;
  n->outcome = news->outcome;
}

static struct errand_wait *ask_digest(struct world *w, const char *digest, struct news *news) {
  struct error e = {0};
  const struct errand_question question = {.registry = SLICE(WORLD_REGISTRY),
                                           .repository = SLICE(WORLD_REPOSITORY),
                                           .digest = slice_str(digest),
                                           .size = ERRAND_SIZE_UNKNOWN};
  return hashing_ask(w->options.hashing, &w->loop, &question, on_news, news, &e);
}

static struct errand_wait *ask_number(struct world *w, unsigned number, struct news *news) {
  char digest[72];
  world_digest(number, digest);
  return ask_digest(w, digest, news);
}

/* Who asks may have looked just before it was there. */
static void reads_nothing_that_was_made_meanwhile(void **state) {
  struct world *w = *state;
  struct news news = {0};
  world_start_hashing(w, 0);
  world_register(w, TORRENT_V1, NULL);
  assert_non_null(ask_digest(w, w->registry.digest, &news));
  while (news.told == 0) {
    uv_run(&w->loop, UV_RUN_ONCE);
  }
  assert_int_equal(news.outcome, ERRAND_DONE);
  assert_int_equal(w->registry.request_count, 0);
}

static void takes_two_at_once_and_a_bounded_number(void **state) {
  struct world *w = *state;
  struct news news = {0};
  struct errand_wait *waits[HASHING_MOST];
  world_start_hashing(w, 0);
  w->registry.get_status = 404;
  struct http_memory *m = ask(w); /* whose right is remembered */
  assert_int_equal(world_wait(w, m).status, 404);
  http_memory_free(m);
  w->registry.get_status = 0;
  w->registry.request_count = 0;
  w->registry.silent = true;
  for (unsigned i = 0; i < HASHING_MOST; i++) {
    waits[i] = ask_number(w, i, &news);
    assert_non_null(waits[i]);
  }
  assert_null(ask_number(w, HASHING_MOST, &news));
  m = ask(w);
  struct reply r = world_wait(w, m);
  assert_problem(&r, 503, "UNAVAILABLE");
  assert_slice(reply_field(&r, "Retry-After"), "1");
  http_memory_free(m);
  struct errand_wait *joined = ask_number(w, 1, &news); /* there is always room for who joins */
  assert_non_null(joined);
  errand_leave(joined);

  world_await_requests(w, &w->registry, HASHING_THREADS);
  world_idle(w);
  assert_int_equal(w->registry.request_count, HASHING_THREADS);
  assert_int_equal(news.told, 0);
  world_answer_held(&w->registry); /* other bytes than those of the digest */
  world_answer_held(&w->registry);
  while (news.told < 2) {
    uv_run(&w->loop, UV_RUN_ONCE);
  }
  assert_int_equal(news.outcome, ERRAND_REFUSED);
  world_await_requests(w, &w->registry, (size_t)2 * HASHING_THREADS);
  for (unsigned i = 2; i < HASHING_MOST; i++) {
    errand_leave(waits[i]);
  }
  /* The rest ends with the world, promptly, though the registry says nothing. */
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(makes_what_is_missing, world_setup, world_teardown),
      cmocka_unit_test_setup_teardown(reads_with_credentials_of_its_own, world_setup,
                                      world_teardown),
      cmocka_unit_test_setup_teardown(reads_once_for_all_who_ask, world_setup, world_teardown),
      cmocka_unit_test_setup_teardown(says_how_far_it_is, world_setup, world_teardown),
      cmocka_unit_test_setup_teardown(goes_on_when_nobody_waits, world_setup, world_teardown),
      cmocka_unit_test_setup_teardown(says_why_there_is_none, world_setup, world_teardown),
      cmocka_unit_test_setup_teardown(finds_out_the_size_that_a_yes_depends_on, world_setup,
                                      world_teardown),
      cmocka_unit_test_setup_teardown(makes_none_for_who_has_no_right, world_setup, world_teardown),
      cmocka_unit_test_setup_teardown(reads_nothing_that_was_made_meanwhile, world_setup,
                                      world_teardown),
      cmocka_unit_test_setup_teardown(takes_two_at_once_and_a_bounded_number, world_setup,
                                      world_teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
