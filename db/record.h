/** How records are put into bytes: a checksum in front, integers in little endian. Pure. */
#pragma once

#include "base/buf.h"

enum { RECORD_CHECKSUM_SIZE = 4 };

/**
 * CRC-32C (Castagnoli; RFC 3720, 12.1) of \p bytes, going on from \p crc, which is 0 at first: it
 * finds every error of up to 32 bits in a row, and others but one in 4 billion.
 */
uint32_t record_crc(uint32_t crc, struct slice bytes);

/**
 * The checksum of a record: of its key, then its value, so that a value under another's key is
 * found too. Written to \p out.
 */
void record_checksum(struct slice key, struct slice value, unsigned char out[RECORD_CHECKSUM_SIZE]);

/** Appends the lowest \p size bytes of \p value, lowest first. */
void record_add_int(struct buf *b, uint64_t value, size_t size);
/** Appends bytes with their length, 4 bytes, in front. */
void record_add_bytes(struct buf *b, struct slice bytes);

/** What is left to read of a record; a read beyond its end sets `failed` and gives zeros. */
struct record_reader {
  struct slice rest;
  bool failed;
};

uint64_t record_int(struct record_reader *r, size_t size);
/** Copies \p size bytes to \p out. */
void record_copy(struct record_reader *r, void *out, size_t size);
/** Reads what record_add_bytes() wrote; the slice points into the record. */
struct slice record_bytes(struct record_reader *r);
/** Whether all was read, and nothing beyond it. */
bool record_ended(const struct record_reader *r);
