#include "auth/password.h"
#include "support/heap.h"
#include "unit/cmocka_all.h"

#include <openssl/evp.h>

#define ZEROS "AAAAAAAAAAAAAAAAAAAAAA" /* a salt */
#define QUICK "$scrypt$ln=4,r=1,p=1$AAECAwQFBgcICQoLDA0ODw$"
#define HASH  "oKRq9xohdlEZt1FKWuEoMQ5z+DMUuU6u/7kya/6oejY"

static const struct slice sesame = {"open sesame", 11};

/* How the work that is done was asked for. */
static struct work {
  size_t times, password, salt, size;
  uint64_t n, r, p, memory;
} work;
static bool cheap; /* little of it is done */
static bool no_randomness;

/* The linker's --wrap makes the names. NOLINTBEGIN(cert-dcl51-cpp) */
int __real_RAND_bytes(unsigned char *out, int len);
int __wrap_RAND_bytes(unsigned char *out, int len);
int __real_EVP_PBE_scrypt(const char *pass, size_t passlen, const unsigned char *salt,
                          size_t saltlen, uint64_t n, uint64_t r, uint64_t p, uint64_t maxmem,
                          unsigned char *key, size_t keylen);
int __wrap_EVP_PBE_scrypt(const char *pass, size_t passlen, const unsigned char *salt,
                          size_t saltlen, uint64_t n, uint64_t r, uint64_t p, uint64_t maxmem,
                          unsigned char *key, size_t keylen);

int __wrap_EVP_PBE_scrypt(const char *pass, size_t passlen, const unsigned char *salt,
                          size_t saltlen, uint64_t n, uint64_t r, uint64_t p, uint64_t maxmem,
                          unsigned char *key, size_t keylen) {
  work = (struct work){work.times + 1, passlen, saltlen, keylen, n, r, p, maxmem};
  return __real_EVP_PBE_scrypt(pass, passlen, salt, saltlen, cheap ? 2 : n, r, p, maxmem, key,
                               keylen);
}

int __wrap_RAND_bytes(unsigned char *out, int len) {
  return no_randomness ? 0 : __real_RAND_bytes(out, len);
}
/* NOLINTEND(cert-dcl51-cpp) */

static void must_hash(struct slice password, char out[PASSWORD_HASH_SPACE]) {
  struct error e = {0};
  if (password_hash(password, out, &e) != 0) {
    fail_msg("%s", e.text);
  }
}

static void a_password_verifies_against_its_hash_alone(void **state) {
  (void)state;
  char one[PASSWORD_HASH_SPACE], other[PASSWORD_HASH_SPACE];
  struct error e = {0};
  must_hash(sesame, one);
  must_hash(sesame, other);
  assert_memory_equal(one, "$scrypt$ln=15,r=8,p=1$", 22);
  assert_int_equal(strlen(one), 22 + 22 + 1 + 43);
  assert_memory_not_equal(one + 22, other + 22, 22);
  assert_memory_not_equal(one + 45, other + 45, 43);
  assert_int_equal(password_verify(sesame, slice_str(one), &e), 0);
  assert_int_equal(e.kind, ERROR_NONE);
  static const struct slice wrong[] = {
      {"open sesamf", 11}, {"open sesam", 10}, {"open sesame ", 12}, {"Open sesame", 11}};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    assert_int_equal(password_verify(wrong[i], slice_str(one), &e), -1);
    assert_int_equal(e.kind, ERROR_DENIED);
    assert_null(strstr(e.text, "sesam"));
  }
}

