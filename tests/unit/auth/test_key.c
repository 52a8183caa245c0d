/* Keys from PEM, certificates and JWKS, right and wrong. */
#include "auth/jwk.h"
#include "auth/key.h"
#include "base/cleanup.h"
#include "unit/auth/rig.h"
#include "unit/cmocka_all.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <sys/stat.h>

/* The private key of RFC 8037, A.1. */
#define ED25519_PEM                                                                                \
  "-----BEGIN PRIVATE KEY-----\n"                                                                  \
  "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"                             \
  "-----END PRIVATE KEY-----\n"

#define ED25519_JWK                                                                                \
  "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"k\","                                            \
  "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\""
#define P256_XY                                                                                    \
  "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","                                         \
  "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\""
#define P256_JWK "{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"k\"," P256_XY
/* The key of RFC 7638, 3.1. */
#define RSA_N                                                                                      \
  "\"n\":\"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc" \
  "_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2Q" \
  "vzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu" \
  "0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw\""

static char *pem_of(struct rig *rig, BIO *bio) {
  char *text = NULL;
  size_t len = (size_t)BIO_get_mem_data(bio, &text);
  char *copy = arena_copy(&rig->arena, slice_of(text, len));
  BIO_free(bio);
  return copy;
}

static const char *public_pem(struct rig *rig, EVP_PKEY *pkey) {
  return rig_public_pem(rig, pkey).ptr;
}

static char *private_pem(struct rig *rig, EVP_PKEY *pkey, const EVP_CIPHER *cipher) {
  BIO *bio = BIO_new(BIO_s_mem());
  assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, pkey, cipher, "pass", 4, NULL, NULL), 1);
  return pem_of(rig, bio);
}

static char *traditional_pem(struct rig *rig, EVP_PKEY *pkey, const EVP_CIPHER *cipher) {
  BIO *bio = BIO_new(BIO_s_mem());
  assert_int_equal(PEM_write_bio_PrivateKey_traditional(
                       bio, pkey, cipher, (const unsigned char *)"pass", 4, NULL, NULL),
                   1);
  return pem_of(rig, bio);
}

/* Out of date on purpose: only the key of a certificate counts. */
static char *certificate_pem(struct rig *rig, EVP_PKEY *pkey) {
  X509 *certificate = X509_new();
  X509_gmtime_adj(X509_getm_notBefore(certificate), -200);
  X509_gmtime_adj(X509_getm_notAfter(certificate), -100);
  X509_set_pubkey(certificate, pkey);
  assert_true(X509_sign(certificate, pkey, EVP_PKEY_is_a(pkey, "ED25519") ? NULL : EVP_sha256()) >
              0);
  BIO *bio = BIO_new(BIO_s_mem());
  assert_int_equal(PEM_write_bio_X509(bio, certificate), 1);
  X509_free(certificate);
  return pem_of(rig, bio);
}

static void accepts(const char *text, enum key_algorithm algorithm, EVP_PKEY *same) {
  struct keyset set;
  struct error e = {0};
  if (keyset_parse(slice_str(text), "keys", &set, &e) != 0) {
    fail_msg("%s: %s", e.text, text);
  }
  assert_int_equal(set.count, 1);
  assert_int_equal(set.keys[0].algorithm, algorithm);
  assert_false(set.keys[0].has_private);
  assert_true(same == NULL || EVP_PKEY_eq(set.keys[0].pkey, same) == 1);
  unsigned char raw[32];
  size_t len = sizeof raw;
  assert_int_not_equal(EVP_PKEY_get_raw_private_key(set.keys[0].pkey, raw, &len), 1);
  keyset_free(&set);
  ERR_clear_error();
}

static void refuses(const char *text, const char *why) {
  struct keyset set;
  struct error e = {0};
  if (keyset_parse(slice_str(text), "keys", &set, &e) == 0) {
    fail_msg("accepted: %s", text);
  }
  assert_int_equal(e.kind, ERROR_USAGE);
  assert_int_equal(set.count, 0);
  assert_null(set.keys);
  if (strstr(e.text, why) == NULL || strstr(e.text, "keys") == NULL) {
    fail_msg("\"%s\" does not say \"%s\"", e.text, why);
  }
}

