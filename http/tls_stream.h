/**
 * One TLS connection's server side as a transformer of bytes: ciphertext in, plaintext out, and
 * back. No I/O, no clock. For http/ only.
 *
 * What it holds: 16 KiB each way while a record is under way, else nothing but OpenSSL's state; in
 * a handshake also the message being read, which OpenSSL bounds to 128 KiB.
 */
#pragma once

#include "base/buf.h"

#include <openssl/bio.h>
#include <sys/types.h>

struct http_tls;
struct tls_stream;

/** The results of tls_stream_read() that are no count of bytes. */
enum {
  TLS_MORE = 0,    /**< all that was fed is used up */
  TLS_ENDED = -1,  /**< the other end sends no more (close_notify); it may still read */
  TLS_FAILED = -2, /**< what output holds, an alert, is to be sent and the connection dropped */
};

/** \param tls outlives the stream. NULL when there is no memory. */
struct tls_stream *tls_stream_new(struct http_tls *tls);
/** NULL is fine. */
void tls_stream_free(struct tls_stream *s);

/** What the other end sent; not copied, so it stays where it is until tls_stream_read() returns
 * something else than a count. Not before that either: one piece at a time. */
void tls_stream_feed(struct tls_stream *s, struct slice bytes);

/**
 * Runs the handshake and decrypts. Called until it returns no count of bytes; may add to the output
 * in any case.
 *
 * \param size bytes at \p plain, at least 1; a record holds 16 KiB at most.
 * \return bytes put into \p plain, or TLS_MORE, TLS_ENDED, TLS_FAILED; the last two also in all
 * further calls.
 */
ssize_t tls_stream_read(struct tls_stream *s, char *plain, size_t size);

/**
 * Encrypts all of \p plain to the end of the output.
 *
 * \return -1 when there is no memory, the handshake is not over or the stream has failed: to be
 * dropped.
 */
int tls_stream_write(struct tls_stream *s, struct slice plain);

/** Adds close_notify to the output, once; nothing is written after it. Nothing happens before the
 * end of the handshake or after a failure. */
void tls_stream_end(struct tls_stream *s);

/** Bytes for the other end. The caller takes off what it has sent, and may swap the buffer's memory
 * or free it (buf_free()) while it is empty. */
struct buf *tls_stream_output(struct tls_stream *s);

/** Why it failed, for a log line: static text without secrets; NULL when it has not. */
const char *tls_stream_why(const struct tls_stream *s);

/* --- between tls.c and tls_stream.c --- */

/** How OpenSSL reaches a stream's bytes; one a http_tls. NULL when there is no memory. */
BIO_METHOD *tls_stream_method(void);
/** A connection that shows what \p tls holds now; NULL when there is no memory. */
SSL *http_tls_connection(struct http_tls *tls);
const BIO_METHOD *http_tls_method(const struct http_tls *tls);
