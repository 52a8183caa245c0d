#include "torrent/hasher_internal.h"

#include <inttypes.h>
#include <sched.h>
#include <stdlib.h>

enum {
  RING_LEAST = 8, /* units: what one thread may be ahead of another */
  /* The digest is one chain, which all else keeps up with on three more threads. */
  DIGEST_THREADS_MAX = 4,
};

uint32_t torrent_piece_length(uint64_t size) {
  uint32_t length = 256 * 1024;
  while (length < TORRENT_PIECE_MAX && torrent_piece_count(size, length) > 2048) {
    length *= 2;
  }
  return length;
}

uint64_t torrent_piece_count(uint64_t size, uint32_t piece_length) {
  return size / piece_length + (size % piece_length != 0);
}

int torrent_check_sizes(uint64_t size, uint32_t piece_length, struct error *e) {
  if (size == 0) {
    return error_set(e, ERROR_USAGE, "an empty blob has no torrent");
  }
  if (piece_length < TORRENT_PIECE_MIN || piece_length > TORRENT_PIECE_MAX ||
      (piece_length & (piece_length - 1)) != 0) {
    return error_set(e, ERROR_USAGE,
                     "a piece length of %u bytes: it must be a power of two from 16 KiB to 16 MiB",
                     piece_length);
  }
  if (torrent_piece_count(size, piece_length) > TORRENT_PIECES_MAX) {
    return error_set(e, ERROR_USAGE,
                     "pieces of %u bytes make more than %d of %" PRIu64
                     " bytes: choose a longer piece length",
                     piece_length, TORRENT_PIECES_MAX, size);
  }
  return 0;
}

static void *worker_main(void *arg) {
  struct hasher *h = arg;
  struct merkle tree;
  bool good = merkle_init(&tree);
  pthread_mutex_lock(&h->lock);
  h->failed |= !good;
  while (!h->failed) {
    if (hasher_work(h, &tree)) {
      continue;
    }
    if (h->ending) {
      break;
    }
    pthread_cond_wait(&h->work, &h->lock);
  }
  if (h->failed) {
    pthread_cond_signal(&h->room);
    pthread_cond_broadcast(&h->work);
  }
  pthread_mutex_unlock(&h->lock);
  merkle_free(&tree);
  return NULL;
}

/* As many as may run, which in a container may be fewer than there are. */
static unsigned cores(void) {
  cpu_set_t set;
  int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
  return (unsigned)count;
}

static uint64_t least(uint64_t a, uint64_t b) {
  return a < b ? a : b;
}

static unsigned jobs_per_unit(const struct hasher_options *o) {
  unsigned digest = o->digest ? 1 : 0;
  unsigned v1 = (o->format & TORRENT_V1) != 0 ? 1 : 0;
  unsigned v2 = (o->format & TORRENT_V2) != 0 ? 1 : 0;
  return digest + v1 + v2;
}

/* How many threads, and what they share. Where a piece is a chain and there is no other to wait
 * for, each thread has a piece of its own. */
static void plan(struct hasher *h) {
  const struct hasher_options *o = &h->options;
  h->unit_count = torrent_piece_count(o->size, HASHER_UNIT);
  h->units_per_group = o->piece_length > HASHER_UNIT ? o->piece_length / HASHER_UNIT : 1;
  uint64_t threads = o->threads == 0 ? cores() : o->threads;
  threads = least(threads, o->digest ? DIGEST_THREADS_MAX : HASHER_THREADS_MAX);
  threads = least(threads, h->unit_count * jobs_per_unit(o));
  bool side_by_side = (o->format & TORRENT_V1) != 0 && !o->digest;
  uint64_t units = (threads + 1) * (side_by_side ? h->units_per_group : 1);
  units = least(units < RING_LEAST ? RING_LEAST : units, HASHER_UNITS_MAX);
  h->worker_count = (unsigned)threads - 1;
  h->ring_count = (unsigned)least(units, h->unit_count);
  /* The ring may begin and end in the middle of one. */
  h->group_count = (unsigned)(h->ring_count / h->units_per_group + 2);
  h->root_count = h->group_count * (unsigned)h->units_per_group;
}

