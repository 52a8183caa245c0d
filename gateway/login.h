/**
 * Passwords of users, looked at off the loops and libuv's threads, for each look takes 0.1 s of a
 * processor, and others wait for those. What was right is remembered for a minute, so that a
 * thousand nodes with one account cost one look, and the same credentials that are being looked at
 * on this loop are not looked at twice. Who guesses is held up, and then told nothing but of what
 * was right from his own address. Shared by the loops.
 */
#pragma once

#include "base/error.h"
#include "base/slice.h"

#include <uv.h>

enum {
  LOGIN_REMEMBER_MS = 60000,    /**< for how long right credentials are remembered */
  LOGIN_REMEMBERED_MAX = 16384, /**< one for all, and one for each address they came from */
  LOGIN_THREADS = 4,            /**< that look at passwords, and at nothing else */
  LOGIN_WAITING_MAX = 128,      /**< passwords that wait to be looked at or are, at most */
  LOGIN_WAITING_PLACE_MAX = 16, /**< of them those that one address sent */
};

struct logins;

/** \return NULL with \p e, ERROR_FAILED, when there is no memory, no randomness or no
 *  thread. */
struct logins *logins_new(struct error *e);
/** When no look is under way: the loops have ended. NULL is fine. */
void logins_free(struct logins *logins);

enum login_verdict {
  LOGIN_PENDING, /**< `done` will be called */
  LOGIN_RIGHT,
  LOGIN_WRONG,   /**< there is no such user, or it has another password: the two look alike */
  LOGIN_HELD_UP, /**< too many were wrong; this one was not looked at */
  LOGIN_BUSY,    /**< too many wait; this one was not looked at */
  LOGIN_FAILED,  /**< it cannot be told */
};

/** Credentials, and where they come from. */
struct login_attempt {
  struct slice user;
  struct slice password;
  struct slice hash; /**< of the user's password; empty when there is no such user */
  const struct sockaddr *from;
};

/** \param verdict RIGHT, WRONG or FAILED, with the reason in \p e. */
typedef void login_done(void *arg, enum login_verdict verdict, const struct error *e);

/** Somebody who waits for a verdict. */
struct login;

/**
 * Looks at \p attempt, of which nothing needs to live on.
 *
 * \param now milliseconds of a clock that never goes back.
 * \param login set when it is LOGIN_PENDING; \p done is then called once, from \p loop, which must
 *        run until then, unless login_cancel() is.
 * \param wait_ms set when it is LOGIN_HELD_UP: how long.
 * \param e filled when it is LOGIN_FAILED.
 */
enum login_verdict login_start(struct logins *logins, uv_loop_t *loop,
                               const struct login_attempt *attempt, uint64_t now, login_done *done,
                               void *arg, struct login **login, uint64_t *wait_ms, struct error *e);

/** `done` will not be called. A password that nobody waits for any more is not looked at, and then
 *  not counted either; one that is being looked at is. */
void login_cancel(struct login *login);
