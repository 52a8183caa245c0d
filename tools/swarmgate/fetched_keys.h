/** Keys at a URL, for a command that verifies a token once and has nobody to fetch them before. */
#pragma once

#include "auth/token.h"

/**
 * Fetches the keys of the rows from whose issuers a token has named a key that is not there, and
 * waits for them.
 *
 * \return how many rows have got theirs; -1 with ERROR_FAILED when one could not.
 */
int fetched_keys_load(struct trust *trust, struct error *e);
