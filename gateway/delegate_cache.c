/*
 * A ring of entries in the order in which they came, and a hash table of lists through them. The
 * next entry takes the place of the oldest. One lock, for it is held for a look into a table, and
 * every answer found here is followed by signatures that cost a hundred times as much.
 */
#include "gateway/delegate_cache.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>

enum {
  BUCKETS = DELEGATE_CACHE_MAX, /* a power of two */
  NONE = DELEGATE_CACHE_MAX,    /* no entry: the end of a list */
  KEY = 32,                     /* bytes */
};

struct entry {
  unsigned char hash[DELEGATE_CACHE_HASH];
  uint64_t until;
  uint64_t size;
  uint32_t next; /* in its bucket */
  bool if_size;
};

struct delegate_cache {
  EVP_MAC_CTX *mac; /* with the key, to be copied; never changed */
  pthread_mutex_t lock;
  uint64_t generation;
  uint32_t oldest; /* where the next entry goes */
  size_t count;
  uint32_t *buckets;
  struct entry *entries;
};

static EVP_MAC_CTX *make_mac(void) {
  char sha256[] = "SHA256";
  const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, sha256, 0),
                               OSSL_PARAM_END};
  unsigned char key[KEY];
  EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
  EVP_MAC_CTX *mac = hmac == NULL ? NULL : EVP_MAC_CTX_new(hmac);
  EVP_MAC_free(hmac);
  if (mac == NULL || RAND_bytes(key, sizeof key) != 1 ||
      EVP_MAC_init(mac, key, sizeof key, params) != 1) {
    EVP_MAC_CTX_free(mac);
    mac = NULL;
  }
  explicit_bzero(key, sizeof key);
  return mac;
}

/* What was in the lists stays in the ring, where nothing finds it. */
static void clear(struct delegate_cache *cache) {
  for (size_t i = 0; i < BUCKETS; i++) {
    cache->buckets[i] = NONE;
  }
  cache->count = 0;
}

struct delegate_cache *delegate_cache_new(struct error *e) {
  struct delegate_cache *cache = calloc(1, sizeof *cache);
  if (cache != NULL) {
    pthread_mutex_init(&cache->lock, NULL);
    cache->generation = 1;
    cache->mac = make_mac();
    cache->buckets = calloc(BUCKETS, sizeof *cache->buckets);
    cache->entries = calloc(DELEGATE_CACHE_MAX, sizeof *cache->entries);
  }
  if (cache == NULL || cache->mac == NULL || cache->buckets == NULL || cache->entries == NULL) {
    delegate_cache_free(cache);
    error_set(e, ERROR_FAILED, "cannot remember registries' answers: out of memory");
    return NULL;
  }
  clear(cache);
  return cache;
}

void delegate_cache_free(struct delegate_cache *cache) {
  if (cache == NULL) {
    return;
  }
  EVP_MAC_CTX_free(cache->mac);
  pthread_mutex_destroy(&cache->lock);
  free(cache->buckets);
  free(cache->entries);
  free(cache);
}

/* Each part with its length in front, so that no two questions are the same bytes. */
static bool add(EVP_MAC_CTX *mac, struct slice part) {
  uint64_t len = part.len;
  return EVP_MAC_update(mac, (const void *)&len, sizeof len) == 1 &&
         (part.len == 0 || EVP_MAC_update(mac, (const void *)part.ptr, part.len) == 1);
}

static bool hash_question(const struct delegate_cache *cache, struct slice registry,
                          const struct delegate_question *question,
                          unsigned char hash[DELEGATE_CACHE_HASH]) {
  EVP_MAC_CTX *mac = EVP_MAC_CTX_dup(cache->mac);
  size_t len = 0;
  bool ok = mac != NULL && add(mac, registry) && add(mac, slice_str(question->repository)) &&
            add(mac, slice_str(question->digest)) && add(mac, question->authorization) &&
            EVP_MAC_final(mac, hash, &len, DELEGATE_CACHE_HASH) == 1;
  EVP_MAC_CTX_free(mac);
  return ok && len == DELEGATE_CACHE_HASH;
}

