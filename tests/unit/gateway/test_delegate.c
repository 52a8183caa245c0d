#include "gateway/delegate.h"

#include "unit/cmocka_all.h"

#define DIGEST "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
#define OTHER  "sha256:60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"

static void judges(void **state) {
  static const struct {
    int status;
    const char *digest; /* NULL: none */
    bool has_length;
    const char *challenge;
    enum delegate_verdict verdict;
  } rows[] = {
      {200, DIGEST, true, NULL, DELEGATE_YES},
      {200, DIGEST, false, NULL, DELEGATE_YES},
      {200, OTHER, true, NULL, DELEGATE_UNCLEAR},
      {200, DIGEST "0", true, NULL, DELEGATE_UNCLEAR},
      {200, "sha256:", true, NULL, DELEGATE_UNCLEAR},
      {200, NULL, true, NULL, DELEGATE_YES_IF_SIZE},
      {200, NULL, false, NULL, DELEGATE_UNCLEAR},
      {401, NULL, true, "Basic realm=\"r\"", DELEGATE_CHALLENGE},
      {401, DIGEST, true, NULL, DELEGATE_CHALLENGE},
      {401, NULL, true, "Basic realm=\"r\r\nSet-Cookie: a\"", DELEGATE_UNCLEAR},
      {403, DIGEST, true, NULL, DELEGATE_HIDDEN},
      {404, DIGEST, true, NULL, DELEGATE_HIDDEN},
      {204, DIGEST, true, NULL, DELEGATE_UNCLEAR},
      {206, DIGEST, true, NULL, DELEGATE_UNCLEAR},
      {307, DIGEST, true, NULL, DELEGATE_UNCLEAR},
      {400, DIGEST, true, NULL, DELEGATE_UNCLEAR},
      {410, DIGEST, true, NULL, DELEGATE_UNCLEAR},
      {429, DIGEST, true, NULL, DELEGATE_UNCLEAR},
      {500, DIGEST, true, NULL, DELEGATE_UNCLEAR},
      {503, DIGEST, true, NULL, DELEGATE_UNCLEAR},
      {0, DIGEST, true, NULL, DELEGATE_UNCLEAR},
  };
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    const struct registry_answer answer = {
        .status = rows[i].status,
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

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(judges)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
