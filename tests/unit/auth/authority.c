#include "unit/auth/authority.h"

#include "unit/cmocka_all.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

EVP_PKEY *authority_key(const char *type, const char *size) {
  EVP_PKEY *key = strcmp(type, "EC") == 0    ? EVP_PKEY_Q_keygen(NULL, NULL, "EC", size)
                  : strcmp(type, "RSA") == 0 ? EVP_RSA_gen((unsigned)strtoul(size, NULL, 10))
                                             : EVP_PKEY_Q_keygen(NULL, NULL, type);
  assert_non_null(key);
  return key;
}

static const EVP_MD *digest_for(EVP_PKEY *key) {
  return EVP_PKEY_is_a(key, "ED25519") == 1 ? NULL : EVP_sha256();
}

static void set_name(X509_NAME *name, const char *text) {
  assert_int_equal(
      X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)text, -1, -1, 0),
      1);
}

static void extend(X509 *certificate, int which, const char *value) {
  if (*value != '\0') {
    X509V3_CTX context;
    X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_nconf_nid(NULL, &context, which, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
    X509_EXTENSION_free(extension);
  }
}

static void take(BIO *bio, struct buf *out) {
  char *bytes;
  long len = BIO_get_mem_data(bio, &bytes);
  buf_append(out, bytes, (size_t)len);
  BIO_free(bio);
}

void authority_make(const struct authority_plan *p, struct buf *certificates, struct buf *keys) {
  EVP_PKEY *key = p->key == NULL ? authority_key("EC", "P-256") : p->key;
  EVP_PKEY *signer = p->signer == NULL ? key : p->signer;
  X509 *certificate = X509_new();
  const int64_t day = INT64_C(24) * 3600;
  time_t from = p->now + (p->from == 0 ? -day : p->from);
  time_t until = p->now + (p->until == 0 ? 10 * day : p->until);
  assert_non_null(certificate);
  X509_set_version(certificate, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  ASN1_TIME_set(X509_getm_notBefore(certificate), from);
  ASN1_TIME_set(X509_getm_notAfter(certificate), until);
  set_name(X509_get_subject_name(certificate), "swarm");
  set_name(X509_get_issuer_name(certificate), p->name == NULL ? "swarm" : p->name);
  X509_set_pubkey(certificate, key);
  extend(certificate, NID_subject_key_identifier, "hash");
  extend(certificate, NID_basic_constraints,
         p->constraints == NULL ? "critical,CA:TRUE" : p->constraints);
  extend(certificate, NID_key_usage, p->usage == NULL ? "critical,keyCertSign" : p->usage);
  assert_true(X509_sign(certificate, signer, digest_for(signer)) > 0);
  BIO *bio = BIO_new(BIO_s_mem());
  assert_int_equal(PEM_write_bio_X509(bio, certificate), 1);
  take(bio, certificates);
  bio = BIO_new(BIO_s_mem());
  assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
  take(bio, keys);
  X509_free(certificate);
  if (p->key == NULL) {
    EVP_PKEY_free(key);
  }
}

void authority_request(EVP_PKEY *key, EVP_PKEY *signer, struct buf *out) {
  X509_REQ *request = X509_REQ_new();
  STACK_OF(X509_EXTENSION) *extensions = sk_X509_EXTENSION_new_null();
  X509_EXTENSION *names = X509V3_EXT_nconf_nid(NULL, NULL, NID_subject_alt_name, "DNS:*");
  EVP_PKEY *by = signer == NULL ? key : signer;
  assert_non_null(request);
  sk_X509_EXTENSION_push(extensions, names);
  set_name(X509_REQ_get_subject_name(request), "*");
  assert_int_equal(X509_REQ_set_pubkey(request, key), 1);
  assert_int_equal(X509_REQ_add_extensions(request, extensions), 1);
  assert_true(X509_REQ_sign(request, by, digest_for(by)) > 0);
  BIO *bio = BIO_new(BIO_s_mem());
  assert_int_equal(PEM_write_bio_X509_REQ(bio, request), 1);
  take(bio, out);
  sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
  X509_REQ_free(request);
}
