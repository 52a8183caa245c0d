/* The table of blobs, their files, and room for more. */
#include "cache/internal.h"

#include "base/hex.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* --- the table --- */

static struct cache_blob **bucket_of(struct cache *cache, struct slice digest) {
  unsigned h = 0;
  for (size_t i = 0; i < 3; i++) {
    h = h << 4 | (unsigned)hex_digit(digest.ptr[i]);
  }
  return &cache->buckets[h % CACHE_BUCKETS];
}

struct cache_blob *cache_look_up(struct cache *cache, struct slice digest) {
  struct cache_blob *blob = *bucket_of(cache, digest);
  while (blob != NULL && memcmp(blob->digest, digest.ptr, CACHE_DIGEST) != 0) {
    blob = blob->next;
  }
  return blob;
}

static void age_remove(struct cache_blob *blob) {
  blob->older->newer = blob->newer;
  blob->newer->older = blob->older;
}

static void age_append(struct cache_blob *blob) {
  struct cache_blob *ages = &blob->cache->ages;
  blob->older = ages->older;
  blob->newer = ages;
  blob->older->newer = blob;
  ages->older = blob;
}

void blob_age_newest(struct cache_blob *blob) {
  age_remove(blob);
  age_append(blob);
}

struct cache_blob *cache_add(struct cache *cache, struct slice digest) {
  struct cache_blob *blob = calloc(1, sizeof *blob);
  if (blob == NULL) {
    return NULL;
  }
  struct cache_blob **bucket = bucket_of(cache, digest);
  blob->cache = cache;
  blob->fd = -1;
  memcpy(blob->digest, digest.ptr, CACHE_DIGEST);
  blob->next = *bucket;
  *bucket = blob;
  age_append(blob);
  return blob;
}

static void blob_free(struct cache_blob *blob) {
  pieces_free(&blob->pieces);
  free(blob->states);
  free(blob);
}

static void take_out(struct cache_blob *blob) {
  struct cache_blob **link = bucket_of(blob->cache, slice_of(blob->digest, CACHE_DIGEST));
  while (*link != blob) {
    link = &(*link)->next;
  }
  *link = blob->next;
  age_remove(blob);
  blob->cache->used -= blob->bytes;
}

int cache_new(const struct cache_options *options, struct cache **out, struct error *e) {
  struct cache *cache = calloc(1, sizeof *cache);
  char *path = strdup(options->path);
  if (cache == NULL || path == NULL || uv_mutex_init(&cache->lock) != 0) {
    free(cache);
    free(path);
    return error_set(e, ERROR_FAILED, "cache: out of memory");
  }
  if (uv_mutex_init(&cache->opening) != 0) {
    uv_mutex_destroy(&cache->lock);
    free(cache);
    free(path);
    return error_set(e, ERROR_FAILED, "cache: out of memory");
  }
  cache->path = path;
  cache->folder = -1;
  cache->max_size = options->max_size;
  cache->free_min = options->free_min;
  cache->ages.older = cache->ages.newer = &cache->ages;
  cache->last_want = &cache->wants;
  cache->folder = cache_open_folder(cache, e);
  if (cache->folder < 0) {
    cache_free(cache);
    return -1;
  }
  errno = ENOMEM;
  if (cache_take_up(cache) != 0) {
    int number = errno;
    error_errno(e, number, "cannot read the cache in %s", cache->path);
    cache_free(cache);
    return -1;
  }
  /* What it may take can be less than in the earlier run. */
  cache_make_room(cache, 0);
  cache_let_go(cache);
  *out = cache;
  return 0;
}

void cache_free(struct cache *cache) {
  if (cache == NULL) {
    return;
  }
  while (cache->ages.newer != &cache->ages) {
    struct cache_blob *blob = cache->ages.newer;
    take_out(blob);
    blob_free(blob);
  }
  if (cache->folder >= 0) {
    close(cache->folder);
  }
  uv_mutex_destroy(&cache->opening);
  uv_mutex_destroy(&cache->lock);
  free(cache->path);
  free(cache);
}

uint64_t cache_used(struct cache *cache) {
  uv_mutex_lock(&cache->lock);
  uint64_t used = cache->used;
  uv_mutex_unlock(&cache->lock);
  return used;
}