static void every_form_of_pem_is_read(void **state) {
  struct rig *rig = *state;
  for (size_t i = 0; i < RIG_KEYS; i++) {
    EVP_PKEY *pkey = rig->keys[i].pkey;
    enum key_algorithm algorithm = rig->keys[i].algorithm;
    accepts(public_pem(rig, pkey), algorithm, pkey);
    accepts(private_pem(rig, pkey, NULL), algorithm, pkey);
    accepts(certificate_pem(rig, pkey), algorithm, pkey);
    struct slice both = arena_printf(&rig->arena, "some text\n%s\n%s", certificate_pem(rig, pkey),
                                     private_pem(rig, pkey, NULL));
    accepts(both.ptr, algorithm, pkey);
  }
  EVP_PKEY *ec = rig->keys[RIG_ES256].pkey;
  EVP_PKEY *rsa = rig->keys[RIG_RS256].pkey;
  accepts(traditional_pem(rig, ec, NULL), KEY_ES256, ec);
  accepts(traditional_pem(rig, rsa, NULL), KEY_RS256, rsa);
  struct slice with_parameters =
      arena_printf(&rig->arena,
                   "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC "
                   "PARAMETERS-----\n%s",
                   traditional_pem(rig, ec, NULL));
  accepts(with_parameters.ptr, KEY_ES256, ec);
}

/* A public key of so many bits; to make a pair of that size would take minutes. */
static EVP_PKEY *rsa_of(int bits) {
  BIGNUM *n = BN_new();
  BIGNUM *e = BN_new();
  OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
  EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
  EVP_PKEY *pkey = NULL;
  BN_rand(n, bits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD);
  BN_set_word(e, RSA_F4);
  OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n);
  OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e);
  OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
  assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
  assert_int_equal(EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params), 1);
  OSSL_PARAM_free(params);
  EVP_PKEY_CTX_free(ctx);
  OSSL_PARAM_BLD_free(build);
  BN_free(e);
  BN_free(n);
  return pkey;
}