/* By Python's hashlib.scrypt(), and the first by passlib. */
static void what_others_have_hashed_verifies(void **state) {
  (void)state;
  static char long_one[PASSWORD_BYTES_MAX];
  memset(long_one, 'p', sizeof long_one);
  const struct {
    struct slice password;
    const char *hash;
  } cases[] = {
      {SLICE("password"),
       "$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E"},
      {sesame, QUICK HASH},
      {SLICE("p\xc3\xa4ssw\xc3\xb6rd \xe2\x82\xac"),
       "$scrypt$ln=10,r=8,p=2$/////////////////////w$bGiOCdXFohD+QhzgMUawu2NLU2y5SmVdh3XTGMHPLxM"},
      {slice_of(long_one, sizeof long_one),
       "$scrypt$ln=5,r=16,p=4$TmFDbE5hQ2xOYUNsTmFDbA$ORUjAIebFUrOkJNbw3ns38H6lAt17c0LlNWs8Z0Y4BE"},
      {SLICE("\xff\xfe"),
       "$scrypt$ln=1,r=1,p=3$" ZEROS "$CDEKXkZ+FvQhZah1BgFqMYYepTgnjruJPkjg3gQraes"},
      {SLICE("x"), "$scrypt$ln=15,r=1,p=1$" ZEROS "$b2+N0mTQTwgAvYrSBwyZlbFognuQBE+dhCiMyFFwyM4"},
      {SLICE("x"), "$scrypt$ln=13,r=64,p=1$" ZEROS "$vvC+5Xrjaur6JHoWiaMLoCkIdNrfIzc8zkHQ0u4+e+s"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct error e = {0};
    if (password_verify(cases[i].password, slice_str(cases[i].hash), &e) != 0) {
      fail_msg("%s: %s", cases[i].hash, e.text);
    }
    assert_int_equal(password_verify(SLICE("y"), slice_str(cases[i].hash), &e), -1);
    assert_int_equal(e.kind, ERROR_DENIED);
  }
}

static void any_other_text_is_refused(void **state) {
  (void)state;
  static const char *const texts[] = {
      "",
      "$",
      "$$$$",
      "scrypt",
      "$scrypt",
      "$scrypt$ln=4,r=1,p=1",
      "$scrypt$ln=4,r=1,p=1$AAECAwQFBgcICQoLDA0ODw",
      QUICK,
      " " QUICK HASH,
      "x" QUICK HASH,
      QUICK HASH " ",
      QUICK HASH "\n",
      QUICK HASH "$",
      QUICK HASH "=",
      QUICK HASH "A",
      QUICK "oKRq9xohdlEZt1FKWuEoMQ5z+DMUuU6u/7kya/6oej",
      QUICK "oKRq9xohdlEZt1FKWuEoMQ5z+DMUuU6u/7kya/6oejZ", /* trailing bits */
      QUICK "oKRq9xohdlEZt1FKWuEoMQ5z-DMUuU6u_7kya_6oejY",
      QUICK "oKRq9xohdlEZt1FKWuEoMQ5z DMUuU6u/7kya/6oejY",
      "$scrypt$ln=4,r=1,p=1$$" HASH,
      "$scrypt$ln=4,r=1,p=1$AAECAwQFBgcICQoLDA0ODw==$" HASH,
      "$scrypt$ln=4,r=1,p=1$AAECAwQFBgcICQoLDA0OD$" HASH,
      "$scrypt$ln=4,r=1,p=1$AAECAwQFBgcICQoLDA0ODx$" HASH,
      "$scrypt$ln=4,r=1,p=1$AAECAwQFBgcICQoLDA0ODwAA$" HASH,
      "$Scrypt$ln=4,r=1,p=1$" ZEROS "$" HASH,
      "$argon2id$ln=4,r=1,p=1$" ZEROS "$" HASH,
      "$scrypt$v=1$ln=4,r=1,p=1$" ZEROS "$" HASH,
      "$scrypt$r=1,ln=4,p=1$" ZEROS "$" HASH,
      "$scrypt$ln=4,r=1$" ZEROS "$" HASH,
      "$scrypt$ln=4,r=1,p=1,$" ZEROS "$" HASH,
      "$scrypt$ln=4,r=1,p=1,x=1$" ZEROS "$" HASH,
      "$scrypt$ln=,r=1,p=1$" ZEROS "$" HASH,
      "$scrypt$ln=04,r=1,p=1$" ZEROS "$" HASH,
      "$scrypt$ln=+4,r=1,p=1$" ZEROS "$" HASH,
      "$scrypt$ln=4,r=1,p=-1$" ZEROS "$" HASH,
      "$scrypt$ln= 4,r=1,p=1$" ZEROS "$" HASH,
      "$scrypt$ln=18446744073709551620,r=1,p=1$" ZEROS "$" HASH,
      /* Out of bounds. */
      "$scrypt$ln=0,r=1,p=1$" ZEROS "$" HASH,
      "$scrypt$ln=4,r=0,p=1$" ZEROS "$" HASH,
      "$scrypt$ln=4,r=1,p=0$" ZEROS "$" HASH,
      "$scrypt$ln=4,r=1,p=5$" ZEROS "$" HASH,
      "$scrypt$ln=17,r=8,p=1$" ZEROS "$" HASH,
      "$scrypt$ln=16,r=9,p=1$" ZEROS "$" HASH,
      "$scrypt$ln=15,r=17,p=1$" ZEROS "$" HASH,
      "$scrypt$ln=1,r=262145,p=1$" ZEROS "$" HASH,
      "$scrypt$ln=1,r=67108864,p=1$" ZEROS "$" HASH,
      "$scrypt$ln=1,r=67108865,p=1$" ZEROS "$" HASH,
      "$scrypt$ln=16,r=1,p=1$" ZEROS "$" HASH,
      "$scrypt$ln=19,r=1,p=1$" ZEROS "$" HASH,
      "$scrypt$ln=63,r=1,p=1$" ZEROS "$" HASH,
      "$scrypt$ln=64,r=1,p=1$" ZEROS "$" HASH,
      "$scrypt$ln=18446744073709551615,r=8,p=1$" ZEROS "$" HASH,
  };
  size_t before = work.times;
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    struct error e = {0};
    if (password_verify(sesame, slice_str(texts[i]), &e) == 0 || e.kind != ERROR_FAILED) {
      fail_msg("%s: %s", texts[i], e.text);
    }
    assert_non_null(strstr(e.text, "user passwd"));
  }
  assert_int_equal(password_verify(sesame, (struct slice){0}, NULL), -1);
  assert_int_equal(password_verify(sesame, slice_of(QUICK HASH, sizeof QUICK HASH), NULL), -1);
  assert_int_equal(work.times, before); /* and no work is done for it */
}