/* --- room --- */

enum { REMOVED_NAME = CACHE_DIGEST + sizeof CACHE_REMOVED };

static char *removed_name(const struct cache_blob *blob, char out[REMOVED_NAME]) {
  snprintf(out, REMOVED_NAME, "%s" CACHE_REMOVED, blob->digest);
  return out;
}

/* Of max_size bytes at most. */
static bool has_room(const struct cache *cache, uint64_t bytes) {
  struct statvfs s;
  if (cache->used > cache->max_size - bytes) {
    return false;
  }
  /* Where the file system does not tell, ENOSPC will. */
  return fstatvfs(cache->folder, &s) != 0 ||
         (uint64_t)s.f_bavail * s.f_frsize + cache->leaving_bytes >= cache->free_min + bytes;
}

static struct cache_blob *oldest_unheld(struct cache *cache) {
  struct cache_blob *blob = cache->ages.newer;
  while (blob != &cache->ages && blob->holds > 0) {
    blob = blob->newer;
  }
  return blob == &cache->ages ? NULL : blob;
}

bool cache_make_room(struct cache *cache, uint64_t bytes) {
  if (bytes > cache->max_size) {
    return false; /* nor would there be room without all the others */
  }
  while (!has_room(cache, bytes)) {
    struct cache_blob *blob = oldest_unheld(cache);
    if (blob == NULL) {
      return false;
    }
    char removed[REMOVED_NAME];
    renameat(cache->folder, blob->digest, cache->folder, removed_name(blob, removed));
    take_out(blob);
    blob->next = cache->leaving;
    cache->leaving = blob;
    cache->leaving_bytes += blob->bytes;
  }
  return true;
}

void cache_let_go(struct cache *cache) {
  uv_mutex_lock(&cache->lock);
  struct cache_blob *blob = cache->leaving;
  cache->leaving = NULL;
  uv_mutex_unlock(&cache->lock);
  for (struct cache_blob *next; blob != NULL; blob = next) {
    char removed[REMOVED_NAME];
    next = blob->next;
    unlinkat(cache->folder, removed_name(blob, removed), 0);
    uv_mutex_lock(&cache->lock);
    cache->leaving_bytes -= blob->bytes;
    uv_mutex_unlock(&cache->lock);
    blob_free(blob);
  }
}

/* --- holding --- */

/* Somebody has removed the folder: there is another in its place from now on. */
static void open_folder_anew(struct cache *cache) {
  int folder = cache_open_folder(cache, NULL);
  if (folder >= 0) {
    dup3(folder, cache->folder, O_CLOEXEC);
    close(folder);
  }
}

static int open_or_make(struct cache *cache, const struct cache_blob *blob) {
  const int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW;
  int fd = openat(cache->folder, blob->digest, flags, 0600);
  if (fd < 0 && errno == ENOENT) {
    open_folder_anew(cache);
    fd = openat(cache->folder, blob->digest, flags, 0600);
  }
  return fd;
}

/* Opens the file, which the states are about only if it is the one they were about. The lock is not
 * held. */
static int open_file(struct cache *cache, const struct cache_blob *blob, uint64_t size,
                     struct stat *s, struct error *e) {
  int fd = open_or_make(cache, blob);
  if (fd < 0 || fstat(fd, s) != 0 ||
      ((uint64_t)s->st_size != size &&
       (ftruncate(fd, 0) != 0 || ftruncate(fd, (off_t)size) != 0 || fstat(fd, s) != 0))) {
    int number = errno;
    if (fd >= 0) {
      close(fd);
    }
    return error_errno(e, number, "cannot open %s in the cache %s", blob->digest, cache->path);
  }
  return fd;
}

void blob_count(struct cache_blob *blob, uint64_t bytes) {
  blob->cache->used += bytes - blob->bytes;
  blob->bytes = bytes;
}

void blob_remember_file(struct cache_blob *blob, const struct stat *s) {
  blob->device = s->st_dev;
  blob->inode = s->st_ino;
  blob->modified = s->st_mtim;
}