static void pem_that_is_no_key_of_use_is_refused(void **state) {
  struct rig *rig = *state;
  EVP_PKEY *ec = rig->keys[RIG_ES256].pkey;
  refuses("", "holds no key");
  refuses("\n\n", "holds no key");
  refuses("hello", "holds no key");
  refuses("-----BEGIN PUBLIC KEY-----\n", "holds no key");
  refuses("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "cannot be decoded");
  refuses("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be decoded");
  refuses("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "cannot be decoded");
  refuses("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", "holds no key");
  refuses(private_pem(rig, ec, EVP_aes_256_cbc()), "encrypted");
  refuses(traditional_pem(rig, ec, EVP_aes_256_cbc()), "encrypted");
  refuses(arena_printf(&rig->arena, "%s%s", public_pem(rig, ec),
                       public_pem(rig, rig->keys[RIG_STRANGER].pkey))
              .ptr,
          "several keys");
  EVP_PKEY *others[] = {EVP_EC_gen("P-384"),
                        EVP_EC_gen("secp256k1"),
                        EVP_RSA_gen(1024),
                        rsa_of(KEY_RSA_BITS_MAX + 8),
                        EVP_PKEY_Q_keygen(NULL, NULL, "X25519"),
                        EVP_PKEY_Q_keygen(NULL, NULL, "ED448")};
  for (size_t i = 0; i < sizeof others / sizeof(EVP_PKEY *); i++) {
    assert_non_null(others[i]);
    refuses(public_pem(rig, others[i]), "fits none");
    EVP_PKEY_free(others[i]);
  }
  struct buf large = {0};
  memset(buf_reserve(&large, KEYSET_BYTES_MAX + 1), '\n', KEYSET_BYTES_MAX + 1);
  large.len = KEYSET_BYTES_MAX + 1;
  struct keyset set;
  struct error e = {0};
  assert_int_equal(keyset_parse(buf_view(&large), "keys", &set, &e), -1);
  assert_int_equal(e.kind, ERROR_USAGE);
  buf_free(&large);
}

#define SET(keys) "{\"keys\":[" keys "]}"

static void jwks_are_read(void **state) {
  (void)state;
  accepts(SET(P256_JWK "}"), KEY_ES256, NULL);
  accepts(" \r\n" SET(ED25519_JWK ",\"use\":\"sig\",\"alg\":\"EdDSA\"}") "\n", KEY_EDDSA, NULL);
  accepts(SET("{\"kty\":\"RSA\",\"kid\":\"\",\"e\":\"AQAB\"," RSA_N ",\"key_ops\":[\"verify\"]}"),
          KEY_RS256, NULL);
  /* Those of no use are passed over. */
  accepts(SET("{\"kty\":\"new\",\"kid\":\"a\"},1,null,{}," P256_JWK "}"), KEY_ES256, NULL);
  accepts(SET(P256_JWK ",\"use\":\"enc\"}," ED25519_JWK "}"), KEY_EDDSA, NULL);
  accepts(SET(P256_JWK ",\"key_ops\":[\"encrypt\",1]}," ED25519_JWK "}"), KEY_EDDSA, NULL);
  accepts(SET(P256_JWK ",\"key_ops\":\"verify\"}," ED25519_JWK "}"), KEY_EDDSA, NULL);
  accepts(SET(P256_JWK ",\"alg\":\"ES384\"}," ED25519_JWK "}"), KEY_EDDSA, NULL);
  accepts(SET("{\"kty\":\"EC\",\"crv\":\"P-256\"," P256_XY "}," ED25519_JWK "}"), KEY_EDDSA, NULL);
  struct keyset set;
  struct error e = {0};
  assert_int_equal(keyset_parse(SLICE(SET(P256_JWK "}," ED25519_JWK "}")), "keys", &set, &e), 0);
  assert_int_equal(set.count, 2);
  assert_true(set.named);
  assert_string_equal(set.keys[1].kid, "k");
  keyset_free(&set);
}

/* `exp` of OpenID Federation, and our own. */
static void keys_have_their_time(void **state) {
  (void)state;
  static const struct {
    const char *members;
    int64_t expires, retired;
  } cases[] = {
      {"", 0, 0},
      {",\"exp\":1800000000", 1800000000, 0},
      {",\"exp\":1800000000.75,\"swarmgate_retired\":1", 1800000000, 1},
      {",\"swarmgate_retired\":9007199254740992", 0, INT64_C(1) << 53},
  };
  static const char *const wrong[] = {
      "0", "-1", "0.5", "9007199254740994", "1e300", "\"1\"", "null", "true", "[1]", "{}"};
  char text[512];
  struct keyset set;
  struct error e = {0};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    snprintf(text, sizeof text, "{\"keys\":[" P256_JWK "%s}]}", cases[i].members);
    assert_int_equal(keyset_parse(slice_str(text), "keys", &set, &e), 0);
    assert_int_equal(set.keys[0].expires, cases[i].expires);
    assert_int_equal(set.keys[0].retired, cases[i].retired);
    struct buf out = {0};
    struct keyset again;
    assert_int_equal(jwks_write(set.keys, 1, &out, &e), 0);
    assert_int_equal(keyset_parse(buf_view(&out), "keys", &again, &e), 0);
    assert_int_equal(again.keys[0].expires, cases[i].expires);
    assert_int_equal(again.keys[0].retired, cases[i].retired);
    keyset_free(&again);
    keyset_free(&set);
    buf_free(&out);
  }
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    static const char *const names[] = {"exp", "swarmgate_retired"};
    for (size_t n = 0; n < 2; n++) {
      snprintf(text, sizeof text, "{\"keys\":[" P256_JWK ",\"%s\":%s}]}", names[n], wrong[i]);
      refuses(text, "is no time");
    }
  }
}

