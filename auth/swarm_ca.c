#include "auth/swarm_ca.h"

#include "auth/key.h"
#include "base/cleanup.h"
#include "base/file.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdatomic.h>

struct swarm_ca {
  struct swarm_ca_pair pairs[SWARM_CA_PAIRS_MAX + 1]; /* one more shows that there are too many */
  size_t count;
  unsigned ttl;
  atomic_uint holders;
};

/* --- reading --- */

/* Puts a block of PEM into a pair. \return 1, 0 when it is none of these, -1 when it cannot be
 * read.
 */
typedef int take_block(struct swarm_ca_pair *pair, const char *label, const unsigned char *der,
                       long len);

static int take_certificate(struct swarm_ca_pair *pair, const char *label, const unsigned char *der,
                            long len) {
  if (strcmp(label, PEM_STRING_X509) != 0) {
    return 0;
  }
  pair->certificate = d2i_X509(NULL, &der, len);
  return pair->certificate != NULL ? 1 : -1;
}

static int take_key(struct swarm_ca_pair *pair, const char *label, const unsigned char *der,
                    long len) {
  if (strcmp(label, PEM_STRING_PKCS8) == 0) {
    return -1; /* it is encrypted */
  }
  if (!slice_ends(slice_str(label), SLICE("PRIVATE KEY"))) {
    return 0;
  }
  pair->key = d2i_AutoPrivateKey(NULL, &der, len); /* fails, too, for what a header encrypts */
  return pair->key != NULL ? 1 : -1;
}

/* A file, and what it has. */
struct source {
  struct slice bytes;
  const char *name;
  const char *what;
  take_block *take;
};

static bool is_at_end(void) {
  unsigned long last = ERR_peek_last_error();
  return ERR_GET_LIB(last) == ERR_LIB_PEM && ERR_GET_REASON(last) == PEM_R_NO_START_LINE;
}

/* The next of a file into a pair. \return 1, 0 at the end, -1. */
static int read_next(const struct source *s, BIO *bio, struct swarm_ca_pair *pair) {
  int taken = 0;
  while (taken == 0) {
    char *label = NULL, *header = NULL;
    unsigned char *der = NULL;
    long len = 0;
    if (PEM_read_bio_ex(bio, &label, &header, &der, &len, PEM_FLAG_EAY_COMPATIBLE) != 1) {
      return is_at_end() ? 0 : -1;
    }
    taken = s->take(pair, label, der, len);
    OPENSSL_free(label);
    OPENSSL_free(header);
    OPENSSL_clear_free(der, (size_t)len);
  }
  return taken;
}

/* \param count set to how many it has. */
static int read_all(const struct source *s, struct swarm_ca *ca, size_t *count, struct error *e) {
  BIO *bio = BIO_new_mem_buf(s->bytes.len == 0 ? "" : s->bytes.ptr, (int)s->bytes.len);
  int more = 1;
  if (bio == NULL) {
    return error_set(e, ERROR_FAILED, "%s: out of memory", s->name);
  }
  ERR_set_mark();
  *count = 0;
  while (*count <= SWARM_CA_PAIRS_MAX && (more = read_next(s, bio, &ca->pairs[*count])) > 0) {
    ++*count;
  }
  ERR_pop_to_mark();
  BIO_free(bio);
  if (more < 0) {
    return error_set(e, ERROR_USAGE, "%s: has a %s that cannot be read, or that is encrypted",
                     s->name, s->what);
  }
  if (*count == 0) {
    return error_set(e, ERROR_USAGE, "%s: has no %s in PEM", s->name, s->what);
  }
  return *count <= SWARM_CA_PAIRS_MAX
             ? 0
             : error_set(e, ERROR_USAGE, "%s: has more than %d of a %s: drop the oldest", s->name,
                         SWARM_CA_PAIRS_MAX, s->what);
}

/* --- checking --- */

/* By its name and not by its numbers, which certificates may not have (RFC 5480, section 2.1.1). */
static bool takes_curve(const EVP_PKEY *key) {
  char group[32] = "", encoding[32] = "";
  return EVP_PKEY_get_group_name(key, group, sizeof group, NULL) == 1 &&
         (strcmp(group, "prime256v1") == 0 || strcmp(group, "secp384r1") == 0) &&
         EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_EC_ENCODING, encoding, sizeof encoding,
                                        NULL) == 1 &&
         strcmp(encoding, OSSL_PKEY_EC_ENCODING_GROUP) == 0;
}

