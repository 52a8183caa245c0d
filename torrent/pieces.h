/** What each piece of a blob must hash to, and whether it does: piece by piece, in any order. */
#pragma once

#include "torrent/metainfo.h"

/** Owns \ref hashes; freed by pieces_free(). */
struct pieces {
  uint64_t size;         /**< of the blob, bytes, more than 0 */
  uint32_t piece_length; /**< bytes; the last piece may have fewer */
  uint32_t count;        /**< of pieces */
  bool v2; /**< roots of merkle trees (BEP 52), of v2-only torrents; else SHA-1 (BEP 3) */
  unsigned char *hashes; /**< 32 or 20 bytes a piece */
};

/** Copies what \p m, from metainfo_read() or metainfo_make(), says. \return 0, or -1 with
 *  ERROR_FAILED when there is no memory. */
int pieces_of(const struct metainfo *m, struct pieces *out, struct error *e);
void pieces_free(struct pieces *pieces);

/** Bytes of piece \p i < count. */
uint32_t pieces_length(const struct pieces *pieces, uint32_t i);

/** Hashes one piece after the other; used by one thread at a time. */
struct piece_check;

/** Of the pieces' kind. \return NULL when there is no memory; freed by piece_check_free(). */
struct piece_check *piece_check_new(bool v2);
/** NULL is fine. */
void piece_check_free(struct piece_check *check);

/** The next bytes of the piece, in order. */
void piece_check_add(struct piece_check *check, struct slice bytes);

/** Ends the piece, and begins another. \return whether what was added is piece \p i of \p pieces;
 *  also false when OpenSSL fails. */
bool piece_check_end(struct piece_check *check, const struct pieces *pieces, uint32_t i);
