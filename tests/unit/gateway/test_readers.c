/* Time is moved by hand: from one timer to the next that is due. */
#include "gateway/readers.h"

#include "base/clock.h"
#include "gateway/rate.h"

#include "support/heap.h"
#include "unit/cmocka_all.h"

#include <stdlib.h>

#define MIB  (UINT64_C(1024) * 1024)
#define TURN (MIB / 16)

enum { ARMED_MAX = 64 };

static const uint64_t second = 1000;

/* --- time --- */

static struct armed {
  uv_timer_t *timer;
  uv_timer_cb called;
  uint64_t due;
} armed[ARMED_MAX];
static size_t armed_count;
static uint64_t now;
static unsigned events; /* turns that were called, timers that were set */

/* The linker's --wrap makes the names. NOLINTBEGIN(cert-dcl51-cpp) */
uint64_t __wrap_clock_monotonic_ms(void);
int __wrap_uv_timer_start(uv_timer_t *timer, uv_timer_cb called, uint64_t timeout, uint64_t repeat);
void __real_uv_close(uv_handle_t *handle, uv_close_cb closed);
void __wrap_uv_close(uv_handle_t *handle, uv_close_cb closed);

uint64_t __wrap_clock_monotonic_ms(void) {
  return now;
}

static void disarm(const void *timer) {
  for (size_t i = 0; i < armed_count; i++) {
    if (armed[i].timer == timer) {
      armed[i] = armed[--armed_count];
    }
  }
}

int __wrap_uv_timer_start(uv_timer_t *timer, uv_timer_cb called, uint64_t timeout,
                          uint64_t repeat) {
  assert_int_equal(repeat, 0);
  assert_true(armed_count < ARMED_MAX);
  disarm(timer);
  armed[armed_count++] = (struct armed){timer, called, now + timeout};
  events++;
  return 0;
}

void __wrap_uv_close(uv_handle_t *handle, uv_close_cb closed) {
  disarm(handle);
  __real_uv_close(handle, closed);
}
/* NOLINTEND(cert-dcl51-cpp) */

/* --- a server with two loops --- */

struct world {
  uv_loop_t uv[2];
  struct readers *readers;
  struct readers_loop *loops[2];
};

/* Who asks for a turn, and as soon as he has it for the next. */
struct greedy {
  struct reader *reader;
  uint64_t want, sent;
  unsigned turns;
  unsigned *order; /* counts all turns; NULL: none */
  unsigned last;   /* its value at the last turn */
  bool once;       /* but only once */
};

static void start(struct world *w, const struct readers_options *options) {
  *w = (struct world){.readers = readers_new(options)};
  assert_non_null(w->readers);
  now = 1000 * second;
  armed_count = 0; /* also of a test that failed */
  for (size_t i = 0; i < 2; i++) {
    assert_int_equal(uv_loop_init(&w->uv[i]), 0);
    w->loops[i] = readers_loop_new(w->readers, &w->uv[i]);
    assert_non_null(w->loops[i]);
  }
}

static void stop(struct world *w) {
  assert_int_equal(armed_count, 0);
  for (size_t i = 0; i < 2; i++) {
    readers_loop_close(w->loops[i]);
    uv_run(&w->uv[i], UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w->uv[i]), 0);
  }
  readers_free(w->readers);
}

/* What the loops have to tell each other and themselves. */
static void settle(struct world *w) {
  unsigned before, quiet = 0;
  do {
    before = events;
    uv_run(&w->uv[0], UV_RUN_NOWAIT);
    uv_run(&w->uv[1], UV_RUN_NOWAIT);
    quiet = events == before ? quiet + 1 : 0;
  } while (quiet < 3);
}

/* To the next timer. */
static void step(struct world *w) {
  assert_true(armed_count > 0);
  struct armed first = armed[0];
  for (size_t i = 1; i < armed_count; i++) {
    first = armed[i].due < first.due ? armed[i] : first;
  }
  now = first.due > now ? first.due : now;
  disarm(first.timer);
  first.called(first.timer);
  settle(w);
}

static void run_for(struct world *w, uint64_t ms) {
  for (uint64_t until = now + ms; now < until;) {
    step(w);
  }
}

static void ask(struct greedy *g);

static void count(struct greedy *g, uint64_t bytes) {
  assert_true(bytes > 0 && bytes <= g->want);
  g->sent += bytes;
  g->turns++;
  g->last = g->order == NULL ? 0 : ++*g->order;
}

