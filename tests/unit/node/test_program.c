/* Programs that are run to their end, or until they are to be given up. */
#include "node/program.h"

#include "support/heap.h"
#include "unit/cmocka_all.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static int shell(const char *script, program_feed *feed, int stop, struct error *e) {
  const char *const argv[] = {"sh", "-c", script, NULL};
  *e = (struct error){0};
  return program_run(argv, feed, NULL, stop, e);
}

static void must_fail(const char *script, program_feed *feed, const char *text) {
  struct error e;
  assert_int_equal(shell(script, feed, -1, &e), -1);
  assert_int_equal(e.kind, ERROR_FAILED);
  assert_string_equal(e.text, text);
}

static void how_it_ends(void **state) {
  struct error e;
  (void)state;
  assert_int_equal(shell("echo fine; echo yes >&2", NULL, -1, &e), 0);
  must_fail("echo first; echo ' the last ' >&2; echo; exit 3", NULL, "sh: exit 3: the last");
  must_fail("exit 4", NULL, "sh: exit 4");
  must_fail("kill -9 $$", NULL, "sh was ended by signal 9");
  must_fail("printf 'a\\033[2Jb'; exit 1", NULL, "sh: exit 1: a?[2Jb");
  /* Nothing to read, and as much as it likes to say. */
  assert_int_equal(shell("test -z \"$(cat)\" && head -c 1000000 /dev/zero", NULL, -1, &e), 0);
}

static void a_program_that_is_not_there(void **state) {
  const char *const argv[] = {"no-such-program", NULL};
  struct error e = {0};
  (void)state;
  assert_int_equal(program_run(argv, NULL, NULL, -1, &e), -1);
  assert_string_equal(e.text, "cannot run no-such-program: No such file or directory");
  assert_false(program_found("no-such-program"));
  assert_true(program_found("sh"));
  assert_false(program_found("..")); /* a folder */
}

static int write_all(int fd, size_t len, struct error *e) {
  static const char zeros[65536];
  while (len > 0) {
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    poll(&p, 1, -1);
    ssize_t n = write(fd, zeros, len < sizeof zeros ? len : sizeof zeros);
    if (n < 0 && errno != EAGAIN) {
      return error_errno(e, errno, "cannot feed it");
    }
    len -= n < 0 ? 0 : (size_t)n;
  }
  return 0;
}

static int feed_million(void *arg, int fd, struct error *e) {
  (void)arg;
  return write_all(fd, 1000000, e);
}

static int feed_part(void *arg, int fd, struct error *e) {
  (void)arg;
  return write_all(fd, 1000, e) == 0 ? error_set(e, ERROR_MISMATCH, "it is damaged") : -1;
}

static void what_it_reads(void **state) {
  struct error e;
  (void)state;
  assert_int_equal(shell("test $(wc -c) = 1000000", feed_million, -1, &e), 0);
  must_fail("echo tired; exit 1", feed_million, "sh: exit 1: tired");
  must_fail("exec <&-; exit 0", feed_million, "cannot feed it: Broken pipe");
  /* What was wrong with the food matters more than what it says about that. */
  assert_int_equal(shell("cat >/dev/null; echo half; exit 1", feed_part, -1, &e), -1);
  assert_string_equal(e.text, "it is damaged");
  assert_int_equal(e.kind, ERROR_MISMATCH);
}

/* It has our ignored and blocked signals as they usually are, and no descriptor of ours. */
static void what_it_inherits(void **state) {
  struct error e;
  sigset_t blocked;
  (void)state;
  int ours = fcntl(STDERR_FILENO, F_DUPFD, 60); /* without close-on-exec */
  assert_true(ours >= 60);
  assert_int_equal(shell("test ! -e /proc/self/fd/60", NULL, -1, &e), 0);
  close(ours);
  must_fail("kill -PIPE $$", NULL, "sh was ended by signal 13"); /* main() has it ignored */
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  sigprocmask(SIG_BLOCK, &blocked, NULL);
  must_fail("kill -TERM $$", NULL, "sh was ended by signal 15");
  sigprocmask(SIG_UNBLOCK, &blocked, NULL);
}

static void it_is_given_up(void **state) {
  struct error e;
  int stop = eventfd(1, EFD_CLOEXEC);
  (void)state;
  assert_int_equal(shell("exec sleep 600", NULL, stop, &e), -1);
  assert_string_equal(e.text, "interrupted");
  close(stop);
}

static int run_again(void *arg, struct error *e) {
  const char *const argv[] = {"true", NULL};
  (void)arg;
  return program_found("true") ? program_run(argv, NULL, NULL, -1, e)
                               : error_set(e, ERROR_FAILED, "out of memory");
}

static void memory_that_runs_out_is_said(void **state) {
  (void)state;
  heap_exhaust(run_again, NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(how_it_ends),    cmocka_unit_test(a_program_that_is_not_there),
      cmocka_unit_test(what_it_reads),  cmocka_unit_test(what_it_inherits),
      cmocka_unit_test(it_is_given_up), cmocka_unit_test(memory_that_runs_out_is_said),
  };
  signal(SIGPIPE, SIG_IGN);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
