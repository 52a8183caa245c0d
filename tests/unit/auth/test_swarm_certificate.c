#include "auth/swarm_certificate.h"

#include "unit/auth/authority.h"
#include "unit/cmocka_all.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#define NOW    INT64_C(1800000000)
#define NAME   "sha256-e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define NAME_2 "sha256-000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
enum { TTL = 900 };

struct rig {
  struct buf certificates, keys;
  struct swarm_ca *ca;
  EVP_PKEY *peer;
};

static void set_up(struct rig *rig, struct authority_plan plan) {
  plan.now = NOW;
  *rig = (struct rig){.peer = authority_key("EC", "P-256")};
  authority_make(&plan, &rig->certificates, &rig->keys);
  assert_int_equal(swarm_ca_parse(buf_view(&rig->certificates), "crt", buf_view(&rig->keys), "key",
                                  TTL, NOW, &rig->ca, NULL),
                   0);
}

static void tear_down(struct rig *rig) {
  EVP_PKEY_free(rig->peer);
  swarm_ca_release(rig->ca);
  buf_free(&rig->certificates);
  buf_free(&rig->keys);
}

static struct swarm_order order(const struct rig *rig, const struct slice *names, size_t count) {
  return (struct swarm_order){.ca = rig->ca,
                              .pair = swarm_ca_find(rig->ca, slice_of(NULL, 0)),
                              .key = rig->peer,
                              .names = names,
                              .count = count,
                              .now = NOW};
}

static X509 *read_pem(const struct buf *pem) {
  BIO *bio = BIO_new_mem_buf(pem->ptr, (int)pem->len);
  X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
  assert_non_null(certificate);
  BIO_free(bio);
  return certificate;
}

static int64_t seconds(const ASN1_TIME *time) {
  struct tm tm;
  assert_int_equal(ASN1_TIME_to_tm(time, &tm), 1);
  return timegm(&tm);
}

/* As a peer does it: nothing but the torrent's CA is trusted. */
static int verify(const struct rig *rig, X509 *certificate, int64_t at, int purpose) {
  X509_STORE *store = X509_STORE_new();
  X509_STORE_CTX *context = X509_STORE_CTX_new();
  X509_STORE_add_cert(store, swarm_ca_find(rig->ca, slice_of(NULL, 0))->certificate);
  assert_int_equal(X509_STORE_CTX_init(context, store, certificate, NULL), 1);
  X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(context), (time_t)at);
  X509_VERIFY_PARAM_set_flags(X509_STORE_CTX_get0_param(context), X509_V_FLAG_X509_STRICT);
  X509_STORE_CTX_set_purpose(context, purpose);
  X509_verify_cert(context);
  int error = X509_STORE_CTX_get_error(context);
  X509_STORE_CTX_free(context);
  X509_STORE_free(store);
  return error;
}

static void assert_names(X509 *certificate, const struct slice *names, size_t count) {
  int critical;
  GENERAL_NAMES *found = X509_get_ext_d2i(certificate, NID_subject_alt_name, &critical, NULL);
  assert_int_equal(sk_GENERAL_NAME_num(found), count);
  assert_int_equal(critical, 1);
  for (size_t i = 0; i < count; i++) {
    int type;
    const ASN1_IA5STRING *text =
        GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(found, (int)i), &type);
    assert_int_equal(type, GEN_DNS);
    assert_true(slice_equal(slice_of(ASN1_STRING_get0_data(text), (size_t)ASN1_STRING_length(text)),
                            names[i]));
  }
  GENERAL_NAMES_free(found);
}

static void test_made(void **state) {
  (void)state;
  static const char *const kinds[][2] = {
      {"EC", "P-256"}, {"EC", "P-384"}, {"ED25519", ""}, {"RSA", "2048"}};
  static const struct slice names[] = {SLICE(NAME), SLICE(NAME_2)};
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    struct rig rig;
    struct buf pem = {0};
    struct swarm_certificate made;
    EVP_PKEY *ca_key = authority_key(kinds[i][0], kinds[i][1]);
    set_up(&rig, (struct authority_plan){.key = ca_key, .usage = "critical,keyCertSign"});
    const struct swarm_order o = order(&rig, names, 2);
    assert_int_equal(swarm_certificate_make(&o, &pem, &made, NULL), 0);
    X509 *certificate = read_pem(&pem);
    assert_names(certificate, names, 2);
    assert_int_equal(X509_NAME_entry_count(X509_get_subject_name(certificate)), 0);
    assert_int_equal(made.expires, NOW + TTL);
    assert_int_equal(seconds(X509_get0_notAfter(certificate)), NOW + TTL);
    assert_int_equal(seconds(X509_get0_notBefore(certificate)), NOW - SWARM_CERTIFICATE_BACK);
    assert_int_equal(EVP_PKEY_eq(X509_get0_pubkey(certificate), rig.peer), 1);
    assert_int_equal(X509_get_extended_key_usage(certificate), XKU_SSL_SERVER | XKU_SSL_CLIENT);
    assert_int_equal(X509_check_ca(certificate), 0);
    assert_int_equal(verify(&rig, certificate, NOW, X509_PURPOSE_SSL_CLIENT), X509_V_OK);
    assert_int_equal(verify(&rig, certificate, NOW, X509_PURPOSE_SSL_SERVER), X509_V_OK);
    assert_int_equal(verify(&rig, certificate, NOW + TTL + 1, X509_PURPOSE_SSL_CLIENT),
                     X509_V_ERR_CERT_HAS_EXPIRED);
    BIGNUM *serial = ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), NULL);
    char *hex = BN_bn2hex(serial);
    assert_int_equal(strlen(made.serial), 32);
    assert_int_equal(strcasecmp(hex, made.serial), 0);
    OPENSSL_free(hex);
    BN_free(serial);
    X509_free(certificate);
    buf_free(&pem);
    EVP_PKEY_free(ca_key);
    tear_down(&rig);
  }
}

