/* Certificates and keys: what is read, refused and replaced. */
#include "tls_client.h"

#include "base/clock.h"
#include "base/file.h"

#include <openssl/pem.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static struct files files;

enum { DAY = 24 * 3600, THREADS = 2, HANDSHAKES = 40, REPLACEMENTS = 20, LARGE = 2 << 20 };

static int make_files(void **state) {
  (void)state;
  files_new(&files);
  files_issue(&files, "one", 0, -DAY, DAY);
  files_issue(&files, "two", 0, -DAY, 2L * DAY);
  files_issue(&files, "lapsed", 0, -2L * DAY, -DAY);
  return 0;
}

static int remove_files(void **state) {
  (void)state;
  files_free(&files);
  return 0;
}

/* Text of a file of the folder. */
static char *text_of(const char *name) {
  struct buf bytes = {0};
  assert_int_equal(file_read(files_path(&files, name), 65536, &bytes, NULL), 0);
  buf_append(&bytes, "", 1);
  return bytes.ptr;
}

static void write_both(const char *name, const char *first, const char *second) {
  char *a = text_of(first);
  char *b = text_of(second);
  struct buf all = {0};
  buf_printf(&all, "%s%s", a, b);
  buf_append(&all, "", 1);
  files_write(&files, name, all.ptr, 0600);
  buf_free(&all);
  free(a);
  free(b);
}

static void refused(const char *certificate, const char *key, const char *why) {
  struct error e = {0};
  assert_null(http_tls_new(files_path(&files, certificate), files_path(&files, key), &e));
  if (strstr(e.text, why) == NULL) {
    fail_msg("`%s` does not say `%s`", e.text, why);
  }
  assert_int_equal(e.kind, ERROR_USAGE);
  assert_null(http_tls_new(files_path(&files, certificate), files_path(&files, key), NULL));
}

static void test_certificates_that_are_refused(void **state) {
  (void)state;
  refused("none.crt", "one.key", "none.crt: No such file or directory");
  refused("", "one.key", "Is a directory");
  files_write(&files, "empty.crt", "", 0644);
  refused("empty.crt", "one.key", "empty.crt: holds no certificate in PEM");
  refused("one.key", "one.key", "one.key: holds no certificate in PEM");
  files_write(&files, "text.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
              0644);
  refused("text.crt", "one.key", "text.crt: a certificate cannot be read: ");
  files_write(&files, "cut.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n", 0644);
  refused("cut.crt", "one.key", "cut.crt: a certificate cannot be read: ");
  /* The second of a chain counts too. */
  write_both("broken_chain.crt", "one.crt", "text.crt");
  refused("broken_chain.crt", "one.key", "broken_chain.crt: a certificate cannot be read: ");
  files_issue(&files, "weak", 1024, -DAY, DAY);
  refused("weak.crt", "weak.key", "weak.crt: a certificate that cannot be used: ee key too small");
  write_both("weak_chain.crt", "one.crt", "weak.crt");
  refused("weak_chain.crt", "one.key", "weak_chain.crt: a certificate that cannot be used: ");
}

static void test_keys_that_are_refused(void **state) {
  (void)state;
  refused("one.crt", "none.key", "none.key: No such file or directory");
  files_write(&files, "open.key", "", 0644);
  refused("one.crt", "open.key", "open.key: others than its owner may use this private key (mode");
  refused("one.crt", "two.key", "two.key: the private key is not that of the first certificate");
  files_issue(&files, "rsa", 2048, -DAY, DAY);
  refused("one.crt", "rsa.key", "rsa.key: the private key is not that of the first certificate");
  files_write(&files, "empty.key", "", 0600);
  refused("one.crt", "empty.key", "empty.key: holds no private key in PEM");
  files_write(&files, "text.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
              0600);
  refused("one.crt", "text.key", "text.key: holds no private key in PEM");
  static const mode_t modes[] = {0640, 0604, 0620, 0601};
  for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
    assert_int_equal(chmod(files_path(&files, "two.key"), modes[i]), 0);
    refused("two.crt", "two.key", "two.key: others than its owner may use this private key");
  }
  assert_int_equal(chmod(files_path(&files, "two.key"), 0400), 0);
  http_tls_free(files_load(&files, "two"));
}

