#include "node/program.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "node/stop.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum {
  SAID_MAX = 4096,      /* bytes of the end of its output that the last line is looked for in */
  KILL_AFTER_MS = 5000, /* of asking it to end */
};

bool program_found(const char *name) {
  const char *path = getenv("PATH");
  struct slice rest = slice_str(path == NULL ? "/usr/bin:/bin" : path);
  while (rest.ptr != NULL) {
    struct slice folder = slice_cut(&rest, ':');
    CLEANUP(buf_free) struct buf file = {0};
    struct stat s;
    buf_printf(&file, "%.*s/%s", SLICE_ARG(folder.len == 0 ? SLICE(".") : folder), name);
    if (!file.failed && stat(file.ptr, &s) == 0 && S_ISREG(s.st_mode) &&
        access(file.ptr, X_OK) == 0) {
      return true;
    }
  }
  return false;
}

/* A program on its way. */
struct running {
  const char *name;
  pid_t pid;
  int said;  /* what it prints */
  int input; /* what it reads; ours no more once it runs */
  int fed;   /* the other end of that; -1: there is nothing to read */
  int ended; /* a pidfd: readable once it has */
};

static void close_end(int *fd) {
  if (*fd >= 0) {
    close(*fd);
  }
  *fd = -1;
}

/* --- its start --- */

static int set_up(const struct running *r, posix_spawnattr_t *attributes,
                  posix_spawn_file_actions_t *files) {
  sigset_t none;
  sigset_t usual; /* what we ignore it should not */
  sigemptyset(&none);
  sigemptyset(&usual);
  sigaddset(&usual, SIGPIPE);
  sigaddset(&usual, SIGXFSZ);
  int failed = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF |
                                                        POSIX_SPAWN_SETSIGMASK);
  failed |= posix_spawnattr_setpgroup(attributes, 0);
  failed |= posix_spawnattr_setsigdefault(attributes, &usual);
  failed |= posix_spawnattr_setsigmask(attributes, &none);
  failed |= posix_spawn_file_actions_adddup2(files, r->input, STDIN_FILENO);
  failed |= posix_spawn_file_actions_adddup2(files, r->said, STDOUT_FILENO);
  failed |= posix_spawn_file_actions_adddup2(files, r->said, STDERR_FILENO);
  failed |= posix_spawn_file_actions_addclosefrom_np(files, STDERR_FILENO + 1);
  return failed == 0 ? 0 : -1;
}

static int open_ends(struct running *r, bool feeds, struct error *e) {
  int ends[2] = {-1, -1};
  r->said = memfd_create("said", MFD_CLOEXEC);
  if (!feeds) {
    ends[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
  } else if (pipe2(ends, O_CLOEXEC) == 0) {
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
  }
  r->input = ends[0];
  r->fed = ends[1];
  return r->said >= 0 && r->input >= 0 ? 0 : error_errno(e, errno, "cannot run %s", r->name);
}

static int spawn(struct running *r, const char *const *argv, struct error *e) {
  char *const *arguments; /* whose type is older than const; they are not changed */
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_t files;
  memcpy(&arguments, &argv, sizeof arguments);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_init(&files);
  int number = ENOMEM;
  if (set_up(r, &attributes, &files) == 0) {
    number = posix_spawnp(&r->pid, argv[0], &files, &attributes, arguments, environ);
  }
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  if (number != 0) {
    return error_errno(e, number, "cannot run %s", argv[0]);
  }
  r->ended = pidfd_open(r->pid, 0);
  if (r->ended < 0) {
    error_errno(e, errno, "cannot run %s", argv[0]);
    kill(r->pid, SIGKILL);
    waitpid(r->pid, NULL, 0);
    return -1;
  }
  return 0;
}

/* --- its end --- */

/* Waits until it has ended, by itself or because it should; true if by itself. */
static bool wait_for_end(const struct running *r, int stop) {
  struct pollfd p[] = {{.fd = r->ended, .events = POLLIN}, {.fd = stop, .events = POLLIN}};
  while (poll(p, 2, -1) < 0 && errno == EINTR) {
  }
  if (p[0].revents != 0) {
    return true;
  }
  kill(r->pid, SIGTERM);
  if (poll(p, 1, KILL_AFTER_MS) != 1) {
    kill(r->pid, SIGKILL);
  }
  return false;
}

/* The last line that says something. */
static struct slice last_line(int said, char text[SAID_MAX]) {
  off_t size = lseek(said, 0, SEEK_END);
  off_t from = size > SAID_MAX ? size - SAID_MAX : 0;
  ssize_t n = pread(said, text, SAID_MAX, from);
  struct slice rest = slice_of(text, n < 0 ? 0 : (size_t)n);
  struct slice last = {NULL, 0};
  while (rest.ptr != NULL) {
    struct slice line = slice_trim(slice_cut(&rest, '\n'));
    last = line.len > 0 ? line : last;
  }
  return last;
}

static int judge(const struct running *r, int status, struct error *e) {
  char text[SAID_MAX];
  struct slice said = last_line(r->said, text);
  if (WIFSIGNALED(status)) {
    return error_set(e, ERROR_FAILED, "%s was ended by signal %d", r->name, WTERMSIG(status));
  }
  return WEXITSTATUS(status) == 0
             ? 0
             : error_set(e, ERROR_FAILED, "%s: exit %d%s%.*s", r->name, WEXITSTATUS(status),
                         said.len == 0 ? "" : ": ", SLICE_ARG(said));
}

static bool has_reader(int pipe) {
  struct pollfd p = {.fd = pipe};
  return poll(&p, 1, 0) == 0;
}

static int see_to_its_end(struct running *r, program_feed *feed, void *arg, int stop,
                          struct error *e) {
  int status = 0;
  bool listens = true;
  struct error unfed = {0};
  close_end(&r->input); /* so that we are told when it reads no more */
  if (feed != NULL) {
    feed(arg, r->fed, &unfed);
    listens = has_reader(r->fed);
    close_end(&r->fed);
  }
  bool by_itself = wait_for_end(r, stop);
  while (waitpid(r->pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (!by_itself) {
    return error_set(e, ERROR_FAILED, "interrupted");
  }
  /* What it says tells more than that it reads no more; but not why it was fed no more. */
  if (unfed.kind == ERROR_NONE || !listens) {
    int result = judge(r, status, e);
    if (result != 0 || unfed.kind == ERROR_NONE) {
      return result;
    }
  }
  return error_set(e, unfed.kind, "%s", unfed.text);
}

int program_run(const char *const *argv, program_feed *feed, void *arg, int stop, struct error *e) {
  struct running r = {.name = argv[0], .said = -1, .input = -1, .fed = -1, .ended = -1};
  int result = open_ends(&r, feed != NULL, e) == 0 && spawn(&r, argv, e) == 0
                   ? see_to_its_end(&r, feed, arg, stop, e)
                   : -1;
  close_end(&r.said);
  close_end(&r.input);
  close_end(&r.fed);
  close_end(&r.ended);
  return result;
}
