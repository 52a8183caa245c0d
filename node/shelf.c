#include "node/shelf.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/slice.h"
#include "image/reference.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

struct shelf {
  struct shelf_options options;
  char *blobs;                        /* the folder with the files */
  struct shelf_blob *oldest, *newest; /* a list by their last use */
  uint64_t size;
};

static int out_of_memory(struct error *e) {
  return error_set(e, ERROR_FAILED, "out of memory");
}

/* --- the list --- */

static void take_out(struct shelf *s, struct shelf_blob *b) {
  *(b->older == NULL ? &s->oldest : &b->older->newer) = b->newer;
  *(b->newer == NULL ? &s->newest : &b->newer->older) = b->older;
  b->older = b->newer = NULL;
}

static void put_first(struct shelf *s, struct shelf_blob *b) {
  b->older = s->newest;
  *(s->newest == NULL ? &s->oldest : &s->newest->newer) = b;
  s->newest = b;
}

static struct shelf_blob *make(struct shelf *s, const char *digest, uint64_t size) {
  struct shelf_blob *b = calloc(1, sizeof *b);
  if (b != NULL) {
    snprintf(b->digest, sizeof b->digest, "%s", digest);
    b->size = size;
    s->size += size;
    put_first(s, b);
  }
  return b;
}

static void forget(struct shelf *s, struct shelf_blob *b) {
  take_out(s, b);
  s->size -= b->size;
  free(b);
}

struct shelf_blob *shelf_find(const struct shelf *s, const char *digest) {
  for (struct shelf_blob *b = s->newest; b != NULL; b = b->older) {
    if (strcmp(b->digest, digest) == 0) {
      return b;
    }
  }
  return NULL;
}

struct shelf_blob *shelf_next(const struct shelf *s, const struct shelf_blob *after) {
  return after == NULL ? s->newest : after->older;
}

uint64_t shelf_size(const struct shelf *s) {
  return s->size;
}

uint64_t shelf_max(const struct shelf *s) {
  return s->options.max_size;
}

/* --- what is there --- */

struct found {
  char digest[sizeof "sha256:" + 64];
  uint64_t size;
  struct timespec used;
};

static int by_use(const void *a, const void *b) {
  const struct timespec *one = &((const struct found *)a)->used;
  const struct timespec *other = &((const struct found *)b)->used;
  return one->tv_sec != other->tv_sec     ? (one->tv_sec < other->tv_sec ? -1 : 1)
         : one->tv_nsec != other->tv_nsec ? (one->tv_nsec < other->tv_nsec ? -1 : 1)
                                          : 0;
}

