#include "base/log.h"

#include "unit/cmocka_all.h"

#include <regex.h>
#include <string.h>
#include <unistd.h>

#define TIME "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z"

/* Standard error goes into a pipe between catch() and caught(). */
struct capture {
  int saved, pipe[2];
  char text[16384];
};

static void catch (struct capture *c) {
  assert_int_equal(pipe(c->pipe), 0);
  c->saved = dup(STDERR_FILENO);
  assert_true(c->saved >= 0);
  assert_true(dup2(c->pipe[1], STDERR_FILENO) >= 0);
}

static const char *caught(struct capture *c) {
  dup2(c->saved, STDERR_FILENO);
  close(c->saved);
  close(c->pipe[1]);
  ssize_t n = read(c->pipe[0], c->text, sizeof c->text - 1);
  close(c->pipe[0]);
  assert_true(n >= 0);
  c->text[n] = '\0';
  return c->text;
}

static void assert_matches(const char *text, const char *pattern) {
  regex_t compiled;
  assert_int_equal(regcomp(&compiled, pattern, REG_EXTENDED | REG_NOSUB), 0);
  if (regexec(&compiled, text, 0, NULL, 0) != 0) {
    fail_msg("%s does not match %s", text, pattern);
  }
  regfree(&compiled);
}

static void test_text(void **state) {
  (void)state;
  const struct log log = {.level = LOG_LEVEL_DEBUG};
  struct capture c;
  catch (&c);
  log_write(&log, LOG_LEVEL_WARN, "a %s \"b\"\n\t\x1b[31m\xc2\x9b \xc3\xa9", "word");
  assert_matches(caught(&c), "^" TIME " warn a word \"b\"\\?\\?\\?\\[31m\\? \xc3\xa9\n$");
}

static void test_json(void **state) {
  (void)state;
  const struct log log = {.level = LOG_LEVEL_DEBUG, .json = true};
  struct capture c;
  catch (&c);
  log_write(&log, LOG_LEVEL_ERROR, "%s", "a \"b\" \\ \n\x01\x7f \xff");
  const char *line = caught(&c);
  assert_matches(line,
                 "^\\{\"time\":\"" TIME "\",\"level\":\"error\",\"message\":\"[^\n]*\"\\}\n$");
  assert_non_null(strstr(line, ":\"a \\\"b\\\" \\\\ \\u000a\\u0001\\u007f \\u00ff\"}"));
}

static void test_levels(void **state) {
  (void)state;
  static const char *const names[] = {"error", "warn", "info", "debug"};
  for (int limit = LOG_LEVEL_ERROR; limit <= LOG_LEVEL_DEBUG; limit++) {
    const struct log log = {.level = (enum log_level)limit};
    struct capture c;
    catch (&c);
    for (int level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_DEBUG; level++) {
      log_write(&log, (enum log_level)level, "x");
    }
    const char *text = caught(&c);
    for (int level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_DEBUG; level++) {
      assert_int_equal(strstr(text, names[level]) != NULL, level <= limit);
    }
  }
}

/* A long message is cut, and its line still ends; as JSON even when every byte is escaped. */
static void test_long(void **state) {
  (void)state;
  char longer[8192];
  memset(longer, '\x01', sizeof longer - 1);
  longer[sizeof longer - 1] = '\0';
  for (int json = 0; json < 2; json++) {
    const struct log log = {.level = LOG_LEVEL_INFO, .json = json != 0};
    struct capture c;
    catch (&c);
    log_write(&log, LOG_LEVEL_INFO, "%s", longer);
    const char *line = caught(&c);
    size_t len = strlen(line);
    assert_true(len > 2000);
    assert_true(len < (json ? 6 * 2048 + 100 : 2048 + 100));
    assert_ptr_equal(strchr(line, '\n'), line + len - 1);
    assert_true(json == 0 || strcmp(line + len - 3, "\"}\n") == 0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_text),
      cmocka_unit_test(test_json),
      cmocka_unit_test(test_levels),
      cmocka_unit_test(test_long),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
