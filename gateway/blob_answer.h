/** What the answers with a blob's bytes have in common, wherever these come from. */
#pragma once

#include "gateway/internal.h"
#include "gateway/readers.h"
#include "http/range.h"

/** What is to be answered with; all it points to lives as long as the exchange. */
struct blob_order {
  const struct gateway_upstream *upstream;
  const char *repository;
  const char *digest;
  struct slice etag;
  uint64_t size;                 /**< of the whole blob */
  struct range range;            /**< RANGE_WHOLE or RANGE_PART */
  struct revocation_names names; /**< of the token that asks for it */
  int64_t issued;                /**< its `iat` */
  struct reader *reader;         /**< leaves when the answer ends */
};

/** Embedded by whoever answers. */
struct blob_answer {
  struct blob_answer *next, **link; /**< among those under way; link is NULL when it is not */
  struct http_exchange *x;
  struct blob_order order;
  const struct log *log;
  uint64_t left; /**< bytes of the range that were not sent yet */
  bool started;
  /** Its token was revoked: blob_answer_fail() with 403 follows. */
  void (*cut)(struct blob_answer *a);
};

/** Fills it in, with all of the range left, and joins \p all of the loop. */
void blob_answer_begin(struct blob_answer *a, struct http_exchange *x,
                       const struct blob_order *order, struct blob_answers *all,
                       const struct log *log);

/** Sends the head: 200 or 206. */
void blob_answer_start(struct blob_answer *a);

/** All is sent: ends the answer. */
void blob_answer_end(struct blob_answer *a);

/**
 * Gives it up: answers so, or, when it has started, cuts the connection.
 *
 * \param status 403, 404, 500 or 502.
 * \param why for the log; NULL: it says so already.
 */
void blob_answer_fail(struct blob_answer *a, int status, const char *why);

/** There is no memory to answer at all, so that it has not begun: answers 500. */
void blob_order_fail(struct http_exchange *x, const struct blob_order *order);

/** Nobody is left to answer. */
void blob_answer_abandon(struct blob_answer *a);

/** Somebody else goes on with what is left of it, and its reader. */
void blob_answer_leave(struct blob_answer *a);

/** Whether an answer must not go on. */
typedef bool blob_answer_judge(void *arg, const struct blob_order *order);

/** Cuts those that must not go on. */
void blob_answers_cut(struct blob_answers *all, blob_answer_judge *judge, void *arg);