static void jwks_that_are_wrong_are_refused(void **state) {
  struct rig *rig = *state;
  refuses("{}", "not a JWKS");
  refuses("{\"keys\":{}}", "not a JWKS");
  refuses("{\"keys\":[]}", "not a JWKS");
  refuses(P256_JWK "}", "not a JWKS");
  refuses("{\"keys\":[", "not JSON");
  refuses("{\"keys\":[],\"keys\":[]}", "doubled");
  refuses(SET("1"), "no key of use: key 1: without kid");
  refuses(SET(P256_JWK ",\"d\":\"AA\"}"), "private or symmetric");
  refuses(SET(ED25519_JWK "}," P256_JWK ",\"d\":null}"), "key 2 is private or symmetric");
  refuses(SET("{\"kty\":\"oct\",\"kid\":\"k\"}"), "private or symmetric");
  refuses(SET("{\"kty\":\"RSA\",\"kid\":\"k\",\"e\":\"AQAB\"," RSA_N ",\"p\":\"AA\"}"),
          "private or symmetric");
  refuses(SET(P256_JWK ",\"use\":\"enc\"}"), "not for verifying");
  refuses(SET(P256_JWK ",\"use\":1}"), "not for verifying");
  refuses(SET(P256_JWK ",\"alg\":\"RS256\"}"), "alg does not fit");
  refuses(SET("{\"kty\":\"EC\",\"crv\":\"P-384\",\"kid\":\"k\"," P256_XY "}"), "not an RSA");
  /* A point off the curve, coordinates short, long, doubled padding, not text. */
#define EC(x, y) SET("{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"k\",\"x\":" x ",\"y\":" y "}")
#define X        "\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\""
#define Y        "\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\""
  refuses(EC(X, X), "not well formed");
  refuses(EC(X, "\"AA\""), "not well formed");
  refuses(EC(X, "\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0A\""), "not well formed");
  refuses(EC(X, "\"AMfxRM0bvZt-hyzf7bnuufSzaV1uqQskrYpGIyiFiOWt\""), "not well formed");
  refuses(EC(X, "\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a1\""), "not well formed");
  refuses(EC(X, "\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0=\""), "not well formed");
  refuses(EC(X, "1"), "not well formed");
  refuses(EC("\"\"", Y), "not well formed");
  refuses(SET("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"k\",\"x\":\"AAAA\"}"),
          "not well formed");
#define RSA(n, e) SET("{\"kty\":\"RSA\",\"kid\":\"k\",\"e\":" e "," n "}")
  refuses(RSA(RSA_N, "\"\""), "not well formed");
  refuses(RSA(RSA_N, "\"AQ\""), "not sound");
  refuses(RSA(RSA_N, "\"Ag\""), "not sound");
  refuses(RSA("\"n\":\"AQAB\"", "\"AQAB\""), "fits none");
  refuses(RSA("\"m\":1", "\"AQAB\""), "not well formed");
  char *number = arena_alloc(&rig->arena, 3000);
  memset(number, '_', 2999);
  refuses(arena_printf(&rig->arena, RSA("\"n\":\"%s\"", "\"AQAB\""), number).ptr,
          "not well formed");
  struct buf many = {0};
  for (int i = 0; i <= KEYSET_MAX; i++) {
    buf_printf(&many, "%s" P256_JWK "}", i == 0 ? "{\"keys\":[" : ",");
  }
  buf_printf(&many, "]}");
  refuses(arena_copy(&rig->arena, buf_view(&many)), "256 at most");
  buf_free(&many);
}

/* Against the RFCs, and `openssl pkey -pubout -outform DER | openssl dgst -sha256 -binary | head -c
 * 30 | base32`. */