/* Each bit of the exponent is work for whoever verifies. */
static bool takes_rsa(const EVP_PKEY *key) {
  int bits = EVP_PKEY_get_bits(key);
  BIGNUM *exponent = NULL;
  bool takes = bits >= KEY_RSA_BITS_MIN && bits <= KEY_RSA_BITS_MAX &&
               EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &exponent) == 1 &&
               BN_num_bits(exponent) <= SWARM_CA_EXPONENT_BITS_MAX;
  BN_free(exponent);
  return takes;
}

bool swarm_ca_takes_key(EVP_PKEY *key) {
  return EVP_PKEY_is_a(key, "ED25519") == 1 ||
         (EVP_PKEY_is_a(key, "EC") == 1 && takes_curve(key)) ||
         (EVP_PKEY_is_a(key, "RSA") == 1 && takes_rsa(key));
}

/* \return NULL, or what is wrong with it whatever the time is. */
static const char *check_pair(const struct swarm_ca_pair *pair) {
  if (!swarm_ca_takes_key(pair->key)) {
    return "has a key of another kind than EC on P-256 or P-384 by name, Ed25519, or RSA of 2048 "
           "to "
           "8192 bits with a small exponent";
  }
  if (X509_check_private_key(pair->certificate, pair->key) != 1) {
    return "is not that of the key in the same place of the file of keys";
  }
  if (X509_check_ca(pair->certificate) != 1) {
    return "is no CA's: it needs the basic constraint CA:TRUE and may sign certificates (openssl "
           "req -x509 -addext keyUsage=critical,keyCertSign …)";
  }
  if (X509_self_signed(pair->certificate, 1) != 1) {
    return "is signed by another CA: peers take only one that has signed itself";
  }
  return NULL;
}

/* \return less than 0 before it holds, more when it has run out. */
static int time_of(const X509 *certificate, int64_t now) {
  time_t at = now;
  if (X509_cmp_time(X509_get0_notBefore(certificate), &at) > 0) {
    return -1;
  }
  return X509_cmp_time(X509_get0_notAfter(certificate), &at) > 0 ? 0 : 1;
}

static int check(struct swarm_ca *ca, const char *name, int64_t now, struct error *e) {
  size_t kept = 0;
  for (size_t i = 0; i < ca->count; i++) {
    struct swarm_ca_pair *pair = &ca->pairs[i];
    ERR_set_mark();
    const char *wrong = check_pair(pair);
    ERR_pop_to_mark();
    int when = time_of(pair->certificate, now);
    if (wrong == NULL && i == 0 && when != 0) {
      wrong = when < 0 ? "does not hold yet" : "has run out: make another, and put it first";
    }
    if (wrong != NULL) {
      return error_set(e, ERROR_USAGE, "%s: certificate %zu %s", name, i + 1, wrong);
    }
    if (when == 0) {
      struct swarm_ca_pair other = ca->pairs[kept];
      ca->pairs[kept++] = *pair;
      *pair = other;
    }
  }
  ca->count = kept;
  return 0;
}

/* --- the whole --- */

static char *print(X509 *certificate) {
  BIO *bio = BIO_new(BIO_s_mem());
  char *bytes = NULL;
  char *text = NULL;
  if (bio != NULL && PEM_write_bio_X509(bio, certificate) == 1) {
    long len = BIO_get_mem_data(bio, &bytes);
    text = strndup(bytes, (size_t)len);
  }
  BIO_free(bio);
  return text;
}

static void free_all(struct swarm_ca *ca) {
  for (size_t i = 0; i <= SWARM_CA_PAIRS_MAX; i++) {
    X509_free(ca->pairs[i].certificate);
    EVP_PKEY_free(ca->pairs[i].key);
    free(ca->pairs[i].pem);
  }
  free(ca);
}

static int fill(struct swarm_ca *ca, const struct source *certificates, const struct source *keys,
                int64_t now, struct error *e) {
  size_t key_count = 0;
  if (read_all(certificates, ca, &ca->count, e) != 0 || read_all(keys, ca, &key_count, e) != 0) {
    return -1;
  }
  if (key_count != ca->count) {
    return error_set(e, ERROR_USAGE,
                     "%s has %zu certificate%s, and %s %zu key%s: each goes with one",
                     certificates->name, ca->count, ca->count == 1 ? "" : "s", keys->name,
                     key_count, key_count == 1 ? "" : "s");
  }
  if (check(ca, certificates->name, now, e) != 0) {
    return -1;
  }
  for (size_t i = 0; i < ca->count; i++) {
    ca->pairs[i].pem = print(ca->pairs[i].certificate);
    if (ca->pairs[i].pem == NULL) {
      return error_set(e, ERROR_FAILED, "%s: out of memory", certificates->name);
    }
  }
  return 0;
}

