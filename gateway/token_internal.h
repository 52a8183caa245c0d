/** What the files of the token service share; no other file includes it. */
#pragma once

#include "db/refresh_store.h"
#include "gateway/login.h"
#include "gateway/quota.h"
#include "gateway/refusals.h"
#include "gateway/token_grant.h"
#include "gateway/token_request.h"
#include "gateway/token_service.h"

struct token_service {
  const struct token_service_options *options;
  struct logins *logins;
  struct refusals *refusals;
  struct quota *anonymous; /**< of tokens that nobody had to log in for */
  char *challenge;         /**< `Basic realm="…"` */
};

struct token_issue;

/** What is said of a refresh token that is no good. */
#define TOKEN_REFRESH_ENDED "the refresh token is not known, or has ended: log in again"

/** One request; in the exchange's arena. */
struct token_asking {
  const struct token_service *service;
  struct http_exchange *x;
  struct token_request request;
  bool post;
  bool named;                    /**< it is a user who asks, and has shown so */
  struct user_record user;       /**< whose; zeroed when there is none */
  struct refresh_record refresh; /**< that was shown */
  struct login *login;           /**< while a password is looked at */
  int64_t now;                   /**< of what is issued; from before the revocations were asked */
  struct revocation_wait *wait;  /**< while they are */
  struct token_issue *issue;     /**< while something is being written */
};

/** What was asked for, for the log: `repository:team/app:pull,push and 2 more`; in the exchange's
 *  arena. */
struct slice token_wanted(const struct token_asking *a);

/** What of it was asked for in vain, for the log, where something was granted: `; no right to
 * push`, or empty. Who then fails hears no more of it than the registry says. In the exchange's
 * arena. */
struct slice token_missing(const struct token_asking *a, const struct token_grant *grant);

/** Logs that nothing is given out. \param why and what to do, for the operator. */
void token_log_refusal(const struct token_asking *a, const char *why);

/** Gives out what the caller, nobody or a user who has shown so, may have: waits for all that is
 *  revoked by now, decides, signs, records, answers. */
void token_issue_start(struct token_asking *a);

/** Nobody waits for it any more. */
void token_issue_abandon(struct token_issue *issue);

/** The user is not who he says he is, or nobody where somebody is wanted: a 401 with a challenge.
 *  \param why for the log, as of token_log_refusal(). */
void token_refuse(const struct token_asking *a, const char *message, const char *why);

/** A 429: the caller is to come again after so many milliseconds. \param why for the log as well.
 */
void token_refuse_for_now(const struct token_asking *a, const char *why, uint64_t wait_ms);

/** A failure of ours; \p e goes to the log. \param status 500, or 503 when the caller may come
 *  again. */
void token_fail(const struct token_asking *a, int status, const struct error *e);
