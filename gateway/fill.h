/**
 * Brings the pieces that readers of the cache want: asks the registry for a range, with the
 * gateway's own credentials, and writes what comes. All fills run on one loop, on a thread of its
 * own, so that a disk that stalls stalls no reader.
 */
#pragma once

#include "gateway/gateway.h"

/** Claims under way at once, of all blobs; who comes later waits. */
enum { FILLS_MAX = 16 };

struct fills;

/** All but the cache as of struct gateway_options; outlive the fills. */
struct fills_options {
  struct cache *cache;
  const struct gateway_registry *registries;
  size_t registry_count;
  const struct log *log;
};

/** \return NULL with \p e when it cannot be started. */
struct fills *fills_new(const struct fills_options *options, struct error *e);

/** Cuts what is under way, and waits for it. When no reader is left. NULL is fine. */
void fills_free(struct fills *fills);