static void test_an_encrypted_key_is_refused_and_nobody_asked(void **state) {
  (void)state;
  EVP_PKEY *key = EVP_EC_gen("P-256");
  char secret[] = "secret";
  files_write(&files, "locked.key", "", 0600);
  FILE *file = fopen(files_path(&files, "locked.key"), "w");
  assert_int_equal(PEM_write_PKCS8PrivateKey(file, key, EVP_aes_128_cbc(), secret,
                                             sizeof secret - 1, NULL, NULL),
                   1);
  fclose(file);
  EVP_PKEY_free(key);
  refused("one.crt", "locked.key", "locked.key: the private key is encrypted; take the passphrase");
}

static void test_files_that_are_too_large(void **state) {
  (void)state;
  char *text = calloc(1, LARGE + 1);
  memset(text, 'x', LARGE);
  files_write(&files, "large.pem", text, 0600);
  free(text);
  refused("large.pem", "one.key", "large.pem: it is larger than 1048576 bytes");
  refused("one.crt", "large.pem", "large.pem: it is larger than 65535 bytes");
}

static void test_one_file_may_hold_both(void **state) {
  (void)state;
  write_both("both.pem", "one.key", "one.crt");
  struct http_tls *tls =
      http_tls_new(files_path(&files, "both.pem"), files_path(&files, "both.pem"), NULL);
  assert_non_null(tls);
  http_tls_free(tls);
}

static void test_the_chain_is_sent(void **state) {
  (void)state;
  write_both("chain.crt", "one.crt", "two.crt");
  struct http_tls *tls =
      http_tls_new(files_path(&files, "chain.crt"), files_path(&files, "one.key"), NULL);
  assert_non_null(tls);
  struct pair p;
  pair_new(&p, tls, TLS1_3_VERSION);
  pair_request(&p, "x");
  assert_int_equal(sk_X509_num(SSL_get_peer_cert_chain(p.client)), 2);
  assert_string_equal(pair_seen(&p), "one");
  pair_free(&p);
  http_tls_free(tls);
}

static int64_t from_now(int64_t seconds) {
  return clock_now() + seconds;
}

static void test_validity(void **state) {
  (void)state;
  struct http_tls *tls = files_load(&files, "two");
  struct http_tls_validity v = http_tls_validity(tls);
  assert_in_range(v.from, from_now(-DAY - 120), from_now(-DAY));
  assert_in_range(v.until, from_now(2L * DAY - 120), from_now(2L * DAY));
  http_tls_replace(tls, files_load(&files, "lapsed"));
  v = http_tls_validity(tls);
  assert_in_range(v.until, from_now(-DAY - 120), from_now(-DAY));
  http_tls_free(tls);
  http_tls_free(NULL);
}

/* The server's own certificate counts for itself, and of the others the one with the least. */
static void test_validity_of_a_chain(void **state) {
  (void)state;
  struct http_tls *tls = files_load(&files, "one");
  struct http_tls_validity v = http_tls_validity(tls);
  assert_true(v.chain_from < 0 && v.chain_until > from_now(1000L * DAY));
  http_tls_free(tls);
  write_both("chain.crt", "two.crt", "lapsed.crt");
  write_both("long_chain.crt", "chain.crt", "one.crt");
  tls = http_tls_new(files_path(&files, "long_chain.crt"), files_path(&files, "two.key"), NULL);
  assert_non_null(tls);
  v = http_tls_validity(tls);
  assert_in_range(v.from, from_now(-DAY - 120), from_now(-DAY));
  assert_in_range(v.until, from_now(2L * DAY - 120), from_now(2L * DAY));
  assert_in_range(v.chain_from, from_now(-DAY - 120), from_now(-DAY));
  assert_in_range(v.chain_until, from_now(-DAY - 120), from_now(-DAY));
  http_tls_free(tls);
}

