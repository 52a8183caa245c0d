/**
 * Several blobs of one request: which of them the caller may read, asked a few at a time, and their
 * torrents. What may not be read, or has no torrent, is left out; an answer of the registry that is
 * about the caller and not about one blob ends it all.
 */
#pragma once

#include "gateway/registration.h"

#include <jansson.h>

enum { BATCH_QUESTIONS_MAX = 4 }; /**< to the registry at a time, of one request */

/** A blob that the caller may read, and that has a torrent. */
struct batch_torrent {
  struct torrent_record record; /**< without info and piece layers */
  bool registered;              /**< it belongs to the request's repository */
};

/** In the exchange's arena. */
struct batch;

/** Told once all is known, of one torrent or more; a refusal is answered, and nothing told. */
typedef void batch_told(void *arg, const struct batch *batch);

/**
 * Reads the digests.
 *
 * \param digests a JSON list, not empty, of which doubled members count once.
 * \param most how many may be asked for at once, for what is called \p what, such as `token`.
 * \return NULL when the request was answered, and is not to be touched any more.
 */
struct batch *batch_new(const struct request *r, const json_t *digests, size_t most,
                        const char *what);

/** Asks. It may be told, or answered, at once; so this is the last that a handler does. */
void batch_ask(struct batch *batch, batch_told *told, void *arg);

/** Asks no more; for a request that is abandoned. NULL is fine. */
void batch_cancel(struct batch *batch);

/** The digest that was asked for first, for log lines about the whole request. */
struct slice batch_first(const struct batch *batch);

/** What was found, once it is told. */
const struct batch_torrent *batch_torrents(const struct batch *batch, size_t *count);