static void every_changed_byte_is_refused(void **state) {
  (void)state;
  char text[] = QUICK HASH;
  struct error e = {0};
  assert_int_equal(password_verify(sesame, slice_str(text), &e), 0);
  for (size_t i = 0; text[i] != '\0'; i++) {
    text[i] ^= 1;
    assert_int_equal(password_verify(sesame, slice_str(text), NULL), -1);
    text[i] ^= 1;
  }
  for (size_t len = 0; len + 1 < sizeof text; len++) {
    assert_int_equal(password_verify(sesame, slice_of(text, len), NULL), -1);
  }
}

static void a_password_has_its_bounds(void **state) {
  (void)state;
  static char text[PASSWORD_BYTES_MAX + 1];
  char hash[PASSWORD_HASH_SPACE];
  memset(text, 'x', sizeof text);
  static const struct slice good[] = {{"x", 1}, {" ", 1}, {"$:/\\\"'", 6}, {"\xff\xc3\xa4", 3}};
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    assert_null(password_check(good[i]));
  }
  assert_null(password_check(slice_of(text, PASSWORD_BYTES_MAX)));
  const struct slice bad[] = {
      {0},
      SLICE(""),
      SLICE("a\0b"),
      SLICE("\0"),
      SLICE("a\n"),
      SLICE("\r"),
      SLICE("a\tb"),
      SLICE("\x1b"),
      SLICE("a\x7f"),
      SLICE("a\xc2\x9b"),
      {text, sizeof text},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    struct error e = {0};
    size_t before = work.times;
    assert_non_null(password_check(bad[i]));
    assert_int_equal(password_hash(bad[i], hash, &e), -1);
    assert_int_equal(e.kind, ERROR_USAGE);
    assert_int_equal(password_verify(bad[i], SLICE(QUICK HASH), &e), -1);
    assert_int_equal(e.kind, ERROR_DENIED);
    e = (struct error){0};
    assert_int_equal(password_verify_nobody(bad[i], &e), -1);
    assert_int_equal(e.kind, ERROR_DENIED);
    assert_int_equal(work.times, before);
  }
}

