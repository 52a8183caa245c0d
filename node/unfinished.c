#include "node/unfinished.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/hex.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/file.h>
#include <sys/stat.h>

enum {
  TRIES_MAX = 100,   /* to get at a folder that others remove meanwhile */
  SEVERAL_MAX = 100, /* folders of one key */
  KEY_SIZE = 8,      /* bytes of a key's hash in a name */
  HEX_SIZE = 64,     /* digits of a digest */
};

static const char LAYOUT[] = "layout";
static const char MAKING[] = "making";
static const char LOCK[] = "lock";

struct unfinished {
  char *folder, *layout, *making;
  char *locked; /* the file whose lock we have */
  int lock;
};

static int out_of_memory(struct error *e) {
  return error_set(e, ERROR_FAILED, "out of memory");
}

/* --- what is in it --- */

/* A blob under way, of a swarm or straight from the registry. */
static bool is_data(const char *name) {
  return strncmp(name, "sha256-", sizeof "sha256-" - 1) == 0 ||
         (strlen(name) == HEX_SIZE && strspn(name, "0123456789abcdef") == HEX_SIZE);
}

static bool is_any(const char *name) {
  return name[0] != '.';
}

/* Whether a file has such a name; not where the folder cannot be read. */
static bool holds(const char *folder, bool (*is)(const char *name)) {
  bool found = false;
  DIR *dir = opendir(folder);
  for (const struct dirent *d; dir != NULL && !found && (d = readdir(dir)) != NULL;) {
    found = is(d->d_name);
  }
  if (dir != NULL) {
    closedir(dir);
  }
  return found;
}

/* Removes the files that have such a name. */
static void empty(const char *folder, bool (*is)(const char *name)) {
  DIR *dir = opendir(folder);
  for (const struct dirent *d; dir != NULL && (d = readdir(dir)) != NULL;) {
    if (is(d->d_name)) {
      unlinkat(dirfd(dir), d->d_name, 0);
    }
  }
  if (dir != NULL) {
    closedir(dir);
  }
}

/* Removes a folder of files. */
static void remove_folder(const char *above, const char *name) {
  CLEANUP_FREE char *folder = file_join(above, name);
  if (folder != NULL) {
    empty(folder, is_any);
    rmdir(folder);
  }
}

static void remove_made(const struct unfinished *u) {
  remove_folder(u->folder, MAKING);
  unlink(u->making);
}

/* --- taking hold of it --- */

enum hold { HELD, BUSY, GONE, FAILED };

/* The lock is that of the file that has the name now: who was before us may have removed it. */
static enum hold lock(struct unfinished *u, const char *path, struct error *e) {
  struct stat ours;
  struct stat named;
  u->lock = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (u->lock < 0) {
    int number = errno;
    error_errno(e, number, "cannot open %s", path);
    return number == ENOENT ? GONE : FAILED;
  }
  if (flock(u->lock, LOCK_EX | LOCK_NB) != 0) {
    int number = errno;
    error_errno(e, number, "cannot lock %s", path);
    return number == EWOULDBLOCK ? BUSY : FAILED;
  }
  return fstat(u->lock, &ours) == 0 && stat(path, &named) == 0 && ours.st_ino == named.st_ino
             ? HELD
             : GONE;
}

static enum hold hold(struct unfinished *u, struct error *e) {
  enum hold got = lock(u, u->locked, e);
  if (got != HELD && u->lock >= 0) {
    close(u->lock);
    u->lock = -1;
  }
  return got;
}

/* Ours, and ours alone: in a folder where others may write too they could have made it before us,
 * with links in it to what they would have us remove or write to. */
static int make_private(const char *path, struct error *e) {
  struct stat s;
  const char *slash = strrchr(path, '/');
  CLEANUP_FREE char *above = slash == NULL ? NULL : strndup(path, (size_t)(slash - path));
  if (slash != NULL && above == NULL) {
    return out_of_memory(e);
  }
  if (slash > path && file_make_folders(above, e) != 0) {
    return -1;
  }
  if (mkdir(path, 0700) != 0 && errno != EEXIST) {
    return error_errno(e, errno, "cannot make folder %s", path);
  }
  if (lstat(path, &s) != 0) {
    return errno == ENOENT ? 0 : error_errno(e, errno, "cannot look at %s", path);
  }
  return S_ISDIR(s.st_mode) && s.st_uid == geteuid() && (s.st_mode & 077) == 0
             ? 0
             : error_set(e, ERROR_FAILED,
                         "%s is no folder of ours alone: somebody else has made it, or may look "
                         "into it; remove it",
                         path);
}

static enum hold take(struct unfinished *u, struct error *e) {
  enum hold got = GONE;
  for (int i = 0; i < TRIES_MAX && got == GONE; i++) {
    if (make_private(u->folder, e) != 0) {
      return FAILED;
    }
    got = hold(u, e);
  }
  return got;
}

