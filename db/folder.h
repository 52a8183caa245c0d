/**
 * Folders below `data_dir`. What root makes there belongs to the owner of `data_dir`, so that the
 * tool and a server that is not root can share it. Inside db/ only.
 */
#pragma once

#include "base/error.h"

/**
 * Opens \p path, a folder right below \p data_dir; both are made where they are missing, the folder
 * with mode 0700. For root in somebody else's \p data_dir no link is followed: its owner may have
 * made it.
 *
 * \return a descriptor for the caller to close, or -1.
 */
int folder_open(const char *data_dir, const char *path, struct error *e);

/**
 * When root runs, gives an open file of \p folder to the folder's owner.
 *
 * \return 0, or -1 with errno: EPERM for a file that has a name elsewhere too, for that may be a
 * trap.
 */
int folder_give(int folder, int file);

/** Makes an empty file, mode 0600, and gives it to the folder's owner; one that is there already
 *  stays as it is. \return 0, or -1 with errno. */
int folder_make_file(int folder, const char *name);

/** Turns the errno value \p number into an error: `cannot WHAT PATH: why: what to do`, where that
 * is known. \return always -1. */
int folder_failed(int number, const char *what, const char *path, struct error *e);
