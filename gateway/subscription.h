/**
 * The subscription of a tracker that stands alone to the revocations of a gateway elsewhere: the
 * signed list of auth/revocation_feed.h is fetched every two seconds, and what it says is put in
 * force. Whoever stands in between can keep it back, but neither change it nor go back to an older
 * one; when it is kept back for too long, the revocations are no longer fresh.
 */
#pragma once

#include "auth/keyring.h"
#include "auth/revocation_set.h"
#include "base/log.h"
#include "http/client.h"

/** All of it outlives the subscription. */
struct subscription_options {
  const char *url;                 /**< `/v1/revocations` of a gateway */
  struct keyring *keyring;         /**< its rows for swarm tokens verify the list */
  struct revocations *revocations; /**< where the list is put in force; nobody else does */
  const struct log *log;
};

struct subscription;

/** Nothing is fetched yet, and the revocations are not fresh. \return NULL when there is no memory.
 */
struct subscription *subscription_new(const struct subscription_options *options);
/** When the loop has ended. NULL is fine. */
void subscription_free(struct subscription *subscription);

/**
 * Begins to fetch, on the client's loop. A failure is logged, once until a list is taken again, and
 * leaves in force what is; so is it when the list is too old.
 */
void subscription_start(struct subscription *subscription, uv_loop_t *loop,
                        struct http_client *client);
/** Ends it, before the client is stopped; only after subscription_start(). */
void subscription_stop(struct subscription *subscription);

/**
 * Takes a list that has come: one of these steps at a time.
 *
 * \param now NumericDate.
 * \return 0, or -1 as revocation_feed_read(): all stays as it was.
 */
int subscription_take(struct subscription *subscription, struct slice jws, int64_t now,
                      struct error *e);

/**
 * Whether sessions are honoured; from any thread.
 *
 * \param now NumericDate.
 * \param why told what is wrong, in words for an operator, when they are not.
 */
bool subscription_ready(const struct subscription *subscription, int64_t now, struct buf *why);
