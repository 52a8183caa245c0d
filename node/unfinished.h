/**
 * The folder of a pull's unfinished data. Nobody else works in it meanwhile; what is in it outlives
 * a kill, and the next pull to the same destination goes on with it.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>

struct unfinished;

/**
 * The folder of a pull to \p path: `PATH.unfinished`, or `.unfinished` in it where \p path is a
 * mount point or whoever we are may not write beside it. Folders above it are made.
 *
 * \return 0, or -1 with ERROR_FAILED, also while another pull works there.
 */
int unfinished_beside(const char *path, struct unfinished **out, struct error *e);

/**
 * A folder that nobody else can look into, in $TMPDIR or else /var/tmp, for a destination that has
 * no path. The same \p key gives the same folder.
 *
 * \param several while another pull works there, there is one more for the same key.
 * \return 0, or -1 with ERROR_FAILED, also while another pull works there.
 */
int unfinished_private(const char *key, bool several, struct unfinished **out, struct error *e);

/** For torrents' data; what else lies in it is our own. */
const char *unfinished_folder(const struct unfinished *u);
/** For an OCI layout in it, which need not be there. */
const char *unfinished_layout(const struct unfinished *u);
/** For a file or folder that is being made in it; nothing has that name yet. */
const char *unfinished_making(const struct unfinished *u);

/**
 * Lets the folder go. NULL is fine.
 *
 * \param done removes all that is ours in it; else what was fetched stays for the next.
 */
void unfinished_close(struct unfinished *u, bool done);
