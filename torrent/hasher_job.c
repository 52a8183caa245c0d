#include "torrent/hasher_internal.h"

static struct hasher_unit *unit_of(struct hasher *h, uint64_t n) {
  return &h->ring[n % h->ring_count];
}

static struct hasher_group *group_of(struct hasher *h, uint64_t n) {
  return &h->groups[n / h->units_per_group % h->group_count];
}

/* Units of the group that unit n is in: the last one may have fewer. */
static uint64_t group_size(const struct hasher *h, uint64_t n) {
  uint64_t left = h->unit_count - n / h->units_per_group * h->units_per_group;
  return left < h->units_per_group ? left : h->units_per_group;
}

/* The bytes of pieces, or of the part of a piece, that unit n is hashed by. */
static size_t part_length(const struct hasher *h) {
  return h->options.piece_length < HASHER_UNIT ? h->options.piece_length : HASHER_UNIT;
}

static bool digest(struct hasher *h, uint64_t n) {
  const struct hasher_unit *unit = unit_of(h, n);
  return EVP_DigestUpdate(h->digest, unit->bytes, unit->len) == 1;
}

static bool sha1(struct hasher *h, uint64_t n) {
  const struct hasher_unit *unit = unit_of(h, n);
  EVP_MD_CTX *ctx = group_of(h, n)->sha1;
  size_t length = h->options.piece_length;
  size_t part = part_length(h);
  for (size_t at = 0; at < unit->len; at += part) {
    size_t len = unit->len - at < part ? unit->len - at : part;
    uint64_t begin = n * HASHER_UNIT + at;
    uint64_t end = begin + len;
    unsigned char *out = (unsigned char *)h->result.pieces.ptr + begin / length * HASHER_SHA1;
    if ((begin % length == 0 && EVP_DigestInit_ex2(ctx, h->sha1, NULL) != 1) ||
        EVP_DigestUpdate(ctx, unit->bytes + at, len) != 1 ||
        ((end % length == 0 || end == h->options.size) &&
         EVP_DigestFinal_ex(ctx, out, NULL) != 1)) {
      return false;
    }
  }
  return true;
}

/* Where the root of a piece belongs. */
static unsigned char *root_of(struct hasher *h, uint64_t piece) {
  return h->result.piece_layer.len == 0
             ? h->result.pieces_root
             : (unsigned char *)h->result.piece_layer.ptr + piece * MERKLE_HASH;
}

/* The trees of a unit: of its pieces, or the subtree of its part of a piece. */
static bool leaves(struct hasher *h, struct merkle *tree, uint64_t n) {
  const struct hasher_unit *unit = unit_of(h, n);
  size_t part = part_length(h);
  for (size_t at = 0; at < unit->len;) {
    unsigned char *root = h->options.piece_length > HASHER_UNIT
                              ? h->roots[n % h->root_count]
                              : root_of(h, n * (HASHER_UNIT / part) + at / part);
    size_t end = unit->len - at < part ? unit->len : at + part;
    merkle_reset(tree);
    for (; at < end; at += MERKLE_BLOCK) {
      size_t len = end - at < MERKLE_BLOCK ? end - at : MERKLE_BLOCK;
      if (!merkle_add_block(tree, unit->bytes + at, len)) {
        return false;
      }
    }
    /* A blob that is shorter than all this is a tree of its own height. */
    uint64_t width = h->options.size <= part ? merkle_width(tree->count) : part / MERKLE_BLOCK;
    if (!merkle_root(tree, width, NULL, root)) {
      return false;
    }
  }
  return true;
}

/* The tree of a piece over those of its units, once all are there. */
static bool join_roots(struct hasher *h, struct merkle *tree, uint64_t n) {
  uint64_t group = n / h->units_per_group;
  uint64_t size = group_size(h, n);
  merkle_reset(tree);
  for (uint64_t i = 0; i < size; i++) {
    if (!merkle_add(tree, h->roots[(group * h->units_per_group + i) % h->root_count])) {
      return false;
    }
  }
  uint64_t width = h->result.piece_layer.len == 0 ? merkle_width(size) : h->units_per_group;
  return merkle_root(tree, width, h->zero_root, root_of(h, group));
}

/* The digest comes first: it is the longest chain, and nothing makes up for its delay. Leaves come
 * last: whoever is free can take them. */
static bool take(struct hasher *h, struct hasher_job *job) {
  if (h->options.digest && !h->digesting && h->next_digest < h->filled) {
    h->digesting = true;
    *job = (struct hasher_job){HASHER_JOB_DIGEST, h->next_digest};
    return true;
  }
  if ((h->options.format & TORRENT_V1) != 0) {
    for (uint64_t n = h->next_group * h->units_per_group; n < h->filled; n += h->units_per_group) {
      struct hasher_group *group = group_of(h, n);
      if (!group->hashing && group->hashed < group_size(h, n) && n + group->hashed < h->filled) {
        group->hashing = true;
        *job = (struct hasher_job){HASHER_JOB_SHA1, n + group->hashed};
        return true;
      }
    }
  }
  if ((h->options.format & TORRENT_V2) != 0 && h->next_leaves < h->filled) {
    *job = (struct hasher_job){HASHER_JOB_LEAVES, h->next_leaves++};
    return true;
  }
  return false;
}

/* SHA-1 is done with one more unit of a group. */
static void pass_groups(struct hasher *h, struct hasher_group *group) {
  group->hashing = false;
  group->hashed++;
  for (uint64_t n; (n = h->next_group * h->units_per_group) < h->unit_count; h->next_group++) {
    group = group_of(h, n);
    if (group->hashed < group_size(h, n)) {
      return;
    }
    group->hashed = 0;
  }
}

/* What comes of a job, with the lock held. */
static bool settle(struct hasher *h, struct merkle *tree, const struct hasher_job *job) {
  struct hasher_group *group = group_of(h, job->unit);
  switch (job->kind) {
  case HASHER_JOB_DIGEST:
    h->digesting = false;
    h->next_digest++;
    return true;
  case HASHER_JOB_SHA1:
    pass_groups(h, group);
    return true;
  case HASHER_JOB_LEAVES:
    if (++group->leaves < group_size(h, job->unit)) {
      return true;
    }
    group->leaves = 0;
    return h->options.piece_length <= HASHER_UNIT || join_roots(h, tree, job->unit);
  }
  return false;
}

bool hasher_work(struct hasher *h, struct merkle *tree) {
  struct hasher_job job;
  if (!take(h, &job)) {
    return false;
  }
  pthread_mutex_unlock(&h->lock);
  bool good = job.kind == HASHER_JOB_DIGEST ? digest(h, job.unit)
              : job.kind == HASHER_JOB_SHA1 ? sha1(h, job.unit)
                                            : leaves(h, tree, job.unit);
  pthread_mutex_lock(&h->lock);
  h->failed |= !good || !settle(h, tree, &job);
  if (--unit_of(h, job.unit)->pending == 0 || h->failed) {
    pthread_cond_signal(&h->room);
  }
  return true;
}
