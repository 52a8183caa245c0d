/**
 * Keeps the keys that are fetched, from the URLs of a keyring's rows, as new as they are there:
 * every few minutes, and soon after a token has named a key that is not known. What cannot be
 * fetched leaves the keys that are there.
 */
#pragma once

#include "auth/keyring.h"
#include "base/log.h"
#include "http/client.h"

enum {
  /** When keys are fetched again: most say they may be kept for five minutes. */
  KEY_WATCH_FRESH_MS = 240 * 1000,
  /** At least from one fetch to the next of the same URL. */
  KEY_WATCH_PAUSE_MS = 10 * 1000,
};

/** All of it outlives the watch. */
struct key_watch_options {
  struct keyring *keyring;
  const struct log *log;
};

struct key_watch;

/** \return NULL when there is no memory. */
struct key_watch *key_watch_new(const struct key_watch_options *options);
/** When the loop has ended. NULL is fine. */
void key_watch_free(struct key_watch *watch);

/** Begins to fetch, on the client's loop. A failure is logged, once until the next success. */
void key_watch_start(struct key_watch *watch, uv_loop_t *loop, struct http_client *client);
/** Ends it, before the client is stopped; only after key_watch_start(). */
void key_watch_stop(struct key_watch *watch);

/** Has all keys fetched once more, soon; from any thread. */
void key_watch_refresh(struct key_watch *watch);

/**
 * Whether every URL has been fetched at least once.
 *
 * \param why told which have not, in words for an operator. On the loop of the watch.
 */
bool key_watch_ready(const struct key_watch *watch, struct buf *why);
