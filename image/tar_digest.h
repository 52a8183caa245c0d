/** Digests of a file in a tar, and of what it unpacks to, in one reading. Private to this room. */
#pragma once

#include "base/arena.h"
#include "image/tar.h"
#include "image/tar_reader.h"

/**
 * Reads \p source, which gives the bytes of the entry that \p reader is at, to its end, and sets
 * size, digest, packing and unpacked of \p file, the strings in \p arena. It is no error that a
 * file cannot be unpacked.
 *
 * \return 0, or -1: ERROR_FAILED.
 */
int tar_digest_file(struct tar_reader *reader, unpacker_source *source, void *arg,
                    struct arena *arena, struct tar_file *file, struct error *e);
