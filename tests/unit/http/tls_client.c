#include "tls_client.h"

#include "base/file.h"

#include <dirent.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* --- files --- */

void files_new(struct files *f) {
  snprintf(f->folder, sizeof f->folder, "/tmp/test_tls_XXXXXX");
  assert_non_null(mkdtemp(f->folder));
}

void files_free(struct files *f) {
  DIR *dir = opendir(f->folder);
  assert_non_null(dir);
  for (const struct dirent *d; (d = readdir(dir)) != NULL;) {
    unlinkat(dirfd(dir), d->d_name, 0);
  }
  closedir(dir);
  assert_int_equal(rmdir(f->folder), 0);
}

const char *files_path(const struct files *f, const char *name) {
  static _Thread_local char paths[4][PATH_SIZE * 2];
  static _Thread_local unsigned next;
  char *path = paths[next++ % 4];
  snprintf(path, sizeof paths[0], "%s/%s", f->folder, name);
  return path;
}

void files_write(const struct files *f, const char *name, const char *text, mode_t mode) {
  assert_int_equal(file_write(files_path(f, name), slice_str(text), mode, NULL), 0);
}

/* NAME with an ending. */
static FILE *create(const struct files *f, const char *name, const char *ending) {
  char full[PATH_SIZE];
  snprintf(full, sizeof full, "%s%s", name, ending);
  files_write(f, full, "", 0600);
  FILE *file = fopen(files_path(f, full), "w");
  assert_non_null(file);
  return file;
}

void files_issue(const struct files *f, const char *name, unsigned rsa_bits, long from,
                 long until) {
  EVP_PKEY *key = rsa_bits == 0 ? EVP_EC_gen("P-256") : EVP_RSA_gen(rsa_bits);
  X509 *certificate = X509_new();
  X509_NAME *subject = X509_get_subject_name(certificate);
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), from);
  X509_gmtime_adj(X509_getm_notAfter(certificate), until);
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
  X509_set_issuer_name(certificate, subject);
  X509_set_pubkey(certificate, key);
  assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
  FILE *file = create(f, name, ".crt");
  PEM_write_X509(file, certificate);
  fclose(file);
  file = create(f, name, ".key");
  PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
  fclose(file);
  X509_free(certificate);
  EVP_PKEY_free(key);
}

struct http_tls *files_load(const struct files *f, const char *name) {
  char certificate[PATH_SIZE];
  char key[PATH_SIZE];
  struct error e = {0};
  snprintf(certificate, sizeof certificate, "%s.crt", name);
  snprintf(key, sizeof key, "%s.key", name);
  struct http_tls *tls = http_tls_new(files_path(f, certificate), files_path(f, key), &e);
  assert_string_equal(e.text, "");
  assert_non_null(tls);
  return tls;
}

/* --- the pair --- */

void pair_new(struct pair *p, struct http_tls *tls, int version) {
  *p = (struct pair){.cut = SIZE_MAX};
  p->server = tls_stream_new(tls);
  p->ctx = SSL_CTX_new(TLS_client_method());
  assert_non_null(p->server);
  SSL_CTX_set_security_level(p->ctx, 0); /* to offer what is to be refused */
  SSL_CTX_set_min_proto_version(p->ctx, version);
  SSL_CTX_set_max_proto_version(p->ctx, version);
  p->client = SSL_new(p->ctx);
  p->to_client = BIO_new(BIO_s_mem());
  p->from_client = BIO_new(BIO_s_mem());
  SSL_set_bio(p->client, p->to_client, p->from_client);
  SSL_set_connect_state(p->client);
}

void pair_free(struct pair *p) {
  tls_stream_free(p->server);
  SSL_set_shutdown(p->client, SSL_SENT_SHUTDOWN); /* or its session counts as broken */
  SSL_free(p->client);
  SSL_CTX_free(p->ctx);
  buf_free(&p->plain);
  ERR_clear_error();
}

void pair_feed(struct pair *p, struct slice bytes) {
  char plain[1000]; /* smaller than a record */
  tls_stream_feed(p->server, bytes);
  while ((p->state = tls_stream_read(p->server, plain, sizeof plain)) > 0) {
    buf_append(&p->plain, plain, (size_t)p->state);
  }
}

static bool to_server(struct pair *p) {
  char *bytes;
  long len = BIO_get_mem_data(p->from_client, &bytes);
  struct slice rest = slice_of(bytes, (size_t)len);
  while (rest.len > 0 && p->state == TLS_MORE) {
    size_t n = rest.len < p->cut ? rest.len : p->cut;
    pair_feed(p, slice_of(rest.ptr, n));
    rest = slice_from(rest, n);
  }
  BIO_reset(p->from_client);
  return len > 0;
}

static bool to_client(struct pair *p) {
  struct buf *output = tls_stream_output(p->server);
  bool any = output->len > 0;
  while (output->len > 0) {
    size_t n = output->len < p->cut ? output->len : p->cut;
    assert_int_equal(BIO_write(p->to_client, output->ptr, (int)n), (int)n);
    buf_consume(output, n);
    if (!SSL_is_init_finished(p->client)) {
      SSL_do_handshake(p->client);
    }
  }
  return any;
}

void pair_run(struct pair *p) {
  SSL_do_handshake(p->client);
  while (to_server(p) || to_client(p)) {
  }
}

void pair_request(struct pair *p, const char *text) {
  pair_run(p);
  p->plain.len = 0;
  assert_int_equal(SSL_write(p->client, text, (int)strlen(text)), (int)strlen(text));
  pair_run(p);
  assert_int_equal(p->plain.len, strlen(text));
  assert_memory_equal(p->plain.ptr, text, strlen(text));
}

void pair_answer(struct pair *p, const char *text) {
  char got[256];
  assert_int_equal(tls_stream_write(p->server, slice_str(text)), 0);
  pair_run(p);
  assert_int_equal(SSL_read(p->client, got, sizeof got), (int)strlen(text));
  assert_memory_equal(got, text, strlen(text));
}

const char *pair_seen(const struct pair *p) {
  static _Thread_local char name[64];
  X509 *certificate = SSL_get1_peer_certificate(p->client);
  assert_non_null(certificate);
  X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name, sizeof name);
  X509_free(certificate);
  return name;
}
