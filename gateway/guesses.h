/**
 * The slow-down for guessed passwords: wrong ones are counted by the address they come from and the
 * user they are for, both together, so that a guesser holds up nobody but who shares his address
 * and asks for the same user. Shared by the loops. Names and addresses are kept as a keyed hash.
 */
#pragma once

#include "base/error.h"
#include "base/slice.h"

#include <sys/socket.h>

struct guesses;

enum {
  GUESSES_MAX = 65536, /**< pairs of address and user counted; the one longest quiet goes */
  GUESSES_FREE = 10,   /**< wrong passwords that cost nothing; containerd makes two of one */
  GUESSES_WAIT_MAX_MS = 60000, /**< the longest that a pair is held up after one more */
  GUESSES_FORGET_MS = 900000,  /**< without a wrong password, after which a pair is new */
};

/** What counts as one address: IPv4, the first 64 bits of IPv6, for they are one customer's, or
 *  anything else. Of the same bytes where it is the same. */
struct guesses_place {
  unsigned char bytes[9];
};
struct guesses_place guesses_place(const struct sockaddr *from);

/** \return NULL with \p e, ERROR_FAILED, when there is no memory or no randomness. */
struct guesses *guesses_new(struct error *e);
/** NULL is fine. */
void guesses_free(struct guesses *g);

/**
 * Whether a password may be looked at now.
 *
 * \param pending how many others of the pair are being looked at: they count as wrong until it is
 *        known, so that no more of them are let through at once than one by one.
 * \param now milliseconds of a clock that never goes back.
 * \return 0, or the milliseconds to wait.
 */
uint64_t guesses_wait(struct guesses *g, struct guesses_place from, struct slice user,
                      uint64_t pending, uint64_t now);

/** Counts a wrong password: beyond GUESSES_FREE each doubles the wait, from one second on. */
void guesses_wrong(struct guesses *g, struct guesses_place from, struct slice user, uint64_t now);

/** Forgets the pair: the password was right. */
void guesses_right(struct guesses *g, struct guesses_place from, struct slice user);
