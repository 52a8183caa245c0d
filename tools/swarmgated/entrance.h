/** Where and how a role of the server listens; shared by all loops. */
#pragma once

#include "config/config.h"
#include "http/server.h"

struct entrance {
  struct http_places places;
  struct http_tls *tls; /**< NULL: plain */
  struct address_range *trusted;
  size_t trusted_count;
};

/**
 * Reads the certificate and whom to believe, without listening; warns of a certificate that does
 * not hold today.
 *
 * \return 0, or -1 with ERROR_USAGE and the place in the file, ERROR_FAILED for no memory.
 */
int entrance_load(const struct config *config, const char *role, const struct config_tls *tls,
                  const struct config_texts *trusted, struct entrance *out, struct error *e);

/** Takes the addresses; the log says which. \return 0, or -1 with \p e. */
int entrance_open(const struct config *config, const char *role, const struct config_texts *listen,
                  struct entrance *entrance, struct error *e);

/** Lets nobody in any more, as far as that is not up to the loops; when they are told to stop. */
void entrance_close(struct entrance *entrance);

/** When the loops have ended. */
void entrance_free(struct entrance *entrance);
