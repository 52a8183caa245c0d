#include "auth/certificate.h"

#include "base/cleanup.h"
#include "base/file.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>

enum { DAY = 24 * 3600, YEARS = 10, SERIAL_BYTES = 16 };

/* What a bundle of ours begins with; readers of PEM pass it over. */
static const struct slice head =
    SLICE("# Keys of registry tokens. swarmgate key rotate --certificate writes this file anew.\n");

/* Unpredictable and positive (RFC 5280, 4.1.2.2). */
static bool set_serial(X509 *certificate) {
  unsigned char bytes[SERIAL_BYTES];
  if (RAND_bytes(bytes, sizeof bytes) != 1) {
    return false;
  }
  bytes[0] = (unsigned char)((bytes[0] & 0x7f) | 0x40);
  BIGNUM *number = BN_bin2bn(bytes, sizeof bytes, NULL);
  bool ok =
      number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != NULL;
  BN_free(number);
  return ok;
}

static bool add_name(X509_NAME *name, const char *id) {
  return id != NULL && X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                                  (const unsigned char *)id, -1, -1, 0) == 1;
}

static bool fill(X509 *certificate, const struct key *subject, const char *subject_id,
                 const struct key *signer, const char *signer_id, int64_t now) {
  time_t from = now - DAY;
  return X509_set_version(certificate, X509_VERSION_3) == 1 && set_serial(certificate) &&
         ASN1_TIME_set(X509_getm_notBefore(certificate), from) != NULL &&
         ASN1_TIME_adj(X509_getm_notAfter(certificate), from, YEARS * 365, 0) != NULL &&
         add_name(X509_get_subject_name(certificate), subject_id) &&
         add_name(X509_get_issuer_name(certificate), signer_id) &&
         X509_set_pubkey(certificate, subject->pkey) == 1 &&
         X509_sign(certificate, signer->pkey, EVP_sha256()) > 0;
}

int certificate_append(const struct key *subject, const struct key *signer, int64_t now,
                       struct buf *out, struct error *e) {
  CLEANUP_FREE char *subject_id = key_libtrust_id(subject);
  CLEANUP_FREE char *signer_id = key_libtrust_id(signer);
  X509 *certificate = X509_new();
  BIO *bio = BIO_new(BIO_s_mem());
  char *pem = NULL;
  ERR_set_mark();
  bool ok = certificate != NULL && bio != NULL &&
            fill(certificate, subject, subject_id, signer, signer_id, now) &&
            PEM_write_bio_X509(bio, certificate) == 1;
  ERR_pop_to_mark();
  if (ok) {
    long len = BIO_get_mem_data(bio, &pem);
    buf_printf(out, "# %s\n", subject_id);
    buf_append(out, pem, (size_t)len);
  }
  BIO_free(bio);
  X509_free(certificate);
  return ok && !out->failed ? 0
                            : error_set(e, ERROR_FAILED, "cannot make a certificate for an %s key",
                                        key_algorithm_name(subject->algorithm));
}

/* Somebody else's certificates must not be lost. */
static int check_ours(const char *path, struct error *e) {
  CLEANUP(buf_free) struct buf bytes = {0};
  struct error why = {0};
  if (file_read(path, KEYSET_BYTES_MAX, &bytes, &why) != 0) {
    return why.kind == ERROR_NOT_FOUND ? 0 : error_set(e, why.kind, "%s", why.text);
  }
  return slice_starts(buf_view(&bytes), head)
             ? 0
             : error_set(e, ERROR_USAGE,
                         "%s: is there, and was not written by this command: name another file",
                         path);
}

static int put(const char *path, struct slice bundle, bool fresh, struct error *e) {
  CLEANUP(buf_free) struct buf bytes = {0};
  buf_slice(&bytes, head);
  buf_slice(&bytes, bundle);
  if (bytes.failed) {
    return error_set(e, ERROR_FAILED, "cannot write %s: out of memory", path);
  }
  return fresh ? file_create(path, buf_view(&bytes), 0644, e)
               : file_write(path, buf_view(&bytes), 0644, e);
}

int certificate_save(const char *path, struct slice bundle, struct error *e) {
  return check_ours(path, e) != 0 ? -1 : put(path, bundle, false, e);
}

int certificate_create(const char *path, struct slice bundle, struct error *e) {
  return put(path, bundle, true, e);
}
