#include "gateway/token_request.h"

#include "support/heap.h"
#include "unit/cmocka_all.h"

#include <stdio.h>

#define FORM "application/x-www-form-urlencoded"

static struct arena arena;

static int teardown(void **state) {
  (void)state;
  arena_free(&arena);
  return 0;
}

static int get(const char *query, const char *authorization, struct token_request *out,
               struct error *e) {
  const struct token_request_input in = {.query = slice_str(query),
                                         .authorization = slice_str(authorization)};
  return token_request_read(&in, &arena, out, e);
}

static int post(const char *body, struct token_request *out, struct error *e) {
  const struct token_request_input in = {
      .post = true, .content_type = SLICE(FORM), .body = slice_str(body)};
  return token_request_read(&in, &arena, out, e);
}

static void assert_slice(struct slice s, const char *text) {
  if (!slice_equal(s, slice_str(text))) {
    fail_msg("'%.*s' is not '%s'", (int)s.len, s.ptr, text);
  }
}

static void nobody(void **state) {
  (void)state;
  struct token_request r;
  assert_int_equal(get("", NULL, &r, NULL), 0);
  assert_int_equal(r.proof, TOKEN_REQUEST_NOBODY);
  assert_int_equal(r.scopes.count, 0);
  assert_int_equal(r.service.len, 0);
  assert_false(r.offline);
  assert_int_equal(get("service=registry.example&scope=repository%3Ateam%2Fapp%3Apull%2Cpush&scope="
                       "repository:b:pull+repository:c:pull%20repository:b:push&account=x&other",
                       NULL, &r, NULL),
                   0);
  assert_slice(r.service, "registry.example");
  assert_int_equal(r.scopes.count, 3);
  assert_slice(r.scopes.items[0].name, "team/app");
  assert_int_equal(r.scopes.items[0].actions, SCOPE_PULL | SCOPE_PUSH);
  assert_slice(r.scopes.items[1].name, "b");
  assert_int_equal(r.scopes.items[1].actions, SCOPE_PULL | SCOPE_PUSH);
  assert_slice(r.scopes.items[2].name, "c");
}

static void basic(void **state) {
  (void)state;
  static const struct {
    const char *authorization, *user, *password;
  } rows[] = {
      {"Basic YWxpY2U6c2VjcmV0", "alice", "secret"},
      {"bASIC  YWxpY2U6c2VjcmV0 ", "alice", "secret"},
      {"Basic YTpiOmM6", "a", "b:c:"},
      {"Basic Og==", "", ""},
      {"Basic OnRva2Vu", "", "token"},
      {"Basic d3JpdGVyOnDDpHNz", "writer", "p\xc3\xa4ss"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct token_request r;
    assert_int_equal(get("offline_token=true&client_id=c", rows[i].authorization, &r, NULL), 0);
    assert_int_equal(r.proof, TOKEN_REQUEST_PASSWORD);
    assert_slice(r.user, rows[i].user);
    assert_slice(r.password, rows[i].password);
    assert_slice(r.client, "c");
    assert_true(r.offline);
    const char *bytes = r.password.ptr;
    size_t len = r.password.len;
    token_request_wipe(&r);
    assert_int_equal(r.password.len, 0);
    for (size_t k = 0; k < len; k++) {
      assert_int_equal(bytes[k], 0);
    }
  }
}

static void forms(void **state) {
  (void)state;
  struct token_request r;
  assert_int_equal(post("grant_type=password&username=al%20ice&password=a%2Bb+c%26d&scope="
                        "repository:a:pull+repository:b:pull&access_type=offline&service=s",
                        &r, NULL),
                   0);
  assert_int_equal(r.proof, TOKEN_REQUEST_PASSWORD);
  assert_slice(r.user, "al ice");
  assert_slice(r.password, "a+b c&d");
  assert_slice(r.service, "s");
  assert_int_equal(r.scopes.count, 2);
  assert_true(r.offline);
  assert_int_equal(post("grant_type=refresh_token&refresh_token=abc-_9", &r, NULL), 0);
  assert_int_equal(r.proof, TOKEN_REQUEST_REFRESH);
  assert_slice(r.refresh, "abc-_9");
  assert_false(r.offline);
  /* As containerd may say it. */
  const struct token_request_input in = {.post = true,
                                         .content_type = SLICE("Application/X-WWW-form-urlencoded "
                                                               "; charset=utf-8"),
                                         .query = SLICE("grant_type=password"),
                                         .body = SLICE("grant_type=refresh_token&refresh_token=a"),
                                         .authorization = SLICE("Basic nonsense")};
  assert_int_equal(token_request_read(&in, &arena, &r, NULL), 0);
  assert_int_equal(r.proof, TOKEN_REQUEST_REFRESH);
}

static void malformed_is_refused(void **state) {
  (void)state;
  static char long_name[400];
  static const struct {
    const char *query, *authorization, *body;
  } rows[] = {
      {"service=%", NULL, NULL},
      {"service=a&service=a", NULL, NULL},
      {"client_id=a&client_id=a", NULL, NULL},
      {"scope=repository", NULL, NULL},
      {"scope=repository:UPPER:pull", NULL, NULL},
      {"scope=%zz", NULL, NULL},
      {"", "Bearer abc", NULL},
      {"", "Basic", NULL},
      {"", "Basic !", NULL},
      {"", "Basic YWxpY2U", NULL},
      {"", "Basic YWxpY2U=", NULL}, /* no colon */
      {"", "", NULL},
      {NULL, NULL, ""},
      {NULL, NULL, "grant_type=code"},
      {NULL, NULL, "grant_type=password"},
      {NULL, NULL, "grant_type=password&username=a"},
      {NULL, NULL, "grant_type=password&password=a"},
      {NULL, NULL, "grant_type=password&username=a&password=a&password=b"},
      {NULL, NULL, "grant_type=refresh_token"},
      {NULL, NULL, "grant_type=refresh_token&refresh_token="},
      {NULL, NULL, long_name},
  };
  memset(long_name, 'a', sizeof long_name - 1);
  static const struct slice begins = {"grant_type=refresh_token&refresh_token=", 39};
  memcpy(long_name, begins.ptr, begins.len);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct token_request r;
    struct error e = {0};
    int status = rows[i].body == NULL ? get(rows[i].query, rows[i].authorization, &r, &e)
                                      : post(rows[i].body, &r, &e);
    if (status == 0 || e.kind != ERROR_USAGE) {
      fail_msg("row %zu: %d, %d %s", i, status, e.kind, e.text);
    }
    assert_null(strstr(e.text, "YWxp"));
  }
}

