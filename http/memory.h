/**
 * A connection without a socket: drives a server's handlers in tests. What the peer sends is fed in
 * any cuts, what was answered is looked at; the clock is moved by hand. Everything else, parser,
 * limits, router and back-pressure, is what a real connection goes through.
 *
 *     struct http_memory *m = http_memory_new(NULL, &options, NULL);
 *     http_memory_feed(m, SLICE("GET /x HTTP/1.1\r\nHost: a\r\n\r\n"));
 *     http_memory_output(m) … "HTTP/1.1 200 OK\r\n…"
 *     http_memory_free(m);
 */
#pragma once

#include "http/server.h"

struct http_memory;

/**
 * A server of its own that listens nowhere, and one connection to it.
 *
 * \param loop NULL: a loop of its own is made and run, without waiting, inside of the functions
 * below until nothing is left to do at once. Otherwise the caller runs it: what is promised "from
 * the loop" (`proceed`, `abandoned`) happens there.
 * \param options copied; routes and log outlive it.
 * \param peer the other end's address; NULL for 127.0.0.1:40000.
 * \return NULL when there is no memory or the limits of \p options let no connection in.
 */
struct http_memory *http_memory_new(uv_loop_t *loop, const struct http_server_options *options,
                                    const struct sockaddr *peer);

/** One more connection, to a server of the caller's; NULL also when its limits refuse it. It is
 * freed before http_server_stop() can end. */
struct http_memory *http_memory_connect(struct http_server *server, const struct sockaddr *peer);

/** The peer goes away at once, as by a reset; the server of http_memory_new() is stopped and freed.
 * Not to be called from a callback of the loop. */
void http_memory_free(struct http_memory *m);

/** The peer sends \p bytes, in one piece. Handlers run before it returns. No bytes only let the
 * loop of the connection's own run. \return how many were read: all, or 0 while the server holds
 * reading back or reads no more. */
size_t http_memory_feed(struct http_memory *m, struct slice bytes);

/** The peer sends no more (half-close). */
void http_memory_feed_end(struct http_memory *m);

/** What was answered since the start or http_memory_clear(), as far as the peer has taken it; valid
 * until the next call of any of these functions. */
struct slice http_memory_output(struct http_memory *m);

/** Forgets what was answered so far. */
void http_memory_clear(struct http_memory *m);

/** The server has ended the connection or its half of it: no output follows. */
bool http_memory_closed(struct http_memory *m);

/** Nothing of the connection is left in the server. */
bool http_memory_released(struct http_memory *m);

/** From now on the peer takes \p bytes more of the answer and then no more; SIZE_MAX, the start's
 * value, is no bound. What waited and fits is taken at once. */
void http_memory_take(struct http_memory *m, size_t bytes);

/** From now on the peer takes at once what does not fit a first try and is left to be written: it
 * read on between the two. The server is told by the next http_memory_take(), as libuv does it from
 * the loop. */
void http_memory_catch_up(struct http_memory *m);

/** Moves the server's clock, which stands still otherwise, and fires the time-outs that are due
 * then. The clock of a server of the caller's is the loop's until the first call. */
void http_memory_advance(struct http_memory *m, uint64_t milliseconds);