/* \return false when OpenSSL has none of it. */
static bool set_up_openssl(struct hasher *h) {
  h->sha1 = EVP_MD_fetch(NULL, "SHA1", NULL);
  h->digest = EVP_MD_CTX_new();
  bool good = merkle_init(&h->tree) && h->sha1 != NULL && h->digest != NULL &&
              EVP_DigestInit_ex2(h->digest, h->tree.sha256, NULL) == 1 &&
              merkle_root(&h->tree, HASHER_UNIT / MERKLE_BLOCK, NULL, h->zero_root);
  for (unsigned i = 0; i < h->group_count; i++) {
    h->groups[i].sha1 = EVP_MD_CTX_new();
    good &= h->groups[i].sha1 != NULL;
  }
  return good;
}

static int set_up(struct hasher *h, struct error *e) {
  const struct hasher_options *o = &h->options;
  uint64_t pieces = torrent_piece_count(o->size, o->piece_length);
  h->result.format = o->format;
  h->result.size = o->size;
  h->result.piece_length = o->piece_length;
  h->groups = calloc(h->group_count, sizeof *h->groups);
  h->roots = malloc(h->root_count * sizeof *h->roots);
  bool good = h->groups != NULL && h->roots != NULL;
  if ((o->format & TORRENT_V1) != 0) {
    good &= buf_reserve(&h->result.pieces, pieces * HASHER_SHA1) != NULL;
    h->result.pieces.len = pieces * HASHER_SHA1;
  }
  if ((o->format & TORRENT_V2) != 0 && pieces > 1) {
    good &= buf_reserve(&h->result.piece_layer, pieces * MERKLE_HASH) != NULL;
    h->result.piece_layer.len = pieces * MERKLE_HASH;
  }
  for (unsigned i = 0; i < h->ring_count; i++) {
    h->ring[i].bytes = malloc(least(HASHER_UNIT, o->size));
    good &= h->ring[i].bytes != NULL;
  }
  if (!good) {
    return error_set(e, ERROR_FAILED, "cannot hash: out of memory");
  }
  return set_up_openssl(h)
             ? 0
             : error_set(e, ERROR_FAILED, "cannot hash: OpenSSL has no SHA-1 or SHA-256 here");
}

/* Does what is left to be done, unless hashing failed, and waits for the workers. */
static void join(struct hasher *h) {
  pthread_mutex_lock(&h->lock);
  h->ending = true;
  pthread_cond_broadcast(&h->work);
  while (!h->failed && hasher_work(h, &h->tree)) {
  }
  pthread_mutex_unlock(&h->lock);
  for (unsigned i = 0; i < h->worker_count; i++) {
    pthread_join(h->workers[i], NULL);
  }
}

/* Frees all but the result. */
static void release(struct hasher *h) {
  for (unsigned i = 0; i < h->ring_count; i++) {
    free(h->ring[i].bytes);
  }
  for (unsigned i = 0; h->groups != NULL && i < h->group_count; i++) {
    EVP_MD_CTX_free(h->groups[i].sha1);
  }
  free(h->groups);
  free(h->roots);
  EVP_MD_CTX_free(h->digest);
  merkle_free(&h->tree);
  EVP_MD_free(h->sha1);
  pthread_cond_destroy(&h->room);
  pthread_cond_destroy(&h->work);
  pthread_mutex_destroy(&h->lock);
  free(h);
}

