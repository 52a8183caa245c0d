/*
 * A memo by pair. Its value is the number of wrong passwords in the low 16 bits, and above them the
 * time until which the pair is held up.
 */
#include "gateway/guesses.h"

#include "base/address.h"
#include "gateway/memo.h"

#include <pthread.h>
#include <stdlib.h>

enum {
  COUNT_BITS = 16,
  COUNT_MAX = (1 << COUNT_BITS) - 1,
  FIRST_WAIT_MS = 1000,
};

struct guesses {
  struct memo *memo;
  pthread_mutex_t counting; /* no other counts between the look at a number and its change */
};

struct guesses_place guesses_place(const struct sockaddr *from) {
  union address address = address_of(from);
  struct guesses_place place = {.bytes = {(unsigned char)address.any.sa_family}};
  if (address.any.sa_family == AF_INET) {
    memcpy(place.bytes + 1, &address.v4.sin_addr, sizeof address.v4.sin_addr);
  } else if (address.any.sa_family == AF_INET6) {
    memcpy(place.bytes + 1, &address.v6.sin6_addr, sizeof place.bytes - 1);
  }
  return place;
}

struct guesses *guesses_new(struct error *e) {
  struct guesses *g = calloc(1, sizeof *g);
  if (g == NULL) {
    error_set(e, ERROR_FAILED, "cannot count wrong passwords: out of memory");
    return NULL;
  }
  g->memo = memo_new(GUESSES_MAX, e);
  if (g->memo == NULL) {
    free(g);
    return NULL;
  }
  pthread_mutex_init(&g->counting, NULL);
  return g;
}

void guesses_free(struct guesses *g) {
  if (g != NULL) {
    pthread_mutex_destroy(&g->counting);
    memo_free(g->memo);
    free(g);
  }
}

static void pair_of(const struct guesses *g, const struct guesses_place *from, struct slice user,
                    struct memo_key *out) {
  const struct slice parts[] = {slice_of(from->bytes, sizeof from->bytes), user};
  memo_about(g->memo, parts, sizeof parts / sizeof *parts, out);
}

static uint64_t wait_after(uint64_t count) {
  uint64_t wait = FIRST_WAIT_MS;
  if (count <= GUESSES_FREE) {
    return 0;
  }
  for (uint64_t i = GUESSES_FREE + 1; i < count && wait < GUESSES_WAIT_MAX_MS; i++) {
    wait *= 2;
  }
  return wait < GUESSES_WAIT_MAX_MS ? wait : GUESSES_WAIT_MAX_MS;
}

uint64_t guesses_wait(struct guesses *g, struct guesses_place from, struct slice user,
                      uint64_t pending, uint64_t now) {
  struct memo_key pair;
  uint64_t value = 0;
  pair_of(g, &from, user, &pair);
  if (!memo_find(g->memo, &pair, now, &value)) {
    value = 0;
  }
  uint64_t until = value >> COUNT_BITS;
  if (until > now) {
    return until - now;
  }
  return pending == 0 ? 0 : wait_after((value & COUNT_MAX) + pending);
}

void guesses_wrong(struct guesses *g, struct guesses_place from, struct slice user, uint64_t now) {
  struct memo_key pair;
  uint64_t value = 0;
  pair_of(g, &from, user, &pair);
  pthread_mutex_lock(&g->counting);
  uint64_t count = memo_find(g->memo, &pair, now, &value) ? value & COUNT_MAX : 0;
  count += count < COUNT_MAX ? 1 : 0;
  memo_keep(g->memo, &pair, now + GUESSES_FORGET_MS,
            (now + wait_after(count)) << COUNT_BITS | count);
  pthread_mutex_unlock(&g->counting);
}

void guesses_right(struct guesses *g, struct guesses_place from, struct slice user) {
  struct memo_key pair;
  pair_of(g, &from, user, &pair);
  memo_forget(g->memo, &pair);
}
