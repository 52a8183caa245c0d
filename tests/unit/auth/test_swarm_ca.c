#include "auth/swarm_ca.h"

#include "base/file.h"
#include "unit/auth/authority.h"
#include "unit/cmocka_all.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <unistd.h>

#define NOW INT64_C(1800000000)
enum { TTL = 900, DAY = 24 * 60 * 60 };

struct files {
  struct buf certificates, keys;
};

static void add(struct files *f, struct authority_plan plan) {
  plan.now = NOW;
  authority_make(&plan, &f->certificates, &f->keys);
}

static int parse(const struct files *f, struct swarm_ca **out, struct error *e) {
  return swarm_ca_parse(buf_view(&f->certificates), "crt", buf_view(&f->keys), "key", TTL, NOW, out,
                        e);
}

static void done(struct files *f) {
  buf_free(&f->certificates);
  buf_free(&f->keys);
}

static void test_good(void **state) {
  (void)state;
  static const char *const kinds[][2] = {
      {"EC", "P-256"}, {"EC", "P-384"}, {"ED25519", ""}, {"RSA", "2048"}};
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    struct files f = {0};
    struct swarm_ca *ca;
    EVP_PKEY *key = authority_key(kinds[i][0], kinds[i][1]);
    add(&f, (struct authority_plan){.key = key});
    assert_int_equal(parse(&f, &ca, NULL), 0);
    assert_true(slice_equal(swarm_ca_certificate(ca), buf_view(&f.certificates)));
    assert_int_equal(swarm_ca_ttl(ca), TTL);
    assert_int_equal(swarm_ca_ends(ca), NOW + (int64_t)10 * DAY);
    assert_ptr_equal(swarm_ca_find(ca, slice_of(NULL, 0)),
                     swarm_ca_find(ca, swarm_ca_certificate(ca)));
    assert_null(swarm_ca_find(ca, SLICE("another")));
    swarm_ca_release(ca);
    EVP_PKEY_free(key);
    done(&f);
  }
  assert_int_equal(swarm_ca_certificate(NULL).len, 0);
}

/* What stands around the PEM does not change a torrent. */
static void test_one_way(void **state) {
  (void)state;
  struct files f = {0};
  struct swarm_ca *ca;
  buf_str(&f.certificates, "subject=swarm\n");
  add(&f, (struct authority_plan){0});
  buf_str(&f.certificates, "\nthe end\n");
  assert_int_equal(parse(&f, &ca, NULL), 0);
  struct slice pem = swarm_ca_certificate(ca);
  assert_true(slice_starts(pem, SLICE("-----BEGIN CERTIFICATE-----\n")));
  assert_true(slice_ends(pem, SLICE("-----END CERTIFICATE-----\n")));
  swarm_ca_release(ca);
  done(&f);
}

/* Today's, one that it has replaced, and one that has run out since. */
static void test_replaced(void **state) {
  (void)state;
  struct files f = {0};
  struct swarm_ca *ca;
  add(&f, (struct authority_plan){0});
  size_t first = f.certificates.len;
  add(&f, (struct authority_plan){.until = -1});
  size_t second = f.certificates.len;
  add(&f, (struct authority_plan){0});
  assert_int_equal(parse(&f, &ca, NULL), 0);
  struct slice all = buf_view(&f.certificates);
  assert_true(slice_equal(swarm_ca_certificate(ca), slice_of(all.ptr, first)));
  assert_null(swarm_ca_find(ca, slice_of(all.ptr + first, second - first)));
  const struct swarm_ca_pair *old = swarm_ca_find(ca, slice_from(all, second));
  assert_non_null(old);
  assert_true(old != swarm_ca_find(ca, slice_of(NULL, 0)));
  assert_int_equal(X509_check_private_key(old->certificate, old->key), 1);
  swarm_ca_release(ca);
  done(&f);
}

static void assert_refused(const struct files *f, const char *want) {
  struct swarm_ca *ca = NULL;
  struct error e = {0};
  assert_int_equal(parse(f, &ca, &e), -1);
  assert_null(ca);
  assert_int_equal(e.kind, ERROR_USAGE);
  if (strstr(e.text, want) == NULL) {
    fail_msg("%s: %s", want, e.text);
  }
}

