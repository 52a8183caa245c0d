/* The webseed's bounds on who reads of it. The clock of the rates stands still unless it is moved.
 */
#include "world.h"

#include "base/clock.h"

#include <stdio.h>

#define KIB   UINT64_C(1024)
#define MIB   (1024 * KIB)
#define TURN  (64 * KIB)
#define LARGE (5 * TURN + 100)

static _Atomic uint64_t now = 1000000; /* the database looks at it from a thread of its own */

/* The linker's --wrap makes the name. NOLINTBEGIN(cert-dcl51-cpp) */
uint64_t __wrap_clock_monotonic_ms(void);
uint64_t __wrap_clock_monotonic_ms(void) {
  return now;
}
/* NOLINTEND(cert-dcl51-cpp) */

/* Before the first request. */
static void bound(struct world *w, struct readers_options options) {
  readers_free(w->options.readers);
  w->options.readers = readers_new(&options);
  assert_non_null(w->options.readers);
}

static void put_large_blob(struct world *w) {
  world_put_blob(w, slice_of(NULL, 0), LARGE);
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
}

static void assert_large_blob(struct slice body) {
  assert_int_equal(body.len, LARGE);
  for (size_t i = 0; i < LARGE; i++) {
    assert_int_equal((unsigned char)body.ptr[i], world_byte(i));
  }
}

static void turns_away_one_too_many(void **state) {
  struct world *w = *state;
  bound(w, (struct readers_options){.max = 1});
  world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  w->registry.silent = true;
  struct http_memory *first = world_read_blob(w, "GET", "");
  world_await_requests(w, &w->registry, 1);
  struct http_memory *m = world_read_blob(w, "GET", "");
  struct reply r = world_wait(w, m);
  assert_problem(&r, 503, "UNAVAILABLE");
  assert_slice(reply_field(&r, "Retry-After"), "2");
  assert_int_equal(w->registry.request_count, 1);
  http_memory_free(m);
  m = world_read_blob(w, "HEAD", ""); /* reads nothing */
  assert_int_equal(world_reply(m).status, 200);
  http_memory_free(m);

  world_answer_held(&w->registry);
  assert_int_equal(world_wait(w, first).status, 200);
  http_memory_free(first);
  w->registry.silent = false;
  m = world_read_blob(w, "GET", "");
  assert_int_equal(world_wait(w, m).status, 200);
  http_memory_free(m);
}

/* With room for one, whoever is left behind keeps out all others. */
static void leaves_however_its_answer_ends(void **state) {
  static const struct {
    const char *fields;
    int registry, gateway;
  } rows[] = {
      {"", 0, 200},
      {"Range: bytes=1-2\r\n", 0, 206},
      {"Range: bytes=99-\r\n", 0, 416},
      {"", 404, 404},
      {"", 500, 502},
      {"If-None-Match: *\r\n", 0, 304},
  };
  struct world *w = *state;
  bound(w, (struct readers_options){.max = 1, .rate = MIB});
  for (unsigned known = 0; known < 2; known++) {
    for (size_t i = 0; i < 2 * sizeof rows / sizeof rows[0]; i++) {
      now += 1000;
      w->registry.request_count = 0;
      w->registry.status = rows[i / 2].registry;
      struct http_memory *m = world_read_blob(w, "GET", rows[i / 2].fields);
      struct reply r = world_wait(w, m);
      if (r.status != rows[i / 2].gateway) {
        fail_msg("row %zu: %d", i, r.status);
      }
      http_memory_free(m);
    }
    w->registry.status = 0;
    w->registry.silent =
        true; /* goes away while the registry is asked for the size, or the bytes */
    for (unsigned i = 0; i < 2; i++) {
      w->registry.request_count = 0;
      struct http_memory *m = world_read_blob(w, "GET", "");
      world_await_requests(w, &w->registry, 1);
      http_memory_free(m);
    }
    w->registry.silent = false;
    world_register(w, TORRENT_V1, WORLD_REPOSITORY);
  }
}

static void relays_in_turns(void **state) {
  struct world *w = *state;
  bound(w, (struct readers_options){.max = 10, .rate = MIB});
  put_large_blob(w);
  struct http_memory *m = world_read_blob(w, "GET", "");
  for (size_t turns = 1; turns < 3; turns++) {
    while (world_reply(m).body.len <= turns * TURN - 16 * KIB) {
      uv_run(&w->loop, UV_RUN_ONCE);
    }
    world_idle(w);
    assert_true(world_reply(m).body.len <= turns * TURN);
    now += 1000 * TURN / MIB + 1;
  }
  now += 10000;
  struct reply r;
  while (!(r = world_reply(m)).whole) {
    now += 100;
    uv_run(&w->loop, UV_RUN_ONCE);
  }
  assert_large_blob(r.body);
  http_memory_free(m);
}

/* Who does not get his turn costs the registry nothing. */
static void asks_nobody_before_its_turn(void **state) {
  struct world *w = *state;
  bound(w, (struct readers_options){.max = 10, .rate = MIB});
  put_large_blob(w);
  struct http_memory *first = world_read_blob(w, "GET", "");
  while (world_reply(first).body.len <= TURN - 16 * KIB) {
    uv_run(&w->loop, UV_RUN_ONCE);
  }
  world_idle(w);
  struct http_memory *gone = world_read_blob(w, "GET", "");
  struct http_memory *m = world_read_blob(w, "GET", "Range: bytes=0-9\r\n");
  world_idle(w);
  assert_int_equal(w->registry.request_count, 1);
  http_memory_free(first);
  http_memory_free(gone);
  world_idle(w);
  now += 1000;
  assert_int_equal(world_wait(w, m).status, 206);
  assert_int_equal(w->registry.request_count, 2);
  assert_string_equal(w->registry.requests[1].range, "bytes=0-9");
  http_memory_free(m);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(turns_away_one_too_many),
      TEST(leaves_however_its_answer_ends),
      TEST(relays_in_turns),
      TEST(asks_nobody_before_its_turn),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
