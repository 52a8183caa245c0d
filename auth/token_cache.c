/*
 * A hit: one hash, one short lock, one look into a table.
 *
 * EVP allocates a context for each digest. The older interface, deprecated since OpenSSL 3.0, keeps
 * it on the stack.
 */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "auth/token_cache.h"

#include <openssl/sha.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>

enum {
  SHARDS = 64,
  CACHE_LINE = 64,
  INFOHASH = 20,
  DROPS_MAX = 2, /* of dead entries at each insertion: more than come in */
};

/* A verified token. What is in it never changes; only the shard's lists and `references` do. */
struct entry {
  struct entry *next; /* in its bucket */
  struct entry *newer, *older;
  unsigned char hash[SHA256_DIGEST_LENGTH];
  uint64_t generation; /* of the keyring, when it was verified */
  int64_t key_expires; /* 0: never */
  int64_t expires, issued, session;
  unsigned leeway;        /* seconds behind `expires` */
  atomic_uint references; /* the table's, and one of each check under way */
  uint16_t kind;          /* enum token_kind */
  uint16_t count;         /* of infohashes; of repositories */
  char bytes[];           /* infohashes; or registry and repositories, a NUL behind each */
};

struct shard {
  alignas(CACHE_LINE) pthread_mutex_t lock;
  struct entry **buckets;
  struct entry *newest, *oldest;
  size_t count;
};

struct token_cache {
  struct keyring *keyring;
  size_t capacity; /* of a shard */
  size_t buckets;  /* of a shard; a power of two */
  struct shard shards[SHARDS];
};

static void release(struct entry *entry) {
  if (atomic_fetch_sub(&entry->references, 1) == 1) {
    free(entry);
  }
}

static void hash_token(struct slice jws, unsigned char hash[SHA256_DIGEST_LENGTH]) {
  SHA256_CTX context;
  SHA256_Init(&context);
  SHA256_Update(&context, jws.ptr, jws.len);
  SHA256_Final(hash, &context);
}

/* Under the shard's lock from here on. */

static struct entry **bucket_of(const struct token_cache *cache, const struct shard *shard,
                                const unsigned char hash[SHA256_DIGEST_LENGTH]) {
  uint64_t number = 0;
  memcpy(&number, hash + 1, sizeof number); /* the first byte chose the shard */
  return &shard->buckets[number & (cache->buckets - 1)];
}

static struct entry *find(const struct token_cache *cache, const struct shard *shard,
                          const unsigned char hash[SHA256_DIGEST_LENGTH]) {
  struct entry *entry = *bucket_of(cache, shard, hash);
  while (entry != NULL && memcmp(entry->hash, hash, sizeof entry->hash) != 0) {
    entry = entry->next;
  }
  return entry;
}

static void unlink_age(struct shard *shard, struct entry *entry) {
  *(entry->newer == NULL ? &shard->newest : &entry->newer->older) = entry->older;
  *(entry->older == NULL ? &shard->oldest : &entry->older->newer) = entry->newer;
}

static void link_newest(struct shard *shard, struct entry *entry) {
  entry->newer = NULL;
  entry->older = shard->newest;
  *(shard->newest == NULL ? &shard->oldest : &shard->newest->newer) = entry;
  shard->newest = entry;
}

static void drop(const struct token_cache *cache, struct shard *shard, struct entry *entry) {
  struct entry **at = bucket_of(cache, shard, entry->hash);
  while (*at != entry) {
    at = &(*at)->next;
  }
  *at = entry->next;
  unlink_age(shard, entry);
  shard->count--;
  release(entry);
}

static bool is_expired(const struct entry *entry, int64_t now) {
  return entry->expires + entry->leeway <= now;
}

/* Whether what was found when it was verified holds still. */
static bool is_current(const struct token_cache *cache, const struct entry *entry, int64_t now) {
  return entry->generation == keyring_generation(cache->keyring) &&
         (entry->key_expires == 0 || now < entry->key_expires);
}

static void insert(const struct token_cache *cache, struct shard *shard, struct entry *entry,
                   int64_t now) {
  for (int i = 0; i < DROPS_MAX && shard->oldest != NULL; i++) {
    if (is_expired(shard->oldest, now) && shard->oldest->session <= now) {
      drop(cache, shard, shard->oldest);
    }
  }
  if (shard->count == cache->capacity) {
    drop(cache, shard, shard->oldest);
  }
  struct entry **bucket = bucket_of(cache, shard, entry->hash);
  entry->next = *bucket;
  *bucket = entry;
  link_newest(shard, entry);
  shard->count++;
}

/* To here. */

static char *put_text(char *at, struct slice text) {
  if (text.len > 0) {
    memcpy(at, text.ptr, text.len);
  }
  at[text.len] = '\0';
  return at + text.len + 1;
}

