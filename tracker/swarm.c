#include "tracker/swarm.h"
#include "tracker/pick.h"
#include "tracker/siphash.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <uv.h>

enum {
  SHARDS = 64,
  FIRST_BUCKETS = 16, /* of a shard's table of swarms; a power of two */
  EXPIRE_LEAST = 256, /* peers of a shard that are looked at in one call … */
  EXPIRE_SHARE = 32,  /* … and this part of all of them … */
  EXPIRE_MOST = 8192, /* … but no more than these, for the lock is held */
};

struct swarm {
  struct swarm *next; /* in its bucket */
  unsigned char infohash[INFOHASH];
  uint32_t downloaded;
  uint32_t paused;        /* peers that are paused and no seeds */
  uint32_t swept;         /* peers that this round of expiry has been past */
  struct peers family[2]; /* IPv4, IPv6 */
};

struct shard {
  uv_mutex_t lock;
  struct swarm **buckets;
  size_t bucket_count; /* a power of two */
  size_t swarms;
  size_t peers;
  size_t sweep;    /* the bucket where expiry goes on */
  uint64_t random; /* of struct pick */
};

struct swarm_store {
  unsigned char key[SIPHASH_KEY];
  uint32_t timeout;
  size_t max_peers;
  atomic_size_t peers;
  atomic_size_t swarms;
  struct shard shards[SHARDS];
};

struct swarm_store *swarm_store_new(size_t max_peers, uint32_t timeout) {
  struct swarm_store *store = calloc(1, sizeof *store);
  if (store == NULL || uv_random(NULL, NULL, store->key, sizeof store->key, 0, NULL) != 0) {
    free(store);
    return NULL;
  }
  store->max_peers = max_peers;
  store->timeout = timeout;
  for (size_t i = 0; i < SHARDS; i++) {
    struct shard *shard = &store->shards[i];
    shard->buckets = calloc(FIRST_BUCKETS, sizeof(struct swarm *));
    shard->random = siphash(store->key, &i, sizeof i);
    if (shard->buckets == NULL || uv_mutex_init(&shard->lock) != 0) {
      free(shard->buckets);
      shard->buckets = NULL;
      swarm_store_free(store);
      return NULL;
    }
    shard->bucket_count = FIRST_BUCKETS;
  }
  return store;
}

static void swarm_free(struct swarm *swarm) {
  peers_free(&swarm->family[0]);
  peers_free(&swarm->family[1]);
  free(swarm);
}

void swarm_store_free(struct swarm_store *store) {
  if (store == NULL) {
    return;
  }
  for (size_t i = 0; i < SHARDS && store->shards[i].buckets != NULL; i++) {
    struct shard *shard = &store->shards[i];
    for (size_t b = 0; b < shard->bucket_count; b++) {
      for (struct swarm *swarm = shard->buckets[b], *next; swarm != NULL; swarm = next) {
        next = swarm->next;
        swarm_free(swarm);
      }
    }
    free(shard->buckets);
    uv_mutex_destroy(&shard->lock);
  }
  free(store);
}

/* A swarm's place: its shard by the low bits of the hash, its bucket by the others. */
struct place {
  struct shard *shard;
  size_t hash;
};

static struct place place_of(struct swarm_store *store, const unsigned char *infohash) {
  uint64_t h = siphash(store->key, infohash, INFOHASH);
  return (struct place){&store->shards[h % SHARDS], (size_t)(h / SHARDS)};
}

/* The link that points to the swarm, or to NULL where it would be. */
static struct swarm **find_swarm(struct place at, const unsigned char *infohash) {
  struct swarm **link = &at.shard->buckets[at.hash & (at.shard->bucket_count - 1)];
  while (*link != NULL && memcmp((*link)->infohash, infohash, INFOHASH) != 0) {
    link = &(*link)->next;
  }
  return link;
}

