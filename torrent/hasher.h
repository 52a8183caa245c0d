/**
 * Hashes a blob into a torrent's pieces on all cores, streaming: bytes come in order, memory stays
 * at 2 MiB with the blob's digest, 32 MiB without, whatever size and piece length are. v1 is BEP 3
 * (SHA-1 a piece), v2 is BEP 52 (a merkle tree of SHA-256 over 16 KiB blocks), hybrid is both. One
 * file, so no padding files.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"

enum torrent_format { TORRENT_V1 = 1, TORRENT_V2 = 2, TORRENT_HYBRID = TORRENT_V1 | TORRENT_V2 };

enum {
  TORRENT_PIECE_MIN = 16 * 1024,
  TORRENT_PIECE_MAX = 16 * 1024 * 1024,
  TORRENT_PIECES_MAX = 512 * 1024, /**< in one torrent: 8 TiB at the largest piece length */
};

/** The contract's `auto`: the smallest power of two from 256 KiB to 16 MiB that gives at most 2,048
 *  pieces, or 16 MiB. */
uint32_t torrent_piece_length(uint64_t size);

/** How many pieces \p size bytes make. */
uint64_t torrent_piece_count(uint64_t size, uint32_t piece_length);

/**
 * Checks what every torrent here keeps to: \p size is more than 0 (an empty blob has no torrent),
 * \p piece_length is a power of two from TORRENT_PIECE_MIN to TORRENT_PIECE_MAX, and there are at
 * most TORRENT_PIECES_MAX pieces.
 *
 * \return 0, or -1 with ERROR_USAGE.
 */
int torrent_check_sizes(uint64_t size, uint32_t piece_length, struct error *e);

/** What is to be hashed. */
struct hasher_options {
  enum torrent_format format;
  uint64_t size;         /**< of the blob in bytes */
  uint32_t piece_length; /**< see torrent_check_sizes() */
  unsigned threads;      /**< the one that feeds among them; 0: one a core */
  bool digest;           /**< SHA-256 of the whole blob too; one core's work beside the pieces */
};

/** What came out; freed by hashes_free(). */
struct hashes {
  enum torrent_format format;
  uint64_t size;
  uint32_t piece_length;
  unsigned char sha256[32];      /**< of the whole blob, its digest, if it was asked for */
  struct buf pieces;             /**< v1: 20 bytes a piece */
  unsigned char pieces_root[32]; /**< v2 */
  struct buf piece_layer; /**< v2: 32 bytes a piece; empty when the blob is one piece or less */
};

struct hasher;

/** \return 0, or -1 with ERROR_USAGE (torrent_check_sizes()) or ERROR_FAILED. */
int hasher_new(const struct hasher_options *options, struct hasher **out, struct error *e);

/**
 * Memory for the next bytes, to read them into without a copy; where there is none the caller
 * hashes until there is. hasher_commit() then says how many of them were filled.
 *
 * \param room set to the bytes there are, at least 1.
 * \return NULL when the blob is complete (ERROR_MISMATCH: there are more bytes than announced) or
 * hashing failed (ERROR_FAILED).
 */
void *hasher_reserve(struct hasher *h, size_t *room, struct error *e);
void hasher_commit(struct hasher *h, size_t len);

/** The next bytes, copied: hasher_reserve() and hasher_commit() as often as it takes. \return 0, or
 *  -1 with their errors. */
int hasher_feed(struct hasher *h, struct slice bytes, struct error *e);

/** Ends it and frees the hasher, whatever the outcome. \return 0, or -1: ERROR_MISMATCH when bytes
 *  are missing, ERROR_FAILED. */
int hasher_finish(struct hasher *h, struct hashes *out, struct error *e);

/** Gives it up and frees it. NULL is fine. */
void hasher_cancel(struct hasher *h);

void hashes_free(struct hashes *hashes);
