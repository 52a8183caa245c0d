/* Entries lie sorted by kind, then name. Names are cut from a cryptographic hash: whoever can
 * choose values to be revoked cannot choose where they lie. */
#include "auth/revocation_set.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct entry {
  uint64_t kind; /* enum revocation_kind; this wide, there is no padding between two that differ */
  uint64_t name;
  int64_t at, until;
};

struct revocation_set {
  size_t starts[REVOCATION_KINDS + 2]; /* by kind; the next kind's is the end of its entries */
  size_t count;
  struct entry entries[];
};

static int compare(const void *a, const void *b) {
  const struct entry *x = a, *y = b;
  if (x->kind != y->kind) {
    return x->kind < y->kind ? -1 : 1;
  }
  return x->name == y->name ? 0 : x->name < y->name ? -1 : 1;
}

static int64_t later(int64_t a, int64_t b) {
  return a > b ? a : b;
}

/* Of those that are sorted, those of one value become one. */
static void merge(struct revocation_set *set) {
  size_t kept = 0;
  for (size_t i = 0; i < set->count; i++) {
    struct entry *last = kept == 0 ? NULL : &set->entries[kept - 1];
    const struct entry *next = &set->entries[i];
    if (last != NULL && compare(last, next) == 0) {
      last->at = later(last->at, next->at);
      last->until = later(last->until, next->until);
    } else {
      set->entries[kept++] = *next;
    }
  }
  set->count = kept;
}

static void index_kinds(struct revocation_set *set) {
  size_t i = 0;
  for (uint64_t kind = 0; kind < REVOCATION_KINDS + 2; kind++) {
    while (i < set->count && set->entries[i].kind < kind) {
      i++;
    }
    set->starts[kind] = i;
  }
}

struct revocation_set *revocation_set_new(const struct revocation_list *list, int64_t now) {
  struct revocation_set *set = malloc(sizeof *set + list->count * sizeof *set->entries);
  if (set == NULL) {
    return NULL;
  }
  set->count = 0;
  for (size_t i = 0; i < list->count; i++) {
    const struct revocation *r = &list->items[i];
    if (r->expires > now) {
      struct entry *entry = &set->entries[set->count++];
      *entry = (struct entry){.kind = r->kind, .at = r->at, .until = r->until};
      memcpy(&entry->name, r->hash, sizeof entry->name);
    }
  }
  qsort(set->entries, set->count, sizeof *set->entries, compare);
  merge(set);
  index_kinds(set);
  return set;
}

void revocation_set_free(struct revocation_set *set) {
  free(set);
}

size_t revocation_set_count(const struct revocation_set *set) {
  return set->count;
}

static const struct entry *find(const struct revocation_set *set, enum revocation_kind kind,
                                uint64_t name) {
  size_t low = set->starts[kind], high = set->starts[kind + 1];
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    const struct entry *entry = &set->entries[middle];
    if (entry->name == name) {
      return entry;
    }
    if (entry->name < name) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return NULL;
}

bool revocation_set_refuses_name(const struct revocation_set *set, enum revocation_kind kind,
                                 uint64_t name, int64_t issued) {
  const struct entry *entry = name == 0 ? NULL : find(set, kind, name);
  return entry != NULL && issued <= entry->at;
}

enum revocation_kind revocation_set_refuses(const struct revocation_set *set,
                                            const struct revocation_names *names, int64_t issued) {
  const struct {
    enum revocation_kind kind;
    uint64_t name;
  } asked[] = {{REVOCATION_JTI, names->jti},
               {REVOCATION_SUB, names->sub},
               {REVOCATION_REPOSITORY, names->repository},
               {REVOCATION_KID, names->kid},
               {REVOCATION_KID, names->header_kid}};
  for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
    if (revocation_set_refuses_name(set, asked[i].kind, asked[i].name, issued)) {
      return asked[i].kind;
    }
  }
  return (enum revocation_kind)0;
}