static void adopt_file(struct cache_blob *blob, int fd, const struct stat *s) {
  blob->fd = fd;
  if (blob->device != s->st_dev || blob->inode != s->st_ino ||
      blob->modified.tv_sec != s->st_mtim.tv_sec || blob->modified.tv_nsec != s->st_mtim.tv_nsec) {
    memset(blob->states, PIECE_MISSING, blob->pieces.count);
    blob->ready = 0;
    blob->knowledge = s->st_blocks == 0 ? BLOB_KNOWN : BLOB_UNSEEN;
    blob_remember_file(blob, s);
    blob_count(blob, (uint64_t)s->st_blocks * CACHE_BLOCK);
  }
}

/* A file that is opened twice at once might be cut by one while it is filled by the other. */
static int open_once(struct cache_blob *blob, uint64_t size, struct error *e) {
  struct cache *cache = blob->cache;
  int fd = 0;
  uv_mutex_lock(&cache->opening);
  uv_mutex_lock(&cache->lock);
  bool open = blob->fd >= 0;
  uv_mutex_unlock(&cache->lock);
  if (!open) {
    struct stat s = {0};
    fd = open_file(cache, blob, size, &s, e);
    if (fd >= 0) {
      uv_mutex_lock(&cache->lock);
      adopt_file(blob, fd, &s);
      uv_mutex_unlock(&cache->lock);
    }
  }
  uv_mutex_unlock(&cache->opening);
  return fd < 0 ? -1 : 0;
}

void blob_hold(struct cache_blob *blob) {
  blob->holds++;
  blob_age_newest(blob);
}

/* Finds or adds it, and gives it the pieces when it has none. */
static struct cache_blob *lend(struct cache *cache, struct slice digest, struct pieces *pieces) {
  struct cache_blob *blob = cache_look_up(cache, digest);
  if (blob == NULL) {
    blob = cache_add(cache, digest);
  }
  if (blob == NULL) {
    return NULL;
  }
  if (blob->states == NULL) {
    blob->states = calloc(pieces->count, 1);
    if (blob->states == NULL) {
      return NULL;
    }
    blob->pieces = *pieces;
    pieces->hashes = NULL;
    if (blob->knowledge == BLOB_KNOWN) { /* a deposit: all is right */
      memset(blob->states, PIECE_READY, blob->pieces.count);
      blob->ready = blob->pieces.count;
    }
  }
  blob_hold(blob);
  return blob;
}

int cache_hold(struct cache *cache, struct slice digest, struct pieces *pieces,
               struct cache_blob **out, struct error *e) {
  uint64_t size = pieces->size;
  uv_mutex_lock(&cache->lock);
  struct cache_blob *blob = lend(cache, digest, pieces);
  bool open = blob != NULL && blob->fd >= 0;
  uv_mutex_unlock(&cache->lock);
  pieces_free(pieces);
  if (blob == NULL) {
    return error_set(e, ERROR_FAILED, "cache: out of memory");
  }
  if (!open && open_once(blob, size, e) != 0) {
    cache_release(blob);
    return -1;
  }
  *out = blob;
  return 0;
}

struct cache_blob *cache_find(struct cache *cache, struct slice digest) {
  uv_mutex_lock(&cache->lock);
  struct cache_blob *blob = cache_look_up(cache, digest);
  if (blob != NULL && blob->states == NULL) {
    blob = NULL;
  }
  bool open = blob != NULL && blob->fd >= 0;
  if (blob != NULL) {
    blob_hold(blob);
  }
  uv_mutex_unlock(&cache->lock);
  if (blob != NULL && !open && open_once(blob, blob->pieces.size, NULL) != 0) {
    cache_release(blob);
    return NULL;
  }
  return blob;
}

uint64_t cache_size(const struct cache_blob *blob) {
  return blob->pieces.size;
}

void cache_release(struct cache_blob *blob) {
  struct cache *cache = blob->cache;
  struct stat s;
  uv_mutex_lock(&cache->lock);
  if (--blob->holds == 0 && blob->fd >= 0) {
    /* The order in which blobs go survives a restart in the files' times. */
    if (futimens(blob->fd, NULL) == 0 && fstat(blob->fd, &s) == 0) {
      blob->modified = s.st_mtim;
    }
    close(blob->fd);
    blob->fd = -1;
  }
  uv_mutex_unlock(&cache->lock);
}

int cache_fd(const struct cache_blob *blob) {
  return blob->fd;
}
