/** The file with the key of the tracker's sessions: 64 hex digits, for its owner alone. */
#pragma once

#include "base/error.h"
#include "tracker/session.h"

/**
 * Reads the key.
 *
 * \return 0, or -1: ERROR_NOT_FOUND when there is none yet, ERROR_USAGE for what is no key or a
 * file that others may read.
 */
int session_key_read(const char *path, unsigned char key[SESSION_KEY], struct error *e);

/**
 * Makes a new key and its file. What root makes belongs to the owner of the folder, as with the
 * database in it, so that a server that is not root can read it later.
 *
 * \return 0, or -1 with ERROR_FAILED, also when the file is there.
 */
int session_key_make(const char *path, unsigned char key[SESSION_KEY], struct error *e);
