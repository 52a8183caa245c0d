/*
 * A hit: one hash, one short lock, one look into a table, and one at a number, whether the
 * revocations are still those that the token was held against.
 *
 * EVP allocates a context for each digest. The older interface, deprecated since OpenSSL 3.0, keeps
 * it on the stack.
 */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "auth/token_cache.h"

#include "auth/token_entry.h"

#include <openssl/sha.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdlib.h>

enum {
  SHARDS = 64,
  CACHE_LINE = 64,
  DROPS_MAX = 2, /* of dead entries at each insertion: more than come in */
};

struct shard {
  alignas(CACHE_LINE) pthread_mutex_t lock;
  struct token_entry **buckets;
  struct token_entry *newest, *oldest;
  size_t count;
};

struct token_cache {
  struct keyring *keyring;
  struct revocations *revocations; /* NULL: nothing is revoked */
  size_t capacity;                 /* of a shard */
  size_t buckets;                  /* of a shard; a power of two */
  struct shard shards[SHARDS];
};

static void hash_token(struct slice jws, unsigned char hash[SHA256_DIGEST_LENGTH]) {
  SHA256_CTX context;
  SHA256_Init(&context);
  SHA256_Update(&context, jws.ptr, jws.len);
  SHA256_Final(hash, &context);
}

/* Under the shard's lock from here on. */

static struct token_entry **bucket_of(const struct token_cache *cache, const struct shard *shard,
                                      const unsigned char *hash) {
  uint64_t number = 0;
  memcpy(&number, hash + 1, TOKEN_CACHE_FINGERPRINT - 1); /* the first byte chose the shard */
  return &shard->buckets[number & (cache->buckets - 1)];
}

/* By the first \p len bytes of its hash. */
static struct token_entry *find(const struct token_cache *cache, const struct shard *shard,
                                const unsigned char *hash, size_t len) {
  struct token_entry *entry = *bucket_of(cache, shard, hash);
  while (entry != NULL && memcmp(entry->hash, hash, len) != 0) {
    entry = entry->next;
  }
  return entry;
}

static void unlink_age(struct shard *shard, struct token_entry *entry) {
  *(entry->newer == NULL ? &shard->newest : &entry->newer->older) = entry->older;
  *(entry->older == NULL ? &shard->oldest : &entry->older->newer) = entry->newer;
}

static void link_newest(struct shard *shard, struct token_entry *entry) {
  entry->newer = NULL;
  entry->older = shard->newest;
  *(shard->newest == NULL ? &shard->oldest : &shard->newest->newer) = entry;
  shard->newest = entry;
}

static void drop(const struct token_cache *cache, struct shard *shard, struct token_entry *entry) {
  struct token_entry **at = bucket_of(cache, shard, entry->hash);
  while (*at != entry) {
    at = &(*at)->next;
  }
  *at = entry->next;
  unlink_age(shard, entry);
  shard->count--;
  token_entry_release(entry);
}

/* Whether what was found when it was verified holds still. */
static bool is_current(const struct token_cache *cache, const struct token_entry *entry,
                       int64_t now) {
  return entry->generation == keyring_generation(cache->keyring) &&
         (entry->key_expires == 0 || now < entry->key_expires);
}

static void insert(const struct token_cache *cache, struct shard *shard, struct token_entry *entry,
                   int64_t now) {
  for (int i = 0; i < DROPS_MAX && shard->oldest != NULL; i++) {
    if (token_entry_expired(shard->oldest, now) && shard->oldest->session <= now) {
      drop(cache, shard, shard->oldest);
    }
  }
  if (shard->count == cache->capacity) {
    drop(cache, shard, shard->oldest);
  }
  struct token_entry **bucket = bucket_of(cache, shard, entry->hash);
  entry->next = *bucket;
  *bucket = entry;
  link_newest(shard, entry);
  shard->count++;
}

/* To here. */

/* A new reference to the token's entry, or NULL. One that is out of date is forgotten. */
static struct token_entry *look_up(struct token_cache *cache, struct shard *shard,
                                   const unsigned char hash[SHA256_DIGEST_LENGTH], int64_t now) {
  pthread_mutex_lock(&shard->lock);
  struct token_entry *entry = find(cache, shard, hash, SHA256_DIGEST_LENGTH);
  if (entry != NULL && !is_current(cache, entry, now)) {
    drop(cache, shard, entry);
    entry = NULL;
  } else if (entry != NULL) {
    token_entry_hold(entry);
    unlink_age(shard, entry);
    link_newest(shard, entry);
  }
  pthread_mutex_unlock(&shard->lock);
  return entry;
}

