/** Whole small files: keys, configuration, torrents. */
#pragma once

#include "base/buf.h"
#include "base/error.h"

#include <sys/types.h>

/**
 * Reads all of \p path, at most \p limit bytes, into \p out, which the caller frees by buf_free().
 *
 * \return 0, or -1: ERROR_NOT_FOUND when there is no such file, ERROR_FAILED otherwise, also when
 * the file is larger than \p limit or is not a regular file or pipe.
 */
int file_read(const char *path, size_t limit, struct buf *out, struct error *e);

/**
 * Puts \p data in place of \p path at once: temporary file beside it, fsync, rename, fsync of the
 * folder. After a crash there is the old file or the new one, never a part.
 *
 * \param mode the permissions, such as 0600, whatever the umask is.
 */
int file_write(const char *path, struct slice data, mode_t mode, struct error *e);

/** Whom a file belongs to. */
struct file_owner {
  uid_t user;
  gid_t group;
};

/** As file_write(); the file belongs to \p owner before it has its name. Giving it to somebody else
 *  takes root. */
int file_write_for(const char *path, struct slice data, mode_t mode, const struct file_owner *owner,
                   struct error *e);

/** As file_write(), but fails when \p path exists already. */
int file_create(const char *path, struct slice data, mode_t mode, struct error *e);

/**
 * Refuses a file with a private key, or another secret, that others than its owner have any right
 * to.
 *
 * \return 0, also for a file that cannot be looked at, which whoever reads it says better; or -1
 * with ERROR_USAGE.
 */
int file_check_private(const char *path, struct error *e);

/** Makes the folder and those above it, mode 0755 less the umask; it is no error if it exists. */
int file_make_folders(const char *path, struct error *e);

/** `FOLDER/NAME`. \return malloc'ed, freed by the caller; NULL when there is no memory. */
char *file_join(const char *folder, const char *name);

/**
 * \p path as seen from the folder of \p file: an absolute path stays, a relative one gets the
 * folder of \p file in front. \return malloc'ed, freed by the caller; NULL when there is no memory.
 */
char *file_beside(const char *file, const char *path);
