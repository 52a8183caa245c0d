/**
 * Undoes gzip, bzip2, xz or zstd once, piece by piece: it takes no more memory than the window that
 * the bytes declare, of which libarchive allows zstd 128 MiB and xz 1 GiB. Bytes that are not
 * compressed come out as they are.
 */
#pragma once

#include "base/error.h"
#include "base/slice.h"

struct unpacker;

enum packing { PACKING_NONE, PACKING_GZIP, PACKING_BZIP2, PACKING_XZ, PACKING_ZSTD };

/** Its name, such as `gzip`; static. */
const char *packing_name(enum packing packing);

/** Gives the next bytes, valid until it is called again; none at the end. \return 0, or -1. */
typedef int unpacker_source(void *arg, struct slice *bytes, struct error *e);

/**
 * Begins to read \p source.
 *
 * \return 0, or -1: ERROR_FAILED, also for what is compressed more than once; or the source's own
 * error.
 */
int unpacker_open(unpacker_source *source, void *arg, struct unpacker **out, struct error *e);
/** NULL is fine. */
void unpacker_close(struct unpacker *u);

/** What there is to undo. */
enum packing unpacker_packing(const struct unpacker *u);

/** Gives the next bytes, valid until the next call; none at the end. \return 0, or -1 as
 * unpacker_open(). What is behind the compressed bytes may stay unread. */
int unpacker_next(struct unpacker *u, struct slice *bytes, struct error *e);
