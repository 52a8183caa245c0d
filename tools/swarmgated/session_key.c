#include "session_key.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/hex.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <openssl/rand.h>
#include <string.h>
#include <sys/stat.h>

enum { TEXT_MAX = 2 * SESSION_KEY + 2 }; /* digits, newline, NUL */

static int read_key(const char *path, unsigned char key[SESSION_KEY], struct error *e) {
  CLEANUP(buf_free) struct buf bytes = {0};
  struct stat status;
  if (file_read(path, TEXT_MAX, &bytes, e) != 0) {
    return -1;
  }
  struct slice digits = buf_view(&bytes);
  while (digits.len > 0 && digits.ptr[digits.len - 1] == '\n') {
    digits.len--;
  }
  if (!hex_decode(digits, key, SESSION_KEY)) {
    return error_set(e, ERROR_USAGE,
                     "%s: no session key of 64 hex digits; remove it, and a new one is made", path);
  }
  return stat(path, &status) == 0 && (status.st_mode & 077) != 0
             ? error_set(e, ERROR_USAGE, "%s: others may read the session key; chmod 600 it", path)
             : 0;
}

int session_key_read(const char *path, unsigned char key[SESSION_KEY], struct error *e) {
  return read_key(path, key, e) == 0 ? 0 : error_context(e, "tracker.session_key");
}

/* The folder may be in other hands, which could put a link in the file's place meanwhile. */
static int give_to_owner(const char *path, struct error *e) {
  CLEANUP_FREE char *copy = strdup(path);
  struct stat folder;
  struct stat file;
  if (geteuid() != 0 || copy == NULL || stat(dirname(copy), &folder) != 0 || folder.st_uid == 0) {
    return 0;
  }
  CLEANUP_FD int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  bool ours = fd >= 0 && fstat(fd, &file) == 0 && S_ISREG(file.st_mode) && file.st_nlink == 1;
  return ours && fchown(fd, folder.st_uid, folder.st_gid) == 0
             ? 0
             : error_errno(e, ours ? errno : EPERM, "cannot give %s to the owner of its folder",
                           path);
}

int session_key_make(const char *path, unsigned char key[SESSION_KEY], struct error *e) {
  char text[TEXT_MAX];
  if (RAND_bytes(key, SESSION_KEY) != 1) {
    return error_set(e, ERROR_FAILED, "cannot make a session key: no randomness");
  }
  hex_encode(key, SESSION_KEY, text);
  text[TEXT_MAX - 2] = '\n';
  int result = file_create(path, slice_of(text, TEXT_MAX - 1), 0600, e);
  explicit_bzero(text, sizeof text);
  return result == 0 ? give_to_owner(path, e) : -1;
}
