/**
 * `GET /v1/revocations`: the list for trackers that stand alone, as of auth/revocation_feed.h.
 * Signed off the loops, and kept for a moment, for whoever asks next.
 */
#pragma once

#include "auth/keyring.h"
#include "auth/revocation_set.h"
#include "db/db.h"
#include "http/server.h"

/** All of it outlives the feed. */
struct feed_options {
  struct keyring *keyring; /**< the key of swarm tokens signs */
  struct revocations *revocations;
  struct db *db;
  const struct log *log;
};

/** Shared by the loops. */
struct feed;

/** \return NULL when there is no memory. */
struct feed *feed_new(const struct feed_options *options);
/** When the loops that used it have ended. NULL is fine. */
void feed_free(struct feed *feed);

/** The route's handler; its context is the feed. */
http_handler feed_handle;
