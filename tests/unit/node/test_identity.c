#include "node/identity.h"

#include "unit/cmocka_all.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>

static BIO *bio_of(const char *pem) {
  BIO *bio = BIO_new_mem_buf(pem, -1);
  assert_non_null(bio);
  return bio;
}

static EVP_PKEY *key_of(const struct identity *identity) {
  BIO *bio = bio_of(identity->key);
  EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
  assert_non_null(key);
  BIO_free(bio);
  return key;
}

/* The request is of that key, signed by it, and names nothing. */
static void makes_a_key_and_its_request(void **state) {
  (void)state;
  struct identity identity;
  char group[32];
  assert_int_equal(identity_make(&identity, NULL), 0);
  EVP_PKEY *key = key_of(&identity);
  assert_int_equal(EVP_PKEY_get_group_name(key, group, sizeof group, NULL), 1);
  assert_string_equal(group, "prime256v1");
  BIO *bio = bio_of(identity.request);
  X509_REQ *request = PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL);
  assert_non_null(request);
  assert_int_equal(X509_REQ_verify(request, key), 1);
  assert_int_equal(X509_NAME_entry_count(X509_REQ_get_subject_name(request)), 0);
  X509_REQ_free(request);
  BIO_free(bio);
  EVP_PKEY_free(key);
  identity_free(&identity);
  assert_null(identity.key);
}

static void makes_parameters(void **state) {
  (void)state;
  struct identity identity;
  char group[32];
  assert_int_equal(identity_make(&identity, NULL), 0);
  BIO *bio = bio_of(identity.parameters);
  EVP_PKEY *parameters = PEM_read_bio_Parameters(bio, NULL);
  assert_non_null(parameters);
  assert_int_equal(EVP_PKEY_get_group_name(parameters, group, sizeof group, NULL), 1);
  assert_string_equal(group, "ffdhe2048");
  EVP_PKEY_free(parameters);
  BIO_free(bio);
  identity_free(&identity);
}

static void makes_another_each_time(void **state) {
  (void)state;
  struct identity one, two;
  assert_int_equal(identity_make(&one, NULL), 0);
  assert_int_equal(identity_make(&two, NULL), 0);
  assert_string_not_equal(one.key, two.key);
  identity_free(&one);
  identity_free(&two);
  identity_free(&two);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(makes_a_key_and_its_request),
      cmocka_unit_test(makes_parameters),
      cmocka_unit_test(makes_another_each_time),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
