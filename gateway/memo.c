/*
 * A ring of entries in the order in which they came, and a hash table of lists through them. The
 * next entry takes the place of the oldest. One lock, for it is held for a look into a table, and
 * whatever asks here saves what costs a hundred times as much.
 */
#include "gateway/memo.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>

enum { KEY = 32 }; /* bytes */

/* No entry: the end of a list. */
#define NONE UINT32_MAX

struct entry {
  unsigned char hash[MEMO_HASH];
  uint64_t until, value;
  uint32_t next; /* in its bucket */
};

struct memo {
  EVP_MAC_CTX *mac; /* with the key, to be copied; never changed */
  pthread_mutex_t lock;
  uint64_t generation;
  uint32_t max, oldest; /* the oldest is where the next entry goes */
  size_t count;
  uint32_t *buckets; /* max of them */
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
static void clear(struct memo *memo) {
  for (size_t i = 0; i < memo->max; i++) {
    memo->buckets[i] = NONE;
  }
  memo->count = 0;
}

struct memo *memo_new(size_t max, struct error *e) {
  struct memo *memo = calloc(1, sizeof *memo);
  if (memo != NULL) {
    pthread_mutex_init(&memo->lock, NULL);
    memo->generation = 1;
    memo->max = (uint32_t)max;
    memo->mac = make_mac();
    memo->buckets = calloc(max, sizeof *memo->buckets);
    memo->entries = calloc(max, sizeof *memo->entries);
  }
  if (memo == NULL || memo->mac == NULL || memo->buckets == NULL || memo->entries == NULL) {
    memo_free(memo);
    error_set(e, ERROR_FAILED, "cannot remember anything: out of memory, or no randomness");
    return NULL;
  }
  clear(memo);
  return memo;
}

void memo_free(struct memo *memo) {
  if (memo == NULL) {
    return;
  }
  EVP_MAC_CTX_free(memo->mac);
  pthread_mutex_destroy(&memo->lock);
  free(memo->buckets);
  free(memo->entries);
  free(memo);
}

/* Each part with its length in front, so that no two lists of parts are the same bytes. */
static bool add(EVP_MAC_CTX *mac, struct slice part) {
  uint64_t len = part.len;
  return EVP_MAC_update(mac, (const unsigned char *)&len, sizeof len) == 1 &&
         (part.len == 0 || EVP_MAC_update(mac, (const unsigned char *)part.ptr, part.len) == 1);
}

void memo_about(struct memo *memo, const struct slice *parts, size_t count, struct memo_key *out) {
  EVP_MAC_CTX *mac = EVP_MAC_CTX_dup(memo->mac);
  bool ok = mac != NULL;
  size_t len = 0;
  *out = (struct memo_key){0};
  for (size_t i = 0; i < count && ok; i++) {
    ok = add(mac, parts[i]);
  }
  if (ok && EVP_MAC_final(mac, out->hash, &len, MEMO_HASH) == 1 && len == MEMO_HASH) {
    pthread_mutex_lock(&memo->lock);
    out->generation = memo->generation;
    pthread_mutex_unlock(&memo->lock);
  }
  EVP_MAC_CTX_free(mac);
}

/* Under the lock from here on. */

static uint32_t *bucket_of(const struct memo *memo, const unsigned char *hash) {
  uint32_t number = 0;
  memcpy(&number, hash, sizeof number);
  return &memo->buckets[number & (memo->max - 1)];
}

/* The entry of that hash, or NONE. */
static uint32_t find(const struct memo *memo, const unsigned char *hash) {
  uint32_t index = *bucket_of(memo, hash);
  while (index != NONE && memcmp(memo->entries[index].hash, hash, MEMO_HASH) != 0) {
    index = memo->entries[index].next;
  }
  return index;
}

/* Takes an entry out of its list, if it is in one. */
static void drop(struct memo *memo, uint32_t index) {
  uint32_t *at = bucket_of(memo, memo->entries[index].hash);
  while (*at != NONE && *at != index) {
    at = &memo->entries[*at].next;
  }
  if (*at == index) {
    *at = memo->entries[index].next;
    memo->count--;
  }
}

static void insert(struct memo *memo, const unsigned char *hash, uint64_t until, uint64_t value) {
  uint32_t index = memo->oldest;
  uint32_t *bucket = bucket_of(memo, hash);
  drop(memo, index);
  struct entry *entry = &memo->entries[index];
  *entry = (struct entry){.until = until, .value = value, .next = *bucket};
  memcpy(entry->hash, hash, MEMO_HASH);
  *bucket = index;
  memo->oldest = (index + 1) % memo->max;
  memo->count++;
}

/* To here. */

bool memo_find(struct memo *memo, const struct memo_key *key, uint64_t now, uint64_t *value) {
  pthread_mutex_lock(&memo->lock);
  uint32_t index = key->generation == memo->generation ? find(memo, key->hash) : NONE;
  bool found = index != NONE && now < memo->entries[index].until;
  if (found) {
    *value = memo->entries[index].value;
  }
  pthread_mutex_unlock(&memo->lock);
  return found;
}

void memo_keep(struct memo *memo, const struct memo_key *key, uint64_t until, uint64_t value) {
  pthread_mutex_lock(&memo->lock);
  if (key->generation == memo->generation) {
    uint32_t earlier = find(memo, key->hash);
    if (earlier != NONE) {
      drop(memo, earlier);
    }
    insert(memo, key->hash, until, value);
  }
  pthread_mutex_unlock(&memo->lock);
}

void memo_forget(struct memo *memo, const struct memo_key *key) {
  pthread_mutex_lock(&memo->lock);
  uint32_t index = find(memo, key->hash);
  if (index != NONE) {
    drop(memo, index);
  }
  pthread_mutex_unlock(&memo->lock);
}

void memo_flush(struct memo *memo) {
  pthread_mutex_lock(&memo->lock);
  memo->generation++;
  clear(memo);
  pthread_mutex_unlock(&memo->lock);
}

size_t memo_count(struct memo *memo) {
  pthread_mutex_lock(&memo->lock);
  size_t count = memo->count;
  pthread_mutex_unlock(&memo->lock);
  return count;
}
