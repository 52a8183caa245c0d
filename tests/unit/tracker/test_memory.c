/* Memory that runs out: whoever cannot be taken in is told so, the others go on. */
#include "rig.h"

#include "support/heap.h"
#include "tracker/swarm.h"
#include "unit/cmocka_all.h"

#include <string.h>

enum { NOW = 1000, SWARMS = 3000 };

static struct swarm_answer answer;

static enum swarm_outcome join(struct swarm_store *store, uint32_t n, uint32_t address_len) {
  static const unsigned char token[PEER_TOKEN];
  unsigned char infohash[INFOHASH] = {0};
  unsigned char id[PEER_ID] = {0};
  memcpy(infohash, &n, sizeof n);
  const struct swarm_announce a = {.infohash = infohash,
                                   .peer_id = id,
                                   .token = token,
                                   .at = {address_len, {10, 0, 0, 1}, 2000},
                                   .want = 50};
  return swarm_store_announce(store, &a, NOW, &answer);
}

/* A swarm of two families; what there is no room for leaves nothing behind. */
static int fill(void *arg, struct error *e) {
  (void)arg;
  struct swarm_store *store = swarm_store_new(10, 100);
  if (store == NULL) {
    return error_set(e, ERROR_FAILED, "no store");
  }
  size_t in = 0;
  for (uint32_t i = 0; i < 4; i++) {
    enum swarm_outcome outcome = join(store, i / 2, i % 2 == 0 ? 4 : 16);
    assert_true(outcome == SWARM_ANNOUNCED || outcome == SWARM_FULL);
    in += outcome == SWARM_ANNOUNCED;
    assert_int_equal(swarm_store_peers(store), in);
  }
  struct swarm_counts c[2];
  for (uint32_t i = 0; i < 2; i++) {
    unsigned char infohash[INFOHASH] = {0};
    memcpy(infohash, &i, sizeof i);
    c[i] = swarm_store_scrape(store, infohash);
  }
  assert_int_equal(c[0].incomplete + c[1].incomplete, in);
  assert_int_equal(swarm_store_swarms(store), (c[0].incomplete > 0) + (c[1].incomplete > 0));
  swarm_store_free(store);
  return in == 4 ? 0 : error_set(e, ERROR_FAILED, "full");
}

static void the_swarms(void **state) {
  (void)state;
  heap_exhaust(fill, NULL);
}

/* The second thing that a new swarm takes is either the larger table, or its peer's place. */
static void a_table_that_cannot_grow_holds_more(void **state) {
  (void)state;
  size_t denied = 0;
  struct swarm_store *store = swarm_store_new(2 * (size_t)SWARMS, 100);
  for (uint32_t i = 0; i < SWARMS; i++) {
    heap_fail(HEAP_ONE, 1);
    enum swarm_outcome outcome = join(store, i, 4);
    heap_fail(HEAP_NONE, 0);
    if (outcome == SWARM_FULL) {
      assert_int_equal(swarm_store_swarms(store), i);
      outcome = join(store, i, 4);
    } else {
      denied++;
    }
    assert_int_equal(outcome, SWARM_ANNOUNCED);
  }
  assert_true(denied > 0);
  assert_int_equal(swarm_store_swarms(store), SWARMS);
  for (uint32_t i = 0; i < SWARMS; i++) {
    join(store, i, 16);
    assert_int_equal(answer.counts.incomplete, 2);
  }
  swarm_store_free(store);
}

static int make(void *arg, struct error *e) {
  const struct rig *rig = arg;
  struct tracker *t;
  int status = tracker_new(&rig->options, &t, e);
  if (status == 0) {
    tracker_free(t);
  }
  return status;
}

struct asker {
  struct rig *rig;
  const char *query;
};

/* The client is told in an answer that it can read. */
static int announce(void *arg, struct error *e) {
  const struct asker *asker = arg;
  struct rig *rig = asker->rig;
  struct tracker *kept = rig->tracker;
  if (tracker_new(&rig->options, &rig->tracker, e) != 0) {
    rig->tracker = kept;
    return -1;
  }
  rig_announce(rig, asker->query);
  tracker_free(rig->tracker);
  rig->tracker = kept;
  struct slice failure = rig_get(rig->answer, "failure reason");
  if (failure.ptr == NULL) {
    rig_assert_welcome(rig);
    return 0;
  }
  assert_true(slice_equal(failure, SLICE("token invalid")) ||
              slice_equal(failure, SLICE("tracker is full")));
  return error_set(e, ERROR_FAILED, "%.*s", SLICE_ARG(failure));
}

static void the_tracker(void **state) {
  (void)state;
  struct rig *rig = rig_new(NULL);
  heap_exhaust(make, rig);
  struct asker asker = {rig, arena_printf(&rig->arena, "jwt=%s&%s", rig->token, RIG_QUERY).ptr};
  heap_exhaust(announce, &asker);
  rig_free(rig);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_swarms),
      cmocka_unit_test(a_table_that_cannot_grow_holds_more),
      cmocka_unit_test(the_tracker),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
