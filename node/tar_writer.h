/** A tar file that is written from front to end, the same for the same content: pax where ustar
 *  does not do. */
#pragma once

#include "base/error.h"
#include "base/slice.h"

#include <stdint.h>

struct tar_writer;

/**
 * Begins an archive on \p fd, which stays the caller's; a pipe's may be non-blocking.
 *
 * \param name how errors call it; outlives the writer.
 * \param stop ends all writing once it is readable (node/stop.h).
 * \return 0, or -1 with ERROR_FAILED.
 */
int tar_writer_new(int fd, const char *name, int stop, struct tar_writer **out, struct error *e);
/** NULL is fine. What tar_writer_end() has not ended is no archive. */
void tar_writer_free(struct tar_writer *w);

/** \return 0, or -1 with ERROR_FAILED, as all that follow. */
int tar_writer_folder(struct tar_writer *w, const char *name, struct error *e);
/** Begins a file of \p size bytes, which tar_writer_bytes() gives. */
int tar_writer_file(struct tar_writer *w, const char *name, uint64_t size, struct error *e);
/** It is an error if they are more than the size. */
int tar_writer_bytes(struct tar_writer *w, struct slice bytes, struct error *e);

/** Ends the archive: all of it is written then. */
int tar_writer_end(struct tar_writer *w, struct error *e);
