/**
 * HTTP out: libcurl's multi interface on a libuv loop. One client a loop; it keeps connections and
 * TLS sessions for reuse. `http_proxy`, `https_proxy` and `no_proxy` are honoured. Only http and
 * https are spoken, in HTTP/1.1, and redirects are never followed here: who asks decides what a
 * redirect may take along. Bodies come as they were sent: no content coding is asked for or undone.
 * As with all that writes to sockets through libuv or OpenSSL, the program ignores SIGPIPE.
 */
#pragma once

#include "base/error.h"
#include "http/field.h"

#include <uv.h>

struct http_client;
struct http_fetch;

/** How a host is trusted; strings are copied by http_fetch_start(). NULL members take the default.
 */
struct http_client_tls {
  const char *ca_file;   /**< PEM; default: the system's */
  const char *cert_file; /**< our certificate, PEM */
  const char *key_file;
  bool insecure; /**< accept any certificate (`--tls-verify=false`) */
  /** For errors: where CA and certificate are given, such as "--cert-dir". Not copied. NULL:
   * nowhere but among the system's authorities. */
  const char *given_by;
};

struct http_fetch_options {
  const char *method; /**< GET, HEAD or POST */
  const char *url;
  bool url_of_server;              /**< a server led there: errors name its origin alone */
  const struct http_field *fields; /**< copied; see http_fetch_start() */
  size_t field_count;
  struct slice body; /**< for POST; copied */
  struct http_client_tls tls;
  unsigned connect_timeout_ms; /**< name, TCP and TLS; 0: 10 s */
  unsigned stall_timeout_ms;   /**< no byte of the answer for so long ends it; 0: 30 s. The time it
                                    is paused does not count. */
};

enum {
  HTTP_ANSWER_HEAD_MAX = 64 * 1024, /**< bytes of status lines, fields and trailers */
  HTTP_ANSWER_FIELDS_MAX = 256,
};

/** The head of an answer, valid during http_fetch_events.head only. */
struct http_fetch_answer;
int http_fetch_status(const struct http_fetch_answer *a);
/** The first field of that name, case ignored; a NULL pointer when there is none. */
struct slice http_fetch_field(const struct http_fetch_answer *a, struct slice name);
/** Walks all fields of that name: 0, 1, …; a NULL pointer ends it. */
struct slice http_fetch_field_at(const struct http_fetch_answer *a, struct slice name,
                                 size_t index);
/**
 * The length a GET's body has by the head: of one Content-Length without Transfer-Encoding.
 *
 * \return false when the head does not tell.
 */
bool http_fetch_length(const struct http_fetch_answer *a, uint64_t *length);

/**
 * What is told, always from the loop and in this order: `head` once (never for interim 1xx
 * answers), `data` any number of times, `done` exactly once unless the fetch was cancelled; when it
 * fails, `head` may be missing. All may be NULL but `done`. Within each, any function of this file
 * may be called.
 */
struct http_fetch_events {
  /** \return false to give up: `done` follows with ERROR_FAILED. */
  bool (*head)(void *arg, const struct http_fetch_answer *a);
  /** \param bytes at most 16 KiB. \return false to give up. */
  bool (*data)(void *arg, struct slice bytes);
  /** \param e NULL when the answer came whole (any status); else why not: ERROR_FAILED. The fetch
   * is gone. */
  void (*done)(void *arg, const struct error *e);
};

/** NULL when there is no memory. */
struct http_client *http_client_new(uv_loop_t *loop);

/** Ends all fetches without telling them; \p closed is called on the loop when all is freed. */
void http_client_stop(struct http_client *client, void (*closed)(void *arg), void *arg);

/**
 * Starts a fetch. An answer that is cut short, a head beyond the bounds above and a stall are
 * errors; any status is not. Errors name the URL without its query, or less: url_of_server.
 *
 * \return the fetch, for pause, resume and cancel, valid until `done`; NULL with \p e when it could
 * not start, and no event follows then: ERROR_USAGE for another method, a URL that cannot be read
 * or holds user info, a field that has CR, LF or NUL in it; ERROR_FAILED when there is no memory.
 */
struct http_fetch *http_fetch_start(struct http_client *client, const struct http_fetch_options *o,
                                    const struct http_fetch_events *events, void *arg,
                                    struct error *e);

/**
 * After the piece being delivered nothing is told until http_fetch_resume(), and the socket is not
 * read; only a failure to connect or to read the head is still told.
 */
void http_fetch_pause(struct http_fetch *f);
/** Goes on from the loop, never from within. */
void http_fetch_resume(struct http_fetch *f);

/** Ends it; no event follows. */
void http_fetch_cancel(struct http_fetch *f);
