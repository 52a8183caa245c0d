/**
 * A document that is fetched whole, such as a JWKS: bounded in size and in time, so that whoever
 * serves it can hold neither memory nor a poll. Nothing but a 200 will do.
 */
#pragma once

#include "base/buf.h"
#include "http/client.h"

struct http_download;

/** All of it outlives the start of the download only. */
struct http_download_options {
  const char *url;
  struct http_client_tls tls;
  size_t max;          /**< bytes of the document; at least 1 */
  unsigned timeout_ms; /**< from the start to the last byte; at least 1 */
};

/**
 * Told once, from the loop, unless it was cancelled: the download is gone.
 *
 * \param document what came, to be taken over by moving it, or freed when this returns; NULL when
 *        it failed.
 * \param e why it failed, ERROR_FAILED: no answer, another status, too large, too slow.
 */
typedef void http_download_told(void *arg, struct buf *document, const struct error *e);

/**
 * Starts it on the client's loop.
 *
 * \return valid until it is told or cancelled; NULL with \p e as http_fetch_start(), and nothing is
 * told then.
 */
struct http_download *http_download_start(struct http_client *client, uv_loop_t *loop,
                                          const struct http_download_options *options,
                                          http_download_told *told, void *arg, struct error *e);

/** Nothing is told any more. NULL is fine. Before the client is stopped. */
void http_download_cancel(struct http_download *download);