/* Twice the buckets. Without memory the chains grow longer, which is no harm. */
static void grow_buckets(struct swarm_store *store, struct shard *shard) {
  size_t count = 2 * shard->bucket_count;
  struct swarm **buckets = calloc(count, sizeof(struct swarm *));
  if (buckets == NULL) {
    return;
  }
  for (size_t b = 0; b < shard->bucket_count; b++) {
    for (struct swarm *swarm = shard->buckets[b], *next; swarm != NULL; swarm = next) {
      next = swarm->next;
      struct swarm **bucket = &buckets[place_of(store, swarm->infohash).hash & (count - 1)];
      swarm->next = *bucket;
      *bucket = swarm;
    }
  }
  free(shard->buckets);
  shard->buckets = buckets;
  shard->bucket_count = count;
}

static struct swarm *add_swarm(struct swarm_store *store, struct place at,
                               const unsigned char *infohash) {
  struct swarm *swarm = calloc(1, sizeof *swarm);
  if (swarm == NULL) {
    return NULL;
  }
  memcpy(swarm->infohash, infohash, INFOHASH);
  peers_init(&swarm->family[0], 4, store->key);
  peers_init(&swarm->family[1], 16, store->key);
  if (at.shard->swarms >= at.shard->bucket_count) {
    grow_buckets(store, at.shard);
  }
  struct swarm **bucket = &at.shard->buckets[at.hash & (at.shard->bucket_count - 1)];
  swarm->next = *bucket;
  *bucket = swarm;
  at.shard->swarms++;
  atomic_fetch_add_explicit(&store->swarms, 1, memory_order_relaxed);
  return swarm;
}

/* Unlinks and frees the swarm when it has no peer left. \return whether it did. */
static bool drop_if_empty(struct swarm_store *store, struct shard *shard, struct swarm **link) {
  struct swarm *swarm = *link;
  if (swarm->family[0].count + swarm->family[1].count > 0) {
    return false;
  }
  *link = swarm->next;
  swarm_free(swarm);
  shard->swarms--;
  atomic_fetch_sub_explicit(&store->swarms, 1, memory_order_relaxed);
  return true;
}

static bool counts_as_paused(const struct peers *p, uint32_t i) {
  return i >= p->seeds && (peers_at(p, i)->flags & PEER_PAUSED) != 0;
}

static void remove_peer(struct swarm_store *store, struct shard *shard, struct swarm *swarm,
                        struct peers *p, uint32_t i) {
  swarm->paused -= counts_as_paused(p, i);
  peers_remove(p, i);
  shard->peers--;
  atomic_fetch_sub_explicit(&store->peers, 1, memory_order_relaxed);
}

static uint32_t add_peer(struct swarm_store *store, struct shard *shard, struct peers *p,
                         const struct swarm_announce *a) {
  if (atomic_fetch_add_explicit(&store->peers, 1, memory_order_relaxed) < store->max_peers) {
    uint32_t i = peers_add(p, a->at.address, a->at.port, a->seed);
    if (i != PEERS_NONE) {
      shard->peers++;
      return i;
    }
  }
  atomic_fetch_sub_explicit(&store->peers, 1, memory_order_relaxed);
  return PEERS_NONE;
}

/* A stopped client may have given up its port before it says so: its id at its address will do. */
static uint32_t find_by_id(const struct peers *p, const struct swarm_announce *a) {
  uint32_t end = p->count < SWARM_SEARCH_MAX ? p->count : SWARM_SEARCH_MAX;
  for (uint32_t i = 0; i < end; i++) {
    const struct peer *peer = peers_at(p, i);
    if (peer_same_address(peer->address, a->at.address, p->address_len) &&
        memcmp(peer->id, a->peer_id, PEER_ID) == 0) {
      return i;
    }
  }
  return PEERS_NONE;
}

