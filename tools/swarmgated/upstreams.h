/** The registries that a configuration names, with the passwords, secrets and certificates that
 * they want.
 */
#pragma once

#include "config/config.h"
#include "gateway/gateway.h"

/** Zeroed it is empty; points into the configuration that it was loaded from. */
struct upstreams {
  struct gateway_registry *registries;
  struct image_credentials *credentials; /**< one a registry */
  char **secrets;                        /**< of their notifications, one a registry; or NULL */
  size_t count;
};

/**
 * Reads what the rows of `registries` name.
 *
 * \param out empty; freed by upstreams_free(), also after a failure.
 * \return 0, or -1: ERROR_USAGE with the place in the file, ERROR_FAILED for no memory.
 */
int upstreams_load(const struct config *config, struct upstreams *out, struct error *e);
void upstreams_free(struct upstreams *upstreams);
