/** What the tests of connections and exchanges share: a server with a few handlers, one peer. */
#pragma once

#include "http/memory.h"

#include "unit/cmocka_all.h"

/** What the handlers were told, and the exchange that waits for an answer. */
struct peer {
  struct http_memory *m;
  struct http_exchange *x; /**< the last that /later left unanswered */
  unsigned later;          /**< how often /later was asked for */
  unsigned proceeds;
  unsigned abandoned;
  bool within; /**< http_answer_send() is running */
};

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

/** `/now` answers "now" to GET and HEAD; `/later` leaves the exchange in the peer; `/large` answers
 * 40,000 bytes; `/dir/` is a prefix with GET, HEAD and PUT. */
void peer_open(struct peer *p, const struct http_limits *limits);
void peer_close(struct peer *p);

void peer_feed(struct peer *p, const char *text);
/** How often \p text is in what was answered. */
size_t peer_count(struct peer *p, const char *text);
/** Whether what was answered ends so. */
bool peer_ends(struct peer *p, const char *text);
/** Sends a piece of \p len bytes and counts `proceed`. */
void peer_send(struct peer *p, size_t len);
