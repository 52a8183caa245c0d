#include "auth/swarm_certificate.h"

#include "base/hex.h"

#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

enum { SERIAL_BYTES = 16, DIGEST_DIGITS = 64 };

static const struct slice name_prefix = SLICE("sha256-");

/* --- requests --- */

/* Nobody is there to be asked. */
static int no_passphrase(char *to, int size, int writing, void *arg) {
  (void)to, (void)size, (void)writing, (void)arg;
  return -1;
}

static X509_REQ *read_request(struct slice pem) {
  BIO *bio = pem.len == 0 ? NULL : BIO_new_mem_buf(pem.ptr, (int)pem.len);
  X509_REQ *request = bio == NULL ? NULL : PEM_read_bio_X509_REQ(bio, NULL, no_passphrase, NULL);
  BIO_free(bio);
  return request;
}

static int take_key(X509_REQ *request, EVP_PKEY **out, struct error *e) {
  EVP_PKEY *key = X509_REQ_get0_pubkey(request);
  if (key == NULL || !swarm_ca_takes_key(key)) {
    return error_set(e, ERROR_USAGE,
                     "the key of the certificate signing request is none of EC on P-256 or P-384 "
                     "by name, Ed25519, RSA of 2048 to 8192 bits with a small exponent");
  }
  if (X509_REQ_verify(request, key) != 1) {
    return error_set(e, ERROR_USAGE,
                     "the certificate signing request is not signed by the key that is in it");
  }
  EVP_PKEY_up_ref(key);
  *out = key;
  return 0;
}

int swarm_csr_read(struct slice pem, EVP_PKEY **out, struct error *e) {
  if (pem.len > SWARM_CSR_MAX) {
    return error_set(e, ERROR_USAGE, "the certificate signing request has more than %d bytes",
                     SWARM_CSR_MAX);
  }
  ERR_set_mark();
  X509_REQ *request = read_request(pem);
  int result = request == NULL
                   ? error_set(e, ERROR_USAGE, "there is no certificate signing request in PEM")
                   : take_key(request, out, e);
  X509_REQ_free(request);
  ERR_pop_to_mark();
  return result;
}

/* --- certificates --- */

static int check_order(const struct swarm_order *o, struct error *e) {
  unsigned char digest[DIGEST_DIGITS / 2];
  char again[DIGEST_DIGITS + 1];
  if (o->count == 0 || o->count > SWARM_CERTIFICATE_NAMES_MAX) {
    return error_set(e, ERROR_USAGE, "a certificate is for 1 to %d torrents",
                     SWARM_CERTIFICATE_NAMES_MAX);
  }
  for (size_t i = 0; i < o->count; i++) {
    struct slice hex = slice_from(o->names[i], name_prefix.len);
    if (!slice_starts(o->names[i], name_prefix) || hex.len != DIGEST_DIGITS ||
        !hex_decode(hex, digest, sizeof digest)) {
      return error_set(e, ERROR_USAGE, "%.*s is no torrent's name", SLICE_ARG(o->names[i]));
    }
    hex_encode(digest, sizeof digest, again);
    if (!slice_equal(slice_str(again), hex)) {
      return error_set(e, ERROR_USAGE, "%.*s is no torrent's name", SLICE_ARG(o->names[i]));
    }
  }
  return 0;
}

/* Unpredictable and positive (RFC 5280, 4.1.2.2). */
static bool set_serial(X509 *certificate, char text[SWARM_SERIAL_TEXT_MAX]) {
  unsigned char bytes[SERIAL_BYTES];
  if (RAND_bytes(bytes, sizeof bytes) != 1) {
    return false;
  }
  bytes[0] = (unsigned char)((bytes[0] & 0x7f) | 0x40);
  hex_encode(bytes, sizeof bytes, text);
  BIGNUM *number = BN_bin2bn(bytes, sizeof bytes, NULL);
  bool ok =
      number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != NULL;
  BN_free(number);
  return ok;
}

/* Its end: what comes first, the ttl's or the CA's. */
static bool set_times(X509 *certificate, const struct swarm_order *o, int64_t *expires) {
  time_t from = o->now - SWARM_CERTIFICATE_BACK, until = o->now + swarm_ca_ttl(o->ca);
  struct tm end;
  if (X509_cmp_time(X509_get0_notAfter(o->pair->certificate), &until) < 0) {
    if (ASN1_TIME_to_tm(X509_get0_notAfter(o->pair->certificate), &end) != 1) {
      return false;
    }
    until = timegm(&end);
  }
  *expires = until;
  return ASN1_TIME_set(X509_getm_notBefore(certificate), from) != NULL &&
         ASN1_TIME_set(X509_getm_notAfter(certificate), until) != NULL;
}

