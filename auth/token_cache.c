/*
 * A hit: one hash, one short lock, one look into a table, and one at a number, whether the
 * revocations are still those that the token was held against.
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

/* What an entry was found to be by a set of revocations, in the low bits of `standing`; the others
 * are the set's generation. */
enum {
  STANDING_REVOKED = 1,    /* the token is */
  STANDING_REPOSITORY = 2, /* of a registry token's repositories, some are */
  STANDING_INFOHASH = 4,   /* of its infohashes, some are; any are, of a registry token's */
  STANDING_BITS = 3,
};

/* A verified token. What is in it never changes; only `standing`, the shard's lists and
 * `references` do. */
struct entry {
  struct entry *next; /* in its bucket */
  struct entry *newer, *older;
  unsigned char hash[SHA256_DIGEST_LENGTH];
  uint64_t generation; /* of the keyring, when it was verified */
  int64_t key_expires; /* 0: never */
  int64_t expires, issued, session;
  unsigned leeway; /* seconds behind `expires` */
  struct revocation_names names;
  atomic_uint_least64_t standing; /* 0: it was not held against any */
  atomic_uint references;         /* the table's, and one of each check under way */
  uint16_t kind;                  /* enum token_kind */
  uint16_t count;                 /* of infohashes; of repositories */
  char bytes[];                   /* infohashes; or registry and repositories, a NUL behind each */
};

struct shard {
  alignas(CACHE_LINE) pthread_mutex_t lock;
  struct entry **buckets;
  struct entry *newest, *oldest;
  size_t count;
};

struct token_cache {
  struct keyring *keyring;
  struct revocations *revocations; /* NULL: nothing is revoked */
  size_t capacity;                 /* of a shard */
  size_t buckets;                  /* of a shard; a power of two */
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
                                const unsigned char *hash) {
  uint64_t number = 0;
  memcpy(&number, hash + 1, TOKEN_CACHE_FINGERPRINT - 1); /* the first byte chose the shard */
  return &shard->buckets[number & (cache->buckets - 1)];
}