bool revocation_set_has(const struct revocation_set *set, enum revocation_kind kind) {
  return set->starts[kind] < set->starts[kind + 1];
}

bool revocation_set_refuses_infohash(const struct revocation_set *set,
                                     const unsigned char infohash[20], int64_t issued) {
  return revocation_set_has(set, REVOCATION_INFOHASH) &&
         revocation_set_refuses_name(set, REVOCATION_INFOHASH, revocation_name_infohash(infohash),
                                     issued);
}

enum revocation_kind revocation_set_bars(const struct revocation_set *set, uint64_t sub,
                                         uint64_t repository, int64_t now, int64_t *until) {
  const struct entry *entries[] = {sub == 0 ? NULL : find(set, REVOCATION_SUB, sub),
                                   repository == 0 ? NULL
                                                   : find(set, REVOCATION_REPOSITORY, repository)};
  const struct entry *by = NULL;
  for (size_t i = 0; i < 2; i++) {
    if (entries[i] != NULL && entries[i]->until > now &&
        (by == NULL || entries[i]->until > by->until)) {
      by = entries[i];
    }
  }
  if (by == NULL) {
    return (enum revocation_kind)0;
  }
  *until = by->until;
  return (enum revocation_kind)by->kind;
}

/* --- the set in force --- */

struct revocations {
  pthread_rwlock_t lock; /* guards the pointer; the generation changes under it */
  struct revocation_set *set;
  atomic_uint_least64_t generation;
  atomic_int_least64_t fresh; /* until when */
};

struct revocations *revocations_new(void) {
  struct revocations *revocations = malloc(sizeof *revocations);
  struct revocation_set *set = revocation_set_new(&(struct revocation_list){0}, 0);
  if (revocations == NULL || set == NULL) {
    free(revocations);
    revocation_set_free(set);
    return NULL;
  }
  pthread_rwlockattr_t attributes;
  pthread_rwlockattr_init(&attributes);
  /* Else readers that overlap without end would keep a revocation out. */
  pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
  pthread_rwlock_init(&revocations->lock, &attributes);
  pthread_rwlockattr_destroy(&attributes);
  revocations->set = set;
  atomic_init(&revocations->generation, 1);
  atomic_init(&revocations->fresh, INT64_MAX);
  return revocations;
}

void revocations_free(struct revocations *revocations) {
  if (revocations == NULL) {
    return;
  }
  pthread_rwlock_destroy(&revocations->lock);
  revocation_set_free(revocations->set);
  free(revocations);
}

static bool same(const struct revocation_set *a, const struct revocation_set *b) {
  return a->count == b->count && memcmp(a->entries, b->entries, a->count * sizeof *a->entries) == 0;
}

bool revocations_replace(struct revocations *revocations, struct revocation_set *set) {
  pthread_rwlock_wrlock(&revocations->lock);
  struct revocation_set *old = revocations->set;
  bool another = !same(old, set);
  if (another) {
    revocations->set = set;
    atomic_fetch_add_explicit(&revocations->generation, 1, memory_order_release);
  }
  pthread_rwlock_unlock(&revocations->lock);
  revocation_set_free(another ? old : set);
  return another;
}

uint64_t revocations_generation(const struct revocations *revocations) {
  return atomic_load_explicit(&revocations->generation, memory_order_acquire);
}

void revocations_set_fresh(struct revocations *revocations, int64_t until) {
  atomic_store(&revocations->fresh, until);
}

bool revocations_fresh(const struct revocations *revocations, int64_t now) {
  return now <= atomic_load_explicit(&revocations->fresh, memory_order_relaxed);
}

const struct revocation_set *revocations_hold(struct revocations *revocations,
                                              uint64_t *generation) {
  pthread_rwlock_rdlock(&revocations->lock);
  if (generation != NULL) {
    *generation = revocations_generation(revocations);
  }
  return revocations->set;
}

void revocations_release(struct revocations *revocations) {
  pthread_rwlock_unlock(&revocations->lock);
}
