/** Keys and trusted issuers as a configuration names them; for both programs. */
#pragma once

#include "auth/key_file.h"
#include "auth/keyring.h"
#include "config/config.h"

/**
 * Loads all that is trusted and signed with: the keys of every `auth: trust:` row, our own signing
 * keys with their companions, which are trusted for swarm and webseed tokens without a row, and the
 * token service's for registry tokens. A registry row that names no registry gets the only one
 * there is. A token must not be of two registries: rows of one issuer, audience and key name the
 * same. Where a row repeats a key of ours that was retired, it is so there too. A row whose
 * keys are at a URL has its source, and no keys.
 *
 * \param out for keyring_new(), or freed by keyring_state_free().
 * \return 0, or -1 with file:line and the key of the configuration.
 */
int issuers_load(const struct config *config, struct keyring_state **out, struct error *e);

/**
 * The file of the key that signs for a use: the first of `auth: signing_keys:`, or `token_service:
 * signing_key:`.
 *
 * \return NULL with ERROR_USAGE when there is none.
 */
const struct config_text *issuers_key_file(const struct config *config, enum key_use use,
                                           struct error *e);

/**
 * Loads that key alone.
 *
 * \param out freed by key_free().
 * \return 0, or -1 with ERROR_USAGE when there is none or it cannot be used.
 */
int issuers_signing_key(const struct config *config, enum key_use use, struct key *out,
                        struct error *e);

/** Seconds for which what that key signs is good at the longest, the clocks being apart as far as
 *  they may. */
int64_t issuers_lifetime(const struct config *config, enum key_use use);
