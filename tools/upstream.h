/** A registry of the configuration, as it is asked with the gateway's own credentials; for both
 *  programs. */
#pragma once

#include "config/config.h"
#include "image/registry.h"

/**
 * Reads what a row of `registries` names: its password, and its certificates, which are checked.
 *
 * \param credentials empty; freed by image_credentials_free(), also after a failure.
 * \param out points into the configuration and the credentials.
 * \return 0, or -1: ERROR_USAGE with the place in the file, ERROR_FAILED for no memory.
 */
int upstream_read(const struct config *config, const struct config_registry *row,
                  struct image_credentials *credentials, struct registry_options *out,
                  struct error *e);

/** Reads the one line of the \p file that a row's \p key names; the caller frees it. \return as
 *  upstream_read(). */
int upstream_read_secret(const struct config *config, const struct config_registry *row,
                         const char *key, const struct config_text *file, char **out,
                         struct error *e);

/** Puts the place of that file's name in front of \p e. \return -1. */
int upstream_error(const struct config *config, const struct config_registry *row, const char *key,
                   const struct config_text *file, struct error *e);
