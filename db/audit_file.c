#include "db/audit_file.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/rfc3339.h"
#include "db/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int failed(const struct audit_file *f, int number, const char *what, struct error *e) {
  return folder_failed(number, what, f->path, e);
}

/* --- names --- */

void audit_file_name(int64_t ms, char out[AUDIT_NAME_MAX]) {
  char t[RFC3339_TEXT_MAX];
  rfc3339_print(ms, t);
  snprintf(out, AUDIT_NAME_MAX, "audit-%.4s%.2s%.5s%.2s%.7s.jsonl", t, t + 5, t + 8, t + 14,
           t + 17);
}

/* Only names that audit_file_name() gives are taken: others' files stay untouched. */
static bool time_of(const char *name, int64_t *ms) {
  char t[RFC3339_TEXT_MAX];
  char again[AUDIT_NAME_MAX];
  if (strlen(name) != AUDIT_NAME_MAX - 1) {
    return false;
  }
  const char *n = name + sizeof "audit-" - 1;
  snprintf(t, sizeof t, "%.4s-%.2s-%.5s:%.2s:%.7s", n, n + 4, n + 6, n + 11, n + 13);
  if (!rfc3339_parse(slice_str(t), ms)) {
    return false;
  }
  audit_file_name(*ms, again);
  return strcmp(name, again) == 0;
}

static int compare_times(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a;
  int64_t y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

int audit_file_list(int folder, int64_t **times, size_t *count) {
  int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *dir = fd < 0 ? NULL : fdopendir(fd);
  *times = NULL;
  *count = 0;
  if (dir == NULL) {
    if (fd >= 0) {
      close(fd);
    }
    return -1;
  }
  errno = 0;
  for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
    int64_t ms;
    if (time_of(entry->d_name, &ms)) {
      int64_t *grown = realloc(*times, (*count + 1) * sizeof **times);
      if (grown == NULL) {
        break;
      }
      *times = grown;
      grown[(*count)++] = ms;
    }
    errno = 0;
  }
  int number = errno;
  closedir(dir);
  if (number != 0) {
    free(*times);
    *times = NULL;
    errno = number;
    return -1;
  }
  if (*count > 0) {
    qsort(*times, *count, sizeof **times, compare_times);
  }
  return 0;
}

/* --- the current file --- */

/* Neither a link nor a pipe, which the folder's owner may have put there for root. The name is
 * synced too, for whoever gave it may have died before he did that. */
static int open_current(struct audit_file *f, struct error *e) {
  struct stat s;
  f->fd = openat(f->folder, AUDIT_CURRENT,
                 O_CREAT | O_RDWR | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
  if (f->fd < 0 || fstat(f->fd, &s) != 0) {
    return failed(f, errno, "open the audit log", e);
  }
  if (!S_ISREG(s.st_mode)) {
    return error_set(e, ERROR_FAILED, "cannot open %s/" AUDIT_CURRENT ": it is no regular file",
                     f->path);
  }
  return folder_give(f->folder, f->fd) == 0 && fsync(f->folder) == 0
             ? 0
             : failed(f, errno, "open the audit log", e);
}

static void drop_current(struct audit_file *f) {
  if (f->fd >= 0) {
    close(f->fd);
    f->fd = -1;
  }
}

/* Another process may have begun a new file, and an operator may have taken this one away. */
static bool is_current(const struct audit_file *f) {
  struct stat open;
  struct stat named;
  return f->fd >= 0 && fstat(f->fd, &open) == 0 &&
         fstatat(f->folder, AUDIT_CURRENT, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
         open.st_ino == named.st_ino && open.st_dev == named.st_dev;
}

/* \return its size, or -1. */
static int64_t take_current(struct audit_file *f, struct error *e) {
  struct stat s;
  if (!is_current(f)) {
    drop_current(f);
    if (open_current(f, e) != 0) {
      drop_current(f);
      return -1;
    }
  }
  if (fstat(f->fd, &s) != 0) {
    return failed(f, errno, "open the audit log", e);
  }
  return s.st_size;
}

/* --- under the lock --- */

/* Names go on even when the clock has gone back. A file that cannot be removed is kept: what counts
 * is written. */
static int rotate(struct audit_file *f, struct error *e) {
  CLEANUP_FREE int64_t *times = NULL;
  size_t count = 0;
  char name[AUDIT_NAME_MAX];
  if (audit_file_list(f->folder, &times, &count) != 0) {
    return failed(f, errno, "rotate the audit log", e);
  }
  int64_t now = clock_now_ms();
  audit_file_name(count > 0 && times[count - 1] >= now ? times[count - 1] + 1 : now, name);
  if (renameat(f->folder, AUDIT_CURRENT, f->folder, name) != 0) {
    return failed(f, errno, "rotate the audit log", e);
  }
  for (size_t i = 0; count - i + 2 > f->files_max && i < count; i++) {
    audit_file_name(times[i], name);
    unlinkat(f->folder, name, 0);
  }
  return 0;
}

/* \return 0, or -1 with errno. */
static int write_whole(int fd, struct slice data) {
  while (data.len > 0) {
    ssize_t n = write(fd, data.ptr, data.len);
    if (n < 0 && errno != EINTR) {
      return -1;
    }
    data = slice_from(data, n < 0 ? 0 : (size_t)n);
  }
  return 0;
}

static bool is_torn(const struct audit_file *f, int64_t size) {
  char last;
  return size > 0 && (pread(f->fd, &last, 1, size - 1) != 1 || last != '\n');
}

static int append(struct audit_file *f, struct slice lines, struct error *e) {
  int64_t size = take_current(f, e);
  if (size > 0 && (uint64_t)size + lines.len > f->size_max) {
    size = rotate(f, e) == 0 ? take_current(f, e) : -1;
  }
  if (size < 0) {
    return -1;
  }
  if ((is_torn(f, size) && write_whole(f->fd, SLICE("\n")) != 0) ||
      write_whole(f->fd, lines) != 0 || fdatasync(f->fd) != 0) {
    int number = errno;
    /* Also what was written but not synced: a later sync may pass without it being on disk. */
    int ignored = ftruncate(f->fd, size);
    (void)ignored;
    return failed(f, number, "write to the audit log", e);
  }
  return 0;
}

static int lock(const struct audit_file *f, struct error *e) {
  while (flock(f->folder, LOCK_EX) != 0) {
    if (errno != EINTR) {
      return failed(f, errno, "lock the audit log", e);
    }
  }
  return 0;
}

int audit_file_append(struct audit_file *f, struct slice lines, struct error *e) {
  if (lock(f, e) != 0) {
    return -1;
  }
  int result = append(f, lines, e);
  flock(f->folder, LOCK_UN);
  return result;
}

int audit_file_open(struct audit_file *f, const char *data_dir, struct error *e) {
  f->folder = f->fd = -1;
  if (asprintf(&f->path, "%s/audit", data_dir) < 0) {
    f->path = NULL;
    return error_set(e, ERROR_FAILED, "cannot open %s/audit: out of memory", data_dir);
  }
  f->folder = folder_open(data_dir, f->path, e);
  if (f->folder < 0 || lock(f, e) != 0) {
    return -1;
  }
  int64_t size = take_current(f, e);
  flock(f->folder, LOCK_UN);
  return size < 0 ? -1 : 0;
}

void audit_file_close(struct audit_file *f) {
  drop_current(f);
  if (f->folder >= 0) {
    close(f->folder);
  }
  free(f->path);
}
