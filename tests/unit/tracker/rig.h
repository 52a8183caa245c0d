/** A tracker with a key of its own, requests put to it, and its answers read, for the tests. */
#pragma once

#include "tracker/tracker.h"

/** All is judged at these times unless a test moves them. */
#define RIG_NOW INT64_C(1800000000)
enum { RIG_TICK = 5000, RIG_INTERVAL = 900 };

/* The infohash in a token, and in a query: no escapes, for it is part of printf formats. */
#define RIG_HEX  "7468652d686173682d6f662d32302d6279746573"
#define RIG_HASH "the-hash-of-20-bytes"
#define RIG_PEER "-XX0001-abcdefghijkl"
/** The query of an announce that lacks nothing but its token. */
#define RIG_QUERY                                                                                  \
  "info_hash=" RIG_HASH "&peer_id=" RIG_PEER "&port=6881&uploaded=0&downloaded=0&left=1"

struct rig {
  struct key key;
  struct keyring *keyring;
  struct tracker_options options;
  struct tracker *tracker;
  struct arena arena;
  const char *token; /**< covers RIG_HEX, expires in 600 s, session of a day */
  /* What the next request comes with. */
  struct sockaddr_storage from; /**< 10.0.0.1 */
  const char *authorization;    /**< or NULL */
  int64_t now;
  uint32_t tick;
  char bytes[ANSWER_MAX];
  struct slice answer; /**< the last one */
};

/** A fresh rig; the options are changed by \p change before the tracker is made, unless NULL. */
struct rig *rig_new(void (*change)(struct tracker_options *o));
void rig_free(struct rig *rig);

/** Claims of a right token: as rig->token. */
struct token rig_claims(void);
/** A token signed by the rig's key, in its arena. */
const char *rig_sign(struct rig *rig, const struct token *claims);

/** Where the next request comes from, literal. */
void rig_from(struct rig *rig, const char *address);

/** Puts a query as it is; the answer is canonical bencode, or the test fails. */
void rig_announce(struct rig *rig, const char *query);
void rig_scrape(struct rig *rig, const char *query);
/** `jwt=<token>&<query>`; the query is a printf format. */
void rig_announce_with(struct rig *rig, const char *token, const char *query, ...)
    __attribute__((format(printf, 3, 4)));
/** `jwt=<token><more>` */
void rig_scrape_with(struct rig *rig, const char *token, const char *more);

/** The value of a key of the outermost dictionary: of a string its bytes, of others what is
 *  written. A NULL pointer when there is none. */
struct slice rig_get(struct slice dict, const char *key);
int64_t rig_number(const struct rig *rig, const char *key);
/** Asserts that the last answer is this failure and nothing else but `retry in`. */
void rig_assert_failure(const struct rig *rig, const char *reason);
/** Asserts that the last answer is none. */
void rig_assert_welcome(const struct rig *rig);
