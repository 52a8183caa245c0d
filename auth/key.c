#include "auth/key.h"

#include "auth/jwk.h"
#include "base/cleanup.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <sys/stat.h>

enum {
  RSA_BITS_NEW = 3072,           /* of keys made here */
  PRIVATE_BYTES_MAX = 64 * 1024, /* of a private key's file; RSA 8192 takes 6.4 KiB */
};

static const struct {
  enum key_algorithm algorithm;
  const char *name;
} algorithms[] = {{KEY_ES256, "ES256"}, {KEY_RS256, "RS256"}, {KEY_EDDSA, "EdDSA"}};
enum { ALGORITHMS = sizeof algorithms / sizeof *algorithms };

enum key_algorithm key_algorithm_of(struct slice name) {
  for (size_t i = 0; i < ALGORITHMS; i++) {
    if (slice_equal(name, slice_str(algorithms[i].name))) {
      return algorithms[i].algorithm;
    }
  }
  return (enum key_algorithm)0;
}

const char *key_algorithm_name(enum key_algorithm algorithm) {
  for (size_t i = 0; i < ALGORITHMS; i++) {
    if (algorithms[i].algorithm == algorithm) {
      return algorithms[i].name;
    }
  }
  return "no algorithm";
}

/* The algorithm that fits the key's type, curve and size; 0 when there is none. */
static enum key_algorithm algorithm_of(const EVP_PKEY *pkey) {
  char group[32];
  size_t len = 0;
  if (EVP_PKEY_is_a(pkey, "ED25519")) {
    return KEY_EDDSA;
  }
  if (EVP_PKEY_is_a(pkey, "RSA")) {
    int bits = EVP_PKEY_get_bits(pkey);
    return bits >= KEY_RSA_BITS_MIN && bits <= KEY_RSA_BITS_MAX ? KEY_RS256 : (enum key_algorithm)0;
  }
  if (EVP_PKEY_is_a(pkey, "EC") && EVP_PKEY_get_group_name(pkey, group, sizeof group, &len) == 1 &&
      strcmp(group, SN_X9_62_prime256v1) == 0) {
    return KEY_ES256;
  }
  return (enum key_algorithm)0;
}

/* A point off the curve or an RSA modulus that is prime would verify what nobody signed. */
static bool is_sound(EVP_PKEY *pkey) {
  ERR_set_mark();
  EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
  bool ok = ctx != NULL && EVP_PKEY_public_check(ctx) == 1;
  EVP_PKEY_CTX_free(ctx);
  ERR_pop_to_mark();
  return ok;
}

int key_adopt(EVP_PKEY *pkey, struct key *out, struct error *e) {
  *out = (struct key){.pkey = pkey, .algorithm = algorithm_of(pkey)};
  int status = 0;
  if (out->algorithm == 0) {
    status = error_set(e, ERROR_USAGE,
                       "a key of %d bits that fits none of ES256 (EC P-256), RS256 (RSA of %d to "
                       "%d bits) and EdDSA (Ed25519)",
                       EVP_PKEY_get_bits(pkey), KEY_RSA_BITS_MIN, KEY_RSA_BITS_MAX);
  } else if (!is_sound(pkey)) {
    status = error_set(e, ERROR_USAGE, "a public key that is not sound");
  }
  if (status != 0) {
    key_free(out);
  }
  return status;
}

void key_free(struct key *key) {
  EVP_PKEY_free(key->pkey);
  free(key->kid);
  free(key->thumbprint);
  *key = (struct key){0};
}

void keyset_free(struct keyset *set) {
  for (size_t i = 0; i < set->count; i++) {
    key_free(&set->keys[i]);
  }
  free(set->keys);
  *set = (struct keyset){0};
}

const struct key *keyset_find(const struct keyset *set, const struct key *key) {
  for (size_t i = 0; i < set->count; i++) {
    if (EVP_PKEY_eq(set->keys[i].pkey, key->pkey) == 1) {
      return &set->keys[i];
    }
  }
  return NULL;
}

