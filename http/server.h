/**
 * The HTTP/1.x server: listeners on one libuv loop, connections, and the exchange of a request and
 * its answer (RFC 9110, RFC 9112). A process runs one server a loop, a loop a core; the kernel
 * spreads connections over them by SO_REUSEPORT. Nothing here is shared between loops.
 *
 * What is not HTTP/1.x as the RFCs have it is answered with a 4xx or 505 and a line of text, and
 * the connection is closed. As libuv writes to sockets that may be closed, the program ignores
 * SIGPIPE.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "base/log.h"
#include "http/field.h"
#include "http/listen.h"
#include "http/tls.h"

#include <uv.h>

struct http_server;

/** One request and its answer; lives until the answer has ended and been sent, or was given up. */
struct http_exchange;

/** Open connections a server, where nothing else is said. */
enum { HTTP_CONNECTIONS_MAX = 16384 };

/** Bounds on what others can make us hold. A zero means the default named here. */
struct http_limits {
  size_t head_max;          /**< bytes of request line and fields; default 32 KiB; beyond: 431 */
  size_t body_max;          /**< bytes of a request's body; default 64 KiB; beyond: 413 */
  unsigned connections_max; /**< open connections a server; default HTTP_CONNECTIONS_MAX; beyond:
                                 not accepted until one is closed */
  unsigned per_address_max; /**< open connections an address, or an IPv6 network of 64 bits; default
                                 1024; beyond: closed at once. Addresses that are trusted to
                               forward, and Unix sockets, are not bounded by it */
  unsigned head_timeout_ms; /**< from a request's first byte to the end of its head, and as long
                                 again for its body; 10 s; 408. From accepting to a first byte:
                                 closed silently */
  unsigned idle_timeout_ms; /**< between requests on a kept connection; 60 s; closed silently */
  unsigned send_timeout_ms; /**< in which the peer has to take 4 KiB of an answer, or all that is
                                 left of it; 60 s; cut */
};

typedef void http_handler(struct http_exchange *x, void *context);

/**
 * A route. \ref path is compared to the target's path as sent, not percent-decoded; when it ends in
 * `/` it matches every path below. The first route that fits path and method is taken; a path
 * without its method gets 405 with `Allow`, anything else 404. A HEAD goes only to a route that
 * says HEAD.
 */
struct http_route {
  const char *method;
  const char *path;
  http_handler *handle;
  void *context;
};

/** Who may send larger bodies than others. */
struct http_large_bodies {
  /** Asked once the head has come, before anything of a large body is kept. Does not answer. */
  bool (*are_from)(const struct http_exchange *x, void *context);
  void *context;
  size_t body_max; /**< bytes of such a body; what is beyond is read and thrown away */
};

struct http_server_options {
  const struct http_route *routes; /**< outlives the server */
  size_t route_count;
  struct http_limits limits;
  const struct http_large_bodies *large; /**< outlives the server; NULL: nobody may */
  struct http_tls *tls;                  /**< outlives the server; NULL: plain */
  /** Who is believed to say for whom a connection or request comes: by the PROXY protocol in front
   * of everything else, and by X-Forwarded-For. Outlives the server. A Unix socket's other end is
   * believed always. */
  const struct address_range *trusted;
  size_t trusted_count;
  const struct log *log; /**< outlives the server */
};

/** A server on \p loop that listens nowhere yet; \p options are copied. NULL when there is no
 * memory. */
struct http_server *http_server_new(uv_loop_t *loop, const struct http_server_options *options);

/** Listens there, beside the servers of other loops. May be called several times; of connections
 * that wait for one of several places each place has its turn. \return 0, or -1 with ERROR_FAILED.
 */
int http_server_listen(struct http_server *server, const struct http_place *place, struct error *e);

/**
 * Stops listening, closes idle connections, lets answers under way finish for \p grace_ms at most,
 * then cuts them. \p closed, unless NULL, is called on the loop when all is freed, the server
 * included.
 */
void http_server_stop(struct http_server *server, unsigned grace_ms, void (*closed)(void *arg),
                      void *arg);

/* --- the request; slices live as long as the exchange --- */

struct slice http_request_method(const struct http_exchange *x);
/** The path as sent, not percent-decoded, without the query; of an absolute-form target its path.
 */