static void forget(struct unfinished *u) {
  if (u->lock >= 0) {
    close(u->lock);
  }
  free(u->folder);
  free(u->layout);
  free(u->making);
  free(u->locked);
  free(u);
}

/* Takes the path over, also when it fails. */
static struct unfinished *make(char *folder) {
  struct unfinished *u = calloc(1, sizeof *u);
  if (u == NULL || folder == NULL) {
    free(u);
    free(folder);
    return NULL;
  }
  *u = (struct unfinished){folder, file_join(folder, LAYOUT), file_join(folder, MAKING),
                           file_join(folder, LOCK), -1};
  if (u->layout == NULL || u->making == NULL || u->locked == NULL) {
    forget(u);
    return NULL;
  }
  return u;
}

/* Frees \p u unless it is held. */
static enum hold take_or_say(struct unfinished *u, struct unfinished **out, struct error *e) {
  enum hold got = take(u, e);
  if (got == HELD) {
    remove_made(u); /* by one that was killed */
    *out = u;
    return got;
  }
  if (got == BUSY) {
    error_set(e, ERROR_FAILED,
              "another pull to the same place is under way, or seeds from it, in %s: wait for it",
              u->folder);
  } else if (got == GONE) {
    error_set(e, ERROR_FAILED, "cannot work in %s: somebody else removes it", u->folder);
  }
  forget(u);
  return got;
}

/* --- where it is --- */

/* A rename or a link does not leave a mount; and a service may own a folder, but not the one above.
 */
static bool is_better_inside(const char *path) {
  struct statx s;
  CLEANUP_FREE char *above = file_join(path, "..");
  if (above == NULL || statx(AT_FDCWD, path, 0, STATX_TYPE, &s) != 0 || !S_ISDIR(s.stx_mode)) {
    return false;
  }
  return (s.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0 ||
         (access(above, W_OK) != 0 && access(path, W_OK) == 0);
}

int unfinished_beside(const char *path, struct unfinished **out, struct error *e) {
  size_t len = strlen(path);
  struct buf folder = {0};
  while (len > 1 && path[len - 1] == '/') {
    len--;
  }
  buf_printf(&folder, "%.*s%s.unfinished", (int)len, path, is_better_inside(path) ? "/" : "");
  struct unfinished *u = make(folder.ptr);
  if (u == NULL) {
    return out_of_memory(e);
  }
  return take_or_say(u, out, e) == HELD ? 0 : -1;
}

static int name_of(const char *key, char out[2 * KEY_SIZE + 1], struct error *e) {
  unsigned char hash[EVP_MAX_MD_SIZE];
  if (EVP_Digest(key, strlen(key), hash, NULL, EVP_sha256(), NULL) != 1) {
    return out_of_memory(e);
  }
  hex_encode(hash, KEY_SIZE, out);
  return 0;
}

int unfinished_private(const char *key, bool several, struct unfinished **out, struct error *e) {
  char name[2 * KEY_SIZE + 1];
  const char *base = getenv("TMPDIR");
  base = base == NULL || base[0] == '\0' ? "/var/tmp" : base;
  if (strchr(base, ':') != NULL) {
    return error_set(e, ERROR_USAGE,
                     "TMPDIR=%s will not do: there must be no colon in it, for programs take a "
                     "layout's name to begin there",
                     base);
  }
  if (name_of(key, name, e) != 0) {
    return -1;
  }
  enum hold got = BUSY;
  struct error why = {0};
  for (int i = 0; got == BUSY && i < (several ? SEVERAL_MAX : 1); i++) {
    struct buf folder = {0};
    buf_printf(&folder, "%s/swarmgate-%u-%s-%d.unfinished", base, (unsigned)geteuid(), name, i);
    struct unfinished *u = make(folder.ptr);
    if (u == NULL) {
      return out_of_memory(e);
    }
    got = take_or_say(u, out, &why);
  }
  return got == HELD ? 0
                     : error_set(e, why.kind, "%.900s%s", why.text,
                                 got == BUSY ? ", or set another TMPDIR, where this one has a "
                                               "place of its own"
                                             : "");
}

const char *unfinished_folder(const struct unfinished *u) {
  return u->folder;
}

const char *unfinished_layout(const struct unfinished *u) {
  return u->layout;
}

const char *unfinished_making(const struct unfinished *u) {
  return u->making;
}

/* --- its end --- */

void unfinished_close(struct unfinished *u, bool done) {
  if (u == NULL) {
    return;
  }
  CLEANUP_FREE char *blobs = file_join(u->layout, "blobs/sha256");
  remove_made(u);
  if (done || (blobs != NULL && !holds(u->folder, is_data) && !holds(blobs, is_any))) {
    remove_folder(u->layout, "blobs/sha256");
    remove_folder(u->layout, "blobs");
    remove_folder(u->folder, LAYOUT);
    empty(u->folder, is_data);
    unlink(u->locked); /* the last, for others begin as soon as it is gone */
    rmdir(u->folder);
  }
  forget(u);
}