/* PEM */

/* One block that holds a key. NULL and no error: a block of another kind. */
static EVP_PKEY *decode_block(const char *label, const unsigned char *der, long len,
                              bool want_private, bool *is_key) {
  *is_key = true;
  if (strcmp(label, PEM_STRING_PKCS8INF) == 0 || strcmp(label, PEM_STRING_RSA) == 0 ||
      strcmp(label, PEM_STRING_ECPRIVATEKEY) == 0) {
    return d2i_AutoPrivateKey(NULL, &der, len);
  }
  *is_key = !want_private;
  if (want_private) {
    return NULL;
  }
  if (strcmp(label, PEM_STRING_PUBLIC) == 0) {
    return d2i_PUBKEY(NULL, &der, len);
  }
  if (strcmp(label, PEM_STRING_RSA_PUBLIC) == 0) {
    return d2i_PublicKey(EVP_PKEY_RSA, NULL, &der, len);
  }
  if (strcmp(label, PEM_STRING_X509) == 0 || strcmp(label, PEM_STRING_X509_OLD) == 0) {
    X509 *certificate = d2i_X509(NULL, &der, len);
    EVP_PKEY *pkey = certificate == NULL ? NULL : X509_get_pubkey(certificate);
    X509_free(certificate);
    return pkey;
  }
  *is_key = false;
  return NULL;
}

/* The one key of a PEM text; a key and its own certificate side by side are one. */
static int read_pem(struct slice pem, const char *name, bool want_private, EVP_PKEY **out,
                    struct error *e) {
  BIO *bio = BIO_new_mem_buf(pem.len == 0 ? "" : pem.ptr, (int)pem.len);
  EVP_PKEY *found = NULL;
  int status = bio == NULL ? error_set(e, ERROR_FAILED, "%s: out of memory", name) : 0;
  char *label = NULL;
  char *header = NULL;
  unsigned char *der = NULL;
  long len = 0;
  ERR_set_mark();
  while (status == 0 && PEM_read_bio_ex(bio, &label, &header, &der, &len,
                                        PEM_FLAG_SECURE | PEM_FLAG_EAY_COMPATIBLE) == 1) {
    bool is_key = false;
    EVP_PKEY *pkey = NULL;
    if (strcmp(label, PEM_STRING_PKCS8) == 0 || strstr(header, "ENCRYPTED") != NULL) {
      status = error_set(e, ERROR_USAGE,
                         "%s: the private key is encrypted; take the passphrase off: openssl pkey "
                         "-in FILE -out NEW",
                         name);
    } else {
      pkey = decode_block(label, der, len, want_private, &is_key);
    }
    if (status == 0 && is_key && pkey == NULL) {
      status = error_set(e, ERROR_USAGE, "%s: the block %.40s cannot be decoded", name, label);
    } else if (pkey != NULL && found != NULL && EVP_PKEY_eq(found, pkey) != 1) {
      status = error_set(e, ERROR_USAGE,
                         "%s: holds several keys; one a file, or a JWKS made of them: swarmgate "
                         "key jwks FILE...",
                         name);
    } else if (pkey != NULL && found == NULL) {
      found = pkey;
      pkey = NULL;
    }
    EVP_PKEY_free(pkey);
    OPENSSL_secure_free(label);
    OPENSSL_secure_free(header);
    OPENSSL_secure_clear_free(der, (size_t)len);
    label = header = NULL;
    der = NULL;
  }
  ERR_pop_to_mark();
  BIO_free(bio);
  if (status == 0 && found == NULL) {
    status = error_set(e, ERROR_USAGE, "%s: holds no %s", name,
                       want_private ? "private key in PEM"
                                    : "key: neither PEM (public key, certificate) nor a JWKS");
  }
  if (status != 0) {
    EVP_PKEY_free(found);
    return status;
  }
  *out = found;
  return 0;
}

