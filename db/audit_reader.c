#include "db/audit_reader.h"

#include "base/cleanup.h"
#include "db/audit_file.h"
#include "db/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* One reading of the log. */
struct reading {
  const struct audit_query *query;
  audit_visit *visit;
  void *arg;
  uint64_t *torn;
  const char *data_dir; /* for errors */
  bool stopped;
};

/* What is there when it begins. */
struct files {
  int folder;
  int64_t *times; /* of those that are full */
  size_t count;
  int current;   /* -1: there is none */
  uint64_t size; /* of the current one */
};

static int failed(const struct reading *r, int number, struct error *e) {
  return folder_failed(number, "read the audit log in", r->data_dir, e);
}

static struct slice text_of(const json_t *event, const char *member) {
  const json_t *text = json_object_get(event, member);
  return slice_of(json_string_value(text), json_string_length(text));
}

/* A subject is a registry's name, `/`, and a user's as a rule; the name of a registry has no `/`.
 */
static bool is_about(const json_t *event, struct slice name) {
  struct slice sub = text_of(event, "sub"), user = sub;
  slice_cut(&user, '/');
  return slice_equal(sub, name) || (user.ptr != NULL && slice_equal(user, name)) ||
         slice_equal(text_of(event, "user"), name);
}

static void take_line(struct reading *r, struct slice line) {
  int64_t time;
  bool begins = audit_event_time(line, &time);
  if (begins && time < r->query->since) {
    return;
  }
  json_t *event = begins ? audit_event_read(line) : NULL;
  if (event == NULL) {
    ++*r->torn;
    return;
  }
  if (r->query->name.len == 0 || is_about(event, r->query->name)) {
    r->stopped = !r->visit(r->arg, line, event);
  }
  json_decref(event);
}

/* Takes whole lines off the front. `beheaded`: the first one's beginning was thrown away. */
static void take_lines(struct reading *r, struct buf *bytes, bool *beheaded) {
  struct slice rest = buf_view(bytes);
  const char *end;
  while (!r->stopped && rest.len > 0 && (end = memchr(rest.ptr, '\n', rest.len)) != NULL) {
    struct slice line = slice_of(rest.ptr, (size_t)(end - rest.ptr));
    rest = slice_from(rest, line.len + 1);
    if (*beheaded) {
      *beheaded = false;
      ++*r->torn;
    } else {
      take_line(r, line);
    }
  }
  buf_consume(bytes, bytes->len - rest.len);
}

/* The first `size` bytes. */
static int read_file(struct reading *r, int fd, uint64_t size, struct error *e) {
  CLEANUP(buf_free) struct buf bytes = {0};
  bool beheaded = false;
  while (size > 0 && !r->stopped) {
    char *at = buf_reserve(&bytes, AUDIT_LINE_MAX);
    if (at == NULL) {
      return failed(r, ENOMEM, e);
    }
    ssize_t n = read(fd, at, size < AUDIT_LINE_MAX ? (size_t)size : AUDIT_LINE_MAX);
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n < 0) {
      return failed(r, errno, e);
    }
    if (n == 0) {
      break;
    }
    size -= (uint64_t)n;
    bytes.len += (size_t)n;
    take_lines(r, &bytes, &beheaded);
    if (bytes.len >= AUDIT_LINE_MAX) {
      beheaded = true;
      bytes.len = 0;
    }
  }
  if (!r->stopped && (beheaded || bytes.len > 0)) {
    ++*r->torn; /* no writer was at it when its size was taken */
  }
  return 0;
}

/* Those that are full keep their names; one that is removed meanwhile is the oldest. */
static int read_files(struct reading *r, const struct files *files, struct error *e) {
  for (size_t i = 0; i < files->count && !r->stopped; i++) {
    char name[AUDIT_NAME_MAX];
    audit_file_name(files->times[i], name);
    CLEANUP_FD int fd = openat(files->folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
      continue;
    }
    if (fd < 0) {
      return failed(r, errno, e);
    }
    if (read_file(r, fd, UINT64_MAX, e) != 0) {
      return -1;
    }
  }
  return files->current < 0 || r->stopped ? 0 : read_file(r, files->current, files->size, e);
}

/* Under the lock no line is half written, and no file is given its name. */
static int find_files(struct files *files) {
  struct stat s = {0};
  while (flock(files->folder, LOCK_SH) != 0) {
    if (errno != EINTR) {
      return -1;
    }
  }
  int result = audit_file_list(files->folder, &files->times, &files->count);
  if (result == 0) {
    files->current =
        openat(files->folder, AUDIT_CURRENT, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    result = files->current < 0 ? (errno == ENOENT ? 0 : -1) : fstat(files->current, &s);
    files->size = (uint64_t)s.st_size;
  }
  int number = errno;
  flock(files->folder, LOCK_UN);
  errno = number;
  return result;
}

int audit_read(const char *data_dir, const struct audit_query *query, audit_visit *visit, void *arg,
               uint64_t *torn, struct error *e) {
  struct reading r = {
      .query = query, .visit = visit, .arg = arg, .torn = torn, .data_dir = data_dir};
  struct files files = {.current = -1};
  *torn = 0;
  CLEANUP_FD int data = open(data_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
  files.folder = data < 0 ? -1 : openat(data, "audit", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (files.folder < 0) {
    return errno == ENOENT
               ? error_set(e, ERROR_NOT_FOUND,
                           "there is no audit log in %s: nothing was recorded yet", data_dir)
               : failed(&r, errno, e);
  }
  int result = find_files(&files) == 0 ? read_files(&r, &files, e) : failed(&r, errno, e);
  if (files.current >= 0) {
    close(files.current);
  }
  close(files.folder);
  free(files.times);
  return result;
}