struct slice http_request_path(const struct http_exchange *x);
/** What follows the first `?`; empty when there is none. */
struct slice http_request_query(const struct http_exchange *x);
/** The value of the first field of that name, case ignored; a NULL pointer when there is none. */
struct slice http_request_field(const struct http_exchange *x, struct slice name);
/** The same of the field after \p index others of that name. */
struct slice http_request_field_at(const struct http_exchange *x, struct slice name, size_t index);
/** How many fields of that name there are. */
size_t http_request_field_count(const struct http_exchange *x, struct slice name);
/** The whole body, read before the handler is called. */
struct slice http_request_body(const struct http_exchange *x);
/** Whether a large body had more than struct http_large_bodies has room for. */
bool http_request_body_cut(const struct http_exchange *x);
/** The client's address: the other end's, or the one that a trusted proxy says it speaks for.
 *  AF_UNSPEC when a Unix socket's other end, or a PROXY header, does not say. */
const struct sockaddr *http_request_peer(const struct http_exchange *x);
/** Memory that lives as long as the exchange. Using it on a hot path costs nothing after the first
 *  request of a connection: its first block is kept. */
struct arena *http_exchange_arena(struct http_exchange *x);
uv_loop_t *http_exchange_loop(const struct http_exchange *x);

/* --- the answer, either at once … --- */

/**
 * Answers with a whole body, which is copied. Content-Length, Date and Connection are added. For
 * HEAD the body is counted but not sent.
 *
 * \param fields further fields. A value with CR, LF or NUL is a bug (assertion); without assertions
 * its field is left out.
 */
void http_answer(struct http_exchange *x, int status, const struct http_field *fields,
                 size_t field_count, struct slice body);

/* … or as a stream, with back-pressure: start, then send one piece and wait for `proceed` … end. */

/** Bytes of a piece, at most, and what may wait in all for a slow reader. */
enum { HTTP_PIECE_MAX = 256 * 1024 };

/** Called when the connection can take the next piece. */
typedef void http_proceed(void *arg);
/** Called once when the other end is gone, or too slow, before the answer has ended; the exchange
 * is freed after it returns and must not be touched any more. */
typedef void http_abandoned(void *arg);

/**
 * Starts an answer of exactly \p length bytes of body. For HEAD, call http_answer_end() at once.
 *
 * \param abandoned and \p arg: told when nobody is left to answer; may be NULL.
 */
void http_answer_start(struct http_exchange *x, int status, const struct http_field *fields,
                       size_t field_count, uint64_t length);

/** Registers who is told when the other end goes away before the answer has ended; also before it
 * has started. Replaces the one before. */
void http_exchange_on_abandoned(struct http_exchange *x, http_abandoned *abandoned, void *arg);

/**
 * Sends the next piece, which is copied or sent before it returns. \p proceed is called from the
 * loop, never from within, once nothing waits for the other end any more. Who does not wait for it
 * looks at http_answer_waiting() first; the last \p proceed counts then. More bytes than announced,
 * and more than HTTP_PIECE_MAX in waiting, are a bug (assertion).
 *
 * \param proceed may be NULL.
 */
void http_answer_send(struct http_exchange *x, struct slice piece, http_proceed *proceed,
                      void *arg);

/**
 * Sends \p length bytes of a file from \p offset on as the next piece, of any size: where there is
 * no TLS without a copy through this process. The bytes are read as the other end takes them, so
 * the descriptor \p fd stays open, and the bytes what they are, until `proceed`, `abandoned`,
 * http_answer_abort(), or until http_answer_waiting() is 0; nothing else is sent before that. A
 * file that cannot be read, or has become too short, cuts the connection, which `abandoned` tells.
 *
 * \param fd the caller's; a file with offsets, its own is neither used nor moved.
 * \param proceed as of http_answer_send().
 */
void http_answer_send_file(struct http_exchange *x, int fd, uint64_t offset, uint64_t length,
                           http_proceed *proceed, void *arg);

/**
 * Says that the answer waits for something that may take long, or does no more. Who ends his side
 * meanwhile is taken for gone, which `abandoned` tells from the loop: nothing is sent by which it
 * would show that he is.
 */
void http_answer_waits(struct http_exchange *x, bool waits);

/** Bytes of the answer that the other end has not taken yet: 0 while it keeps up, so that further
 * pieces can be sent at once. */
size_t http_answer_waiting(const struct http_exchange *x);

/** Ends the answer; all announced bytes must have been sent. The exchange is gone after it. */
void http_answer_end(struct http_exchange *x);

/** Gives the answer up: nothing was sent yet: 502; else the connection is cut, so that the other
 * end sees a short answer. The exchange is gone after it. */
void http_answer_abort(struct http_exchange *x);

/** As http_answer_abort(), for what may not arrive any more: the kernel's buffer, which can hold
 * megabytes for a slow reader, is dropped, too, where it is one of TCP. */
void http_answer_recall(struct http_exchange *x);
