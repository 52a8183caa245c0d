#include "torrent/merkle.h"

bool merkle_init(struct merkle *m) {
  /* Fetched and kept: to look the algorithm up takes longer than to hash a node. */
  m->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
  m->ctx = EVP_MD_CTX_new();
  m->count = 0;
  return m->sha256 != NULL && m->ctx != NULL;
}

void merkle_free(struct merkle *m) {
  EVP_MD_CTX_free(m->ctx);
  EVP_MD_free(m->sha256);
  m->ctx = NULL;
  m->sha256 = NULL;
}

void merkle_reset(struct merkle *m) {
  m->count = 0;
}

/* out = SHA-256(left right); out may be either of them. */
static bool pair(struct merkle *m, const unsigned char *left, const unsigned char *right,
                 unsigned char *out) {
  unsigned char both[2 * MERKLE_HASH];
  memcpy(both, left, MERKLE_HASH);
  memcpy(both + MERKLE_HASH, right, MERKLE_HASH);
  return EVP_DigestInit_ex2(m->ctx, m->sha256, NULL) == 1 &&
         EVP_DigestUpdate(m->ctx, both, sizeof both) == 1 &&
         EVP_DigestFinal_ex(m->ctx, out, NULL) == 1;
}

bool merkle_add_block(struct merkle *m, const void *block, size_t len) {
  unsigned char leaf[MERKLE_HASH];
  return EVP_DigestInit_ex2(m->ctx, m->sha256, NULL) == 1 &&
         EVP_DigestUpdate(m->ctx, block, len) == 1 && EVP_DigestFinal_ex(m->ctx, leaf, NULL) == 1 &&
         merkle_add(m, leaf);
}

bool merkle_add(struct merkle *m, const unsigned char leaf[MERKLE_HASH]) {
  unsigned char node[MERKLE_HASH];
  unsigned level = 0;
  memcpy(node, leaf, sizeof node);
  for (; (m->count >> level & 1) != 0; level++) {
    if (!pair(m, m->node[level], node, node)) {
      return false;
    }
  }
  memcpy(m->node[level], node, sizeof node);
  m->count++;
  return true;
}

bool merkle_root(struct merkle *m, uint64_t width, const unsigned char *pad,
                 unsigned char root[MERKLE_HASH]) {
  /* A subtree of padding alone, of this level's height. */
  unsigned char padding[MERKLE_HASH] = {0};
  bool begun = false; /* root holds the last subtree that is not all padding */
  unsigned level = 0;
  if (pad != NULL) {
    memcpy(padding, pad, sizeof padding);
  }
  for (; width >> level > 1; level++) {
    bool good = true;
    if ((m->count >> level & 1) != 0) {
      good = pair(m, m->node[level], begun ? root : padding, root);
      begun = true;
    } else if (begun) {
      good = pair(m, root, padding, root);
    }
    if (!good || !pair(m, padding, padding, padding)) {
      return false;
    }
  }
  if (!begun) {
    memcpy(root, m->count == width ? m->node[level] : padding, MERKLE_HASH);
  }
  return true;
}

uint64_t merkle_width(uint64_t count) {
  uint64_t width = 1;
  while (width < count) {
    width *= 2;
  }
  return width;
}

bool merkle_layer_root(struct slice layer, uint32_t piece_length, unsigned char root[MERKLE_HASH]) {
  struct merkle m;
  unsigned char pad[MERKLE_HASH];
  bool good = merkle_init(&m) && merkle_root(&m, piece_length / MERKLE_BLOCK, NULL, pad);
  for (; good && layer.len > 0; layer = slice_from(layer, MERKLE_HASH)) {
    good = merkle_add(&m, (const unsigned char *)layer.ptr);
  }
  good = good && merkle_root(&m, merkle_width(m.count), pad, root);
  merkle_free(&m);
  return good;
}
