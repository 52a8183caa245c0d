/* The folder, and what an earlier run left in it. */
#include "cache/internal.h"

#include "base/cleanup.h"
#include "base/hex.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct found {
  char digest[CACHE_DIGEST + 1];
  struct timespec used;
  uint64_t bytes;
};

static int compare_used(const void *a, const void *b) {
  const struct timespec *x = &((const struct found *)a)->used,
                        *y = &((const struct found *)b)->used;
  if (x->tv_sec != y->tv_sec) {
    return x->tv_sec < y->tv_sec ? -1 : 1;
  }
  return x->tv_nsec < y->tv_nsec ? -1 : x->tv_nsec > y->tv_nsec;
}

static bool is_digest(const char *name) {
  size_t i = 0;
  while (i < CACHE_DIGEST && hex_digit(name[i]) >= 0 && !(name[i] >= 'A' && name[i] <= 'F')) {
    i++;
  }
  return i == CACHE_DIGEST && name[i] == '\0';
}

/* What was on its way, out or in. */
static bool is_left_over(const char *name) {
  size_t len = strlen(name);
  return len > CACHE_DIGEST && (strcmp(name + CACHE_DIGEST, CACHE_REMOVED) == 0 ||
                                strcmp(name + CACHE_DIGEST, CACHE_COMING) == 0);
}

/* Files of other names are not ours, and stay. */
static int list_files(struct cache *cache, DIR *dir, struct found **out, size_t *count) {
  size_t room = 0;
  for (const struct dirent *entry; (errno = 0, entry = readdir(dir)) != NULL;) {
    struct stat s;
    if (is_left_over(entry->d_name)) {
      unlinkat(cache->folder, entry->d_name, 0);
      continue;
    }
    if (!is_digest(entry->d_name) ||
        fstatat(cache->folder, entry->d_name, &s, AT_SYMLINK_NOFOLLOW) != 0 ||
        !S_ISREG(s.st_mode)) {
      continue;
    }
    if (*count == room) {
      room = room == 0 ? 64 : 2 * room;
      struct found *grown = realloc(*out, room * sizeof *grown);
      if (grown == NULL) {
        return -1;
      }
      *out = grown;
    }
    struct found *f = &(*out)[(*count)++];
    memcpy(f->digest, entry->d_name, sizeof f->digest);
    f->used = s.st_mtim;
    f->bytes = (uint64_t)s.st_blocks * CACHE_BLOCK;
  }
  return errno == 0 ? 0 : -1;
}

int cache_take_up(struct cache *cache) {
  int copy = dup(cache->folder);
  DIR *dir = copy < 0 ? NULL : fdopendir(copy);
  if (dir == NULL) {
    close(copy);
    return -1;
  }
  struct found *files = NULL;
  size_t count = 0;
  int result = list_files(cache, dir, &files, &count);
  closedir(dir);
  if (count > 0) {
    qsort(files, count, sizeof *files, compare_used);
  }
  for (size_t i = 0; i < count && result == 0; i++) {
    struct cache_blob *blob = cache_add(cache, slice_of(files[i].digest, CACHE_DIGEST));
    if (blob == NULL) {
      result = -1;
    } else {
      blob->bytes = files[i].bytes;
      cache->used += blob->bytes;
    }
  }
  free(files);
  return result;
}

int cache_open_folder(const struct cache *cache, struct error *e) {
  CLEANUP_FREE char *inner = NULL;
  if (asprintf(&inner, "%s/sha256", cache->path) < 0) {
    return error_set(e, ERROR_FAILED, "cache: out of memory");
  }
  int folder = (mkdir(cache->path, 0700) == 0 || errno == EEXIST) &&
                       (mkdir(inner, 0700) == 0 || errno == EEXIST)
                   ? open(inner, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
                   : -1;
  if (folder < 0 || faccessat(folder, ".", W_OK | X_OK, AT_EACCESS) != 0) {
    int number = errno;
    if (folder >= 0) {
      close(folder);
    }
    return error_errno(
        e, number, "cannot use %s as a cache: make it, for the server's user to write to", inner);
  }
  if (flock(folder, LOCK_EX | LOCK_NB) != 0) {
    close(folder);
    return error_set(e, ERROR_FAILED,
                     "cannot use %s as a cache: another server does; give each a folder of its own",
                     inner);
  }
  return folder;
}
