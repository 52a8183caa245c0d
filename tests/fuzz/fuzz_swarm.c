// LINKS tracker
/* Announces, eight bytes each, put to the store and to a plain list: the same counts, the same
 * peers known, and none given out that is not there. */
#include "tracker/swarm.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STEP = 8, PEERS_MAX = 256, FULL = 48, TIMEOUT = 100 };

struct entry {
  struct swarm_endpoint at;
  uint8_t swarm, token;
  bool live, seed, paused;
};

static void check(bool holds) {
  if (!holds) {
    abort();
  }
}

static bool same(const struct swarm_endpoint *a, const struct swarm_endpoint *b) {
  return a->port == b->port && a->address_len == b->address_len &&
         memcmp(a->address, b->address, a->address_len) == 0;
}

static bool same_place(const struct entry *a, const struct swarm_endpoint *at, uint8_t swarm) {
  return a->live && a->swarm == swarm && same(&a->at, at);
}

static struct entry *find(struct entry *list, const struct swarm_endpoint *at, uint8_t swarm) {
  for (size_t i = 0; i < PEERS_MAX; i++) {
    if (same_place(&list[i], at, swarm)) {
      return &list[i];
    }
  }
  return NULL;
}

static struct swarm_counts count(const struct entry *list, uint8_t swarm) {
  struct swarm_counts c = {0};
  for (size_t i = 0; i < PEERS_MAX; i++) {
    bool here = list[i].live && list[i].swarm == swarm;
    c.complete += here && list[i].seed;
    c.incomplete += here && !list[i].seed;
    c.downloaders += here && !list[i].seed && !list[i].paused;
  }
  return c;
}

static void check_counts(const struct swarm_counts *a, const struct swarm_counts *b) {
  check(a->complete == b->complete && a->incomplete == b->incomplete);
  check(a->downloaders == b->downloaders);
}

static void check_given(struct entry *list, const struct swarm_answer *answer,
                        const struct swarm_announce *a, uint8_t swarm) {
  unsigned given = answer->count[0] + answer->count[1];
  struct swarm_counts c = count(list, swarm);
  check(given <= a->want && given < c.complete + c.incomplete + 1);
  for (int family = 0; family < 2; family++) {
    for (unsigned i = 0; i < answer->count[family]; i++) {
      const struct swarm_endpoint *at = &answer->peers[family][i].at;
      const struct entry *peer = find(list, at, swarm);
      check(swarm_family(at) == family && peer != NULL && !same_place(peer, &a->at, swarm));
      check(!a->seed || !peer->seed);
      for (unsigned k = 0; k < i; k++) {
        check(!same(&answer->peers[family][k].at, at));
      }
    }
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static struct swarm_answer answer;
  struct entry list[PEERS_MAX] = {{.live = false}};
  struct swarm_store *store = swarm_store_new(FULL, TIMEOUT);
  check(store != NULL);
  size_t peers = 0;
  for (; size >= STEP; data += STEP, size -= STEP) {
    unsigned char infohash[INFOHASH] = {data[0] % 4}, token[PEER_TOKEN] = {data[1] % 2};
    const unsigned char id[PEER_ID] = {data[2] % 8};
    struct swarm_announce a = {
        .infohash = infohash,
        .peer_id = id,
        .token = token,
        .at = {.address_len = data[3] % 2 == 0 ? 4 : 16, .port = (uint16_t)(1024 + data[4] % 64)},
        .event = (enum swarm_event)(data[5] % 5),
        .seed = data[6] % 2 == 1,
        .must_be_known = data[6] % 8 == 7,
        .want = data[7]};
    a.at.address[3] = data[3] / 2 % 4;
    struct entry *known = find(list, &a.at, infohash[0]);
    bool may = !a.must_be_known || (known != NULL && known->token == token[0]);
    bool stopped = a.event == SWARM_STOPPED;
    enum swarm_outcome outcome = swarm_store_announce(store, &a, 1, &answer);
    check(outcome != SWARM_UNKNOWN || !may);
    check(outcome != SWARM_FULL || (known == NULL && peers == FULL && !stopped));
    if (outcome == SWARM_ANNOUNCED && stopped && known != NULL) {
      known->live = false;
      peers--;
    } else if (outcome == SWARM_ANNOUNCED && !stopped) {
      for (size_t i = 0; known == NULL; i++) {
        known = list[i].live ? NULL : &list[i];
        peers += known != NULL;
      }
      *known = (struct entry){.at = a.at,
                              .swarm = infohash[0],
                              .token = token[0],
                              .live = true,
                              .seed = a.seed,
                              .paused = a.event == SWARM_PAUSED};
    }
    check(may || outcome == SWARM_UNKNOWN);
    struct swarm_counts c = swarm_store_scrape(store, infohash), wanted = count(list, infohash[0]);
    check_counts(&c, &wanted);
    if (outcome == SWARM_ANNOUNCED) {
      check_counts(&answer.counts, &wanted);
      check_given(list, &answer, &a, infohash[0]);
      check(swarm_store_knows(store, infohash, &a.at, token, 1) || stopped);
    }
    check(swarm_store_peers(store) == peers && peers <= FULL);
  }
  for (uint32_t i = 0; i < 4096 && swarm_store_peers(store) > 0; i++) {
    swarm_store_expire(store, TIMEOUT + 2);
  }
  check(swarm_store_peers(store) == 0 && swarm_store_swarms(store) == 0);
  swarm_store_free(store);
  return 0;
}
