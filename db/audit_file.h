/**
 * The files of the audit log, in `DATA_DIR/audit`: `audit.jsonl` is the current one; one that was
 * full is `audit-20260203T040506.007Z.jsonl`, by the time at which the next was begun. Processes
 * exclude each other by flock(2) of the folder. Inside db/ only.
 */
#pragma once

#include "base/error.h"
#include "base/slice.h"

struct audit;

#define AUDIT_CURRENT "audit.jsonl"

/** Of one process, and of one of its threads. */
struct audit_file {
  char *path;        /**< `DATA_DIR/audit` */
  int folder;        /**< -1: not open */
  int fd;            /**< the current file; -1: none is open */
  uint64_t size_max; /**< bytes of a file */
  size_t files_max;  /**< files that are kept, the current one among them */
};

/** Opens folder and current file, and makes them where they are missing. To be closed even when it
 *  fails. */
int audit_file_open(struct audit_file *f, const char *data_dir, struct error *e);
void audit_file_close(struct audit_file *f);

/**
 * Appends whole lines, with one write, and syncs them. A line that somebody left torn does not go
 * on in them. What could not be written, or synced, is cut off again; where even that fails, it is
 * torn.
 *
 * \return 0 when they are on disk, or -1.
 */
int audit_file_append(struct audit_file *f, struct slice lines, struct error *e);

/** As audit_open(), with bounds for tests. */
int audit_open_sized(const char *data_dir, uint64_t size_max, size_t files_max, struct audit **out,
                     struct error *e);

enum { AUDIT_NAME_MAX = sizeof "audit-20260203T040506.007Z.jsonl" };

/** The name of a file that was full by \p ms, milliseconds since 1970. */
void audit_file_name(int64_t ms, char out[AUDIT_NAME_MAX]);

/**
 * Finds the files that were full.
 *
 * \param times sorted; freed by the caller.
 * \return 0, or -1 with errno.
 */
int audit_file_list(int folder, int64_t **times, size_t *count);
