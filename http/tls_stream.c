#include "http/tls_stream.h"

#include <assert.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>

enum {
  RECORD_MAX = SSL3_RT_MAX_PLAIN_LENGTH, /* bytes of plaintext in a record */
  RECORD_OVERHEAD = 32, /* what a record adds, at most: header 5, nonce 8, type 1, tag 16 */
};

struct tls_stream {
  SSL *ssl;
  struct slice in; /* what was fed and not read yet */
  struct buf out;
  const char *why; /* set when it has failed */
};

/* --- what OpenSSL reads from and writes to: no copy but its own --- */

static int read_fed(BIO *bio, char *to, size_t size, size_t *done) {
  struct tls_stream *s = BIO_get_data(bio);
  *done = s->in.len < size ? s->in.len : size;
  BIO_clear_retry_flags(bio);
  if (*done == 0) {
    BIO_set_retry_read(bio);
    return 0;
  }
  memcpy(to, s->in.ptr, *done);
  s->in = slice_from(s->in, *done);
  return 1;
}

static int write_out(BIO *bio, const char *bytes, size_t len, size_t *done) {
  struct tls_stream *s = BIO_get_data(bio);
  BIO_clear_retry_flags(bio);
  buf_append(&s->out, bytes, len);
  *done = s->out.failed ? 0 : len;
  return s->out.failed ? 0 : 1;
}

static long control(BIO *bio, int command, long number, void *pointer) {
  (void)bio;
  (void)number;
  (void)pointer;
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

BIO_METHOD *tls_stream_method(void) {
  BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "stream");
  if (method == NULL || BIO_meth_set_read_ex(method, read_fed) != 1 ||
      BIO_meth_set_write_ex(method, write_out) != 1 || BIO_meth_set_ctrl(method, control) != 1) {
    BIO_meth_free(method);
    return NULL;
  }
  return method;
}

/* --- the stream --- */

struct tls_stream *tls_stream_new(struct http_tls *tls) {
  struct tls_stream *s = calloc(1, sizeof *s);
  SSL *ssl = http_tls_connection(tls);
  BIO *bio = BIO_new(http_tls_method(tls));
  if (s == NULL || ssl == NULL || bio == NULL) {
    BIO_free(bio);
    SSL_free(ssl);
    free(s);
    return NULL;
  }
  BIO_set_data(bio, s);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl, bio, bio);
  SSL_set_accept_state(ssl);
  s->ssl = ssl;
  return s;
}

void tls_stream_free(struct tls_stream *s) {
  if (s == NULL) {
    return;
  }
  /* Or OpenSSL forgets the session of whoever left without a close_notify, as most do. One that
   * failed it has forgotten already. */
  SSL_set_shutdown(s->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  SSL_free(s->ssl);
  buf_free(&s->out);
  free(s);
}

void tls_stream_feed(struct tls_stream *s, struct slice bytes) {
  assert(s->in.len == 0);
  s->in = bytes;
}

/* To somebody who forgot the s of https. */
static void answer_plain_http(struct tls_stream *s) {
  buf_str(&s->out, "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n"
                   "Content-Length: 36\r\nConnection: close\r\n\r\n"
                   "this port speaks TLS: use https://\r\n");
}

static int fail(struct tls_stream *s, const char *why) {
  s->why = why;
  s->in = (struct slice){0};
  return -1;
}

/* With what OpenSSL says. */
static int fail_openssl(struct tls_stream *s) {
  const unsigned long code = ERR_peek_last_error();
  const char *reason = ERR_reason_error_string(code);
  ERR_clear_error();
  if (ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) == SSL_R_HTTP_REQUEST) {
    answer_plain_http(s);
  }
  return fail(s, reason == NULL ? "out of memory" : reason);
}

ssize_t tls_stream_read(struct tls_stream *s, char *plain, size_t size) {
  size_t n = 0;
  if (s->why != NULL) {
    return TLS_FAILED;
  }
  ERR_clear_error(); /* SSL_get_error() looks into the queue, where other callers may leave theirs
                      */
  if (SSL_read_ex(s->ssl, plain, size, &n) == 1) {
    return (ssize_t)n;
  }
  switch (SSL_get_error(s->ssl, 0)) {
  case SSL_ERROR_WANT_READ:
    return TLS_MORE;
  case SSL_ERROR_ZERO_RETURN:
    s->in = (struct slice){0};
    return TLS_ENDED;
  default:
    fail_openssl(s);
    return TLS_FAILED;
  }
}

int tls_stream_write(struct tls_stream *s, struct slice plain) {
  size_t n = 0;
  if (s->why != NULL) {
    return -1;
  }
  if (!SSL_is_init_finished(s->ssl)) {
    return fail(s, "there is something to send before the handshake is over");
  }
  if (plain.len == 0) {
    return 0;
  }
  ERR_clear_error();
  buf_reserve(&s->out, plain.len + (plain.len / RECORD_MAX + 1) * RECORD_OVERHEAD);
  return SSL_write_ex(s->ssl, plain.ptr, plain.len, &n) == 1 ? 0 : fail_openssl(s);
}

void tls_stream_end(struct tls_stream *s) {
  if (s->why == NULL && SSL_is_init_finished(s->ssl) &&
      (SSL_get_shutdown(s->ssl) & SSL_SENT_SHUTDOWN) == 0) {
    ERR_clear_error();
    SSL_shutdown(s->ssl);
  }
}

struct buf *tls_stream_output(struct tls_stream *s) {
  return &s->out;
}

const char *tls_stream_why(const struct tls_stream *s) {
  return s->why;
}
