#include "http/tls.h"

#include "base/file.h"
#include "http/tls_stream.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

enum {
  CHAIN_BYTES_MAX = 1024 * 1024, /* of the file with the certificates */
  KEY_BYTES_MAX = 65535,     /* of the private key's: file_read() leaves no copies behind then */
  SECURITY_LEVEL = 2,        /* OpenSSL's: 112 bits, so RSA from 2048, no SHA-1 */
  SESSIONS_MAX = 20000,      /* kept for resumption; the oldest give way */
  SESSION_SECONDS = 3600,    /* and for how long: longer than a peer's interval */
  OLD_SESSION_SECONDS = 300, /* the same of TLS 1.2: see configure() */
  TICKETS = 1,               /* TLS 1.3 sends with a handshake; each is a session kept */
};

struct http_tls {
  pthread_mutex_t lock;
  SSL_CTX *ctx;                      /* under the lock, as is the next */
  struct http_tls_validity validity; /* of its certificates */
  BIO_METHOD *method;
};

/* --- how TLS is spoken --- */

/*
 * Mozilla's intermediate list without its last three, DHE: whoever speaks an AEAD cipher speaks
 * ECDHE too, and a finite-field exchange costs the server many times what it costs who asks for it.
 */
static const char ciphers_1_2[] = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
                                  "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
                                  "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
static const char ciphers_1_3[] =
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";

/* RFC 7301. Who offers only what is not spoken here, as h2, is refused (section 3.2); who offers
 * nothing gets HTTP/1.1 all the same. */
static int select_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                           const unsigned char *offered, unsigned offered_len, void *arg) {
  static const unsigned char spoken[] = "\x08http/1.1\x08http/1.0";
  (void)ssl;
  (void)arg;
  unsigned char *chosen = NULL;
  if (SSL_select_next_proto(&chosen, out_len, spoken, sizeof spoken - 1, offered, offered_len) !=
      OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

/* Of one made by a handshake that began before another certificate took over, nobody knows any
 * more: it would stay as long as the connection. */
static bool is_replaced(SSL_CTX *ctx) {
  struct http_tls *tls = SSL_CTX_get_app_data(ctx);
  pthread_mutex_lock(&tls->lock);
  const bool replaced = tls->ctx != ctx;
  pthread_mutex_unlock(&tls->lock);
  return replaced;
}

/* \return 0: the session is not taken over. */
static int on_session(SSL *ssl, SSL_SESSION *session) {
  SSL_CTX *ctx = SSL_get_SSL_CTX(ssl);
  if (is_replaced(ctx)) {
    SSL_CTX_remove_session(ctx, session);
  } else if (SSL_version(ssl) < TLS1_3_VERSION) {
    SSL_SESSION_set_timeout(session, OLD_SESSION_SECONDS);
  }
  return 0;
}

/*
 * Sessions are kept here and not in tickets: a ticket's key would have to be changed often to keep
 * forward secrecy, and a session that is kept is gone when it is gone. What the client gets, in 1.3
 * too, is only the session's name. Who resumes one in TLS 1.3 agrees on new keys; in TLS 1.2 the
 * session's secret opens all that was ever sent under it, so that it is kept for minutes only.
 */
static bool configure(SSL_CTX *ctx) {
  static const unsigned char name[] = "swarmgate";
  char groups[] = "X25519:P-256:P-384"; /* what takes it is a macro that casts to char * */
  SSL_CTX_set_security_level(ctx, SECURITY_LEVEL);
  SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET);
  SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_SERVER);
  SSL_CTX_sess_set_cache_size(ctx, SESSIONS_MAX);
  SSL_CTX_set_timeout(ctx, SESSION_SECONDS);
  SSL_CTX_sess_set_new_cb(ctx, on_session);
  SSL_CTX_set_alpn_select_cb(ctx, select_protocol, NULL);
  return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
         SSL_CTX_set_max_proto_version(ctx, 0) == 1 &&
         SSL_CTX_set_cipher_list(ctx, ciphers_1_2) == 1 &&
         SSL_CTX_set_ciphersuites(ctx, ciphers_1_3) == 1 &&
         SSL_CTX_set1_groups_list(ctx, groups) == 1 && SSL_CTX_set_num_tickets(ctx, TICKETS) == 1 &&
         SSL_CTX_set_session_id_context(ctx, name, sizeof name - 1) == 1;
}