/* The asker's live entry. One that fell silent is taken out on the way. */
static uint32_t find_asker(struct swarm_store *store, struct shard *shard, struct swarm *swarm,
                           struct peers *p, const struct swarm_announce *a, uint32_t now) {
  uint32_t i = a->at.port == 0 ? find_by_id(p, a) : peers_find(p, a->at.address, a->at.port);
  if (i != PEERS_NONE && peer_silent(peers_at(p, i), now, store->timeout)) {
    remove_peer(store, shard, swarm, p, i);
    return PEERS_NONE;
  }
  return i;
}

/* A new entry has neither id nor token; one with another id is of a client that started anew. */
static bool first_announce(const struct peers *p, uint32_t i, const struct swarm_announce *a) {
  const struct peer *peer = peers_at(p, i);
  return a->event == SWARM_STARTED || memcmp(peer->id, a->peer_id, PEER_ID) != 0 ||
         memcmp(peer->token, a->token, PEER_TOKEN) != 0;
}

/* Writes what an announce says about its peer into entry i. */
static void update_peer(struct swarm *swarm, struct peers *p, uint32_t i,
                        const struct swarm_announce *a, uint32_t now) {
  swarm->paused -= counts_as_paused(p, i);
  i = peers_set_seed(p, i, a->seed);
  struct peer *peer = peers_at(p, i);
  peer->seen = now;
  if (memcmp(peer->id, a->peer_id, PEER_ID) != 0) {
    memcpy(peer->id, a->peer_id, PEER_ID);
    peer->flags = 0;
  }
  memcpy(peer->token, a->token, PEER_TOKEN);
  peer->flags &= (uint8_t)~PEER_PAUSED;
  if (a->event == SWARM_PAUSED) {
    peer->flags |= PEER_PAUSED;
  }
  if (a->event == SWARM_COMPLETED && (peer->flags & PEER_COMPLETED) == 0) {
    peer->flags |= PEER_COMPLETED;
    swarm->downloaded++;
  }
  swarm->paused += counts_as_paused(p, i);
}

static struct swarm_counts counts_of(const struct swarm *swarm) {
  const struct peers *v4 = &swarm->family[0], *v6 = &swarm->family[1];
  uint32_t seeds = v4->seeds + v6->seeds;
  uint32_t others = v4->count + v6->count - seeds;
  return (struct swarm_counts){seeds, others, swarm->downloaded, others - swarm->paused};
}

static enum swarm_outcome announce(struct swarm_store *store, struct place place,
                                   const struct swarm_announce *a, uint32_t now,
                                   struct swarm_answer *out) {
  struct shard *shard = place.shard;
  struct swarm **link = find_swarm(place, a->infohash);
  struct swarm *swarm = *link;
  int family = swarm_family(&a->at);
  uint32_t i = PEERS_NONE;
  if (swarm != NULL) {
    i = find_asker(store, shard, swarm, &swarm->family[family], a, now);
  }
  enum swarm_outcome outcome = SWARM_ANNOUNCED;
  if (a->must_be_known && (i == PEERS_NONE || memcmp(peers_at(&swarm->family[family], i)->token,
                                                     a->token, PEER_TOKEN) != 0)) {
    outcome = SWARM_UNKNOWN;
  } else if (a->event == SWARM_STOPPED) {
    if (i != PEERS_NONE) {
      remove_peer(store, shard, swarm, &swarm->family[family], i);
    }
  } else {
    if (i == PEERS_NONE) {
      if (swarm == NULL) {
        swarm = add_swarm(store, place, a->infohash);
        link = find_swarm(place, a->infohash);
      }
      i = swarm == NULL ? PEERS_NONE : add_peer(store, shard, &swarm->family[family], a);
    }
    if (i == PEERS_NONE) {
      outcome = SWARM_FULL;
    } else {
      out->first = first_announce(&swarm->family[family], i, a);
      update_peer(swarm, &swarm->family[family], i, a, now);
      struct pick pick = {a, now, store->timeout, &shard->random};
      pick_peers(&pick, swarm->family, out);
    }
  }
  if (swarm != NULL) {
    out->counts = counts_of(swarm);
    drop_if_empty(store, shard, link);
  }
  return outcome;
}