static void names_have_bounds(void **state) {
  (void)state;
  static const struct {
    const char *begin;
    int most;
  } rows[] = {
      {"grant_type=password&password=p&username=", TOKEN_REQUEST_NAME_MAX},
      {"grant_type=password&username=u&password=", TOKEN_REQUEST_PASSWORD_MAX},
      {"grant_type=refresh_token&refresh_token=", TOKEN_REQUEST_REFRESH_MAX},
      {"grant_type=refresh_token&refresh_token=r&client_id=", TOKEN_REQUEST_NAME_MAX},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    char text[2048];
    struct token_request r;
    struct error e = {0};
    snprintf(text, sizeof text, "%s%0*d", rows[i].begin, rows[i].most, 1);
    assert_int_equal(post(text, &r, NULL), 0);
    snprintf(text, sizeof text, "%s%0*d", rows[i].begin, rows[i].most + 1, 1);
    assert_int_equal(post(text, &r, &e), -1);
    assert_int_equal(e.kind, ERROR_USAGE);
  }
}

static void forms_are_forms(void **state) {
  (void)state;
  static const char *const types[] = {"", "application/json", "text/plain", FORM "x"};
  for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
    struct token_request r;
    struct error e = {0};
    const struct token_request_input in = {.post = true,
                                           .content_type = slice_str(types[i]),
                                           .body =
                                               SLICE("grant_type=refresh_token&refresh_token=a")};
    assert_int_equal(token_request_read(&in, &arena, &r, &e), -1);
    assert_int_equal(e.kind, ERROR_USAGE);
  }
}

static int read_both(void *arg, struct error *e) {
  (void)arg;
  struct token_request r;
  int status = get("scope=repository:a:pull&service=s", "Basic YWxpY2U6c2VjcmV0", &r, e);
  if (status == 0) {
    status = post("grant_type=password&username=a&password=b", &r, e);
  }
  arena_free(&arena);
  return status;
}

static void memory_runs_out(void **state) {
  (void)state;
  heap_exhaust(read_both, NULL);
}

int main(void) {
#define TEST(name) cmocka_unit_test_teardown(name, teardown)
  const struct CMUnitTest tests[] = {
      TEST(nobody),
      TEST(basic),
      TEST(forms),
      TEST(malformed_is_refused),
      TEST(names_have_bounds),
      TEST(forms_are_forms),
      TEST(memory_runs_out),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