int swarm_ca_parse(struct slice certificates, const char *certificates_name, struct slice keys,
                   const char *keys_name, unsigned ttl, int64_t now, struct swarm_ca **out,
                   struct error *e) {
  const struct source of_certificates = {certificates, certificates_name, "certificate",
                                         take_certificate};
  const struct source of_keys = {keys, keys_name, "private key", take_key};
  struct swarm_ca *ca = calloc(1, sizeof *ca);
  if (ca == NULL) {
    return error_set(e, ERROR_FAILED, "%s: out of memory", certificates_name);
  }
  if (fill(ca, &of_certificates, &of_keys, now, e) != 0) {
    free_all(ca);
    return -1;
  }
  ca->ttl = ttl;
  ca->holders = 1;
  *out = ca;
  return 0;
}

int swarm_ca_load(const char *certificates, const char *keys, unsigned ttl, int64_t now,
                  struct swarm_ca **out, struct error *e) {
  CLEANUP(buf_free) struct buf public = {0};
  struct buf private = {0};
  int result = file_read(certificates, SWARM_CA_BYTES_MAX, &public, e) != 0 ||
                       file_check_private(keys, e) != 0 ||
                       file_read(keys, SWARM_CA_BYTES_MAX, &private, e) != 0
                   ? -1
                   : swarm_ca_parse(buf_view(&public), certificates, buf_view(&private), keys, ttl,
                                    now, out, e);
  if (private.ptr != NULL) {
    OPENSSL_cleanse(private.ptr, private.len);
  }
  buf_free(&private);
  return result;
}

void swarm_ca_release(struct swarm_ca *ca) {
  if (ca != NULL && atomic_fetch_sub(&ca->holders, 1) == 1) {
    free_all(ca);
  }
}

struct slice swarm_ca_certificate(const struct swarm_ca *ca) {
  return ca == NULL ? slice_of(NULL, 0) : slice_str(ca->pairs[0].pem);
}

const struct swarm_ca_pair *swarm_ca_find(const struct swarm_ca *ca, struct slice pem) {
  if (pem.len == 0) {
    return &ca->pairs[0];
  }
  for (size_t i = 0; i < ca->count; i++) {
    if (slice_equal(slice_str(ca->pairs[i].pem), pem)) {
      return &ca->pairs[i];
    }
  }
  return NULL;
}

int64_t swarm_ca_ends(const struct swarm_ca *ca) {
  struct tm tm;
  return ASN1_TIME_to_tm(X509_get0_notAfter(ca->pairs[0].certificate), &tm) == 1
             ? (int64_t)timegm(&tm)
             : 0;
}

unsigned swarm_ca_ttl(const struct swarm_ca *ca) {
  return ca->ttl;
}

/* --- what is in force --- */

struct swarm_authority {
  pthread_mutex_t lock; /* of the pointer, for as long as it takes to count a holder */
  struct swarm_ca *ca;
};

struct swarm_authority *swarm_authority_new(struct swarm_ca *ca) {
  struct swarm_authority *authority = calloc(1, sizeof *authority);
  if (authority == NULL || pthread_mutex_init(&authority->lock, NULL) != 0) {
    free(authority);
    return NULL;
  }
  authority->ca = ca;
  return authority;
}

void swarm_authority_free(struct swarm_authority *authority) {
  if (authority != NULL) {
    swarm_ca_release(authority->ca);
    pthread_mutex_destroy(&authority->lock);
    free(authority);
  }
}

void swarm_authority_replace(struct swarm_authority *authority, struct swarm_ca *ca) {
  pthread_mutex_lock(&authority->lock);
  struct swarm_ca *old = authority->ca;
  authority->ca = ca;
  pthread_mutex_unlock(&authority->lock);
  swarm_ca_release(old);
}

struct swarm_ca *swarm_authority_hold(struct swarm_authority *authority) {
  if (authority == NULL) {
    return NULL;
  }
  pthread_mutex_lock(&authority->lock);
  struct swarm_ca *ca = authority->ca;
  if (ca != NULL) {
    atomic_fetch_add(&ca->holders, 1);
  }
  pthread_mutex_unlock(&authority->lock);
  return ca;
}