static void ids_are_those_of_others(void **state) {
  (void)state;
  static const struct {
    const char *jwks;
    const char *thumbprint;
  } cases[] = {
      {SET("{\"kty\":\"RSA\",\"kid\":\"k\",\"e\":\"AQAB\"," RSA_N "}"),
       "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"},
      {SET(ED25519_JWK "}"), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"},
      {SET(P256_JWK "}"), "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U"},
  };
  struct keyset set;
  struct error e = {0};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    assert_int_equal(keyset_parse(slice_str(cases[i].jwks), "keys", &set, &e), 0);
    CLEANUP_FREE char *thumbprint = key_thumbprint(&set.keys[0]);
    assert_string_equal(thumbprint, cases[i].thumbprint);
    keyset_free(&set);
  }
  struct key key;
  assert_int_equal(key_parse_private(SLICE(ED25519_PEM), "pem", &key, &e), 0);
  assert_string_equal(key.kid, cases[1].thumbprint);
  assert_true(key.has_private);
  CLEANUP_FREE char *id = key_libtrust_id(&key);
  assert_string_equal(id, "A3R7:3D62:FG5W:BK2Z:KV66:MHW3:BLWN:WIYR:GS7D:BZ23:IVPY:4G3Z");
  key_free(&key);
}

static void files_are_loaded(void **state) {
  struct rig *rig = *state;
  char folder[] = "/tmp/swarmgate-key-XXXXXX";
  assert_non_null(mkdtemp(folder));
  struct slice path = arena_printf(&rig->arena, "%s/key.pem", folder);
  struct key key;
  struct keyset set;
  struct error e = {0};
  assert_int_equal(key_load_private(path.ptr, &key, &e), -1);
  assert_int_equal(e.kind, ERROR_NOT_FOUND);
  assert_int_equal(keyset_load(path.ptr, &set, &e), -1);
  assert_int_equal(e.kind, ERROR_NOT_FOUND);

  FILE *file = fopen(path.ptr, "w");
  assert_non_null(file);
  fputs(ED25519_PEM, file);
  fclose(file);
  static const mode_t refused[] = {0604, 0640, 0620, 0610, 0602, 0601, 0777};
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
    assert_int_equal(chmod(path.ptr, refused[i]), 0);
    assert_int_equal(key_load_private(path.ptr, &key, &e), -1);
    assert_int_equal(e.kind, ERROR_USAGE);
    assert_non_null(strstr(e.text, "chmod 600 /tmp/"));
  }
  static const mode_t accepted[] = {0600, 0400, 0700};
  for (size_t i = 0; i < sizeof accepted / sizeof *accepted; i++) {
    assert_int_equal(chmod(path.ptr, accepted[i]), 0);
    assert_int_equal(key_load_private(path.ptr, &key, &e), 0);
    assert_int_equal(key.algorithm, KEY_EDDSA);
    key_free(&key);
  }
  assert_int_equal(keyset_load(path.ptr, &set, &e), 0);
  assert_false(set.named);
  assert_null(set.keys[0].kid);
  keyset_free(&set);
  assert_int_equal(chmod(path.ptr, 0640), 0);
  assert_int_equal(keyset_load(path.ptr, &set, &e), -1);
  assert_int_equal(e.kind, ERROR_USAGE);
  assert_non_null(strstr(e.text, "chmod 600 /tmp/"));
  assert_null(set.keys);

  /* Not a private key; and one too large. */
  file = fopen(path.ptr, "w");
  fputs(public_pem(rig, rig->keys[0].pkey), file);
  fclose(file);
  assert_int_equal(keyset_load(path.ptr, &set, &e), 0); /* for all to read */
  keyset_free(&set);
  assert_int_equal(chmod(path.ptr, 0600), 0);
  assert_int_equal(key_load_private(path.ptr, &key, &e), -1);
  assert_int_equal(e.kind, ERROR_USAGE);
  assert_non_null(strstr(e.text, "no private key"));
  assert_int_equal(truncate(path.ptr, 100000), 0);
  assert_int_equal(key_load_private(path.ptr, &key, &e), -1);
  assert_int_equal(e.kind, ERROR_USAGE);
  assert_int_equal(key_load_private(folder, &key, &e), -1);
  unlink(path.ptr);
  rmdir(folder);
}