static void nobody_costs_as_much_and_says_the_same(void **state) {
  (void)state;
  char hash[PASSWORD_HASH_SPACE];
  struct error wrong = {0}, nobody = {0};
  must_hash(sesame, hash);
  work = (struct work){0};
  heap_fail(HEAP_NONE, 0);
  assert_int_equal(password_verify(SLICE("open simsim"), slice_str(hash), &wrong), -1);
  size_t allocations = heap_allocations();
  const struct work of_wrong = work;
  work = (struct work){0};
  heap_fail(HEAP_NONE, 0);
  assert_int_equal(password_verify_nobody(SLICE("open simsim"), &nobody), -1);
  assert_int_equal(heap_allocations(), allocations);
  assert_memory_equal(&work, &of_wrong, sizeof work);
  assert_int_equal(work.times, 1);
  assert_int_equal(work.n, 1 << 15);
  assert_int_equal(work.r, 8);
  assert_int_equal(work.p, 1);
  assert_int_equal(nobody.kind, ERROR_DENIED);
  assert_int_equal(nobody.kind, wrong.kind);
  assert_string_equal(nobody.text, wrong.text);
}

static void there_is_no_hash_without_a_salt(void **state) {
  (void)state;
  char hash[PASSWORD_HASH_SPACE];
  struct error e = {0};
  no_randomness = true;
  assert_int_equal(password_hash(sesame, hash, &e), -1);
  no_randomness = false;
  assert_int_equal(e.kind, ERROR_FAILED);
}

static int verify(void *arg, struct error *e) {
  (void)arg;
  /* ln=1, r=1, p=3: as cheap as can be */
  return password_verify(
      SLICE("\xff\xfe"),
      SLICE("$scrypt$ln=1,r=1,p=3$" ZEROS "$CDEKXkZ+FvQhZah1BgFqMYYepTgnjruJPkjg3gQraes"), e);
}

static int hash_one(void *arg, struct error *e) {
  (void)arg;
  char hash[PASSWORD_HASH_SPACE];
  return password_hash(sesame, hash, e);
}

static int refuse(void *arg, struct error *e) {
  (void)arg;
  assert_int_equal(password_verify_nobody(sesame, e), -1);
  return e->kind == ERROR_DENIED ? 0 : -1;
}

static void memory_that_runs_out_is_an_error(void **state) {
  (void)state;
  cheap = true;
  heap_exhaust_openssl(verify, NULL);
  heap_exhaust_openssl(hash_one, NULL);
  heap_exhaust_openssl(refuse, NULL);
  cheap = false;
}

int main(void) {
  heap_watch_openssl();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_password_verifies_against_its_hash_alone),
      cmocka_unit_test(what_others_have_hashed_verifies),
      cmocka_unit_test(any_other_text_is_refused),
      cmocka_unit_test(every_changed_byte_is_refused),
      cmocka_unit_test(a_password_has_its_bounds),
      cmocka_unit_test(nobody_costs_as_much_and_says_the_same),
      cmocka_unit_test(there_is_no_hash_without_a_salt),
      cmocka_unit_test(memory_that_runs_out_is_an_error),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