static void test_new_connections_see_what_replaced_it(void **state) {
  (void)state;
  struct http_tls *tls = files_load(&files, "one");
  struct pair before;
  struct pair within;
  struct pair after;
  pair_new(&before, tls, TLS1_3_VERSION);
  pair_request(&before, "before");
  pair_new(&within, tls, TLS1_3_VERSION); /* its handshake has not begun */
  http_tls_replace(tls, files_load(&files, "two"));
  pair_new(&after, tls, TLS1_3_VERSION);
  pair_request(&after, "after");
  assert_string_equal(pair_seen(&after), "two");
  pair_request(&within, "within");
  assert_string_equal(pair_seen(&within), "one");
  pair_request(&before, "goes on");
  pair_answer(&before, "so it does");
  assert_string_equal(pair_seen(&before), "one");
  pair_free(&before);
  pair_free(&within);
  pair_free(&after);
  http_tls_free(tls);
}

/* The oldest gives way: OpenSSL does that, once it is told. */
static void test_sessions_are_bounded(void **state) {
  (void)state;
  struct http_tls *tls = files_load(&files, "one");
  SSL *ssl = http_tls_connection(tls);
  SSL_CTX *ctx = SSL_get_SSL_CTX(ssl);
  assert_int_equal(SSL_CTX_sess_get_cache_size(ctx), 20000);
  SSL_CTX_sess_set_cache_size(ctx, 3);
  for (unsigned i = 0; i < 5; i++) {
    struct pair p;
    pair_new(&p, tls, i % 2 == 0 ? TLS1_2_VERSION : TLS1_3_VERSION);
    pair_request(&p, "hello");
    pair_free(&p);
    assert_in_range(SSL_CTX_sess_number(ctx), 1, 3);
  }
  SSL_free(ssl);
  http_tls_free(tls);
}

/* Threads share one http_tls, as loops do, while another replaces what it holds. */
static void *connect_often(void *arg) {
  for (unsigned i = 0; i < HANDSHAKES; i++) {
    struct pair p;
    pair_new(&p, arg, i % 2 == 0 ? TLS1_2_VERSION : TLS1_3_VERSION);
    pair_request(&p, "hello");
    pair_answer(&p, "yes");
    assert_true(strcmp(pair_seen(&p), "one") == 0 || strcmp(pair_seen(&p), "two") == 0);
    pair_free(&p);
  }
  return NULL;
}

static void test_threads(void **state) {
  (void)state;
  struct http_tls *tls = files_load(&files, "one");
  pthread_t threads[THREADS];
  for (unsigned i = 0; i < THREADS; i++) {
    assert_int_equal(pthread_create(&threads[i], NULL, connect_often, tls), 0);
  }
  for (unsigned i = 0; i < REPLACEMENTS; i++) {
    http_tls_replace(tls, files_load(&files, i % 2 == 0 ? "two" : "one"));
    assert_true(http_tls_validity(tls).until > http_tls_validity(tls).from);
  }
  for (unsigned i = 0; i < THREADS; i++) {
    pthread_join(threads[i], NULL);
  }
  http_tls_free(tls);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_certificates_that_are_refused),
      cmocka_unit_test(test_keys_that_are_refused),
      cmocka_unit_test(test_an_encrypted_key_is_refused_and_nobody_asked),
      cmocka_unit_test(test_files_that_are_too_large),
      cmocka_unit_test(test_one_file_may_hold_both),
      cmocka_unit_test(test_the_chain_is_sent),
      cmocka_unit_test(test_validity),
      cmocka_unit_test(test_validity_of_a_chain),
      cmocka_unit_test(test_new_connections_see_what_replaced_it),
      cmocka_unit_test(test_sessions_are_bounded),
      cmocka_unit_test(test_threads),
  };
  return cmocka_run_group_tests(tests, make_files, remove_files);
}
