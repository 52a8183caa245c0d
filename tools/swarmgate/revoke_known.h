/** Whether anything is known of what was revoked: a name that is misspelt is revoked all the same.
 */
#pragma once

#include "db/db.h"
#include "revoke_target.h"

/**
 * Notes on standard error when nothing is known here of what \p target names: no user and no token
 * that may still be good, no such torrent, no such key. To be called once it is revoked, for it may
 * read the audit log. Other issuers' tokens are not known here, so that it is no error; what cannot
 * be told is not noted.
 */
void revoke_known_note(const struct revoke_target *target, struct db *db);
