/** Keys and trusted issuers as a configuration names them; for both programs. */
#pragma once

#include "auth/token.h"
#include "config/config.h"

/**
 * Loads the keys of every `auth: trust:` row and of our own signing keys, which are trusted for
 * swarm and webseed tokens without a row. A registry row that names no registry gets the only one
 * there is.
 *
 * \param out freed by trust_free().
 * \return 0, or -1 with file:line of the configuration.
 */
int issuers_load(const struct config *config, struct trust *out, struct error *e);

/**
 * Loads the first of `auth: signing_keys:`.
 *
 * \param out freed by key_free().
 * \return 0, or -1 with ERROR_USAGE when there is none or it cannot be used.
 */
int issuers_signing_key(const struct config *config, struct key *out, struct error *e);