int key_public(const struct key *key, struct key *out, struct error *e) {
  unsigned char *der = NULL;
  int len = i2d_PUBKEY(key->pkey, &der);
  const unsigned char *at = der;
  *out = (struct key){.pkey = len > 0 ? d2i_PUBKEY(NULL, &at, len) : NULL,
                      .algorithm = key->algorithm};
  OPENSSL_free(der);
  out->thumbprint = out->pkey == NULL ? NULL : key_thumbprint(out);
  if (out->thumbprint == NULL) {
    key_free(out);
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  return 0;
}

/* White space of JSON (RFC 8259, 2). */
static bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

int keyset_parse(struct slice bytes, const char *name, struct keyset *out, struct error *e) {
  *out = (struct keyset){0};
  if (bytes.len > KEYSET_BYTES_MAX) {
    return error_set(e, ERROR_USAGE, "%s: larger than %d bytes", name, KEYSET_BYTES_MAX);
  }
  struct slice text = bytes;
  while (text.len > 0 && is_blank(text.ptr[0])) {
    text = slice_from(text, 1);
  }
  if (text.len > 0 && text.ptr[0] == '{') {
    return jwks_parse(text, name, out, e);
  }
  EVP_PKEY *pkey = NULL;
  if (read_pem(text, name, false, &pkey, e) != 0) {
    return -1;
  }
  struct key key;
  if (key_adopt(pkey, &key, e) != 0) {
    return error_context(e, "%s", name);
  }
  /* What verifies must not carry the private half along. */
  out->keys = calloc(1, sizeof key);
  int status = out->keys == NULL ? error_set(e, ERROR_FAILED, "out of memory")
                                 : key_public(&key, out->keys, e);
  key_free(&key);
  if (status != 0) {
    free(out->keys);
    out->keys = NULL;
    return error_context(e, "%s", name);
  }
  out->count = 1;
  return 0;
}

/* Whether PEM holds a private key of any label; a certificate may be for all to read. */
static bool has_private_block(struct slice bytes) {
  static const struct slice end = {"PRIVATE KEY-----", sizeof "PRIVATE KEY-----" - 1};
  return bytes.len > 0 && memmem(bytes.ptr, bytes.len, end.ptr, end.len) != NULL;
}

int keyset_load(const char *path, struct keyset *out, struct error *e) {
  struct buf bytes = {0};
  *out = (struct keyset){0};
  if (file_read(path, KEYSET_BYTES_MAX, &bytes, e) != 0) {
    return -1;
  }
  int status = has_private_block(buf_view(&bytes)) ? file_check_private(path, e) : 0;
  if (status == 0) {
    status = keyset_parse(buf_view(&bytes), path, out, e);
  }
  if (bytes.ptr != NULL) {
    OPENSSL_cleanse(bytes.ptr, bytes.len);
  }
  buf_free(&bytes);
  return status;
}

int key_parse_private(struct slice pem, const char *name, struct key *out, struct error *e) {
  *out = (struct key){0};
  EVP_PKEY *pkey = NULL;
  if (pem.len > PRIVATE_BYTES_MAX) {
    return error_set(e, ERROR_USAGE, "%s: larger than %d bytes", name, PRIVATE_BYTES_MAX);
  }
  if (read_pem(pem, name, true, &pkey, e) != 0) {
    return -1;
  }
  if (key_adopt(pkey, out, e) != 0) {
    return error_context(e, "%s", name);
  }
  out->has_private = true;
  out->kid = key_thumbprint(out);
  if (out->kid == NULL) {
    key_free(out);
    return error_set(e, ERROR_FAILED, "%s: out of memory", name);
  }
  return 0;
}

/* Not file_read(): its buffer leaves copies behind as it grows. */
static int read_private(int fd, const char *path, char *pem, size_t *len, struct error *e) {
  struct stat s;
  if (fstat(fd, &s) != 0) {
    return error_errno(e, errno, "cannot read %s", path);
  }
  if ((s.st_mode & 077) != 0) {
    return error_set(e, ERROR_USAGE,
                     "%s: others than its owner may use this private key (mode %04o): chmod 600 %s",
                     path, (unsigned)s.st_mode & 07777u, path);
  }
  for (*len = 0; *len <= PRIVATE_BYTES_MAX;) {
    ssize_t n = read(fd, pem + *len, PRIVATE_BYTES_MAX + 1 - *len);
    if (n < 0 && errno != EINTR) {
      return error_errno(e, errno, "cannot read %s", path);
    }
    if (n == 0) {
      return 0;
    }
    *len += n < 0 ? 0 : (size_t)n;
  }
  return error_set(e, ERROR_USAGE, "%s: larger than %d bytes", path, PRIVATE_BYTES_MAX);
}

int key_load_private(const char *path, struct key *out, struct error *e) {
  *out = (struct key){0};
  CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    int number = errno;
    error_errno(e, number, "cannot read %s", path);
    if (e != NULL && number == ENOENT) {
      e->kind = ERROR_NOT_FOUND;
    }
    return -1;
  }
  CLEANUP_FREE char *pem = malloc(PRIVATE_BYTES_MAX + 1);
  if (pem == NULL) {
    return error_set(e, ERROR_FAILED, "%s: out of memory", path);
  }
  size_t len = 0;
  int status = read_private(fd, path, pem, &len, e);
  if (status == 0) {
    status = key_parse_private(slice_of(pem, len), path, out, e);
  }
  OPENSSL_cleanse(pem, len);
  return status;
}

