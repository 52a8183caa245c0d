#include "base/file.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int file_read(const char *path, size_t limit, struct buf *out, struct error *e) {
  CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    error_errno(e, errno, "cannot read %s", path);
    if (e != NULL && errno == ENOENT) {
      e->kind = ERROR_NOT_FOUND;
    }
    return -1;
  }
  struct buf bytes = {.limit = limit + 1};
  for (;;) {
    size_t room = limit + 1 - bytes.len < 65536 ? limit + 1 - bytes.len : 65536;
    char *at = buf_reserve(&bytes, room);
    if (at == NULL) {
      buf_free(&bytes);
      return error_set(e, ERROR_FAILED, "cannot read %s: out of memory", path);
    }
    ssize_t n = read(fd, at, room);
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n < 0) {
      buf_free(&bytes);
      return error_errno(e, errno, "cannot read %s", path);
    }
    if (n == 0) {
      break;
    }
    bytes.len += (size_t)n;
    if (bytes.len > limit) {
      buf_free(&bytes);
      return error_set(e, ERROR_FAILED, "cannot read %s: it is larger than %zu bytes", path, limit);
    }
  }
  bytes.limit = 0;
  *out = bytes;
  return 0;
}

static int sync_folder_of(const char *path, struct error *e) {
  CLEANUP_FREE char *copy = strdup(path);
  if (copy == NULL) {
    return error_set(e, ERROR_FAILED, "cannot write %s: out of memory", path);
  }
  CLEANUP_FD int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0 || fsync(fd) != 0) {
    return error_errno(e, errno, "cannot write %s", path);
  }
  return 0;
}

static int write_all(int fd, struct slice data) {
  while (data.len > 0) {
    ssize_t n = write(fd, data.ptr, data.len);
    if (n < 0 && errno != EINTR) {
      return -1;
    }
    data = slice_from(data, n < 0 ? 0 : (size_t)n);
  }
  return 0;
}

/* What belongs to it already need not be given, which not everybody may do. */
static int give(int fd, const struct file_owner *owner) {
  struct stat s;
  if (owner == NULL) {
    return 0;
  }
  if (fstat(fd, &s) != 0) {
    return -1;
  }
  return s.st_uid == owner->user && s.st_gid == owner->group
             ? 0
             : fchown(fd, owner->user, owner->group);
}

/* With `fresh`, link(2) puts the file in place, for it refuses an existing name; else rename(2). */
static int put(const char *path, struct slice data, mode_t mode, const struct file_owner *owner,
               bool fresh, struct error *e) {
  const size_t len = strlen(path);
  CLEANUP_FREE char *temporary = malloc(len + sizeof ".XXXXXX");
  if (temporary == NULL) {
    return error_set(e, ERROR_FAILED, "cannot write %s: out of memory", path);
  }
  memcpy(temporary, path, len);
  memcpy(temporary + len, ".XXXXXX", sizeof ".XXXXXX");
  CLEANUP_FD int fd = mkostemp(temporary, O_CLOEXEC);
  if (fd < 0) {
    return error_errno(e, errno, "cannot write %s", path);
  }
  if (give(fd, owner) != 0 || fchmod(fd, mode) != 0 || write_all(fd, data) != 0 || fsync(fd) != 0 ||
      (fresh ? link(temporary, path) : rename(temporary, path)) != 0) {
    if (fresh && errno == EEXIST) {
      error_set(e, ERROR_FAILED, "cannot write %s: it exists, and is not overwritten", path);
    } else {
      error_errno(e, errno, "cannot write %s", path);
    }
    unlink(temporary);
    return -1;
  }
  if (fresh) {
    unlink(temporary);
  }
  return sync_folder_of(path, e);
}

int file_write(const char *path, struct slice data, mode_t mode, struct error *e) {
  return put(path, data, mode, NULL, false, e);
}

int file_write_for(const char *path, struct slice data, mode_t mode, const struct file_owner *owner,
                   struct error *e) {
  return put(path, data, mode, owner, false, e);
}

int file_create(const char *path, struct slice data, mode_t mode, struct error *e) {
  return put(path, data, mode, NULL, true, e);
}

int file_check_private(const char *path, struct error *e) {
  struct stat s;
  return stat(path, &s) != 0 || (s.st_mode & 077) == 0
             ? 0
             : error_set(
                   e, ERROR_USAGE,
                   "%s: others than its owner may use this private key (mode %04o): chmod 600 %s",
                   path, (unsigned)s.st_mode & 07777u, path);
}

int file_make_folders(const char *path, struct error *e) {
  CLEANUP_FREE char *part = strdup(path);
  if (part == NULL) {
    return error_set(e, ERROR_FAILED, "cannot make folder %s: out of memory", path);
  }
  for (char *p = part + 1; *part != '\0'; p++) {
    if (*p == '/' || *p == '\0') {
      char end = *p;
      *p = '\0';
      if (mkdir(part, 0755) != 0 && errno != EEXIST) {
        return error_errno(e, errno, "cannot make folder %s", part);
      }
      *p = end;
      if (end == '\0') {
        break;
      }
    }
  }
  struct stat s;
  if (stat(path, &s) != 0) {
    return error_errno(e, errno, "cannot make folder %s", path);
  }
  if (!S_ISDIR(s.st_mode)) {
    return error_errno(e, ENOTDIR, "cannot make folder %s", path);
  }
  return 0;
}

char *file_join(const char *folder, const char *name) {
  struct buf path = {0};
  buf_printf(&path, "%s/%s", folder, name);
  return path.ptr;
}

char *file_beside(const char *file, const char *path) {
  const char *slash = strrchr(file, '/');
  char *joined = NULL;
  if (path[0] == '/' || slash == NULL) {
    return strdup(path);
  }
  if (asprintf(&joined, "%.*s/%s", (int)(slash - file), file, path) < 0) {
    return NULL;
  }
  return joined;
}
