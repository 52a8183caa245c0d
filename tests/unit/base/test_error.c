#include "base/error.h"

#include "unit/cmocka_all.h"

#include <errno.h>
#include <string.h>

static void test_set(void **state) {
  (void)state;
  struct error e = {0};
  assert_int_equal(error_set(&e, ERROR_DENIED, "%s: %d", "what", 7), -1);
  assert_int_equal(e.kind, ERROR_DENIED);
  assert_string_equal(e.text, "what: 7");
  error_set(&e, ERROR_USAGE, "again");
  assert_int_equal(e.kind, ERROR_USAGE);
  assert_string_equal(e.text, "again");
}

static void test_exit_codes(void **state) {
  (void)state;
  assert_int_equal(ERROR_NONE, 0);
  assert_int_equal(ERROR_FAILED, 1);
  assert_int_equal(ERROR_USAGE, 2);
  assert_int_equal(ERROR_DENIED, 3);
  assert_int_equal(ERROR_NOT_FOUND, 4);
  assert_int_equal(ERROR_MISMATCH, 5);
}

static void test_errno(void **state) {
  (void)state;
  struct error e = {0};
  assert_int_equal(error_errno(&e, ENOENT, "cannot read %s", "x"), -1);
  assert_int_equal(e.kind, ERROR_FAILED);
  assert_string_equal(e.text, "cannot read x: No such file or directory");
  error_errno(&e, 99999, "odd");
  assert_non_null(strstr(e.text, "odd: "));
}

static void test_context(void **state) {
  (void)state;
  struct error e = {0};
  error_set(&e, ERROR_MISMATCH, "inner");
  assert_int_equal(error_context(&e, "layer %d", 3), -1);
  error_context(&e, "image");
  assert_int_equal(e.kind, ERROR_MISMATCH);
  assert_string_equal(e.text, "image: layer 3: inner");
}

static void test_one_line(void **state) {
  (void)state;
  struct error e = {0};
  error_set(&e, ERROR_FAILED,
            "\xc2\x9b"
            "31m \xc3\x9b");
  assert_string_equal(e.text, "??31m \xc3\x9b");
  error_set(&e, ERROR_FAILED, "a\nb\r\tc\x1b[31m\x7f%s", "\n");
  assert_string_equal(e.text, "a?b??c?[31m??");
  error_context(&e, "x\n");
  assert_string_equal(e.text, "x?: a?b??c?[31m??");
  error_errno(&e, ENOENT, "\x01");
  assert_string_equal(e.text, "?: No such file or directory");
  error_set(&e, ERROR_FAILED, "d\xc3\xa9j\xc3\xa0");
  assert_string_equal(e.text, "d\xc3\xa9j\xc3\xa0");
}

/* Cut at the end, terminated, whichever part is too long. */
static void test_cut(void **state) {
  (void)state;
  char longer[2 * ERROR_TEXT_MAX];
  struct error e = {0};
  memset(longer, 'x', sizeof longer - 1);
  longer[sizeof longer - 1] = '\0';
  error_set(&e, ERROR_FAILED, "%s", longer);
  assert_int_equal(strlen(e.text), ERROR_TEXT_MAX - 1);
  error_context(&e, "in front");
  assert_int_equal(strlen(e.text), ERROR_TEXT_MAX - 1);
  assert_memory_equal(e.text, "in front: xxx", 13);
  error_context(&e, "%s", longer);
  assert_int_equal(strlen(e.text), ERROR_TEXT_MAX - 1);
  error_errno(&e, ENOENT, "%s", longer);
  assert_int_equal(strlen(e.text), ERROR_TEXT_MAX - 1);
}

static void test_nobody_asks(void **state) {
  (void)state;
  assert_int_equal(error_set(NULL, ERROR_FAILED, "x"), -1);
  assert_int_equal(error_errno(NULL, ENOENT, "x"), -1);
  assert_int_equal(error_context(NULL, "x"), -1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_set),         cmocka_unit_test(test_exit_codes),
      cmocka_unit_test(test_errno),       cmocka_unit_test(test_context),
      cmocka_unit_test(test_one_line),    cmocka_unit_test(test_cut),
      cmocka_unit_test(test_nobody_asks),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