int key_print_private(const struct key *key, struct buf *out, struct error *e) {
  BIO *bio = BIO_new(BIO_s_secmem());
  char *pem = NULL;
  bool ok = key->pkey != NULL && bio != NULL &&
            PEM_write_bio_PKCS8PrivateKey(bio, key->pkey, NULL, NULL, 0, NULL, NULL) == 1;
  if (ok) {
    long len = BIO_get_mem_data(bio, &pem);
    buf_append(out, pem, (size_t)len);
  }
  BIO_free(bio);
  return ok && !out->failed ? 0
                            : error_set(e, ERROR_FAILED, "cannot make a private key for %s",
                                        key_algorithm_name(key->algorithm));
}

int key_generate(enum key_algorithm algorithm, struct buf *out, struct error *e) {
  struct key key = {.algorithm = algorithm};
  switch (algorithm) {
  case KEY_ES256:
    key.pkey = EVP_EC_gen(SN_X9_62_prime256v1);
    break;
  case KEY_RS256:
    key.pkey = EVP_RSA_gen((size_t)RSA_BITS_NEW);
    break;
  case KEY_EDDSA:
    key.pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    break;
  }
  int status = key_print_private(&key, out, e);
  key_free(&key);
  return status;
}

char *key_libtrust_id(const struct key *key) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  enum { BYTES = 30, DIGITS = BYTES * 8 / 5, GROUP = 4 };
  unsigned char hash[SHA256_DIGEST_LENGTH];
  unsigned char *der = NULL;
  int len = i2d_PUBKEY(key->pkey, &der);
  char *id = NULL;
  if (len > 0 && EVP_Digest(der, (size_t)len, hash, NULL, EVP_sha256(), NULL) == 1) {
    id = malloc(DIGITS + DIGITS / GROUP);
  }
  OPENSSL_free(der);
  if (id == NULL) {
    return NULL;
  }
  char *at = id;
  for (size_t i = 0; i < DIGITS; i++) {
    size_t bit = i * 5;
    unsigned two = (unsigned)hash[bit / 8] << 8 | hash[bit / 8 + 1];
    if (i > 0 && i % GROUP == 0) {
      *at++ = ':';
    }
    *at++ = digits[two >> (11 - bit % 8) & 31];
  }
  *at = '\0';
  return id;
}