int hasher_new(const struct hasher_options *options, struct hasher **out, struct error *e) {
  if (torrent_check_sizes(options->size, options->piece_length, e) != 0) {
    return -1;
  }
  struct hasher *h = calloc(1, sizeof *h);
  if (h == NULL) {
    return error_set(e, ERROR_FAILED, "cannot hash: out of memory");
  }
  h->options = *options;
  pthread_mutex_init(&h->lock, NULL);
  pthread_cond_init(&h->work, NULL);
  pthread_cond_init(&h->room, NULL);
  plan(h);
  int result = set_up(h, e);
  unsigned wanted = result == 0 ? h->worker_count : 0;
  for (h->worker_count = 0; h->worker_count < wanted; h->worker_count++) {
    int number = pthread_create(&h->workers[h->worker_count], NULL, worker_main, h);
    if (number != 0) {
      result = error_errno(e, number, "cannot start a thread to hash with");
      break;
    }
  }
  if (result != 0) {
    hasher_cancel(h);
    return -1;
  }
  *out = h;
  return 0;
}

/* The unit at whose end the next byte goes. */
static struct hasher_unit *filling(struct hasher *h) {
  return &h->ring[h->fed / HASHER_UNIT % h->ring_count];
}

static int fail(struct error *e) {
  return error_set(e, ERROR_FAILED, "cannot hash: OpenSSL failed or memory ran out");
}

void *hasher_reserve(struct hasher *h, size_t *room, struct error *e) {
  if (h->fed == h->options.size) {
    error_set(e, ERROR_MISMATCH, "the blob has more than the %" PRIu64 " bytes announced",
              h->options.size);
    return NULL;
  }
  struct hasher_unit *unit = filling(h);
  size_t used = h->fed % HASHER_UNIT;
  pthread_mutex_lock(&h->lock);
  while (unit->pending > 0 && !h->failed) {
    if (!hasher_work(h, &h->tree)) {
      pthread_cond_wait(&h->room, &h->lock);
    }
  }
  bool failed = h->failed;
  pthread_mutex_unlock(&h->lock);
  if (failed) {
    fail(e);
    return NULL;
  }
  *room = (size_t)least(HASHER_UNIT - used, h->options.size - h->fed);
  return unit->bytes + used;
}

void hasher_commit(struct hasher *h, size_t len) {
  struct hasher_unit *unit = filling(h);
  size_t used = h->fed % HASHER_UNIT + len;
  h->fed += len;
  if (len > 0 && (used == HASHER_UNIT || h->fed == h->options.size)) {
    pthread_mutex_lock(&h->lock);
    unit->len = used;
    unit->pending = jobs_per_unit(&h->options);
    h->filled++;
    pthread_cond_broadcast(&h->work);
    pthread_mutex_unlock(&h->lock);
  }
}

int hasher_feed(struct hasher *h, struct slice bytes, struct error *e) {
  while (bytes.len > 0) {
    size_t room;
    void *at = hasher_reserve(h, &room, e);
    if (at == NULL) {
      return -1;
    }
    room = (size_t)least(room, bytes.len);
    memcpy(at, bytes.ptr, room);
    hasher_commit(h, room);
    bytes = slice_from(bytes, room);
  }
  return 0;
}

int hasher_finish(struct hasher *h, struct hashes *out, struct error *e) {
  if (h->fed < h->options.size) {
    error_set(e, ERROR_MISMATCH, "the blob ends after %" PRIu64 " of %" PRIu64 " bytes", h->fed,
              h->options.size);
    hasher_cancel(h);
    return -1;
  }
  join(h);
  struct hashes result = h->result;
  bool good =
      !h->failed &&
      (!h->options.digest || EVP_DigestFinal_ex(h->digest, result.sha256, NULL) == 1) &&
      (result.piece_layer.len == 0 ||
       merkle_layer_root(buf_view(&result.piece_layer), result.piece_length, result.pieces_root));
  release(h);
  if (!good) {
    hashes_free(&result);
    return fail(e);
  }
  *out = result;
  return 0;
}

void hasher_cancel(struct hasher *h) {
  if (h == NULL) {
    return;
  }
  pthread_mutex_lock(&h->lock);
  h->failed = true;
  pthread_mutex_unlock(&h->lock);
  join(h);
  hashes_free(&h->result);
  release(h);
}

void hashes_free(struct hashes *hashes) {
  buf_free(&hashes->pieces);
  buf_free(&hashes->piece_layer);
}
