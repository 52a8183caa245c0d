/**
 * The entries of a tar file in their order, by libarchive within bounds: ustar, pax and GNU tar,
 * plain or compressed by gzip, bzip2, xz or zstd. Private to this room.
 */
#pragma once

#include "base/error.h"
#include "base/slice.h"

#include <archive_entry.h>

enum {
  /** Bytes of one header, all that belongs to it included: long names, pax records, the map of the
   *  holes. libarchive keeps it whole, a map in 50 times its bytes. */
  TAR_HEADER_MAX = 2 * 1024 * 1024,
  /** Bytes that a compressed file may unpack to, however small it is, each time that it is read
   *  again included. */
  TAR_UNPACKED_MAX = 1024 * 1024 * 1024,
  TAR_RATIO_MAX = 1024, /**< a larger file to so many times its own bytes; gzip's best is 1,032 */
};

struct tar_reader;

/** \return 0, or -1: ERROR_NOT_FOUND, ERROR_FAILED, also for what is compressed more than once. */
int tar_reader_open(const char *path, struct tar_reader **out, struct error *e);
/** NULL is fine. */
void tar_reader_close(struct tar_reader *r);

bool tar_reader_is_packed(const struct tar_reader *r);

/** Goes back to before the first entry. \return 0, or -1. */
int tar_reader_rewind(struct tar_reader *r, struct error *e);

/** Goes to the next entry, whose owner the reader is. \return 1, 0 at the end, or -1. */
int tar_reader_next(struct tar_reader *r, struct archive_entry **entry, struct error *e);
/** How many entries tar_reader_next() has gone to. */
size_t tar_reader_position(const struct tar_reader *r);

/** Gives the next bytes of the entry, valid until the next call; none at the end. Holes are left
 * out. \return 0, or -1. */
int tar_reader_piece(struct tar_reader *r, struct slice *bytes, struct error *e);

/** Counts bytes that an entry's own bytes unpack to, which are bounded with the file's. \return 0,
 * or -1. */
int tar_reader_charge(struct tar_reader *r, size_t unpacked, struct error *e);
