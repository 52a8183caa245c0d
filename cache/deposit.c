/*
 * A file of its own beside the blob's, which takes the blob's name once it is whole. All its bytes
 * are right then, for their digest is: no reader waits for its pieces to be looked at.
 */
#include "cache/internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct cache_deposit {
  struct cache *cache;
  uint64_t size, done; /**< bytes */
  int fd;
  struct steps *steps;
  char digest[CACHE_DIGEST + 1];
  char name[CACHE_DIGEST + sizeof CACHE_COMING];
};

/* Counts its bytes as used. \return false when there is no room, or somebody fills the blob. */
static bool reserve(struct cache *cache, struct slice digest, uint64_t size) {
  uv_mutex_lock(&cache->lock);
  bool good = cache_look_up(cache, digest) == NULL && cache_make_room(cache, size);
  cache->used += good ? size : 0;
  uv_mutex_unlock(&cache->lock);
  cache_let_go(cache);
  return good;
}

static void give_back(struct cache *cache, uint64_t size) {
  uv_mutex_lock(&cache->lock);
  cache->used -= size;
  uv_mutex_unlock(&cache->lock);
}

struct cache_deposit *cache_deposit_new(struct cache *cache, struct slice digest, uint64_t size) {
  struct cache_deposit *d = calloc(1, sizeof *d);
  if (d == NULL || !reserve(cache, digest, size)) {
    free(d);
    return NULL;
  }
  d->cache = cache;
  d->size = size;
  memcpy(d->digest, digest.ptr, CACHE_DIGEST);
  snprintf(d->name, sizeof d->name, "%s" CACHE_COMING, d->digest);
  d->fd =
      openat(cache->folder, d->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (d->fd < 0) { /* of another registry it comes already, or the disk is full */
    give_back(cache, size);
    free(d);
    return NULL;
  }
  d->steps = steps_new(d->fd, 0, size);
  if (d->steps == NULL) {
    cache_deposit_drop(d);
    return NULL;
  }
  return d;
}

bool cache_deposit_write(struct cache_deposit *d, struct slice bytes) {
  if (bytes.len > d->size - d->done || steps_add(d->steps, bytes) != 0) {
    return false;
  }
  d->done += bytes.len;
  return true;
}

/* Gives it the blob's name, unless somebody has begun to fill that. Both locks are held. */
static bool rename_to_blob(struct cache_deposit *d) {
  struct cache *cache = d->cache;
  struct slice digest = slice_of(d->digest, CACHE_DIGEST);
  struct stat s;
  if (cache_look_up(cache, digest) != NULL || fstat(d->fd, &s) != 0 ||
      renameat(cache->folder, d->name, cache->folder, d->digest) != 0) {
    return false;
  }
  struct cache_blob *blob = cache_add(cache, digest);
  if (blob == NULL) {
    unlinkat(cache->folder, d->digest, 0);
    return false;
  }
  blob->bytes = d->size; /* which are counted already */
  blob->knowledge = BLOB_KNOWN;
  blob_remember_file(blob, &s);
  return true;
}

void cache_deposit_keep(struct cache_deposit *d) {
  struct cache *cache = d->cache;
  if (d->done != d->size || steps_flush(d->steps) != 0) {
    cache_deposit_drop(d);
    return;
  }
  uv_mutex_lock(&cache->opening);
  uv_mutex_lock(&cache->lock);
  bool kept = rename_to_blob(d);
  uv_mutex_unlock(&cache->lock);
  uv_mutex_unlock(&cache->opening);
  if (!kept) {
    cache_deposit_drop(d);
    return;
  }
  close(d->fd);
  free(d->steps);
  free(d);
}

void cache_deposit_drop(struct cache_deposit *d) {
  if (d != NULL) {
    close(d->fd);
    unlinkat(d->cache->folder, d->name, 0);
    give_back(d->cache, d->size);
    free(d->steps);
    free(d);
  }
}
