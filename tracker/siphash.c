#include "tracker/siphash.h"

#include <endian.h>
#include <string.h>

static uint64_t load(const unsigned char *bytes) {
  uint64_t word;
  memcpy(&word, bytes, sizeof word);
  return le64toh(word);
}

static uint64_t rotate(uint64_t x, unsigned bits) {
  return x << bits | x >> (64 - bits);
}

static void rounds(uint64_t v[4], int count) {
  for (int i = 0; i < count; i++) {
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32) + v[3];
    v[2] += v[1];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
  }
}

uint64_t siphash(const unsigned char key[SIPHASH_KEY], const void *data, size_t len) {
  uint64_t k0 = load(key), k1 = load(key + 8);
  uint64_t v[4] = {k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261,
                   k1 ^ 0x7465646279746573};
  const unsigned char *at = data;
  size_t words = len / 8;
  for (size_t i = 0; i < words; i++, at += 8) {
    uint64_t word = load(at);
    v[3] ^= word;
    rounds(v, 2);
    v[0] ^= word;
  }
  unsigned char tail[8] = {0};
  memcpy(tail, at, len % 8);
  tail[7] = (unsigned char)len;
  uint64_t last = load(tail);
  v[3] ^= last;
  rounds(v, 2);
  v[0] ^= last;
  v[2] ^= 0xff;
  rounds(v, 4);
  return v[0] ^ v[1] ^ v[2] ^ v[3];
}