static void on_turn(void *arg, uint64_t bytes) {
  struct greedy *g = arg;
  events++;
  count(g, bytes);
  if (!g->once) {
    ask(g);
  }
}

static void ask(struct greedy *g) {
  uint64_t bytes;
  while ((bytes = reader_turn(g->reader, g->want, on_turn, g)) > 0) {
    count(g, bytes);
    if (g->once) {
      return;
    }
  }
}

static void enter(struct world *w, size_t loop, uint64_t token, struct greedy *g) {
  g->reader = reader_enter(w->loops[loop], token);
  assert_non_null(g->reader);
}

static void leave(struct greedy *g, size_t count) {
  for (size_t i = 0; i < count; i++) {
    reader_leave(g[i].reader);
  }
}

/* --- tests --- */

static void so_many_at_once(void **state) {
  (void)state;
  struct world w;
  start(&w, &(struct readers_options){.max = 2});
  struct reader *one = reader_enter(w.loops[0], 1);
  struct reader *two = reader_enter(w.loops[1], 2);
  assert_non_null(one);
  assert_non_null(two);
  assert_null(reader_enter(w.loops[0], 3));
  assert_null(reader_enter(w.loops[1], 1));
  reader_leave(two);
  two = reader_enter(w.loops[0], 3);
  assert_non_null(two);
  assert_null(reader_enter(w.loops[0], 4));
  reader_leave(one);
  reader_leave(two);
  reader_leave(NULL);
  stop(&w);
}

static void without_a_rate_all_is_given_at_once(void **state) {
  (void)state;
  struct world w;
  struct greedy g = {.want = UINT64_C(1) << 40};
  start(&w, &(struct readers_options){.max = 10});
  enter(&w, 0, 1, &g);
  for (unsigned i = 0; i < 100; i++) {
    assert_int_equal(reader_turn(g.reader, g.want, on_turn, &g), g.want);
  }
  leave(&g, 1);
  stop(&w);
}

/* On both loops and whatever they ask for; but the first had his turn when nobody else was there,
 * and another before all others. All together as fast as may be. */
static void shares_are_equal(void **state) {
  (void)state;
  enum { COUNT = 7 };
  struct world w;
  struct greedy g[COUNT] = {0};
  start(&w, &(struct readers_options){.rate = MIB, .max = 10});
  for (size_t i = 0; i < COUNT; i++) {
    g[i].want = i == 3 ? TURN : UINT64_C(1) << (20 + i);
    enter(&w, i % 3 == 0, i, &g[i]);
  }
  for (size_t i = 0; i < COUNT; i++) {
    ask(&g[i]);
  }
  const uint64_t began = now;
  run_for(&w, 60 * second);
  uint64_t all = 0;
  for (size_t i = 0; i < COUNT; i++) {
    all += g[i].sent;
    assert_in_range(g[i].sent, g[0].sent - 2 * TURN, g[0].sent);
  }
  const uint64_t due = (now - began) * MIB / 1000;
  assert_in_range(all, due - TURN, due + MIB / 10 + 1);
  leave(g, COUNT);
  stop(&w);
}

/* A rate at which several slices fall due between two milliseconds is reached, too. */
static void high_rates_are_reached(void **state) {
  (void)state;
  const uint64_t rate = UINT64_C(3000) * MIB;
  struct world w;
  struct greedy g[3] = {{.want = rate}, {.want = rate}, {.want = rate}};
  start(&w, &(struct readers_options){.rate = rate, .max = 10});
  for (size_t i = 0; i < 3; i++) {
    enter(&w, i % 2, i, &g[i]);
    ask(&g[i]);
  }
  const uint64_t before = g[0].sent + g[1].sent + g[2].sent, began = now;
  run_for(&w, second);
  const uint64_t sent = g[0].sent + g[1].sent + g[2].sent - before;
  const uint64_t slack = 3 * (uint64_t)RATE_SLICE_MAX;
  assert_in_range(sent, (now - began) * rate / 1000 - slack, (now - began) * rate / 1000 + slack);
  leave(g, 3);
  stop(&w);
}

