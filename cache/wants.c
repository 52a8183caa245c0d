/* Who waits for which byte, and how they are told on their own loops. */
#include "cache/internal.h"

#include <stdlib.h>

static void append(struct cache_want ***last, struct cache_want *want) {
  want->next = NULL;
  want->link = *last;
  **last = want;
  *last = &want->next;
}

void want_remove(struct cache *cache, struct cache_want *want) {
  struct cache_waker *waker = want->waker;
  if (want->link == NULL) {
    return;
  }
  *want->link = want->next;
  if (want->next != NULL) {
    want->next->link = want->link;
  } else if (cache->last_want == &want->next) {
    cache->last_want = want->link;
  } else {
    waker->last = want->link;
  }
  want->link = NULL;
}

void want_tell(struct cache *cache, struct cache_want *want, enum cache_news news) {
  want_remove(cache, want);
  want->news = news;
  append(&want->waker->last, want);
  uv_async_send(&want->waker->async);
}

void blob_piece_ready(struct cache_blob *blob, uint32_t piece) {
  blob->states[piece] = PIECE_READY;
  blob->ready++;
  for (struct cache_want *w = blob->cache->wants, *next; w != NULL; w = next) {
    next = w->next;
    if (w->blob == blob && blob_piece_at(blob, w->offset) == piece) {
      want_tell(blob->cache, w, CACHE_READY);
    }
  }
}

static bool is_ready(const struct cache_blob *blob, uint64_t offset) {
  return blob->states[blob_piece_at(blob, offset)] == PIECE_READY;
}

uint64_t cache_ready(struct cache_blob *blob, uint64_t offset) {
  struct cache *cache = blob->cache;
  uv_mutex_lock(&cache->lock);
  uint32_t first = blob_piece_at(blob, offset), i = first;
  if (blob->ready == blob->pieces.count) {
    i = blob->pieces.count;
  } else {
    while (i < blob->pieces.count && blob->states[i] == PIECE_READY) {
      i++;
    }
  }
  uint64_t size = blob->pieces.size, end = (uint64_t)i * blob->pieces.piece_length;
  uv_mutex_unlock(&cache->lock);
  return i == first ? 0 : (end < size ? end : size) - offset;
}

void cache_want(struct cache_blob *blob, struct cache_want *want) {
  struct cache *cache = blob->cache;
  want->blob = blob;
  uv_mutex_lock(&cache->lock);
  append(&cache->last_want, want);
  if (is_ready(blob, want->offset)) {
    want_tell(cache, want, CACHE_READY);
  } else if (cache->wanted != NULL) {
    cache->wanted(cache->wanted_arg);
  }
  uv_mutex_unlock(&cache->lock);
}

void cache_unwant(struct cache *cache, struct cache_want *want) {
  uv_mutex_lock(&cache->lock);
  want_remove(cache, want);
  uv_mutex_unlock(&cache->lock);
}

void cache_on_wanted(struct cache *cache, void (*wanted)(void *arg), void *arg) {
  uv_mutex_lock(&cache->lock);
  cache->wanted = wanted;
  cache->wanted_arg = arg;
  uv_mutex_unlock(&cache->lock);
}

/* --- wakers --- */

/* One at a time: whoever is told may leave others of the list. */
static void on_wake(uv_async_t *async) {
  struct cache_waker *waker = async->data;
  struct cache *cache = waker->cache;
  for (;;) {
    uv_mutex_lock(&cache->lock);
    struct cache_want *want = waker->first;
    if (want != NULL) {
      want_remove(cache, want);
    }
    uv_mutex_unlock(&cache->lock);
    if (want == NULL) {
      return;
    }
    want->told(want->arg, want->news);
  }
}

struct cache_waker *cache_waker_new(struct cache *cache, uv_loop_t *loop, struct error *e) {
  struct cache_waker *waker = calloc(1, sizeof *waker);
  if (waker == NULL || uv_async_init(loop, &waker->async, on_wake) != 0) {
    free(waker);
    error_set(e, ERROR_FAILED, "the cache cannot be used by another loop: out of memory");
    return NULL;
  }
  waker->cache = cache;
  waker->async.data = waker;
  waker->last = &waker->first;
  return waker;
}

static void on_closed(uv_handle_t *handle) {
  free(handle->data);
}

void cache_waker_close(struct cache_waker *waker) {
  if (waker != NULL) {
    uv_close((uv_handle_t *)&waker->async, on_closed);
  }
}
