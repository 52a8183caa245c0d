/**
 * Keeps the revocations in force up with the database: it is asked once a second whether any were
 * written, by any process, and before anything is issued. The list is read off the loops.
 * Shared by the loops.
 */
#pragma once

#include "auth/revocation_set.h"
#include "base/log.h"
#include "db/db.h"
#include "gateway/delegate_cache.h"

/** All of it outlives the watch. */
struct revocation_watch_options {
  struct db *db;
  struct revocations *revocations;       /**< where a new set is put in force */
  struct delegate_cache *delegate_cache; /**< flushed on every change; NULL: there is none */
  const struct log *log;
};

struct revocation_watch;

/**
 * Reads the list for the first time and puts it in force, on the calling thread.
 *
 * \return 0, or -1 with ERROR_FAILED.
 */
int revocation_watch_new(const struct revocation_watch_options *options,
                         struct revocation_watch **out, struct error *e);
/** When the loops that used it have ended. NULL is fine. */
void revocation_watch_free(struct revocation_watch *watch);

/**
 * To be called once a second, by one loop only: reads the list when it has changed, and now
 * and then drops those that have expired, of refresh tokens as well. A failure is logged, once
 * until it succeeds again, and leaves in force what is.
 */
void revocation_watch_poll(struct revocation_watch *watch, uv_loop_t *loop);

/** A question whether the set in force holds all that was revoked before it was put. */
struct revocation_wait;

/** Told from the loop: \p e is NULL once it does. */
typedef void revocation_wait_told(void *arg, const struct error *e);

/**
 * \param told called once, unless nothing has to be waited for; never from within.
 * \return the question, valid until it is told or left; NULL when the set holds all now, or with
 * \p e, ERROR_FAILED, when there is no telling.
 */
struct revocation_wait *revocation_wait_start(struct revocation_watch *watch, uv_loop_t *loop,
                                              revocation_wait_told *told, void *arg,
                                              struct error *e);

/** Nothing is told any more; what is under way runs out alone. NULL is fine. */
void revocation_wait_leave(struct revocation_wait *wait);
