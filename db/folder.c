#include "db/folder.h"

#include "base/cleanup.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int folder_give(int folder, int file) {
  struct stat owner;
  struct stat s;
  if (geteuid() != 0) {
    return 0;
  }
  if (fstat(folder, &owner) != 0 || fstat(file, &s) != 0) {
    return -1;
  }
  if (s.st_uid == owner.st_uid && s.st_gid == owner.st_gid) {
    return 0;
  }
  if (s.st_nlink > 1) {
    errno = EPERM;
    return -1;
  }
  return fchown(file, owner.st_uid, owner.st_gid);
}

int folder_make_file(int folder, const char *name) {
  CLEANUP_FD int fd =
      openat(folder, name, O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) {
    return errno == EEXIST ? 0 : -1;
  }
  return folder_give(folder, fd);
}

/* What a crash of the machine right after it would undo. */
static int sync_folder(const char *path) {
  CLEANUP_FD int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return fd < 0 ? -1 : fsync(fd);
}

int folder_failed(int number, const char *what, const char *path, struct error *e) {
  char text[128];
  const char *why = strerror_r(number, text, sizeof text);
  const char *remedy = "";
  switch (number) {
  case EACCES:
  case EPERM:
  case EROFS:
    remedy = ": run as the user that owns it";
    break;
  case ENOSPC:
  case EDQUOT:
  case EFBIG:
    remedy = ": make room on the disk";
    break;
  default:
    break;
  }
  return error_set(e, ERROR_FAILED, "cannot %s %s: %s%s", what, path, why, remedy);
}

int folder_open(const char *data_dir, const char *path, struct error *e) {
  struct stat owner;
  if (file_make_folders(data_dir, e) != 0) {
    return -1;
  }
  bool made = mkdir(path, 0700) == 0;
  if ((!made && errno != EEXIST) || stat(data_dir, &owner) != 0 ||
      (made && sync_folder(data_dir) != 0)) {
    return folder_failed(errno, "make folder", path, e);
  }
  bool foreign = geteuid() == 0 && owner.st_uid != 0;
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (foreign ? O_NOFOLLOW : 0));
  if (fd < 0) {
    return folder_failed(errno, "open folder", path, e);
  }
  if (foreign && made && fchown(fd, owner.st_uid, owner.st_gid) != 0) {
    error_errno(e, errno, "cannot give %s to the owner of %s, run as that user instead", path,
                data_dir);
    close(fd);
    return -1;
  }
  return fd;
}
