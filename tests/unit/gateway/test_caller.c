#include "gateway/caller.h"

#include "base/base64.h"

#include "unit/cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>

#define REGISTRY "registry.example"

static void check(const char *authorization, const char *subject, bool passed_on) {
  struct arena arena = {0};
  struct caller caller;
  struct error e = {0};
  assert_int_equal(caller_read(authorization == NULL ? slice_of(NULL, 0) : slice_str(authorization),
                               SLICE(REGISTRY), &arena, &caller, &e),
                   0);
  if (!slice_equal(caller.subject, slice_str(subject))) {
    fail_msg("'%.*s' is not '%s'", SLICE_ARG(caller.subject), subject);
  }
  assert_non_null(caller.authorization.ptr);
  assert_true(slice_equal(caller.authorization, passed_on ? slice_str(authorization) : SLICE("")));
  arena_free(&arena);
}

static void check_basic(const char *pair, size_t len, const char *subject, bool passed_on) {
  static const struct slice scheme = {"Basic ", 6};
  char *value = malloc(scheme.len + BASE64_SPACE(len));
  assert_non_null(value);
  memcpy(value, scheme.ptr, scheme.len);
  base64_encode(BASE64_STANDARD, pair, len, value + scheme.len);
  check(value, subject, passed_on);
  free(value);
}

/* An unsigned token with these claims. */
static void check_bearer(const char *claims, const char *subject) {
  static const char header[] = "{\"alg\":\"ES256\",\"typ\":\"JWT\"}";
  char value[2048] = "bearer ";
  size_t at = strlen(value);
  at += base64_encode(BASE64_URL, header, strlen(header), value + at);
  value[at++] = '.';
  at += base64_encode(BASE64_URL, claims, strlen(claims), value + at);
  memcpy(value + at, ".AAAA", 6);
  if (subject != NULL) {
    check(value, subject, true);
    return;
  }
  struct arena arena = {0};
  struct caller caller;
  assert_int_equal(caller_read(slice_str(value), SLICE(REGISTRY), &arena, &caller, NULL), 0);
  assert_true(slice_starts(caller.subject, SLICE(REGISTRY "/token:")));
  assert_int_equal(caller.subject.len, strlen(REGISTRY "/token:") + 16);
  arena_free(&arena);
}

static void names_basic_users(void **state) {
  (void)state;
  check_basic("alice:secret", 12, REGISTRY "/alice", true);
  check_basic("alice:se:cret", 13, REGISTRY "/alice", true);
  check_basic("alice:", 6, REGISTRY "/alice", true);
  check_basic("robot$ci+team:x", 15, REGISTRY "/robot$ci+team", true);
  check_basic("J\xc3\xb6rg:x", 7, REGISTRY "/J\xc3\xb6rg", true);
  check("bAsIc YWxpY2U6c2VjcmV0", REGISTRY "/alice", true);
  check("Basic   YWxpY2U6c2VjcmV0", REGISTRY "/alice", true);
}

static void names_bearers_by_their_subject(void **state) {
  (void)state;
  check_bearer("{\"sub\":\"alice\"}", REGISTRY "/alice");
  check_bearer("{\"sub\":\"\"}", REGISTRY "/"); /* Docker's anonymous token */
  check_bearer("{\"sub\":\"J\xc3\xb6rg\"}", REGISTRY "/J\xc3\xb6rg");
}

/* Of the bits of a signature's last character registries look at some only. */
static void names_bearers_whatever_their_signature(void **state) {
  /* {"alg":"ES256"} . {"sub":"alice"} */
  static const char token[] = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.";
  static const char *const signatures[] = {"AA", "AB", "A", "=", "AA=", "A+/A"};
  char field[128];
  (void)state;
  for (size_t i = 0; i < sizeof signatures / sizeof *signatures; i++) {
    snprintf(field, sizeof field, "Bearer %s%s", token, signatures[i]);
    check(field, REGISTRY "/alice", true);
  }
}

/* A user may choose what he asks his registry for, and so what stands in the token beside his name.
 */
static void names_bearers_whatever_they_may_do(void **state) {
  static char value[CALLER_AUTHORIZATION_MAX], claims[10000], text[9000];
  (void)state;
  check_bearer("{\"sub\":\"alice\",\"access\":[{\"name\":\"team/\\u0000\"}]}", REGISTRY "/alice");
  memset(text, 'a', sizeof text - 1);
  snprintf(claims, sizeof claims, "{\"access\":[{\"name\":\"%s\"}],\"sub\":\"alice\"}", text);
  size_t at = (size_t)snprintf(value, sizeof value, "Bearer eyJhbGciOiJFUzI1NiJ9.");
  base64_encode(BASE64_URL, claims, strlen(claims), value + at);
  at = strlen(value);
  memcpy(value + at, ".AAAA", 6);
  check(value, REGISTRY "/alice", true);
}