enum swarm_outcome swarm_store_announce(struct swarm_store *store, const struct swarm_announce *a,
                                        uint32_t now, struct swarm_answer *out) {
  out->counts = (struct swarm_counts){0};
  out->first = false;
  out->count[0] = out->count[1] = 0;
  struct place place = place_of(store, a->infohash);
  uv_mutex_lock(&place.shard->lock);
  enum swarm_outcome outcome = announce(store, place, a, now, out);
  uv_mutex_unlock(&place.shard->lock);
  return outcome;
}

struct swarm_counts swarm_store_scrape(struct swarm_store *store, const unsigned char *infohash) {
  struct place place = place_of(store, infohash);
  uv_mutex_lock(&place.shard->lock);
  const struct swarm *swarm = *find_swarm(place, infohash);
  struct swarm_counts counts = {0};
  if (swarm != NULL) {
    counts = counts_of(swarm);
  }
  uv_mutex_unlock(&place.shard->lock);
  return counts;
}

bool swarm_store_knows(struct swarm_store *store, const unsigned char *infohash,
                       const struct swarm_endpoint *from, const unsigned char *token,
                       uint32_t now) {
  struct place place = place_of(store, infohash);
  bool found = false;
  uv_mutex_lock(&place.shard->lock);
  const struct swarm *swarm = *find_swarm(place, infohash);
  if (swarm != NULL) {
    const struct peers *p = &swarm->family[swarm_family(from)];
    for (uint32_t i = 0; i < p->count && i < SWARM_SEARCH_MAX && !found; i++) {
      const struct peer *peer = peers_at(p, i);
      found = memcmp(peer->token, token, PEER_TOKEN) == 0 &&
              peer_same_address(peer->address, from->address, p->address_len) &&
              !peer_silent(peer, now, store->timeout);
    }
  }
  uv_mutex_unlock(&place.shard->lock);
  return found;
}

/* Goes on in one swarm for up to budget peers. \return whether it came to the end. */
static bool sweep_swarm(struct swarm_store *store, struct shard *shard, struct swarm *swarm,
                        uint32_t now, size_t *budget) {
  struct peers *v4 = &swarm->family[0], *v6 = &swarm->family[1];
  while (swarm->swept < v4->count + v6->count) {
    if (*budget == 0) {
      return false;
    }
    --*budget;
    struct peers *p = swarm->swept < v4->count ? v4 : v6;
    uint32_t i = p == v4 ? swarm->swept : swarm->swept - v4->count;
    /* Another peer takes the place of one that is removed, so the place is looked at again. */
    if (peer_silent(peers_at(p, i), now, store->timeout)) {
      remove_peer(store, shard, swarm, p, i);
    } else {
      swarm->swept++;
    }
  }
  return true;
}

static void sweep_shard(struct swarm_store *store, struct shard *shard, uint32_t now) {
  size_t budget = EXPIRE_LEAST + shard->peers / EXPIRE_SHARE;
  budget = budget < EXPIRE_MOST ? budget : EXPIRE_MOST;
  for (size_t visited = 0; visited < shard->bucket_count && budget > 0; visited++) {
    shard->sweep &= shard->bucket_count - 1;
    struct swarm **bucket = &shard->buckets[shard->sweep];
    for (struct swarm **link = bucket; *link != NULL;) {
      struct swarm *swarm = *link;
      if (!sweep_swarm(store, shard, swarm, now, &budget)) {
        return;
      }
      if (!drop_if_empty(store, shard, link)) {
        link = &swarm->next;
      }
    }
    for (struct swarm *swarm = *bucket; swarm != NULL; swarm = swarm->next) {
      swarm->swept = 0;
    }
    shard->sweep++;
  }
}

