/**
 * What a registry says was pushed: the envelope of docker-registry's notifications (its
 * documentation, Notifications, Envelope). A hint, of which only manifests, their repositories and
 * digests are read; URLs, users and all the rest are passed over. Pure.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"

/** Manifests of one notification; the registry sends one event at a time. */
enum { NOTIFICATION_MANIFESTS_MAX = 256 };

/** A manifest or index that was pushed; slices live in the arena. */
struct notification_manifest {
  struct slice repository; /**< a valid name */
  struct slice digest;     /**< `sha256:<64 hex>` */
};

/**
 * Reads an envelope. Events about anything else, and those that cannot be about a manifest that is
 * there, are left out: a registry sends again what is refused, for ever.
 *
 * \param count set to the number of manifests.
 * \return an array in the arena; NULL with \p e, ERROR_FAILED: it is no envelope, names too many
 * manifests, or there is no memory.
 */
struct notification_manifest *notification_read(struct slice json, struct arena *arena,
                                                size_t *count, struct error *e);