/* In the order in which they asked; who leaves makes way, and counts for nothing. */
static void who_asks_first_comes_first(void **state) {
  (void)state;
  enum { COUNT = 6 };
  struct world w;
  struct greedy g[COUNT] = {0};
  unsigned order = 0;
  start(&w, &(struct readers_options){.rate = RATE_MIN, .max = 10});
  for (size_t i = 0; i < COUNT; i++) {
    g[i] = (struct greedy){.want = MIB, .order = &order, .once = true};
    enter(&w, i % 2, i, &g[i]);
    ask(&g[i]);
  }
  assert_int_equal(order, 1); /* a slice, of a second, was there */
  leave(&g[3], 1);            /* in the middle, */
  leave(&g[1], 1);            /* and the first, */
  leave(&g[5], 1);            /* and the last of those who wait */
  settle(&w);
  const uint64_t began = now;
  step(&w);
  assert_int_equal(now - began, 1000);
  assert_int_equal(g[2].last, 2);
  step(&w);
  assert_int_equal(now - began, 2000);
  assert_int_equal(g[4].last, 3);
  assert_int_equal(armed_count, 0);
  assert_int_equal(g[1].turns + g[3].turns + g[5].turns, 0);
  ask(&g[2]); /* behind the last, who has left, another may come */
  step(&w);
  assert_int_equal(g[2].turns, 2);
  leave(&g[0], 1);
  leave(&g[2], 1);
  leave(&g[4], 1);
  stop(&w);
}

/* One who was roused, and leaves before its loop has come to it. */
static void the_roused_may_leave(void **state) {
  (void)state;
  struct world w;
  struct greedy g[4] = {0};
  start(&w, &(struct readers_options){.rate = RATE_MIN, .max = 10});
  for (size_t i = 0; i < 4; i++) {
    g[i] = (struct greedy){.want = MIB, .once = true};
    enter(&w, i == 2, i, &g[i]);
    ask(&g[i]);
  }
  leave(&g[1], 1);
  leave(&g[2], 1);
  settle(&w);
  step(&w);
  assert_int_equal(g[3].turns, 1);
  assert_int_equal(g[2].turns, 0);
  leave(&g[0], 1);
  leave(&g[3], 1);
  stop(&w);
}

/* Those with one token have together what another has alone. */
static void a_token_has_a_rate(void **state) {
  (void)state;
  struct world w;
  struct greedy g[3] = {{.want = MIB}, {.want = MIB}, {.want = MIB}};
  start(&w, &(struct readers_options){.rate_per_token = MIB, .max = 10});
  enter(&w, 0, 1, &g[0]);
  enter(&w, 1, 1, &g[1]);
  enter(&w, 1, 2, &g[2]);
  for (size_t i = 0; i < 3; i++) {
    ask(&g[i]);
  }
  run_for(&w, 10 * second);
  assert_in_range(g[2].sent, 10 * MIB - TURN, 10 * MIB + 2 * TURN);
  assert_in_range(g[0].sent + g[1].sent, g[2].sent - TURN, g[2].sent + TURN);
  assert_in_range(g[1].sent, g[0].sent - 2 * TURN, g[0].sent);
  leave(g, 3);
  stop(&w);
}

/* Who has used up his token's rate holds up nobody who shares that of all. */
static void tokens_wait_by_themselves(void **state) {
  (void)state;
  struct world w;
  struct greedy g[3] = {{.want = MIB}, {.want = MIB}, {.want = MIB}};
  start(&w, &(struct readers_options){.rate = 10 * MIB, .rate_per_token = MIB, .max = 10});
  for (size_t i = 0; i < 3; i++) {
    enter(&w, 0, i, &g[i]);
    ask(&g[i]);
  }
  run_for(&w, 10 * second);
  for (size_t i = 0; i < 3; i++) {
    assert_in_range(g[i].sent, 10 * MIB - TURN, 10 * MIB + 2 * TURN);
  }
  leave(g, 3);
  stop(&w);
}

/* And all together no more than all may have. */
static void the_rate_of_all_is_shared_by_tokens(void **state) {
  (void)state;
  enum { COUNT = 4 };
  struct world w;
  struct greedy g[COUNT] = {0};
  uint64_t all = 0;
  start(&w, &(struct readers_options){.rate = 2 * MIB, .rate_per_token = MIB, .max = 10});
  for (size_t i = 0; i < COUNT; i++) {
    g[i].want = MIB;
    enter(&w, i % 2, i, &g[i]);
    ask(&g[i]);
  }
  run_for(&w, 10 * second);
  for (size_t i = 0; i < COUNT; i++) {
    all += g[i].sent;
    assert_in_range(g[i].sent, 5 * MIB - 2 * TURN, 5 * MIB + 2 * TURN);
  }
  assert_in_range(all, 20 * MIB - TURN, 20 * MIB + 4 * TURN);
  leave(g, COUNT);
  stop(&w);
}

