#include "torrent/pieces.h"
#include "torrent/merkle.h"

#include <stdlib.h>

enum { SHA1 = 20 };

struct piece_check {
  bool v2;
  bool failed;
  uint64_t added; /* bytes of this piece */
  EVP_MD *sha1;
  EVP_MD_CTX *ctx;
  struct merkle tree;
  unsigned char block[MERKLE_BLOCK]; /* of which added % MERKLE_BLOCK bytes are there */
};

static size_t hash_size(const struct pieces *p) {
  return p->v2 ? MERKLE_HASH : SHA1;
}

int pieces_of(const struct metainfo *m, struct pieces *out, struct error *e) {
  struct pieces p = {.size = m->size,
                     .piece_length = m->piece_length,
                     .count = (uint32_t)torrent_piece_count(m->size, m->piece_length),
                     .v2 = m->format == TORRENT_V2};
  /* A blob of one piece has no layer: its root is that piece. */
  struct slice hashes = !p.v2 ? m->pieces : p.count == 1 ? m->pieces_root : m->piece_layer;
  p.hashes = malloc(hashes.len);
  if (p.hashes == NULL) {
    return error_set(e, ERROR_FAILED, "out of memory for %u pieces", p.count);
  }
  memcpy(p.hashes, hashes.ptr, hashes.len);
  *out = p;
  return 0;
}

void pieces_free(struct pieces *pieces) {
  free(pieces->hashes);
  pieces->hashes = NULL;
}

uint32_t pieces_length(const struct pieces *pieces, uint32_t i) {
  uint64_t left = pieces->size - (uint64_t)i * pieces->piece_length;
  return left < pieces->piece_length ? (uint32_t)left : pieces->piece_length;
}

static void begin(struct piece_check *check) {
  check->added = 0;
  check->failed = false;
  if (check->v2) {
    merkle_reset(&check->tree);
  } else {
    check->failed = EVP_DigestInit_ex2(check->ctx, check->sha1, NULL) != 1;
  }
}

struct piece_check *piece_check_new(bool v2) {
  struct piece_check *check = calloc(1, sizeof *check);
  if (check == NULL) {
    return NULL;
  }
  check->v2 = v2;
  bool made = v2 ? merkle_init(&check->tree)
                 : (check->sha1 = EVP_MD_fetch(NULL, "SHA1", NULL)) != NULL &&
                       (check->ctx = EVP_MD_CTX_new()) != NULL;
  if (!made) {
    piece_check_free(check);
    return NULL;
  }
  begin(check);
  return check;
}

void piece_check_free(struct piece_check *check) {
  if (check != NULL) {
    merkle_free(&check->tree);
    EVP_MD_CTX_free(check->ctx);
    EVP_MD_free(check->sha1);
    free(check);
  }
}

/* Whole blocks are hashed where they lie. */
static void add_blocks(struct piece_check *check, struct slice bytes) {
  while (bytes.len > 0) {
    size_t held = check->added % MERKLE_BLOCK;
    size_t n = MERKLE_BLOCK - held < bytes.len ? MERKLE_BLOCK - held : bytes.len;
    const void *block = bytes.ptr;
    if (n < MERKLE_BLOCK) {
      memcpy(check->block + held, bytes.ptr, n);
      block = check->block;
    }
    if (held + n == MERKLE_BLOCK) {
      check->failed |= !merkle_add_block(&check->tree, block, MERKLE_BLOCK);
    }
    check->added += n;
    bytes = slice_from(bytes, n);
  }
}

void piece_check_add(struct piece_check *check, struct slice bytes) {
  if (check->v2) {
    add_blocks(check, bytes);
  } else {
    check->failed |= EVP_DigestUpdate(check->ctx, bytes.ptr, bytes.len) != 1;
    check->added += bytes.len;
  }
}

/* A piece's tree is as wide as a piece, but for a blob that is one piece: as wide as it takes. */
static bool end_tree(struct piece_check *check, const struct pieces *p,
                     unsigned char root[MERKLE_HASH]) {
  size_t held = check->added % MERKLE_BLOCK;
  if (held > 0 && !merkle_add_block(&check->tree, check->block, held)) {
    return false;
  }
  uint64_t width = p->count == 1 ? merkle_width(check->tree.count) : p->piece_length / MERKLE_BLOCK;
  return merkle_root(&check->tree, width, NULL, root);
}

bool piece_check_end(struct piece_check *check, const struct pieces *pieces, uint32_t i) {
  unsigned char hash[MERKLE_HASH];
  bool right = !check->failed && check->added == pieces_length(pieces, i) &&
               (check->v2 ? end_tree(check, pieces, hash)
                          : EVP_DigestFinal_ex(check->ctx, hash, NULL) == 1) &&
               memcmp(hash, pieces->hashes + i * hash_size(pieces), hash_size(pieces)) == 0;
  begin(check);
  return right;
}
