/* A memo by address. Its value is how many it had in the low 16 bits, and above them until when
 * they count. */
#include "gateway/quota.h"

#include "gateway/memo.h"

#include <pthread.h>
#include <stdlib.h>

enum {
  ADDRESSES_MAX = 65536, /* counted; the one that came first goes */
  COUNT_BITS = 16,
  COUNT_MAX = (1 << COUNT_BITS) - 1,
};

struct quota {
  struct memo *memo;
  pthread_mutex_t counting; /* no other counts between the look at a number and its change */
};

struct quota *quota_new(struct error *e) {
  struct quota *quota = calloc(1, sizeof *quota);
  if (quota == NULL) {
    error_set(e, ERROR_FAILED, "cannot count what addresses have: out of memory");
    return NULL;
  }
  quota->memo = memo_new(ADDRESSES_MAX, e);
  if (quota->memo == NULL) {
    free(quota);
    return NULL;
  }
  pthread_mutex_init(&quota->counting, NULL);
  return quota;
}

void quota_free(struct quota *quota) {
  if (quota != NULL) {
    pthread_mutex_destroy(&quota->counting);
    memo_free(quota->memo);
    free(quota);
  }
}

uint64_t quota_take(struct quota *quota, struct guesses_place from, struct quota_share share,
                    uint64_t now) {
  const struct slice place = slice_of(from.bytes, sizeof from.bytes);
  struct memo_key key;
  uint64_t value = 0, wait = 0;
  memo_about(quota->memo, &place, 1, &key);
  pthread_mutex_lock(&quota->counting);
  if (!memo_find(quota->memo, &key, now, &value)) {
    value = (now + share.while_ms) << COUNT_BITS;
  }
  if ((value & COUNT_MAX) >= share.most) {
    wait = (value >> COUNT_BITS) - now;
  } else {
    memo_keep(quota->memo, &key, value >> COUNT_BITS, value + 1);
  }
  pthread_mutex_unlock(&quota->counting);
  return wait;
}