/* Many short answers get no more than a long one. */
static void a_rate_outlives_its_readers(void **state) {
  (void)state;
  struct world w;
  struct greedy g = {.want = RATE_MIN, .once = true};
  start(&w, &(struct readers_options){.rate_per_token = RATE_MIN, .max = 10});
  const uint64_t began = now;
  for (unsigned i = 0; i < 20; i++) {
    enter(&w, i % 2, 1, &g);
    ask(&g);
    if (armed_count > 0) {
      step(&w);
    }
    assert_int_equal(g.turns, i + 1);
    leave(&g, 1);
    settle(&w);
  }
  assert_int_equal(now - began, 19 * second);
  stop(&w);
}

/* Also when all others are looked through meanwhile, and many come. */
static void a_rate_is_kept_until_it_is_full(void **state) {
  (void)state;
  enum { OTHERS = 5000 };
  struct world w;
  struct greedy g = {.want = RATE_MIN, .once = true};
  start(&w, &(struct readers_options){.rate_per_token = RATE_MIN, .max = 10});
  enter(&w, 0, 1, &g);
  ask(&g);
  leave(&g, 1);
  for (uint64_t i = 0; i < OTHERS; i++) {
    enter(&w, 0, 2 + i, &g);
    leave(&g, 1);
  }
  settle(&w);
  assert_int_equal(g.turns, 1);
  enter(&w, 0, 1, &g);
  ask(&g);
  assert_int_equal(g.turns, 1);
  step(&w);
  assert_int_equal(g.turns, 2);
  leave(&g, 1);
  stop(&w);
}

static void tokens_are_forgotten(void **state) {
  (void)state;
  enum { TOKENS = 30000, KEPT_MAX = 10000 };
  struct world w;
  struct greedy g = {.want = MIB, .once = true};
  start(&w, &(struct readers_options){.rate_per_token = MIB, .max = 10});
  const size_t before = heap_live();
  for (uint64_t i = 0; i < TOKENS; i++) {
    enter(&w, 0, i * 0x9e3779b97f4a7c15, &g);
    ask(&g);
    leave(&g, 1);
    now++;
    uv_run(&w.uv[0], UV_RUN_NOWAIT);
  }
  assert_int_equal(g.turns, TOKENS);
  assert_true(heap_live() - before < KEPT_MAX);
  stop(&w);
}

static void without_memory_nobody_enters(void **state) {
  (void)state;
  struct world w;
  struct greedy g;
  start(&w, &(struct readers_options){.rate_per_token = MIB, .max = 1});
  const size_t before = heap_live();
  for (size_t i = 0; i < 2; i++) {
    heap_fail(HEAP_ONE, i);
    assert_null(reader_enter(w.loops[0], 1));
    assert_true(heap_failed());
    heap_fail(HEAP_NONE, 0);
    assert_int_equal(heap_live(), before);
  }
  enter(&w, 0, 1, &g); /* nobody is counted who did not */
  leave(&g, 1);
  heap_fail(HEAP_ONE, 0);
  assert_null(readers_loop_new(w.readers, &w.uv[0]));
  heap_fail(HEAP_ONE, 0);
  assert_null(readers_new(&(struct readers_options){.max = 1}));
  heap_fail(HEAP_NONE, 0);
  stop(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(so_many_at_once),
      cmocka_unit_test(without_a_rate_all_is_given_at_once),
      cmocka_unit_test(shares_are_equal),
      cmocka_unit_test(high_rates_are_reached),
      cmocka_unit_test(who_asks_first_comes_first),
      cmocka_unit_test(the_roused_may_leave),
      cmocka_unit_test(a_token_has_a_rate),
      cmocka_unit_test(tokens_wait_by_themselves),
      cmocka_unit_test(the_rate_of_all_is_shared_by_tokens),
      cmocka_unit_test(a_rate_outlives_its_readers),
      cmocka_unit_test(a_rate_is_kept_until_it_is_full),
      cmocka_unit_test(tokens_are_forgotten),
      cmocka_unit_test(without_memory_nobody_enters),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
