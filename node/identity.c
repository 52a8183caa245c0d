#include "node/identity.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* What a BIO has, as a string; NULL when it has nothing. Frees it. */
static char *take(BIO *bio, bool written) {
  char *bytes = NULL;
  long len = written ? BIO_get_mem_data(bio, &bytes) : 0;
  char *text = len > 0 ? strndup(bytes, (size_t)len) : NULL;
  if (len > 0) {
    OPENSSL_cleanse(bytes, (size_t)len);
  }
  BIO_free(bio);
  return text;
}

static char *print_key(EVP_PKEY *key) {
  BIO *bio = BIO_new(BIO_s_mem());
  return take(bio, bio != NULL &&
                       PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1);
}

static char *print_request(EVP_PKEY *key) {
  X509_REQ *request = X509_REQ_new();
  BIO *bio = BIO_new(BIO_s_mem());
  bool ok =
      request != NULL && bio != NULL && X509_REQ_set_version(request, X509_REQ_VERSION_1) == 1 &&
      X509_REQ_set_pubkey(request, key) == 1 && X509_REQ_sign(request, key, EVP_sha256()) > 0 &&
      PEM_write_bio_X509_REQ(bio, request) == 1;
  X509_REQ_free(request);
  return take(bio, ok);
}

static char *print_parameters(void) {
  EVP_PKEY *parameters = NULL;
  BIO *bio = BIO_new(BIO_s_mem());
  EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "DH", NULL);
  OSSL_PARAM group[] = {OSSL_PARAM_construct_utf8_string("group", (char[]){"ffdhe2048"}, 0),
                        OSSL_PARAM_construct_end()};
  bool ok = bio != NULL && context != NULL && EVP_PKEY_paramgen_init(context) == 1 &&
            EVP_PKEY_CTX_set_params(context, group) == 1 &&
            EVP_PKEY_generate(context, &parameters) == 1 &&
            PEM_write_bio_Parameters(bio, parameters) == 1;
  EVP_PKEY_free(parameters);
  EVP_PKEY_CTX_free(context);
  return take(bio, ok);
}

int identity_make(struct identity *out, struct error *e) {
  ERR_set_mark();
  EVP_PKEY *key = EVP_EC_gen("P-256");
  *out = (struct identity){0};
  if (key != NULL) {
    out->key = print_key(key);
    out->request = print_request(key);
    out->parameters = print_parameters();
  }
  EVP_PKEY_free(key);
  ERR_pop_to_mark();
  return out->key != NULL && out->request != NULL && out->parameters != NULL
             ? 0
             : error_set(e, ERROR_FAILED,
                         "cannot make a key for this pull: OpenSSL failed, or there is no memory");
}

void identity_free(struct identity *identity) {
  if (identity->key != NULL) {
    OPENSSL_cleanse(identity->key, strlen(identity->key));
  }
  free(identity->key);
  free(identity->request);
  free(identity->parameters);
  *identity = (struct identity){0};
}