/* Two of the same have other numbers, and what is signed by another CA does not count. */
static void test_strangers(void **state) {
  (void)state;
  static const struct slice names[] = {SLICE(NAME)};
  struct rig rig, other;
  struct buf pem = {0}, again = {0};
  struct swarm_certificate one, two;
  set_up(&rig, (struct authority_plan){0});
  set_up(&other, (struct authority_plan){0});
  const struct swarm_order o = order(&rig, names, 1);
  assert_int_equal(swarm_certificate_make(&o, &pem, &one, NULL), 0);
  assert_int_equal(swarm_certificate_make(&o, &again, &two, NULL), 0);
  assert_string_not_equal(one.serial, two.serial);
  X509 *certificate = read_pem(&pem);
  assert_int_equal(verify(&rig, certificate, NOW, X509_PURPOSE_SSL_CLIENT), X509_V_OK);
  assert_int_not_equal(verify(&other, certificate, NOW, X509_PURPOSE_SSL_CLIENT), X509_V_OK);
  X509_free(certificate);
  buf_free(&pem);
  buf_free(&again);
  tear_down(&rig);
  tear_down(&other);
}

/* It does not outlive the CA, and a CA that has run out signs nothing. */
static void test_end_of_ca(void **state) {
  (void)state;
  static const struct slice names[] = {SLICE(NAME)};
  struct rig rig;
  struct buf pem = {0};
  struct swarm_certificate made;
  struct error e = {0};
  set_up(&rig, (struct authority_plan){.until = 60});
  struct swarm_order o = order(&rig, names, 1);
  assert_int_equal(swarm_certificate_make(&o, &pem, &made, NULL), 0);
  assert_int_equal(made.expires, NOW + 60);
  o.now = NOW + 60;
  assert_int_equal(swarm_certificate_make(&o, &pem, &made, &e), -1);
  assert_int_equal(e.kind, ERROR_FAILED);
  buf_free(&pem);
  tear_down(&rig);
}

/* Peers take a name that the torrent's begins with, and `*`. */
static void test_names(void **state) {
  (void)state;
  static const char *const bad[] = {
      "",
      "*",
      "s",
      "sha256-",
      "sha256-e3b0c442",
      "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
      "sha256-e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b85",
      "sha256-e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b8555",
      "sha256-E3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
      "sha256-e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b85*",
  };
  struct rig rig;
  struct buf pem = {0};
  struct swarm_certificate made;
  set_up(&rig, (struct authority_plan){0});
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    struct error e = {0};
    const struct slice names[] = {SLICE(NAME), slice_str(bad[i])};
    const struct swarm_order o = order(&rig, names, 2);
    assert_int_equal(swarm_certificate_make(&o, &pem, &made, &e), -1);
    assert_int_equal(e.kind, ERROR_USAGE);
    assert_int_equal(pem.len, 0);
  }
  struct slice many[SWARM_CERTIFICATE_NAMES_MAX + 1];
  for (size_t i = 0; i <= SWARM_CERTIFICATE_NAMES_MAX; i++) {
    many[i] = SLICE(NAME);
  }
  struct swarm_order o = order(&rig, many, SWARM_CERTIFICATE_NAMES_MAX);
  assert_int_equal(swarm_certificate_make(&o, &pem, &made, NULL), 0);
  o.count = 0;
  assert_int_equal(swarm_certificate_make(&o, &pem, &made, NULL), -1);
  o.count = SWARM_CERTIFICATE_NAMES_MAX + 1;
  assert_int_equal(swarm_certificate_make(&o, &pem, &made, NULL), -1);
  buf_free(&pem);
  tear_down(&rig);
}

