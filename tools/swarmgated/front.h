/** What a gateway needs beside what the server has anyway: the cache of blobs and who fills it, who
 * makes torrents, who counts the webseed's readers, and the feed of revocations. */
#pragma once

#include "config/config.h"
#include "gateway/gateway.h"
#include "upstreams.h"

/** Zeroed it is closed. */
struct front {
  struct feed *feed;
  struct cache *cache;
  struct fills *fills;
  struct hashing *hashing;
  struct manifest_store *manifests;
  struct preparing *preparing;
  struct readers *readers;
};

/**
 * Opens all of it.
 *
 * \param options what the server has: keyring, revocations, db and log are looked at. Feed, cache,
 * hashing, manifests, preparing and readers are filled in, and all that the configuration says.
 * \return 0, or -1 with \p e; front_close() follows either way.
 */
int front_open(struct front *front, const struct config *config, const struct upstreams *upstreams,
               struct gateway_options *options, struct error *e);

/** When the loops have ended. */
void front_close(struct front *front);