static bool add_name(GENERAL_NAMES *names, struct slice name) {
  GENERAL_NAME *general = GENERAL_NAME_new();
  ASN1_IA5STRING *text = ASN1_IA5STRING_new();
  if (general == NULL || text == NULL || ASN1_STRING_set(text, name.ptr, (int)name.len) != 1) {
    GENERAL_NAME_free(general);
    ASN1_IA5STRING_free(text);
    return false;
  }
  GENERAL_NAME_set0_value(general, GEN_DNS, text);
  if (sk_GENERAL_NAME_push(names, general) <= 0) {
    GENERAL_NAME_free(general);
    return false;
  }
  return true;
}

/* Critical, for there is no other name (RFC 5280, 4.2.1.6). */
static bool add_names(X509 *certificate, const struct swarm_order *o) {
  GENERAL_NAMES *names = GENERAL_NAMES_new();
  bool ok = names != NULL;
  for (size_t i = 0; i < o->count && ok; i++) {
    ok = add_name(names, o->names[i]);
  }
  ok =
      ok && X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 1, X509V3_ADD_DEFAULT) == 1;
  GENERAL_NAMES_free(names);
  return ok;
}

/* Where the CA has a key identifier (RFC 5280, 4.2.1.1). */
static bool add_issuer_key(X509 *certificate, X509 *ca) {
  const ASN1_OCTET_STRING *id = X509_get0_subject_key_id(ca);
  AUTHORITY_KEYID *issuer = id == NULL ? NULL : AUTHORITY_KEYID_new();
  if (issuer == NULL) {
    return id == NULL;
  }
  issuer->keyid = ASN1_OCTET_STRING_dup(id);
  bool ok = issuer->keyid != NULL && X509_add1_ext_i2d(certificate, NID_authority_key_identifier,
                                                       issuer, 0, X509V3_ADD_DEFAULT) == 1;
  AUTHORITY_KEYID_free(issuer);
  return ok;
}

static bool add_extension(X509 *certificate, int which, const char *value) {
  X509_EXTENSION *extension = X509V3_EXT_nconf_nid(NULL, NULL, which, value);
  bool ok = extension != NULL && X509_add_ext(certificate, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  return ok;
}

static bool add_extensions(X509 *certificate, const struct swarm_order *o) {
  return add_extension(certificate, NID_basic_constraints, "critical,CA:FALSE") &&
         add_extension(certificate, NID_key_usage, "critical,digitalSignature") &&
         add_extension(certificate, NID_ext_key_usage, "clientAuth,serverAuth") &&
         add_issuer_key(certificate, o->pair->certificate);
}

static bool sign(X509 *certificate, const struct swarm_order *o) {
  EVP_PKEY *key = o->pair->key;
  return X509_sign(certificate, key, EVP_PKEY_is_a(key, "ED25519") == 1 ? NULL : EVP_sha256()) > 0;
}

static bool fill(X509 *certificate, const struct swarm_order *o, struct swarm_certificate *out) {
  return X509_set_version(certificate, X509_VERSION_3) == 1 &&
         set_serial(certificate, out->serial) && set_times(certificate, o, &out->expires) &&
         X509_set_issuer_name(certificate, X509_get_subject_name(o->pair->certificate)) == 1 &&
         X509_set_pubkey(certificate, o->key) == 1 && add_names(certificate, o) &&
         add_extensions(certificate, o) && sign(certificate, o);
}

static bool print(X509 *certificate, struct buf *pem) {
  BIO *bio = BIO_new(BIO_s_mem());
  char *bytes = NULL;
  bool ok = bio != NULL && PEM_write_bio_X509(bio, certificate) == 1;
  if (ok) {
    long len = BIO_get_mem_data(bio, &bytes);
    buf_append(pem, bytes, (size_t)len);
  }
  BIO_free(bio);
  return ok && !pem->failed;
}

int swarm_certificate_make(const struct swarm_order *o, struct buf *pem,
                           struct swarm_certificate *out, struct error *e) {
  if (check_order(o, e) != 0) {
    return -1;
  }
  time_t now = o->now;
  if (X509_cmp_time(X509_get0_notAfter(o->pair->certificate), &now) <= 0) {
    return error_set(e, ERROR_FAILED,
                     "the swarms' CA has run out: put another first in gateway.swarm_tls");
  }
  ERR_set_mark();
  X509 *certificate = X509_new();
  bool ok = certificate != NULL && fill(certificate, o, out) && print(certificate, pem);
  X509_free(certificate);
  ERR_pop_to_mark();
  return ok ? 0
            : error_set(e, ERROR_FAILED,
                        "cannot make a peer's certificate: OpenSSL failed, or "
                        "there is no memory");
}
