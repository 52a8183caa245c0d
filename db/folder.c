/* Where the environment lives. LMDB makes its files as whoever runs; when that is root and the
 * folder is another's, they are made here first and given to that user, or else the server, which
 * is not root, could not open what the tool has made. */
#include "base/cleanup.h"
#include "base/file.h"
#include "db/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file that is there already stays as it is. No link is followed: its owner may have made it. */
static int make_file(int folder, const char *name, const struct stat *owner) {
  CLEANUP_FD int fd =
      openat(folder, name, O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) {
    return errno == EEXIST ? 0 : -1;
  }
  return fchown(fd, owner->st_uid, owner->st_gid);
}

int db_folder_make(const char *data_dir, const char *path, struct error *e) {
  struct stat owner;
  if (file_make_folders(data_dir, e) != 0) {
    return -1;
  }
  bool made = mkdir(path, 0700) == 0;
  if ((!made && errno != EEXIST) || stat(data_dir, &owner) != 0) {
    return error_errno(e, errno, "cannot make folder %s", path);
  }
  if (geteuid() != 0 || owner.st_uid == 0) {
    return 0;
  }
  CLEANUP_FD int folder = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (folder < 0 || (made && fchown(folder, owner.st_uid, owner.st_gid) != 0) ||
      make_file(folder, "data.mdb", &owner) != 0 || make_file(folder, "lock.mdb", &owner) != 0) {
    return error_errno(e, errno, "cannot give %s to the owner of %s, run as that user instead",
                       path, data_dir);
  }
  return 0;
}
