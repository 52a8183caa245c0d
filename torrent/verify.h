/** Checks data on disk against a torrent. */
#pragma once

#include "torrent/metainfo.h"

/** Told now and then how many bytes are done. */
typedef void verify_progress(void *arg, uint64_t done);

/**
 * Reads the file \p path and compares it with what \p m says of size and pieces, on all cores.
 *
 * \param m from metainfo_read() or metainfo_make().
 * \param progress or NULL.
 * \return 0, or -1: ERROR_NOT_FOUND when there is no such file; ERROR_MISMATCH, which says how many
 * pieces differ and where the first one is, or that the size does; ERROR_FAILED.
 */
int verify_file(const struct metainfo *m, const char *path, verify_progress *progress, void *arg,
                struct error *e);
