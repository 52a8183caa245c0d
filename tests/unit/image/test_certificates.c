#include "image/certificates.h"

#include "base/file.h"
#include "unit/image/fixture.h"

#include <openssl/pem.h>
#include <openssl/x509.h>

static const char *folder(struct fixture *f) {
  fixture_folder(f, "certs");
  return fixture_path(f, "certs");
}

static void test_nothing(void **state) {
  struct fixture *f = *state;
  struct image_certificates c;
  assert_int_equal(image_certificates_find(NULL, "r.example", &f->arena, &c, &f->e), 0);
  assert_null(c.ca_file);
  assert_null(c.cert_file);
  assert_int_equal(image_certificates_find(folder(f), "r.example", &f->arena, &c, &f->e), 0);
  assert_null(c.ca_file);
  assert_int_equal(
      image_certificates_find(fixture_path(f, "none"), "r.example", &f->arena, &c, &f->e), -1);
  assert_int_equal(f->e.kind, ERROR_USAGE);
}

static void test_by_host(void **state) {
  struct fixture *f = *state;
  struct image_certificates c;
  fixture_folder(f, ".config");
  fixture_folder(f, ".config/containers");
  fixture_folder(f, ".config/containers/certs.d");
  fixture_folder(f, ".config/containers/certs.d/r.example:5000");
  fixture_write(f, ".config/containers/certs.d/r.example:5000/ca.crt", SLICE("one"));
  assert_int_equal(image_certificates_find(NULL, "r.example:5000", &f->arena, &c, &f->e), 0);
  assert_non_null(strstr(c.ca_file, "r.example:5000/ca.crt"));
  assert_int_equal(image_certificates_find(NULL, "r.example", &f->arena, &c, &f->e), 0);
  assert_null(c.ca_file);
}

static void test_pairs(void **state) {
  struct fixture *f = *state;
  struct image_certificates c;
  const char *dir = folder(f);
  fixture_write(f, "certs/b.cert", SLICE("b"));
  assert_int_equal(image_certificates_find(dir, "r", &f->arena, &c, &f->e), -1);
  assert_int_equal(f->e.kind, ERROR_USAGE);
  assert_non_null(strstr(f->e.text, "b.key is missing"));
  fixture_write(f, "certs/b.key", SLICE("b"));
  fixture_write(f, "certs/README", SLICE("x"));
  assert_int_equal(image_certificates_find(dir, "r", &f->arena, &c, &f->e), 0);
  assert_string_equal(c.cert_file, fixture_path(f, "certs/b.cert"));
  assert_string_equal(c.key_file, fixture_path(f, "certs/b.key"));
  fixture_write(f, "certs/a.key", SLICE("a"));
  assert_int_equal(image_certificates_find(dir, "r", &f->arena, &c, &f->e), -1);
  fixture_write(f, "certs/a.cert", SLICE("a"));
  assert_int_equal(image_certificates_find(dir, "r", &f->arena, &c, &f->e), 0);
  assert_string_equal(c.cert_file, fixture_path(f, "certs/a.cert"));
}

static void test_several_authorities(void **state) {
  struct fixture *f = *state;
  struct image_certificates c;
  struct buf text = {0};
  const char *dir = folder(f);
  fixture_write(f, "certs/a.crt", SLICE("one"));
  fixture_write(f, "certs/b.crt", SLICE("two\n"));
  fixture_write(f, "certs/c.crt", SLICE("three"));
  assert_int_equal(image_certificates_find(dir, "r", &f->arena, &c, &f->e), 0);
  assert_int_equal(file_read(c.ca_file, 100, &text, &f->e), 0);
  assert_true(slice_equal(buf_view(&text), SLICE("one\ntwo\n\nthree\n")));
  buf_free(&text);
  image_certificates_close(&c);
}

/* Writes a new key, encrypted by \p phrase unless that is NULL, and a certificate for it. */
static void put_pair(struct fixture *f, const char *cert, const char *key, const char *phrase) {
  EVP_PKEY *made = EVP_EC_gen("P-256");
  X509 *x509 = X509_new();
  FILE *file = fopen(fixture_path(f, key), "wb");
  assert_true(made != NULL && x509 != NULL && file != NULL);
  assert_int_equal(PEM_write_PKCS8PrivateKey(file, made, phrase == NULL ? NULL : EVP_aes_128_cbc(),
                                             phrase, phrase == NULL ? 0 : (int)strlen(phrase), NULL,
                                             NULL),
                   1);
  fclose(file);
  X509_gmtime_adj(X509_getm_notBefore(x509), 0);
  X509_gmtime_adj(X509_getm_notAfter(x509), 60);
  X509_set_pubkey(x509, made);
  assert_true(X509_sign(x509, made, EVP_sha256()) > 0);
  file = fopen(fixture_path(f, cert), "wb");
  assert_non_null(file);
  assert_int_equal(PEM_write_X509(file, x509), 1);
  fclose(file);
  X509_free(x509);
  EVP_PKEY_free(made);
}

static void must_not_fit(struct fixture *f, const char *cert, const char *key, enum error_kind kind,
                         const char *why) {
  f->e = (struct error){0};
  assert_int_equal(
      image_certificates_check_pair(fixture_path(f, cert), fixture_path(f, key), &f->e), -1);
  if (f->e.kind != kind || strstr(f->e.text, why) == NULL) {
    fail_msg("%d: %s", (int)f->e.kind, f->e.text);
  }
}

static void test_what_goes_together(void **state) {
  struct fixture *f = *state;
  put_pair(f, "a.cert", "a.key", NULL);
  put_pair(f, "b.cert", "b.key", "secret");
  fixture_write(f, "c.key",
                SLICE("-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n"));
  fixture_write(f, "empty", SLICE(""));
  const char *cert = fixture_path(f, "a.cert");
  assert_int_equal(image_certificates_check(cert, &f->e), 0);
  assert_int_equal(image_certificates_check_pair(cert, fixture_path(f, "a.key"), &f->e), 0);
  must_not_fit(f, "b.cert", "a.key", ERROR_USAGE, "a.key is not the key of");
  must_not_fit(f, "b.cert", "b.key", ERROR_USAGE, "without a pass phrase");
  must_not_fit(f, "a.cert", "c.key", ERROR_USAGE, "no private key");
  must_not_fit(f, "a.cert", "a.cert", ERROR_USAGE, "no private key");
  must_not_fit(f, "a.key", "a.key", ERROR_USAGE, "no certificate");
  must_not_fit(f, "empty", "empty", ERROR_USAGE, "no certificate");
  must_not_fit(f, "none", "a.key", ERROR_NOT_FOUND, "none");
  must_not_fit(f, "a.cert", "none", ERROR_NOT_FOUND, "none");
  assert_int_equal(truncate(fixture_path(f, "empty"), IMAGE_CA_FILE_MAX + 1), 0);
  must_not_fit(f, "empty", "a.key", ERROR_FAILED, "larger");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {TEST(test_nothing), TEST(test_by_host), TEST(test_pairs),
                                     TEST(test_several_authorities), TEST(test_what_goes_together)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
