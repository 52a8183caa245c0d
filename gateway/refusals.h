/**
 * The lines in the log that say who was refused and why, so that an operator finds a user's trouble
 * there, and those that say what failed while somebody was answered; so many a minute, and of one
 * address, that whoever asks cannot fill the disk. Shared by the loops.
 */
#pragma once

#include "base/error.h"
#include "base/log.h"

#include <stdint.h>
#include <sys/socket.h>

struct refusals;

enum {
  REFUSALS_WINDOW_MS = 60000,
  REFUSALS_MAX = 100,      /**< lines in a window */
  REFUSALS_PLACE_MAX = 10, /**< of them those about one address, guesses_place() */
};

/** \param log outlives it. \return NULL with \p e, ERROR_FAILED, when there is no memory or no
 *  randomness. */
struct refusals *refusals_new(const struct log *log, struct error *e);
/** NULL is fine. */
void refusals_free(struct refusals *refusals);

/**
 * Whether a line about \p from is to be written now; counts it.
 *
 * \param now milliseconds of a clock that never goes back.
 * \param left_out set, when it is, to how many were not since the last one that was.
 */
bool refusals_due(struct refusals *refusals, const struct sockaddr *from, uint64_t now,
                  uint64_t *left_out);

/**
 * Logs `WHAT for ADDRESSMORE`, \p more being a format: at `info` when it is due, with how many were
 * left out before, else at `debug`. Never a password and never a token.
 */
void refusals_log(struct refusals *refusals, const struct sockaddr *from, const char *what,
                  const char *more, ...) __attribute__((format(printf, 4, 5)));

/** Logs the line of \p format, which says what failed, at `warn` when it is due, with how many were
 * left out before, else at `debug`. Never a password and never a token. */
void refusals_warn(struct refusals *refusals, const struct sockaddr *from, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
