#include "prompt.h"

#include "auth/password.h"
#include "base/cleanup.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <termios.h>

_Static_assert(PROMPT_SPACE == PASSWORD_BYTES_MAX + 3, "the longest password, \r, \n, and more");

/* A terminal that does not show what is typed. Signals that would end the program wait until it
 * shows it again. */
struct quiet {
  struct termios before;
  sigset_t mask;
  int signals; /* readable when one waits */
};

static void quiet_end(struct quiet *q) {
  tcsetattr(STDIN_FILENO, TCSAFLUSH, &q->before);
  if (q->signals >= 0) {
    close(q->signals);
  }
  sigprocmask(SIG_SETMASK, &q->mask, NULL); /* here the signal that waits ends the program */
}

static int quiet_begin(struct quiet *q, struct error *e) {
  sigset_t ending;
  sigemptyset(&ending);
  sigaddset(&ending, SIGINT);
  sigaddset(&ending, SIGTERM);
  sigaddset(&ending, SIGHUP);
  sigaddset(&ending, SIGQUIT);
  if (tcgetattr(STDIN_FILENO, &q->before) != 0) {
    return error_errno(e, errno, "cannot hide what is typed");
  }
  struct termios hidden = q->before;
  hidden.c_lflag &= ~(tcflag_t)ECHO;
  hidden.c_lflag |= ECHONL | ICANON;
  sigprocmask(SIG_BLOCK, &ending, &q->mask);
  q->signals = signalfd(-1, &ending, SFD_CLOEXEC);
  if (q->signals < 0 || tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden) != 0) {
    error_errno(e, errno, "cannot hide what is typed");
    quiet_end(q);
    return -1;
  }
  return 0;
}

/* Waits until there is something to read; false when a signal came. */
static bool wait_for_input(const struct quiet *q) {
  struct pollfd waits[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                           {.fd = q == NULL ? -1 : q->signals, .events = POLLIN}};
  while (poll(waits, 2, -1) < 0 && errno == EINTR) {
  }
  return waits[1].revents == 0;
}

/* Reads up to the end of input, of a terminal up to that of a line. The number of bytes, or -1. */
static int read_input(char *out, const struct quiet *q, struct error *e) {
  size_t len = 0;
  while (len < PROMPT_SPACE) {
    if (!wait_for_input(q)) {
      return error_set(e, ERROR_FAILED, "interrupted");
    }
    ssize_t n = read(STDIN_FILENO, out + len, PROMPT_SPACE - len);
    if (n < 0) {
      return error_errno(e, errno, "cannot read the password from standard input");
    }
    len += (size_t)n;
    if (n == 0 || (q != NULL && out[len - 1] == '\n')) {
      return (int)len;
    }
  }
  return error_set(e, ERROR_USAGE, "the password is longer than %d bytes", PASSWORD_BYTES_MAX);
}

static int read_password(char *out, const struct quiet *q, struct error *e) {
  int len = read_input(out, q, e);
  if (len < 0) {
    return -1;
  }
  if (len > 0 && out[len - 1] == '\n') {
    len -= len > 1 && out[len - 2] == '\r' ? 2 : 1;
  }
  const char *wrong = password_check(slice_of(out, (size_t)len));
  return wrong == NULL ? len : error_set(e, ERROR_USAGE, "the password %s", wrong);
}

static int ask(const char *question, char *out, const struct quiet *q, struct error *e) {
  fprintf(stderr, "%s: ", question);
  return read_password(out, q, e);
}

static int ask_twice(char *out, const struct quiet *q, struct error *e) {
  char again[PROMPT_SPACE];
  int len = ask("Password", out, q, e);
  if (len < 0) {
    return -1;
  }
  int same = ask("The same again", again, q, e);
  if (same >= 0 && (same != len || memcmp(out, again, (size_t)len) != 0)) {
    same = error_set(e, ERROR_USAGE, "the two passwords differ");
  }
  explicit_bzero(again, sizeof again);
  return same;
}

int prompt_password(char *out, struct error *e) {
  struct quiet q;
  if (isatty(STDIN_FILENO) == 0) {
    return read_password(out, NULL, e);
  }
  if (quiet_begin(&q, e) != 0) {
    return -1;
  }
  int len = ask_twice(out, &q, e);
  quiet_end(&q);
  return len;
}