/* Under the lock from here on. */

static uint32_t *bucket_of(const struct delegate_cache *cache, const unsigned char *hash) {
  uint32_t number = 0;
  memcpy(&number, hash, sizeof number);
  return &cache->buckets[number & (BUCKETS - 1)];
}

/* The entry of that hash, or NONE. */
static uint32_t find(const struct delegate_cache *cache, const unsigned char *hash) {
  uint32_t index = *bucket_of(cache, hash);
  while (index != NONE && memcmp(cache->entries[index].hash, hash, DELEGATE_CACHE_HASH) != 0) {
    index = cache->entries[index].next;
  }
  return index;
}

/* Takes an entry out of its list, if it is in one. */
static void drop(struct delegate_cache *cache, uint32_t index) {
  uint32_t *at = bucket_of(cache, cache->entries[index].hash);
  while (*at != NONE && *at != index) {
    at = &cache->entries[*at].next;
  }
  if (*at == index) {
    *at = cache->entries[index].next;
    cache->count--;
  }
}

static void insert(struct delegate_cache *cache, const struct delegate_ticket *ticket,
                   const struct delegate_answer *answer) {
  uint32_t index = cache->oldest;
  struct entry *entry = &cache->entries[index];
  uint32_t *bucket = bucket_of(cache, ticket->hash);
  drop(cache, index);
  *entry = (struct entry){
      .until = ticket->asked + DELEGATE_CACHE_KEEP_MS,
      .size = answer->size,
      .next = *bucket,
      .if_size = answer->verdict == DELEGATE_YES_IF_SIZE,
  };
  memcpy(entry->hash, ticket->hash, sizeof entry->hash);
  *bucket = index;
  cache->oldest = (index + 1) % DELEGATE_CACHE_MAX;
  cache->count++;
}

/* To here. */

bool delegate_cache_find(struct delegate_cache *cache, struct slice registry,
                         const struct delegate_question *question, uint64_t now,
                         struct delegate_ticket *ticket, struct delegate_answer *answer) {
  *ticket = (struct delegate_ticket){.asked = now};
  if (!hash_question(cache, registry, question, ticket->hash)) {
    return false;
  }
  pthread_mutex_lock(&cache->lock);
  ticket->generation = cache->generation;
  uint32_t index = find(cache, ticket->hash);
  bool found = index != NONE && now < cache->entries[index].until;
  if (found) {
    const struct entry *entry = &cache->entries[index];
    *answer = (struct delegate_answer){
        .verdict = entry->if_size ? DELEGATE_YES_IF_SIZE : DELEGATE_YES,
        .status = 200,
        .size = entry->size,
    };
  }
  pthread_mutex_unlock(&cache->lock);
  return found;
}

void delegate_cache_keep(struct delegate_cache *cache, const struct delegate_ticket *ticket,
                         const struct delegate_answer *answer) {
  if (answer->verdict != DELEGATE_YES && answer->verdict != DELEGATE_YES_IF_SIZE) {
    return;
  }
  pthread_mutex_lock(&cache->lock);
  if (ticket->generation == cache->generation) {
    uint32_t earlier = find(cache, ticket->hash);
    if (earlier != NONE) {
      drop(cache, earlier);
    }
    insert(cache, ticket, answer);
  }
  pthread_mutex_unlock(&cache->lock);
}

void delegate_cache_flush(struct delegate_cache *cache) {
  pthread_mutex_lock(&cache->lock);
  cache->generation++;
  clear(cache);
  pthread_mutex_unlock(&cache->lock);
}

size_t delegate_cache_count(struct delegate_cache *cache) {
  pthread_mutex_lock(&cache->lock);
  size_t count = cache->count;
  pthread_mutex_unlock(&cache->lock);
  return count;
}