/* --- certificates and keys --- */

static const char *reason(void) {
  const char *text = ERR_reason_error_string(ERR_peek_last_error());
  return text == NULL ? "out of memory" : text;
}

static int64_t seconds_of(const ASN1_TIME *t) {
  struct tm tm;
  return ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static void note_dates(struct http_tls_validity *v, const X509 *certificate, bool first) {
  int64_t from = seconds_of(X509_get0_notBefore(certificate));
  int64_t until = seconds_of(X509_get0_notAfter(certificate));
  if (first) {
    v->from = from;
    v->until = until;
  } else {
    v->chain_from = from > v->chain_from ? from : v->chain_from;
    v->chain_until = until < v->chain_until ? until : v->chain_until;
  }
}

/* Takes the certificate over. */
static int use_certificate(struct http_tls *tls, X509 *certificate, bool first, const char *path,
                           struct error *e) {
  note_dates(&tls->validity, certificate, first);
  bool ok = first ? SSL_CTX_use_certificate(tls->ctx, certificate) == 1
                  : SSL_CTX_add0_chain_cert(tls->ctx, certificate) == 1;
  if (first || !ok) {
    X509_free(certificate);
  }
  return ok ? 0
            : error_set(
                  e, ERROR_USAGE,
                  "%s: a certificate that cannot be used: %s; wanted is RSA of 2048 bits or more, "
                  "ECDSA or Ed25519, and no SHA-1",
                  path, reason());
}

static int no_passphrase(char *out, int size, int writing, void *arg) {
  (void)out;
  (void)size;
  (void)writing;
  *(bool *)arg = true;
  return -1;
}

static int read_chain(struct http_tls *tls, const char *path, BIO *pem, struct error *e) {
  bool encrypted = false;
  bool first = true;
  int status = 0;
  X509 *next;
  while (status == 0 && (next = PEM_read_bio_X509(pem, NULL, no_passphrase, &encrypted)) != NULL) {
    status = use_certificate(tls, next, first, path, e);
    first = false;
  }
  unsigned long code = ERR_peek_last_error();
  if (status != 0) {
    return status;
  }
  if (ERR_GET_LIB(code) != ERR_LIB_PEM || ERR_GET_REASON(code) != PEM_R_NO_START_LINE) {
    return error_set(e, ERROR_USAGE, "%s: a certificate cannot be read: %s", path, reason());
  }
  return first ? error_set(e, ERROR_USAGE, "%s: holds no certificate in PEM", path) : 0;
}

static int read_key(struct http_tls *tls, const char *path, BIO *pem, struct error *e) {
  bool encrypted = false;
  EVP_PKEY *key = PEM_read_bio_PrivateKey(pem, NULL, no_passphrase, &encrypted);
  if (key == NULL) {
    return encrypted ? error_set(e, ERROR_USAGE,
                                 "%s: the private key is encrypted; take the passphrase off: "
                                 "openssl pkey -in FILE -out NEW",
                                 path)
                     : error_set(e, ERROR_USAGE, "%s: holds no private key in PEM", path);
  }
  int status = 0;
  /* The first sees it for keys of the certificate's type, the second for others. */
  if (SSL_CTX_use_PrivateKey(tls->ctx, key) != 1 || SSL_CTX_check_private_key(tls->ctx) != 1) {
    status = error_set(e, ERROR_USAGE,
                       "%s: the private key is not that of the first certificate; the server's own "
                       "comes first in its file",
                       path);
  }
  EVP_PKEY_free(key);
  return status;
}

static int load(struct http_tls *tls, const char *path, size_t limit,
                int (*read)(struct http_tls *, const char *, BIO *, struct error *),
                struct error *e) {
  struct buf bytes = {0};
  if (file_read(path, limit, &bytes, e) != 0) {
    if (e != NULL) {
      e->kind = ERROR_USAGE;
    }
    return -1;
  }
  BIO *pem = BIO_new_mem_buf(bytes.len == 0 ? "" : bytes.ptr, (int)bytes.len);
  ERR_clear_error();
  int status =
      pem == NULL ? error_set(e, ERROR_FAILED, "%s: out of memory", path) : read(tls, path, pem, e);
  ERR_clear_error();
  BIO_free(pem);
  if (bytes.ptr != NULL) {
    OPENSSL_cleanse(bytes.ptr, bytes.len);
  }
  buf_free(&bytes);
  return status;
}

struct http_tls *http_tls_new(const char *certificate, const char *key, struct error *e) {
  struct http_tls *tls = calloc(1, sizeof *tls);
  if (tls == NULL) {
    error_set(e, ERROR_FAILED, "TLS: out of memory");
    return NULL;
  }
  pthread_mutex_init(&tls->lock, NULL);
  tls->validity = (struct http_tls_validity){.chain_from = INT64_MIN, .chain_until = INT64_MAX};
  tls->method = tls_stream_method();
  tls->ctx = SSL_CTX_new(TLS_server_method());
  int status = 0;
  if (tls->method == NULL || tls->ctx == NULL || !SSL_CTX_set_app_data(tls->ctx, tls) ||
      !configure(tls->ctx)) {
    status = error_set(e, ERROR_FAILED, "TLS: OpenSSL cannot be set up: %s", reason());
    ERR_clear_error();
  }
  if (status != 0 || load(tls, certificate, CHAIN_BYTES_MAX, read_chain, e) != 0 ||
      file_check_private(key, e) != 0 || load(tls, key, KEY_BYTES_MAX, read_key, e) != 0) {
    http_tls_free(tls);
    return NULL;
  }
  return tls;
}

void http_tls_free(struct http_tls *tls) {
  if (tls != NULL) {
    SSL_CTX_free(tls->ctx);
    BIO_meth_free(tls->method);
    pthread_mutex_destroy(&tls->lock);
    free(tls);
  }
}

void http_tls_replace(struct http_tls *tls, struct http_tls *from) {
  SSL_CTX_set_app_data(from->ctx, tls); /* overwrites what is there: no memory is needed */
  pthread_mutex_lock(&tls->lock);
  SSL_CTX *old = tls->ctx;
  tls->ctx = from->ctx;
  tls->validity = from->validity;
  pthread_mutex_unlock(&tls->lock);
  SSL_CTX_flush_sessions(old, 0); /* open connections keep the rest of it */
  from->ctx = old;
  http_tls_free(from);
}

static SSL_CTX *get_ctx(struct http_tls *tls) {
  pthread_mutex_lock(&tls->lock);
  SSL_CTX *ctx = tls->ctx;
  SSL_CTX_up_ref(ctx);
  pthread_mutex_unlock(&tls->lock);
  return ctx;
}

void http_tls_forget(struct http_tls *tls, int64_t now) {
  SSL_CTX *ctx = get_ctx(tls);
  SSL_CTX_flush_sessions(ctx, (long)now);
  SSL_CTX_free(ctx);
}

struct http_tls_validity http_tls_validity(struct http_tls *tls) {
  pthread_mutex_lock(&tls->lock);
  struct http_tls_validity validity = tls->validity;
  pthread_mutex_unlock(&tls->lock);
  return validity;
}

SSL *http_tls_connection(struct http_tls *tls) {
  SSL_CTX *ctx = get_ctx(tls);
  SSL *ssl = SSL_new(ctx);
  SSL_CTX_free(ctx);
  return ssl;
}

const BIO_METHOD *http_tls_method(const struct http_tls *tls) {
  return tls->method;
}