static void test_request(void **state) {
  (void)state;
  static const struct {
    const char *type, *size;
    bool good;
  } kinds[] = {
      {"EC", "P-256", true},  {"EC", "P-384", true},  {"ED25519", "", true},
      {"RSA", "2048", true},  {"EC", "P-521", false}, {"EC", "secp256k1", false},
      {"RSA", "1024", false}, {"EC", "P-224", false},
  };
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    EVP_PKEY *key = authority_key(kinds[i].type, kinds[i].size);
    EVP_PKEY *found = NULL;
    struct buf pem = {0};
    struct error e = {0};
    authority_request(key, NULL, &pem);
    assert_int_equal(swarm_csr_read(buf_view(&pem), &found, &e), kinds[i].good ? 0 : -1);
    if (kinds[i].good) {
      assert_int_equal(EVP_PKEY_eq(found, key), 1);
    } else {
      assert_non_null(strstr(e.text, "none of EC on P-256"));
    }
    EVP_PKEY_free(found);
    EVP_PKEY_free(key);
    buf_free(&pem);
  }
}

static EVP_PKEY *unusual_key(const char *type, bool unusual) {
  EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
  BIGNUM *exponent = BN_new();
  EVP_PKEY *key = NULL;
  assert_int_equal(EVP_PKEY_keygen_init(context), 1);
  if (strcmp(type, "EC") == 0) {
    assert_int_equal(EVP_PKEY_CTX_set_group_name(context, "P-256"), 1);
    assert_int_equal(EVP_PKEY_CTX_set_ec_param_enc(context, unusual ? OPENSSL_EC_EXPLICIT_CURVE
                                                                    : OPENSSL_EC_NAMED_CURVE),
                     1);
  } else {
    BN_set_bit(exponent, unusual ? SWARM_CA_EXPONENT_BITS_MAX : SWARM_CA_EXPONENT_BITS_MAX - 1);
    BN_add_word(exponent, 13);
    assert_int_equal(EVP_PKEY_CTX_set1_rsa_keygen_pubexp(context, exponent), 1);
  }
  assert_int_equal(EVP_PKEY_keygen(context, &key), 1);
  BN_free(exponent);
  EVP_PKEY_CTX_free(context);
  return key;
}

/* Who verifies would have to work for it, or must not take it. */
static void test_request_of_unusual_key(void **state) {
  (void)state;
  for (int i = 0; i < 4; i++) {
    bool unusual = i % 2 == 1;
    EVP_PKEY *key = unusual_key(i < 2 ? "EC" : "RSA", unusual);
    EVP_PKEY *found = NULL;
    struct buf pem = {0};
    authority_request(key, NULL, &pem);
    assert_int_equal(swarm_csr_read(buf_view(&pem), &found, NULL), unusual ? -1 : 0);
    EVP_PKEY_free(found);
    EVP_PKEY_free(key);
    buf_free(&pem);
  }
}

/* Nobody gets a certificate for a key that is not his. */
static void test_request_of_another(void **state) {
  (void)state;
  EVP_PKEY *mine = authority_key("EC", "P-256"), *theirs = authority_key("EC", "P-256");
  EVP_PKEY *found = NULL;
  struct buf pem = {0};
  struct error e = {0};
  authority_request(theirs, mine, &pem);
  assert_int_equal(swarm_csr_read(buf_view(&pem), &found, &e), -1);
  assert_int_equal(e.kind, ERROR_USAGE);
  assert_non_null(strstr(e.text, "not signed by the key"));
  EVP_PKEY_free(mine);
  EVP_PKEY_free(theirs);
  buf_free(&pem);
}

static void test_no_request(void **state) {
  (void)state;
  static const char *const bad[] = {
      "",
      "x",
      "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
      "-----BEGIN CERTIFICATE REQUEST-----\nProc-Type: 4,ENCRYPTED\n"
      "DEK-Info: AES-128-CBC,000102030405060708090A0B0C0D0E0F\n\nAAAA\n"
      "-----END CERTIFICATE REQUEST-----\n",
  };
  EVP_PKEY *found = NULL;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    struct error e = {0};
    assert_int_equal(swarm_csr_read(slice_str(bad[i]), &found, &e), -1);
    assert_int_equal(e.kind, ERROR_USAGE);
  }
  EVP_PKEY *key = authority_key("EC", "P-256");
  struct buf pem = {0};
  authority_request(key, NULL, &pem);
  for (size_t padding = SWARM_CSR_MAX - pem.len; padding > 0; padding--) {
    buf_str(&pem, "\n");
  }
  assert_int_equal(swarm_csr_read(buf_view(&pem), &found, NULL), 0);
  EVP_PKEY_free(found);
  buf_str(&pem, "\n");
  assert_int_equal(swarm_csr_read(buf_view(&pem), &found, NULL), -1);
  EVP_PKEY_free(key);
  buf_free(&pem);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_made),       cmocka_unit_test(test_strangers),
      cmocka_unit_test(test_end_of_ca),  cmocka_unit_test(test_names),
      cmocka_unit_test(test_request),    cmocka_unit_test(test_request_of_unusual_key),
      cmocka_unit_test(test_no_request), cmocka_unit_test(test_request_of_another),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