/* What is no blob is let be. */
static bool read_entry(DIR *dir, const char *name, struct found *out) {
  struct stat s;
  snprintf(out->digest, sizeof out->digest, "sha256:%.64s", name);
  if (strlen(name) != 64 || !image_digest_valid(slice_str(out->digest)) ||
      fstatat(dirfd(dir), name, &s, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(s.st_mode)) {
    return false;
  }
  out->size = (uint64_t)s.st_size;
  out->used = s.st_atim;
  return true;
}

static int list_blobs(DIR *dir, struct found **out, size_t *count, struct error *e) {
  const struct dirent *entry;
  size_t room = 0;
  while ((entry = readdir(dir)) != NULL) {
    if (*count == room) {
      room = room == 0 ? 64 : room * 2;
      struct found *more = reallocarray(*out, room, sizeof *more);
      if (more == NULL) {
        return out_of_memory(e);
      }
      *out = more;
    }
    *count += read_entry(dir, entry->d_name, &(*out)[*count]) ? 1 : 0;
  }
  return 0;
}

static int look_through(struct shelf *s, struct error *e) {
  CLEANUP_FREE struct found *found = NULL;
  size_t count = 0;
  DIR *dir = opendir(s->blobs);
  if (dir == NULL) {
    return error_errno(e, errno, "cannot read %s", s->blobs);
  }
  int result = list_blobs(dir, &found, &count, e);
  closedir(dir);
  if (result != 0) {
    return -1;
  }
  if (count > 0) {
    qsort(found, count, sizeof *found, by_use);
  }
  for (size_t i = 0; i < count; i++) {
    struct shelf_blob *b = make(s, found[i].digest, found[i].size);
    if (b == NULL) {
      return out_of_memory(e);
    }
    b->there = true;
  }
  return 0;
}

/* Of what nobody asks for any more; a blob that has landed has its other name here. */
static void clear_unfinished(const char *folder) {
  const struct dirent *entry;
  DIR *dir = opendir(folder);
  while (dir != NULL && (entry = readdir(dir)) != NULL) {
    if (strncmp(entry->d_name, "sha256-", 7) == 0) {
      unlinkat(dirfd(dir), entry->d_name, 0);
    }
  }
  if (dir != NULL) {
    closedir(dir);
  }
}

/* --- room --- */

static char *path_of(const struct shelf *s, const struct shelf_blob *b) {
  char *path;
  return asprintf(&path, "%s/%s", s->blobs, b->digest + sizeof "sha256:" - 1) < 0 ? NULL : path;
}

static int remove_blob(struct shelf *s, struct shelf_blob *b, struct error *e) {
  CLEANUP_FREE char *path = path_of(s, b);
  if (path == NULL) {
    return out_of_memory(e);
  }
  if (s->options.removes != NULL) {
    s->options.removes(s->options.arg, b);
  }
  if (unlink(path) != 0 && errno != ENOENT) {
    return error_errno(e, errno, "cannot remove %s", path);
  }
  forget(s, b);
  return 0;
}

/* Bytes that a blob that is on its way will still take. */
static uint64_t lacking(const struct shelf *s, const struct shelf_blob *b) {
  CLEANUP_FREE char *path = NULL;
  struct stat there;
  if (asprintf(&path, "%s/sha256-%s", s->options.unfinished, b->digest + sizeof "sha256:" - 1) <
      0) {
    path = NULL;
  }
  uint64_t taken = path == NULL || stat(path, &there) != 0 ? 0 : (uint64_t)there.st_blocks * 512;
  return taken < b->size ? b->size - taken : 0;
}

/* A disk that is full would cut an answer that has begun.
 * \param more bytes there would be if others went. */
static int check_disk(const struct shelf *s, uint64_t size, uint64_t more, struct error *e) {
  struct statvfs disk;
  uint64_t wanted = size;
  if (statvfs(s->blobs, &disk) != 0) {
    return error_errno(e, errno, "cannot look at %s", s->blobs);
  }
  uint64_t room = (uint64_t)disk.f_bavail * disk.f_frsize;
  for (const struct shelf_blob *b = s->oldest; b != NULL; b = b->newer) {
    wanted += b->there || b->owner == NULL ? 0 : lacking(s, b);
  }
  return wanted <= room + more
             ? 0
             : error_set(e, ERROR_FAILED,
                         "the disk of %s has no room: %" PRIu64 " bytes are wanted, "
                         "%" PRIu64 " are free; make the store's `max_size` smaller, or "
                         "make room",
                         s->blobs, wanted, room);
}

static int make_room(struct shelf *s, uint64_t size, struct error *e) {
  uint64_t used = 0;
  uint64_t unused = 0;
  for (const struct shelf_blob *b = s->oldest; b != NULL; b = b->newer) {
    *(b->uses > 0 ? &used : &unused) += b->size;
  }
  if (size > s->options.max_size || used > s->options.max_size - size) {
    return error_set(e, ERROR_FAILED,
                     "the store has no room for %" PRIu64 " bytes: it may hold %" PRIu64
                     ", of which %" PRIu64 " are in use",
                     size, s->options.max_size, used);
  }
  if (check_disk(s, size, unused, e) != 0) {
    return -1; /* and nothing goes for one that there is no room for in any case */
  }
  uint64_t most = s->options.max_size - size; /* of what was there before */
  struct shelf_blob *newer;
  for (struct shelf_blob *b = s->oldest;
       b != NULL && (s->size > most || check_disk(s, size, 0, NULL) != 0); b = newer) {
    newer = b->newer;
    if (b->uses == 0 && remove_blob(s, b, e) != 0) {
      return -1;
    }
  }
  return 0;
}

struct shelf_blob *shelf_add(struct shelf *s, const char *digest, uint64_t size, struct error *e) {
  if (make_room(s, size, e) != 0) {
    return NULL;
  }
  struct shelf_blob *b = make(s, digest, size);
  if (b == NULL) {
    out_of_memory(e);
    return NULL;
  }
  b->uses = 1;
  return b;
}

void shelf_use(struct shelf *s, struct shelf_blob *b) {
  static const struct timespec now[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_OMIT}};
  CLEANUP_FREE char *path = b->there ? path_of(s, b) : NULL;
  if (path != NULL) {
    utimensat(AT_FDCWD, path, now, 0); /* said outright, for file systems are mounted noatime */
  }
  take_out(s, b);
  put_first(s, b);
  b->uses++;
}

void shelf_release(struct shelf *s, struct shelf_blob *b) {
  if (--b->uses == 0 && !b->there) {
    forget(s, b);
  }
}

void shelf_landed(struct shelf_blob *b) {
  b->there = true;
}

/* --- open and close --- */

int shelf_make_folder(const char *folder, bool alone, struct error *e) {
  struct stat s;
  size_t len = strlen(folder);
  while (len > 0 && folder[len - 1] == '/') {
    len--;
  }
  while (len > 0 && folder[len - 1] != '/') {
    len--;
  }
  CLEANUP_FREE char *above = strndup(folder, len);
  if (above == NULL) {
    return out_of_memory(e);
  }
  if (len > 0 && file_make_folders(above, e) != 0) {
    return -1;
  }
  if (mkdir(folder, 0700) != 0 && errno != EEXIST) {
    return error_errno(e, errno, "cannot make folder %s", folder);
  }
  if (stat(folder, &s) != 0) {
    return error_errno(e, errno, "cannot look at %s", folder);
  }
  return !alone || (s.st_mode & S_IRWXO) == 0
             ? 0
             : error_set(e, ERROR_FAILED,
                         "everybody may look into %s, whatever `require_credentials` says: chmod "
                         "o-rwx it",
                         folder);
}

int shelf_open(const struct shelf_options *options, struct shelf **out, struct error *e) {
  struct shelf *s = calloc(1, sizeof *s);
  if (s == NULL) {
    return out_of_memory(e);
  }
  s->options = *options;
  if (asprintf(&s->blobs, "%s/blobs/sha256", options->folder) < 0) {
    free(s);
    return out_of_memory(e);
  }
  clear_unfinished(options->unfinished);
  if (file_make_folders(s->blobs, e) != 0 || look_through(s, e) != 0 || make_room(s, 0, e) != 0) {
    shelf_close(s);
    return -1;
  }
  *out = s;
  return 0;
}

void shelf_close(struct shelf *s) {
  if (s != NULL) {
    while (s->newest != NULL) {
      forget(s, s->newest);
    }
    free(s->blobs);
    free(s);
  }
}
