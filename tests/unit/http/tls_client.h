/** For tests of TLS: certificates made on the spot, and a client that talks to a tls_stream. */
#pragma once

#include "http/tls.h"
#include "http/tls_stream.h"
#include "unit/cmocka_all.h"

#include <openssl/ssl.h>

enum { PATH_SIZE = 128 };

/** A folder with PEM files; free_files() removes it. */
struct files {
  char folder[PATH_SIZE];
};

void files_new(struct files *f);
void files_free(struct files *f);
/** A path in the folder, in one of four buffers that take turns. */
const char *files_path(const struct files *f, const char *name);
/** Writes a file with that mode. */
void files_write(const struct files *f, const char *name, const char *text, mode_t mode);

/** A new key, on P-256, or RSA of \p rsa_bits unless it is 0; and a certificate of that name signed
 * by it, that holds from \p from to \p until, in seconds from now. NAME.crt and NAME.key. */
void files_issue(const struct files *f, const char *name, unsigned rsa_bits, long from, long until);
/** What http_tls_new() makes of NAME.crt and NAME.key. */
struct http_tls *files_load(const struct files *f, const char *name);

/** A client and the server's stream. */
struct pair {
  struct tls_stream *server;
  SSL_CTX *ctx;
  SSL *client;
  BIO *to_client, *from_client; /**< owned by client */
  size_t cut;                   /**< bytes that arrive at once, either way */
  struct buf plain;             /**< what the server has read */
  ssize_t state;                /**< the last result of tls_stream_read() that was no count */
};

/** A client of \p version alone, or of all that OpenSSL speaks when it is 0; may be changed before
 * pair_run(). */
void pair_new(struct pair *p, struct http_tls *tls, int version);
void pair_free(struct pair *p);
/** Lets both talk until neither has anything to say. The client does its handshake and reads
 * nothing. */
void pair_run(struct pair *p);
/** Feeds the server and reads; sets state. */
void pair_feed(struct pair *p, struct slice bytes);
/** As pair_run(); then the client sends \p text, and the server has to have read it. */
void pair_request(struct pair *p, const char *text);
/** The server answers \p text, and the client has to read it. */
void pair_answer(struct pair *p, const char *text);
/** The common name of the certificate that the client saw. */
const char *pair_seen(const struct pair *p);