/* Verifies, and remembers what verified. A new reference to the entry, or NULL. */
static struct token_entry *verify(struct token_cache *cache, struct shard *shard, struct slice jws,
                                  const unsigned char hash[SHA256_DIGEST_LENGTH],
                                  const struct token_question *question, struct error *why) {
  struct arena arena = {0};
  struct token token;
  struct token_entry *entry = NULL;
  struct keyring_state *by = keyring_hold(cache->keyring);
  if (token_verify(&by->trust, jws, question->kinds, question->now, &arena, &token, why) !=
      TOKEN_INVALID) {
    entry = token_entry_new(&token, by, hash);
    if (entry == NULL) {
      error_set(why, ERROR_FAILED, "out of memory");
    }
  }
  keyring_release(by);
  arena_free(&arena);
  if (entry == NULL) {
    return NULL;
  }
  pthread_mutex_lock(&shard->lock);
  /* Another thread may have been as far at the same time. */
  if (find(cache, shard, hash, SHA256_DIGEST_LENGTH) == NULL) {
    token_entry_hold(entry);
    insert(cache, shard, entry, question->now);
  }
  pthread_mutex_unlock(&shard->lock);
  return entry;
}

enum token_verdict token_cache_check(struct token_cache *cache, struct slice jws,
                                     const struct token_question *question,
                                     struct token_grant *grant, bool *covers, struct error *why) {
  *grant = (struct token_grant){0};
  for (size_t i = 0; i < question->count; i++) {
    covers[i] = false;
  }
  /* Nothing is hashed that cannot be a token. */
  if (jws.len > TOKEN_REGISTRY_MAX) {
    error_set(why, ERROR_DENIED, "too long: %zu bytes", jws.len);
    return TOKEN_INVALID;
  }
  unsigned char hash[SHA256_DIGEST_LENGTH];
  hash_token(jws, hash);
  struct shard *shard = &cache->shards[hash[0] % SHARDS];
  struct token_entry *entry = look_up(cache, shard, hash, question->now);
  if (entry == NULL) {
    entry = verify(cache, shard, jws, hash, question, why);
  }
  if (entry == NULL) {
    return TOKEN_INVALID;
  }
  enum token_verdict verdict =
      token_entry_answer(entry, cache->revocations, question, grant, covers, why);
  token_entry_release(entry);
  return verdict;
}

bool token_cache_upholds(struct token_cache *cache, const unsigned char *fingerprint,
                         const unsigned char infohash[20]) {
  struct shard *shard = &cache->shards[fingerprint[0] % SHARDS];
  pthread_mutex_lock(&shard->lock);
  struct token_entry *entry = find(cache, shard, fingerprint, TOKEN_CACHE_FINGERPRINT);
  bool upheld = entry != NULL && token_entry_upholds(entry, cache->revocations, infohash);
  pthread_mutex_unlock(&shard->lock);
  return upheld;
}

struct token_cache *token_cache_new(struct keyring *keyring, struct revocations *revocations,
                                    size_t max_tokens) {
  struct token_cache *cache = aligned_alloc(CACHE_LINE, sizeof *cache);
  if (cache == NULL) {
    return NULL;
  }
  memset(cache, 0, sizeof *cache);
  cache->keyring = keyring;
  cache->revocations = revocations;
  cache->capacity = max_tokens == 0 ? 1 : (max_tokens - 1) / SHARDS + 1;
  for (cache->buckets = 1; cache->buckets < cache->capacity;) {
    cache->buckets *= 2;
  }
  bool ok = true;
  for (size_t i = 0; i < SHARDS; i++) {
    struct shard *shard = &cache->shards[i];
    pthread_mutex_init(&shard->lock, NULL);
    shard->buckets = calloc(cache->buckets, sizeof(struct token_entry *));
    ok = ok && shard->buckets != NULL;
  }
  if (!ok) {
    token_cache_free(cache);
    return NULL;
  }
  return cache;
}

void token_cache_free(struct token_cache *cache) {
  if (cache == NULL) {
    return;
  }
  for (size_t i = 0; i < SHARDS; i++) {
    struct shard *shard = &cache->shards[i];
    while (shard->oldest != NULL) {
      drop(cache, shard, shard->oldest);
    }
    free(shard->buckets);
    pthread_mutex_destroy(&shard->lock);
  }
  free(cache);
}

size_t token_cache_count(struct token_cache *cache) {
  size_t count = 0;
  for (size_t i = 0; i < SHARDS; i++) {
    pthread_mutex_lock(&cache->shards[i].lock);
    count += cache->shards[i].count;
    pthread_mutex_unlock(&cache->shards[i].lock);
  }
  return count;
}
