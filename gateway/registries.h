/** The registries as one loop has them: connections of its own to each, with the gateway's own
 * credentials. For whoever reads on a loop beside those of the callers. */
#pragma once

#include "gateway/gateway.h"

/** Zeroed it is closed. */
struct registries {
  const struct gateway_registry *options; /**< outlive it */
  size_t count;
  struct registry **items; /**< one each, in their order */
};

/** \return 0, or -1 with \p e as of registry_new(); registries_close() follows either way. */
int registries_open(struct registries *r, const struct gateway_registry *options, size_t count,
                    struct http_client *client, struct error *e);

/** Cancels what is under way, without telling; before http_client_stop(). */
void registries_close(struct registries *r);

/** Which of them has that name; \ref count when none has. */
size_t registries_index(const struct registries *r, struct slice name);