static void test_refused(void **state) {
  (void)state;
  EVP_PKEY *other = authority_key("EC", "P-256");
  EVP_PKEY *curve = authority_key("EC", "P-521");
  EVP_PKEY *small = authority_key("RSA", "1024");
  const struct {
    struct authority_plan plan;
    const char *want;
  } cases[] = {
      {{.constraints = "CA:FALSE"}, "crt: certificate 1 is no CA's"},
      {{.constraints = ""}, "crt: certificate 1 is no CA's"},
      {{.usage = "digitalSignature"}, "crt: certificate 1 is no CA's"},
      {{.until = -1}, "crt: certificate 1 has run out"},
      {{.from = 1, .until = 2}, "crt: certificate 1 does not hold yet"},
      {{.signer = other, .name = "root"}, "signed by another CA"},
      {{.signer = other}, "signed by another CA"},
      {{.key = curve}, "a key of another kind"},
      {{.key = small}, "a key of another kind"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct files f = {0};
    add(&f, cases[i].plan);
    assert_refused(&f, cases[i].want);
    done(&f);
  }
  EVP_PKEY_free(other);
  EVP_PKEY_free(curve);
  EVP_PKEY_free(small);
}

/* One that is wrong in the second place is refused as well. */
static void test_refused_replaced(void **state) {
  (void)state;
  struct files f = {0};
  add(&f, (struct authority_plan){0});
  add(&f, (struct authority_plan){.constraints = "CA:FALSE"});
  assert_refused(&f, "crt: certificate 2 is no CA's");
  done(&f);
}

static void test_pairs(void **state) {
  (void)state;
  struct files f = {0}, g = {0}, empty = {0};
  add(&f, (struct authority_plan){0});
  add(&g, (struct authority_plan){0});
  const struct files crossed = {f.certificates, g.keys};
  assert_refused(&crossed, "crt: certificate 1 is not that of the key");
  assert_refused(&empty, "crt: has no certificate in PEM");
  const struct files no_key = {f.certificates, empty.keys};
  assert_refused(&no_key, "key: has no private key in PEM");
  const struct files swapped = {f.keys, f.certificates};
  assert_refused(&swapped, "crt: has no certificate in PEM");
  add(&f, (struct authority_plan){0});
  const struct files fewer = {f.certificates, g.keys};
  assert_refused(&fewer, "crt has 2 certificates, and key 1 key");
  done(&f);
  done(&g);
}

static void test_unreadable(void **state) {
  (void)state;
  static const char encrypted[] = "-----BEGIN EC PRIVATE KEY-----\n"
                                  "Proc-Type: 4,ENCRYPTED\n"
                                  "DEK-Info: AES-128-CBC,000102030405060708090A0B0C0D0E0F\n\n"
                                  "AAAA\n"
                                  "-----END EC PRIVATE KEY-----\n";
  struct files f = {0};
  add(&f, (struct authority_plan){0});
  size_t len = f.certificates.len;
  buf_str(&f.certificates, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
  assert_refused(&f, "crt: has a certificate that cannot be read");
  f.certificates.len = len;
  f.keys.len = 0;
  buf_str(&f.keys, encrypted);
  assert_refused(&f, "key: has a private key that cannot be read, or that is encrypted");
  done(&f);
}

static void test_too_many(void **state) {
  (void)state;
  struct files f = {0};
  struct swarm_ca *ca;
  for (int i = 0; i < SWARM_CA_PAIRS_MAX; i++) {
    add(&f, (struct authority_plan){0});
  }
  assert_int_equal(parse(&f, &ca, NULL), 0);
  swarm_ca_release(ca);
  add(&f, (struct authority_plan){0});
  assert_refused(&f, "crt: has more than 8");
  done(&f);
}

static void test_load(void **state) {
  (void)state;
  char crt[] = "/tmp/swarm_ca_crt_XXXXXX", key[] = "/tmp/swarm_ca_key_XXXXXX";
  struct files f = {0};
  struct swarm_ca *ca;
  struct error e = {0};
  close(mkstemp(crt));
  close(mkstemp(key));
  add(&f, (struct authority_plan){0});
  assert_int_equal(file_write(crt, buf_view(&f.certificates), 0644, NULL), 0);
  assert_int_equal(file_write(key, buf_view(&f.keys), 0600, NULL), 0);
  assert_int_equal(swarm_ca_load(crt, key, TTL, NOW, &ca, NULL), 0);
  swarm_ca_release(ca);
  assert_int_equal(file_write(key, buf_view(&f.keys), 0640, NULL), 0);
  assert_int_equal(swarm_ca_load(crt, key, TTL, NOW, &ca, &e), -1);
  assert_int_equal(e.kind, ERROR_USAGE);
  assert_non_null(strstr(e.text, key));
  unlink(key);
  assert_int_equal(swarm_ca_load(crt, key, TTL, NOW, &ca, &e), -1);
  assert_int_equal(e.kind, ERROR_NOT_FOUND);
  unlink(crt);
  assert_int_equal(swarm_ca_load(crt, key, TTL, NOW, &ca, &e), -1);
  assert_int_equal(e.kind, ERROR_NOT_FOUND);
  done(&f);
}

/* Who holds a CA goes on with it when it is replaced. */
static void test_in_force(void **state) {
  (void)state;
  struct files f = {0}, g = {0};
  struct swarm_ca *first, *second;
  add(&f, (struct authority_plan){0});
  add(&g, (struct authority_plan){0});
  assert_int_equal(parse(&f, &first, NULL), 0);
  assert_int_equal(parse(&g, &second, NULL), 0);
  struct swarm_authority *authority = swarm_authority_new(first);
  struct swarm_ca *held = swarm_authority_hold(authority);
  assert_ptr_equal(held, first);
  swarm_authority_replace(authority, second);
  assert_true(slice_equal(swarm_ca_certificate(held), buf_view(&f.certificates)));
  swarm_ca_release(held);
  held = swarm_authority_hold(authority);
  assert_ptr_equal(held, second);
  swarm_authority_replace(authority, NULL);
  assert_null(swarm_authority_hold(authority));
  swarm_authority_free(authority);
  assert_true(slice_equal(swarm_ca_certificate(held), buf_view(&g.certificates)));
  swarm_ca_release(held);
  swarm_ca_release(NULL);
  swarm_authority_free(NULL);
  done(&f);
  done(&g);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_good),
      cmocka_unit_test(test_one_way),
      cmocka_unit_test(test_replaced),
      cmocka_unit_test(test_refused),
      cmocka_unit_test(test_refused_replaced),
      cmocka_unit_test(test_pairs),
      cmocka_unit_test(test_unreadable),
      cmocka_unit_test(test_too_many),
      cmocka_unit_test(test_load),
      cmocka_unit_test(test_in_force),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
