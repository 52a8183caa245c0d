#include "gateway/delegate.h"

#include "unit/cmocka_all.h"

#define DIGEST "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
#define OTHER  "sha256:60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"

static void judges(void **state) {
  static const struct {
    const char *digest; /* NULL: none */
    const char *challenge;
    int status;
    enum delegate_verdict verdict;
    bool has_length;
    bool redirected;
  } rows[] = {
      {DIGEST, NULL, 200, DELEGATE_YES, true, false},
      {DIGEST, NULL, 200, DELEGATE_YES, false, false},
      {OTHER, NULL, 200, DELEGATE_UNCLEAR, true, false},
      {DIGEST "0", NULL, 200, DELEGATE_UNCLEAR, true, false},
      {"", NULL, 200, DELEGATE_UNCLEAR, true, false},
      {"sha256:", NULL, 200, DELEGATE_UNCLEAR, true, false},
      {NULL, NULL, 200, DELEGATE_YES_IF_SIZE, true, false},
      {NULL, NULL, 200, DELEGATE_UNCLEAR, false, false},
      {NULL, "Basic realm=\"r\"", 401, DELEGATE_CHALLENGE, true, false},
      {DIGEST, NULL, 401, DELEGATE_CHALLENGE, true, false},
      {NULL, "Basic realm=\"r\r\nSet-Cookie: a\"", 401, DELEGATE_UNCLEAR, true, false},
      {NULL, "Basic realm=\"r\"", 401, DELEGATE_UNCLEAR, true, true},
      {NULL, NULL, 200, DELEGATE_YES_IF_SIZE, true, true},
      {DIGEST, NULL, 404, DELEGATE_HIDDEN, true, true},
      {DIGEST, NULL, 403, DELEGATE_HIDDEN, true, false},
      {DIGEST, NULL, 404, DELEGATE_HIDDEN, true, false},
      {DIGEST, NULL, 204, DELEGATE_UNCLEAR, true, false},
      {DIGEST, NULL, 206, DELEGATE_UNCLEAR, true, false},
      {DIGEST, NULL, 307, DELEGATE_UNCLEAR, true, false},
      {DIGEST, NULL, 400, DELEGATE_UNCLEAR, true, false},
      {DIGEST, NULL, 410, DELEGATE_UNCLEAR, true, false},
      {DIGEST, NULL, 429, DELEGATE_UNCLEAR, true, false},
      {DIGEST, NULL, 500, DELEGATE_UNCLEAR, true, false},
      {DIGEST, NULL, 503, DELEGATE_UNCLEAR, true, false},
      {DIGEST, NULL, 0, DELEGATE_UNCLEAR, true, false},
  };
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    const struct registry_answer answer = {
        .status = rows[i].status,
        .redirected = rows[i].redirected,
        .docker_content_digest = slice_str(rows[i].digest),
        .www_authenticate = slice_str(rows[i].challenge),
        .has_length = rows[i].has_length,
        .length = 1234,
    };
    struct delegate_answer a = delegate_judge(&answer, SLICE(DIGEST));
    if (a.verdict != rows[i].verdict) {
      fail_msg("row %zu: %d", i, (int)a.verdict);
    }
    assert_int_equal(a.status, rows[i].status);
    if (a.verdict == DELEGATE_YES_IF_SIZE) {
      assert_int_equal(a.size, 1234);
    }
    assert_int_equal(a.challenge.len,
                     a.verdict == DELEGATE_CHALLENGE ? answer.www_authenticate.len : 0);
  }
}

/* A tag is what the registry says it is, which it has to. */
static void judges_a_tag(void **state) {
  static const struct {
    const char *digest;
    enum delegate_verdict verdict;
  } rows[] = {
      {DIGEST, DELEGATE_YES},       {NULL, DELEGATE_UNCLEAR},        {"", DELEGATE_UNCLEAR},
      {"latest", DELEGATE_UNCLEAR}, {"sha256:00", DELEGATE_UNCLEAR},
  };
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    const struct registry_answer answer = {
        .status = 200,
        .docker_content_digest = slice_str(rows[i].digest),
        .has_length = true,
        .length = 1234,
    };
    struct delegate_answer a = delegate_judge(&answer, SLICE("latest"));
    assert_int_equal(a.verdict, rows[i].verdict);
    assert_int_equal(a.digest.len, a.verdict == DELEGATE_YES ? strlen(DIGEST) : 0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(judges), cmocka_unit_test(judges_a_tag)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
