/**
 * The merkle tree of BEP 52: SHA-256 over pairs, from the leaves (hashes of 16 KiB blocks, or any
 * layer above them) to the root. Leaves come in order; only a path of the tree is kept.
 */
#pragma once

#include "base/slice.h"

#include <openssl/evp.h>

enum {
  MERKLE_HASH = 32,         /**< bytes of a node */
  MERKLE_BLOCK = 16 * 1024, /**< bytes of a leaf's block; the last one of a file may be shorter */
  MERKLE_LEVELS = 32,       /**< a tree of at most 2^31 leaves */
};

/** Embedded by its owner; used by one thread at a time. */
struct merkle {
  EVP_MD *sha256;
  EVP_MD_CTX *ctx;
  uint64_t count; /**< leaves so far */
  /** Where bit n of count is set: the root of the complete subtree of 2^n leaves that is not yet
   *  part of a larger one. */
  unsigned char node[MERKLE_LEVELS][MERKLE_HASH];
};

/** \return false when there is no memory; merkle_free() is to be called either way. */
bool merkle_init(struct merkle *m);
void merkle_free(struct merkle *m);

/** Begins a new tree. */
void merkle_reset(struct merkle *m);

/** Adds the leaf of a block of 1 to MERKLE_BLOCK bytes. \return false when OpenSSL fails. */
bool merkle_add_block(struct merkle *m, const void *block, size_t len);

/** Adds a leaf that is hashed already. \return false when OpenSSL fails. */
bool merkle_add(struct merkle *m, const unsigned char leaf[MERKLE_HASH]);

/**
 * The root of a tree of \p width leaves, a power of two and not less than were added.
 *
 * \param pad stands for each leaf that is missing; NULL: zero bytes, as BEP 52 pads blocks. The
 * root of no leaves at all is what pads a layer above the blocks.
 * \return false when OpenSSL fails.
 */
bool merkle_root(struct merkle *m, uint64_t width, const unsigned char *pad,
                 unsigned char root[MERKLE_HASH]);

/** The smallest power of two that is not less than \p count, which is 1 to 2^31. */
uint64_t merkle_width(uint64_t count);

/**
 * The `pieces root` of a file's piece layer: what is missing to a power of two counts as pieces of
 * zero blocks.
 *
 * \param layer MERKLE_HASH bytes a piece, at least one piece.
 * \return false when OpenSSL fails.
 */
bool merkle_layer_root(struct slice layer, uint32_t piece_length, unsigned char root[MERKLE_HASH]);
