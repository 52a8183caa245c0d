/** The revocations that are stored, as a list to be held against tokens. */
#pragma once

#include "auth/revocation.h"
#include "db/db.h"

/**
 * Adds all that are stored to a list; for db_read().
 *
 * \param list a struct revocation_list, freed by the caller whatever comes of it.
 * \return 0, or -1 with \p e: ERROR_FAILED for a record that cannot be read, or no memory.
 */
int revocation_load(struct db_txn *txn, void *list, struct error *e);