static struct entry *entry_of(const struct token *token, const struct keyring_state *by,
                              const unsigned char hash[SHA256_DIGEST_LENGTH]) {
  size_t size = token->infohash_count * INFOHASH + token->registry.len + 1;
  for (size_t i = 0; i < token->access_count; i++) {
    size += token->access[i].repository.len + 1;
  }
  struct entry *entry = malloc(sizeof *entry + size);
  if (entry == NULL) {
    return NULL;
  }
  *entry = (struct entry){.generation = by->generation,
                          .key_expires = token->key_expires,
                          .leeway = by->trust.leeway,
                          .expires = token->expires,
                          .issued = token->issued,
                          .session = token->session,
                          .references = 1,
                          .kind = (uint16_t)token->kind};
  memcpy(entry->hash, hash, sizeof entry->hash);
  if (token->kind == TOKEN_REGISTRY) {
    entry->count = (uint16_t)token->access_count;
    char *at = put_text(entry->bytes, token->registry);
    for (size_t i = 0; i < token->access_count; i++) {
      at = put_text(at, token->access[i].repository);
    }
  } else {
    entry->count = (uint16_t)token->infohash_count;
    for (size_t i = 0; i < token->infohash_count; i++) {
      memcpy(entry->bytes + i * INFOHASH, token->infohashes[i].bytes, INFOHASH);
    }
  }
  return entry;
}

static bool covers_infohash(const struct entry *entry, const struct token_question *question,
                            const unsigned char *infohash) {
  if (entry->kind == TOKEN_REGISTRY) {
    struct slice registry = slice_str(entry->bytes);
    const char *at = entry->bytes + registry.len + 1;
    for (size_t i = 0; i < entry->count && question->registered != NULL; i++) {
      struct slice repository = slice_str(at);
      if (question->registered(question->arg, registry, repository, infohash)) {
        return true;
      }
      at += repository.len + 1;
    }
    return false;
  }
  for (size_t i = 0; i < entry->count; i++) {
    if (memcmp(entry->bytes + i * INFOHASH, infohash, INFOHASH) == 0) {
      return true;
    }
  }
  return false;
}

static enum token_verdict answer(const struct entry *entry, const struct token_question *question,
                                 struct token_grant *grant, bool *covers, struct error *why) {
  if ((entry->kind & question->kinds) == 0) {
    error_set(why, ERROR_DENIED, "a token of this kind will not do here");
    return TOKEN_INVALID;
  }
  *grant = (struct token_grant){.kind = (enum token_kind)entry->kind,
                                .expired = is_expired(entry, question->now),
                                .expires = entry->expires,
                                .issued = entry->issued,
                                .session = entry->session};
  memcpy(grant->fingerprint, entry->hash, sizeof grant->fingerprint);
  for (size_t i = 0; i < question->count; i++) {
    covers[i] = covers_infohash(entry, question, question->infohashes + i * INFOHASH);
  }
  if (grant->expired) {
    error_set(why, ERROR_DENIED, "expired");
  }
  return grant->expired ? TOKEN_EXPIRED : TOKEN_VALID;
}

/* A new reference to the token's entry, or NULL. One that is out of date is forgotten. */
static struct entry *look_up(struct token_cache *cache, struct shard *shard,
                             const unsigned char hash[SHA256_DIGEST_LENGTH], int64_t now) {
  pthread_mutex_lock(&shard->lock);
  struct entry *entry = find(cache, shard, hash);
  if (entry != NULL && !is_current(cache, entry, now)) {
    drop(cache, shard, entry);
    entry = NULL;
  } else if (entry != NULL) {
    atomic_fetch_add(&entry->references, 1);
    unlink_age(shard, entry);
    link_newest(shard, entry);
  }
  pthread_mutex_unlock(&shard->lock);
  return entry;
}

/* Verifies, and remembers what verified. A new reference to the entry, or NULL. */
static struct entry *verify(struct token_cache *cache, struct shard *shard, struct slice jws,
                            const unsigned char hash[SHA256_DIGEST_LENGTH],
                            const struct token_question *question, struct error *why) {
  struct arena arena = {0};
  struct token token;
  struct entry *entry = NULL;
  struct keyring_state *by = keyring_hold(cache->keyring);
  if (token_verify(&by->trust, jws, question->kinds, question->now, &arena, &token, why) !=
      TOKEN_INVALID) {
    entry = entry_of(&token, by, hash);
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
  if (find(cache, shard, hash) == NULL) {
    atomic_fetch_add(&entry->references, 1);
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
  struct entry *entry = look_up(cache, shard, hash, question->now);
  if (entry == NULL) {
    entry = verify(cache, shard, jws, hash, question, why);
  }
  if (entry == NULL) {
    return TOKEN_INVALID;
  }
  enum token_verdict verdict = answer(entry, question, grant, covers, why);
  release(entry);
  return verdict;
}

struct token_cache *token_cache_new(struct keyring *keyring, size_t max_tokens) {
  struct token_cache *cache = aligned_alloc(CACHE_LINE, sizeof *cache);
  if (cache == NULL) {
    return NULL;
  }
  memset(cache, 0, sizeof *cache);
  cache->keyring = keyring;
  cache->capacity = max_tokens == 0 ? 1 : (max_tokens - 1) / SHARDS + 1;
  for (cache->buckets = 1; cache->buckets < cache->capacity;) {
    cache->buckets *= 2;
  }
  bool ok = true;
  for (size_t i = 0; i < SHARDS; i++) {
    struct shard *shard = &cache->shards[i];
    pthread_mutex_init(&shard->lock, NULL);
    shard->buckets = calloc(cache->buckets, sizeof(struct entry *));
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