static void names_others_by_their_hash(void **state) {
  (void)state;
  /* sha256 of "opaque-token" */
  check("Bearer opaque-token", REGISTRY "/token:84d3f23da9b5f51b", true);
  check_bearer("{\"name\":\"alice\"}", NULL);
  check_bearer("{\"sub\":7}", NULL);
  check_bearer("{\"sub\":\"a\\nb\"}", NULL);
  check_bearer("{\"sub\":\"a\\u009b31m\"}", NULL);
  check_bearer("{\"sub\":\"a\",\"sub\":\"b\"}", NULL);
  check_bearer("{\"sub\":\"a\\u0000b\"}", NULL);
  check_bearer("[]", NULL);
  check_bearer("", NULL);
  check("Bearer e30.e30", REGISTRY "/token:e75e2f1bd181b1b0", true);
}

static void passes_nothing_else_on(void **state) {
  static const char *const others[] = {
      "",
      "Basic",
      "Basic ",
      "Bearer",
      "Bearer ",
      "Bearer =",
      "Bearer a b",
      "Bearer a,b",
      "Bearer a\tb",
      "Bearer \x80",
      "Digest username=\"alice\"",
      "Negotiate YWxpY2U6c2VjcmV0",
      "YWxpY2U6c2VjcmV0",
      "Basic YWxpY2U6c2VjcmV",
      "Basic YWxpY2U6c2VjcmV0=",
      "Basic %%%",
      "Basic YWxpY2U=", /* no colon */
  };
  (void)state;
  check(NULL, REGISTRY "/", false);
  for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
    check(others[i], REGISTRY "/", false);
  }
  check_basic("al\0ice:x", 8, REGISTRY "/", false);
  check_basic("al\nice:x", 8, REGISTRY "/", false);
  check_basic("a\xc2\x9b"
              "31m:x",
              8, REGISTRY "/", false);              /* U+009B stands for ESC [ */
  check_basic("J\xf6rg:x", 6, REGISTRY "/", false); /* Latin-1 */
}

static void bounds_names(void **state) {
  char text[CALLER_NAME_MAX + 3];
  char subject[sizeof REGISTRY + 1 + sizeof text];
  (void)state;
  memset(text, 'a', sizeof text);
  text[CALLER_NAME_MAX] = ':';
  snprintf(subject, sizeof subject, REGISTRY "/%.*s", CALLER_NAME_MAX, text);
  check_basic(text, CALLER_NAME_MAX + 1, subject, true);
  text[CALLER_NAME_MAX] = 'a';
  text[CALLER_NAME_MAX + 1] = ':';
  check_basic(text, CALLER_NAME_MAX + 2, REGISTRY "/", false);

  char claims[CALLER_NAME_MAX + 32];
  snprintf(claims, sizeof claims, "{\"sub\":\"%.*s\"}", CALLER_NAME_MAX + 1, text);
  check_bearer(claims, NULL);
}

/* What a bearer is held against revocations by; odd times are none, and so as old as can be. */
static void reads_what_a_bearer_can_be_revoked_by(void **state) {
  static const struct {
    const char *claims, *id;
    int64_t issued;
  } rows[] = {
      {"{\"sub\":\"a\",\"jti\":\"x\",\"iat\":1700000000}", "x", 1700000000},
      {"{\"sub\":\"a\",\"iat\":1700000000.9}", "", 1700000000},
      {"{\"iat\":-1}", "", 0},
      {"{\"iat\":1e300,\"jti\":1}", "", 0},
      {"{\"iat\":\"1700000000\"}", "", 0},
      {"{}", "", 0},
  };
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    static const char header[] = "{\"alg\":\"ES256\",\"kid\":\"k\"}";
    char value[512] = "Bearer ";
    struct arena arena = {0};
    struct caller caller;
    size_t at = strlen(value);
    at += base64_encode(BASE64_URL, header, strlen(header), value + at);
    value[at++] = '.';
    at += base64_encode(BASE64_URL, rows[i].claims, strlen(rows[i].claims), value + at);
    memcpy(value + at, ".AAAA", 6);
    assert_int_equal(caller_read(slice_str(value), SLICE(REGISTRY), &arena, &caller, NULL), 0);
    assert_true(caller.bearer);
    assert_true(slice_equal(caller.key_id, SLICE("k")));
    assert_true(slice_equal(caller.token_id, slice_str(rows[i].id)));
    assert_int_equal(caller.issued, rows[i].issued);
    arena_free(&arena);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(names_basic_users),
      cmocka_unit_test(names_bearers_by_their_subject),
      cmocka_unit_test(names_bearers_whatever_their_signature),
      cmocka_unit_test(names_bearers_whatever_they_may_do),
      cmocka_unit_test(names_others_by_their_hash),
      cmocka_unit_test(passes_nothing_else_on),
      cmocka_unit_test(bounds_names),
      cmocka_unit_test(reads_what_a_bearer_can_be_revoked_by),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