static void a_jwks_is_written_and_read(void **state) {
  struct rig *rig = *state;
  struct slice text = rig_jwks(rig, RIG_RS256, RIG_EDDSA);
  assert_int_equal(text.ptr[text.len - 1], '\n');
  assert_null(strstr(text.ptr, "\"d\""));
  assert_non_null(strstr(text.ptr, "\"use\": \"sig\""));
  assert_non_null(strstr(text.ptr, "\"alg\": \"RS256\""));
  struct keyset set;
  struct error e = {0};
  assert_int_equal(keyset_parse(text, "jwks", &set, &e), 0);
  assert_int_equal(set.count, 2);
  assert_string_equal(set.keys[0].kid, rig->keys[RIG_RS256].kid);
  assert_int_equal(EVP_PKEY_eq(set.keys[0].pkey, rig->keys[RIG_RS256].pkey), 1);
  assert_int_equal(EVP_PKEY_eq(set.keys[1].pkey, rig->keys[RIG_EDDSA].pkey), 1);
  keyset_free(&set);
  const char *const paths[] = {"/nonexistent/key.pem"};
  struct buf out = {0};
  assert_int_equal(key_jwks(paths, 1, &out, &e), -1);
  assert_int_equal(e.kind, ERROR_NOT_FOUND);
  assert_int_equal(out.len, 0);
}

static void names_are_exact(void **state) {
  (void)state;
  assert_int_equal(key_algorithm_of(SLICE("ES256")), KEY_ES256);
  assert_int_equal(key_algorithm_of(SLICE("RS256")), KEY_RS256);
  assert_int_equal(key_algorithm_of(SLICE("EdDSA")), KEY_EDDSA);
  assert_int_equal(key_algorithm_of(SLICE("eddsa")), 0);
  assert_int_equal(key_algorithm_of(SLICE("ES25")), 0);
  assert_int_equal(key_algorithm_of(SLICE("")), 0);
  assert_string_equal(key_algorithm_name(KEY_EDDSA), "EdDSA");
}

static void halves_are_copies(void **state) {
  struct rig *rig = *state;
  for (size_t i = 0; i < RIG_KEYS; i++) {
    struct key public;
    struct key again;
    struct buf pem = {0};
    assert_int_equal(key_public(&rig->keys[i], &public, NULL), 0);
    assert_false(public.has_private);
    assert_null(public.kid);
    assert_int_equal(public.algorithm, rig->keys[i].algorithm);
    assert_int_equal(EVP_PKEY_eq(public.pkey, rig->keys[i].pkey), 1);
    assert_int_equal(key_print_private(&public, &pem, NULL), -1);
    key_free(&public);
    assert_int_equal(key_print_private(&rig->keys[i], &pem, NULL), 0);
    assert_int_equal(key_parse_private(buf_view(&pem), "key", &again, NULL), 0);
    assert_string_equal(again.kid, rig->keys[i].kid);
    key_free(&again);
    buf_free(&pem);
  }
}

/* What OpenSSL has to say about bad keys must not wait in the queue for the TLS code. */
static void no_error_is_left_behind(void **state) {
  (void)state;
  ERR_clear_error();
  struct keyset set;
  assert_int_equal(keyset_parse(SLICE("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"),
                                "keys", &set, NULL),
                   -1);
  assert_int_equal(keyset_parse(SLICE(EC(X, X)), "keys", &set, NULL), -1);
  assert_int_equal(keyset_parse(SLICE(RSA(RSA_N, "\"AQ\"")), "keys", &set, NULL), -1);
  assert_int_equal(ERR_peek_error(), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_form_of_pem_is_read),
      cmocka_unit_test(pem_that_is_no_key_of_use_is_refused),
      cmocka_unit_test(jwks_are_read),
      cmocka_unit_test(keys_have_their_time),
      cmocka_unit_test(jwks_that_are_wrong_are_refused),
      cmocka_unit_test(ids_are_those_of_others),
      cmocka_unit_test(files_are_loaded),
      cmocka_unit_test(a_jwks_is_written_and_read),
      cmocka_unit_test(names_are_exact),
      cmocka_unit_test(halves_are_copies),
      cmocka_unit_test(no_error_is_left_behind),
  };
  return cmocka_run_group_tests(tests, rig_set_up, rig_tear_down);
}
