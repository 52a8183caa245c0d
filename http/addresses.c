#include "http/addresses.h"

#include "base/address.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum { FIRST_CAPACITY = 64 };

struct addresses_entry {
  uint64_t key[2];
  unsigned count; /* 0: a free place */
};

/* Who is given an IPv6 address is given the 2^64 that begin with the same 64 bits (RFC 4291,
 * section 2.5.1), and may come from another each time: they count as one. */
static void key_of(const struct sockaddr *address, uint64_t key[2]) {
  const union address a = address_of(address);
  key[0] = 0;
  key[1] = (uint64_t)a.any.sa_family << 32;
  if (a.any.sa_family == AF_INET) {
    key[1] |= a.v4.sin_addr.s_addr;
  } else if (a.any.sa_family == AF_INET6) {
    memcpy(key, a.v6.sin6_addr.s6_addr, sizeof key[0]);
  }
}

static uint64_t mix(uint64_t h) {
  h ^= h >> 33;
  h *= 0xff51afd7ed558ccdU;
  h ^= h >> 33;
  h *= 0xc4ceb9fe1a85ec53U;
  return h ^ h >> 33;
}

static size_t home(const struct addresses *a, const uint64_t key[2]) {
  return (size_t)mix(mix(key[0] ^ a->seed) ^ key[1]) & (a->capacity - 1);
}

/* The place of the key, or the free one where it belongs. */
static size_t find(const struct addresses *a, const uint64_t key[2]) {
  size_t i = home(a, key);
  while (a->entries[i].count > 0 &&
         (a->entries[i].key[0] != key[0] || a->entries[i].key[1] != key[1])) {
    i = (i + 1) & (a->capacity - 1);
  }
  return i;
}

static bool grow(struct addresses *a) {
  struct addresses larger = {.capacity = a->capacity == 0 ? FIRST_CAPACITY : a->capacity * 2,
                             .used = a->used,
                             .seed = a->seed};
  larger.entries = calloc(larger.capacity, sizeof *larger.entries);
  if (larger.entries == NULL) {
    return false;
  }
  for (size_t i = 0; i < a->capacity; i++) {
    if (a->entries[i].count > 0) {
      larger.entries[find(&larger, a->entries[i].key)] = a->entries[i];
    }
  }
  free(a->entries);
  *a = larger;
  return true;
}

void addresses_init(struct addresses *a) {
  *a = (struct addresses){0};
  if (getrandom(&a->seed, sizeof a->seed, 0) != (ssize_t)sizeof a->seed) {
    a->seed = mix((uint64_t)time(NULL));
  }
}

bool addresses_add(struct addresses *a, const struct sockaddr *address, unsigned max) {
  uint64_t key[2];
  key_of(address, key);
  if (a->used >= a->capacity / 2 && !grow(a)) {
    return false;
  }
  struct addresses_entry *entry = &a->entries[find(a, key)];
  if (entry->count >= max) {
    return false;
  }
  if (entry->count++ == 0) {
    entry->key[0] = key[0];
    entry->key[1] = key[1];
    a->used++;
  }
  return true;
}

void addresses_remove(struct addresses *a, const struct sockaddr *address) {
  uint64_t key[2];
  key_of(address, key);
  size_t hole = find(a, key);
  if (--a->entries[hole].count > 0) {
    return;
  }
  a->used--;
  /* Who was pushed past the hole moves back into it, so that no search ends too early. */
  const size_t mask = a->capacity - 1;
  for (size_t i = (hole + 1) & mask; a->entries[i].count > 0; i = (i + 1) & mask) {
    if (((i - home(a, a->entries[i].key)) & mask) >= ((i - hole) & mask)) {
      a->entries[hole] = a->entries[i];
      a->entries[i].count = 0;
      hole = i;
    }
  }
}

void addresses_free(struct addresses *a) {
  free(a->entries);
  a->entries = NULL;
  a->capacity = a->used = 0;
}