/* By the first \p len bytes of its hash. */
static struct entry *find(const struct token_cache *cache, const struct shard *shard,
                          const unsigned char *hash, size_t len) {
  struct entry *entry = *bucket_of(cache, shard, hash);
  while (entry != NULL && memcmp(entry->hash, hash, len) != 0) {
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
  revocation_names_of(token, token->key_id, token->header_kid, &entry->names);
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

/* A registry token's registry, or the repository behind \p before, of which there are `count`. */
static struct slice text_behind(const struct entry *entry, struct slice before) {
  return slice_str(before.ptr == NULL ? entry->bytes : before.ptr + before.len + 1);
}

static bool is_repository_revoked(const struct entry *entry, const struct revocation_set *set,
                                  struct slice registry, struct slice repository) {
  return revocation_set_refuses_name(set, REVOCATION_REPOSITORY,
                                     revocation_name_in(registry, repository), entry->issued);
}

static bool is_infohash_revoked(const struct entry *entry, const struct revocation_set *set,
                                const unsigned char *infohash) {
  return revocation_set_refuses_infohash(set, infohash, entry->issued);
}

static unsigned judge_repositories(const struct entry *entry, const struct revocation_set *set) {
  struct slice registry = text_behind(entry, slice_of(NULL, 0)), at = registry;
  for (size_t i = 0; i < entry->count && revocation_set_has(set, REVOCATION_REPOSITORY); i++) {
    at = text_behind(entry, at);
    if (is_repository_revoked(entry, set, registry, at)) {
      return STANDING_REPOSITORY;
    }
  }
  return 0;
}

static unsigned judge_infohashes(const struct entry *entry, const struct revocation_set *set) {
  if (!revocation_set_has(set, REVOCATION_INFOHASH) || entry->kind == TOKEN_REGISTRY) {
    return revocation_set_has(set, REVOCATION_INFOHASH) ? STANDING_INFOHASH : 0;
  }
  for (size_t i = 0; i < entry->count; i++) {
    if (is_infohash_revoked(entry, set, (const unsigned char *)entry->bytes + i * INFOHASH)) {
      return STANDING_INFOHASH;
    }
  }
  return 0;
}

/* What the entry is by the revocations in force. */
static unsigned standing_of(const struct token_cache *cache, struct entry *entry) {
  if (cache->revocations == NULL) {
    return 0;
  }
  uint64_t standing = atomic_load_explicit(&entry->standing, memory_order_relaxed);
  if (standing >> STANDING_BITS != revocations_generation(cache->revocations)) {
    uint64_t generation;
    const struct revocation_set *set = revocations_hold(cache->revocations, &generation);
    standing = generation << STANDING_BITS;
    if (revocation_set_refuses(set, &entry->names, entry->issued) != 0) {
      standing |= STANDING_REVOKED;
    }
    standing |= judge_infohashes(entry, set);
    if (entry->kind == TOKEN_REGISTRY) {
      standing |= judge_repositories(entry, set);
    }
    revocations_release(cache->revocations);
    atomic_store_explicit(&entry->standing, standing, memory_order_relaxed);
  }
  return (unsigned)standing & ((1u << STANDING_BITS) - 1);
}

/* For what is seldom: some are revoked, but is it this one? */
static bool is_withheld(const struct token_cache *cache, const struct entry *entry,
                        const unsigned char *infohash) {
  const struct revocation_set *set = revocations_hold(cache->revocations, NULL);
  bool revoked = is_infohash_revoked(entry, set, infohash);
  revocations_release(cache->revocations);
  return revoked;
}

static bool is_repository_withheld(const struct token_cache *cache, const struct entry *entry,
                                   struct slice registry, struct slice repository) {
  const struct revocation_set *set = revocations_hold(cache->revocations, NULL);
  bool revoked = is_repository_revoked(entry, set, registry, repository);
  revocations_release(cache->revocations);
  return revoked;
}

static bool registry_covers(const struct token_cache *cache, const struct entry *entry,
                            unsigned standing, const struct token_question *question,
                            const unsigned char *infohash, bool *withheld) {
  struct slice registry = text_behind(entry, slice_of(NULL, 0)), at = registry;
  for (size_t i = 0; i < entry->count && question->registered != NULL; i++) {
    at = text_behind(entry, at);
    if (question->registered(question->arg, registry, at, infohash)) {
      if ((standing & STANDING_REPOSITORY) == 0 ||
          !is_repository_withheld(cache, entry, registry, at)) {
        return true;
      }
      *withheld = true;
    }
  }
  return false;
}

static bool covers_infohash(const struct token_cache *cache, const struct entry *entry,
                            unsigned standing, const struct token_question *question,
                            const unsigned char *infohash, bool *withheld) {
  if (entry->kind == TOKEN_REGISTRY) {
    return registry_covers(cache, entry, standing, question, infohash, withheld);
  }
  for (size_t i = 0; i < entry->count; i++) {
    if (memcmp(entry->bytes + i * INFOHASH, infohash, INFOHASH) == 0) {
      return true;
    }
  }
  return false;
}

static enum token_verdict answer(const struct token_cache *cache, struct entry *entry,
                                 const struct token_question *question, struct token_grant *grant,
                                 bool *covers, struct error *why) {
  unsigned standing = standing_of(cache, entry);
  if ((entry->kind & question->kinds) == 0) {
    error_set(why, ERROR_DENIED, "a token of this kind will not do here");
    return TOKEN_INVALID;
  }
  if ((standing & STANDING_REVOKED) != 0) {
    error_set(why, ERROR_DENIED, "revoked");
    return TOKEN_REVOKED;
  }
  *grant = (struct token_grant){.kind = (enum token_kind)entry->kind,
                                .expired = is_expired(entry, question->now),
                                .expires = entry->expires,
                                .issued = entry->issued,
                                .session = entry->session};
  memcpy(grant->fingerprint, entry->hash, sizeof grant->fingerprint);
  for (size_t i = 0; i < question->count; i++) {
    const unsigned char *infohash = question->infohashes + i * INFOHASH;
    bool withheld = false;
    covers[i] = covers_infohash(cache, entry, standing, question, infohash, &withheld);
    if (covers[i] && (standing & STANDING_INFOHASH) != 0 && is_withheld(cache, entry, infohash)) {
      covers[i] = false;
      withheld = true;
    }
    grant->withheld |= withheld && !covers[i];
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
  struct entry *entry = find(cache, shard, hash, SHA256_DIGEST_LENGTH);
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
  if (find(cache, shard, hash, SHA256_DIGEST_LENGTH) == NULL) {
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
  enum token_verdict verdict = answer(cache, entry, question, grant, covers, why);
  release(entry);
  return verdict;
}

bool token_cache_upholds(struct token_cache *cache, const unsigned char *fingerprint,
                         const unsigned char infohash[INFOHASH]) {
  struct shard *shard = &cache->shards[fingerprint[0] % SHARDS];
  bool upheld = false;
  pthread_mutex_lock(&shard->lock);
  struct entry *entry = find(cache, shard, fingerprint, TOKEN_CACHE_FINGERPRINT);
  if (entry != NULL) {
    unsigned standing = standing_of(cache, entry);
    upheld = (standing & (STANDING_REVOKED | STANDING_REPOSITORY)) == 0 &&
             ((standing & STANDING_INFOHASH) == 0 || !is_withheld(cache, entry, infohash));
  }
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
