/* Several loops in one tracker: what the thread sanitizer looks at. */
#include "rig.h"

#include "unit/cmocka_all.h"

enum { THREADS = 4, ROUNDS = 300, PEERS = 40 };

struct worker {
  uv_thread_t thread;
  struct rig *rig;
  unsigned number;
  unsigned welcome, refused;
};

static void put(struct worker *w, bool scrape, const char *query, uint32_t tick) {
  struct sockaddr_in from = {.sin_family = AF_INET};
  unsigned char address[4] = {10, 0, 1, (unsigned char)w->number};
  memcpy(&from.sin_addr, address, sizeof address);
  struct tracker_request r = {
      .query = slice_str(query),
      .peer = (struct sockaddr *)&from,
      .now = RIG_NOW,
      .tick = tick,
  };
  char bytes[ANSWER_MAX];
  struct bencode_writer writer = bencode_writer(bytes, sizeof bytes);
  (scrape ? tracker_scrape : tracker_announce)(w->rig->tracker, &r, &writer);
  bool refused = slice_starts(slice_of(bytes, writer.len), SLICE("d14:failure"));
  w->refused += refused;
  w->welcome += !refused;
}

static void work(void *arg) {
  struct worker *w = arg;
  static const char *const more[] = {"&left=1", "&left=0", "&left=0&event=completed",
                                     "&left=1&event=paused", "&left=0&event=stopped"};
  for (unsigned i = 0; i < ROUNDS; i++) {
    char query[2048];
    snprintf(query, sizeof query,
             "jwt=%s&info_hash=" RIG_HASH
             "&peer_id=-XX0001-%012u&port=%u&uploaded=0&downloaded=0%s",
             w->rig->token, i % PEERS, 2000 + i % PEERS, more[(i / PEERS + i) % 5]);
    put(w, false, query, RIG_TICK + i);
    if (i % 3 == 0) {
      snprintf(query, sizeof query, "jwt=%s&info_hash=" RIG_HASH, w->rig->token);
      put(w, true, query, RIG_TICK + i);
    }
    if (i % 10 == w->number) {
      tracker_expire_at(w->rig->tracker, RIG_TICK + i);
    }
  }
  /* All say goodbye: what is left must be nothing. */
  for (unsigned i = 0; i < PEERS; i++) {
    char query[2048];
    snprintf(query, sizeof query,
             "jwt=%s&info_hash=" RIG_HASH
             "&peer_id=-XX0001-%012u&port=%u&uploaded=0&downloaded=0&left=0&event=stopped",
             w->rig->token, i, 2000 + i);
    put(w, false, query, RIG_TICK + ROUNDS);
  }
}

static void narrow(struct tracker_options *o) {
  o->max_peers = 100;
}

static void loops_share_one_tracker(void **state) {
  (void)state;
  struct rig *rig = rig_new(narrow);
  struct worker workers[THREADS] = {{0}};
  for (unsigned i = 0; i < THREADS; i++) {
    workers[i].rig = rig;
    workers[i].number = i;
    assert_int_equal(uv_thread_create(&workers[i].thread, work, &workers[i]), 0);
  }
  for (unsigned i = 0; i < THREADS; i++) {
    uv_thread_join(&workers[i].thread);
    assert_int_equal(workers[i].welcome + workers[i].refused, ROUNDS + ROUNDS / 3 + PEERS);
    assert_in_range(workers[i].welcome, ROUNDS / 3, ROUNDS + ROUNDS / 3 + PEERS);
  }
  assert_int_equal(tracker_peers(rig->tracker), 0);
  assert_int_equal(tracker_swarms(rig->tracker), 0);
  assert_int_equal(tracker_tokens(rig->tracker), 1);
  rig_free(rig);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(loops_share_one_tracker)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
