#include "gateway/delegate_cache.h"

#include <stdlib.h>

struct delegate_cache {
  struct memo *answers; /* 0: a yes; else a yes if the blob has one byte less */
};

struct delegate_cache *delegate_cache_new(struct error *e) {
  struct delegate_cache *cache = calloc(1, sizeof *cache);
  if (cache == NULL) {
    error_set(e, ERROR_FAILED, "cannot remember registries' answers: out of memory");
    return NULL;
  }
  cache->answers = memo_new(DELEGATE_CACHE_MAX, e);
  if (cache->answers == NULL) {
    free(cache);
    return NULL;
  }
  return cache;
}

void delegate_cache_free(struct delegate_cache *cache) {
  if (cache != NULL) {
    memo_free(cache->answers);
    free(cache);
  }
}

bool delegate_cache_find(struct delegate_cache *cache, struct slice registry,
                         const struct delegate_question *question, uint64_t now,
                         struct delegate_ticket *ticket, struct delegate_answer *answer) {
  const struct slice parts[] = {registry, slice_str(question->repository),
                                question->manifest ? SLICE("manifest") : SLICE("blob"),
                                slice_str(question->digest), question->authorization};
  uint64_t value = 0;
  *ticket = (struct delegate_ticket){.asked = now};
  memo_about(cache->answers, parts, sizeof parts / sizeof *parts, &ticket->key);
  if (!memo_find(cache->answers, &ticket->key, now, &value)) {
    return false;
  }
  *answer = (struct delegate_answer){
      .verdict = value == 0 ? DELEGATE_YES : DELEGATE_YES_IF_SIZE,
      .status = 200,
      .size = value == 0 ? 0 : value - 1,
      .digest = slice_str(question->digest),
  };
  return true;
}

void delegate_cache_keep(struct delegate_cache *cache, const struct delegate_ticket *ticket,
                         const struct delegate_answer *answer) {
  uint64_t until = ticket->asked + DELEGATE_CACHE_KEEP_MS;
  if (answer->verdict == DELEGATE_YES) {
    memo_keep(cache->answers, &ticket->key, until, 0);
  } else if (answer->verdict == DELEGATE_YES_IF_SIZE && answer->size < UINT64_MAX) {
    memo_keep(cache->answers, &ticket->key, until, answer->size + 1);
  }
}

void delegate_cache_flush(struct delegate_cache *cache) {
  memo_flush(cache->answers);
}

size_t delegate_cache_count(struct delegate_cache *cache) {
  return memo_count(cache->answers);
}
