/**
 * What a registry says was pushed or deleted: the envelope of docker-registry's notifications (its
 * documentation, Notifications, Envelope). A hint, of which only repositories and digests are read;
 * URLs, users and all the rest are passed over. Pure.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"

enum {
  /** Events of one notification that are of use; the registry sends one at a time. */
  NOTIFICATION_EVENTS_MAX = 256,
  /** Bytes of one: with `includereferences` an event has all layers of its manifest. */
  NOTIFICATION_BODY_MAX = 1024 * 1024,
};

/** A manifest or index that was pushed, or whatever was deleted; slices live in the arena. */
struct notification_event {
  bool deleted;
  struct slice repository; /**< a valid name */
  struct slice digest;     /**< `sha256:<64 hex>` */
};

/**
 * Reads an envelope. Events about anything else, and those that cannot be about what is or was
 * there, are left out: a registry sends again what is refused, for ever.
 *
 * \param count set to the number of events.
 * \return an array in the arena; NULL with \p e, ERROR_FAILED: it is no envelope, names too many
 * events, or there is no memory.
 */
struct notification_event *notification_read(struct slice json, struct arena *arena, size_t *count,
                                             struct error *e);