void swarm_store_expire(struct swarm_store *store, uint32_t now) {
  for (size_t i = 0; i < SHARDS; i++) {
    struct shard *shard = &store->shards[i];
    uv_mutex_lock(&shard->lock);
    sweep_shard(store, shard, now);
    uv_mutex_unlock(&shard->lock);
  }
}

/* Where in a shard swarm_store_drop() goes on. Buckets only ever become more, each split into
 * itself and one behind those there were, so that none is passed over. */
struct progress {
  size_t bucket;
  bool within; /* a swarm of the bucket, from its end to `left` peers of its beginning */
  unsigned char infohash[INFOHASH];
  uint32_t left;
};

/* From the end on, for whoever takes the place of one that is removed has been judged. \return
 * whether it came to the beginning. */
static bool judge_swarm(struct swarm_store *store, struct shard *shard, struct swarm *swarm,
                        struct progress *at, size_t *budget, swarm_judge *stays, void *arg) {
  struct peers *v4 = &swarm->family[0], *v6 = &swarm->family[1];
  uint32_t all = v4->count + v6->count;
  uint32_t left = at->within && at->left < all ? at->left : all;
  for (; left > 0 && *budget > 0; left--, --*budget) {
    struct peers *p = left <= v4->count ? v4 : v6;
    uint32_t i = p == v4 ? left - 1 : left - 1 - v4->count;
    if (!stays(arg, swarm->infohash, peers_at(p, i)->token)) {
      remove_peer(store, shard, swarm, p, i);
    }
  }
  at->left = left;
  memcpy(at->infohash, swarm->infohash, INFOHASH);
  return left == 0;
}

/* The swarms of one bucket, from the one that was begun on. \return whether it came to the end. */
static bool judge_bucket(struct swarm_store *store, struct shard *shard, struct progress *at,
                         size_t *budget, swarm_judge *stays, void *arg) {
  struct swarm **link = &shard->buckets[at->bucket];
  while (at->within && *link != NULL && memcmp((*link)->infohash, at->infohash, INFOHASH) != 0) {
    link = &(*link)->next;
  }
  if (*link == NULL) { /* it is gone meanwhile: all over again */
    at->within = false;
    link = &shard->buckets[at->bucket];
  }
  while (*link != NULL) {
    struct swarm *swarm = *link;
    bool done = judge_swarm(store, shard, swarm, at, budget, stays, arg);
    at->within = !done;
    if (!done) {
      return false;
    }
    if (!drop_if_empty(store, shard, link)) {
      link = &swarm->next;
    }
  }
  return true;
}

/* \return whether it came to the end. */
static bool judge_slice(struct swarm_store *store, struct shard *shard, struct progress *at,
                        swarm_judge *stays, void *arg) {
  size_t budget = SWARM_SLICE;
  /* An empty bucket costs a little, too. */
  for (; at->bucket < shard->bucket_count && budget > 0; at->bucket++) {
    if (!judge_bucket(store, shard, at, &budget, stays, arg)) {
      return false;
    }
    budget -= budget > 0;
  }
  return at->bucket >= shard->bucket_count;
}

void swarm_store_drop(struct swarm_store *store, swarm_judge *stays, void *arg) {
  for (size_t i = 0; i < SHARDS; i++) {
    struct shard *shard = &store->shards[i];
    struct progress at = {0};
    bool done = false;
    while (!done) {
      uv_mutex_lock(&shard->lock);
      done = judge_slice(store, shard, &at, stays, arg);
      uv_mutex_unlock(&shard->lock);
    }
  }
}

size_t swarm_store_peers(struct swarm_store *store) {
  size_t peers = atomic_load_explicit(&store->peers, memory_order_relaxed);
  /* An announce that is being turned away has counted itself for a moment. */
  return peers < store->max_peers ? peers : store->max_peers;
}

size_t swarm_store_swarms(struct swarm_store *store) {
  return atomic_load_explicit(&store->swarms, memory_order_relaxed);
}
