#include "torrent/hasher.h"

#include "torrent/merkle.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

enum {
  SHA1_SIZE = 20,
  /* A slot is a piece, or as many small ones as make this: large enough that handing it over costs
   * nothing, small enough that it is still in the cache when its turn comes. */
  SLOT_MIN = 1024 * 1024,
  /* Of all slots: with the largest pieces, more than 14 cores have to wait for each other. */
  MEMORY_MAX = 256 * 1024 * 1024,
  SLOTS_MAX = MEMORY_MAX / SLOT_MIN,
  THREADS_MAX = SLOTS_MAX,
};

/* A part of the blob that waits to be hashed. */
struct slot {
  unsigned char *bytes;
  size_t len;
  unsigned pending; /* hashings that are still to be done with it: its pieces, the digest */
};

/*
 * The slots are a ring. The feeding thread fills them in turn. Workers take what there is: the next
 * slot's part of the digest, which is one chain, so that one worker at a time goes on with it, or
 * the next slot's pieces, which many do side by side. The chain comes first: nothing else makes up
 * for its delay.
 */
struct hasher {
  struct hasher_options options;
  struct hashes result; /* workers write to places of their own in pieces and piece_layer */
  size_t slot_size;
  unsigned slot_count;
  struct slot slots[SLOTS_MAX];
  unsigned thread_count;
  pthread_t threads[THREADS_MAX];
  EVP_MD *sha1;
  EVP_MD *sha256;
  EVP_MD_CTX *digest; /* used by the worker that made digesting true */
  uint64_t fed;       /* bytes; of the feeding thread alone */

  pthread_mutex_t lock; /* over all that follows, and slots' len and pending */
  pthread_cond_t work;  /* a slot was filled, or there will be no more */
  pthread_cond_t room;  /* a slot is free again, or hashing failed */
  uint64_t filled;      /* slots filled since the beginning: the next one is filled % slot_count */
  uint64_t next_pieces; /* the slot whose pieces are to be hashed next */
  uint64_t next_digest; /* the slot that the digest goes on with */
  bool digesting;
  bool ending; /* no further slot will be filled */
  bool failed; /* OpenSSL or memory: all stop */
};

/* What one worker hashes with. */
struct worker {
  EVP_MD_CTX *sha1;
  struct merkle merkle;
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

/* The bytes of one piece: SHA-1, and the merkle tree over its blocks, in one go over the cache. */
static bool hash_piece(struct hasher *h, struct worker *w, const unsigned char *bytes, size_t len,
                       uint64_t index) {
  bool v1 = (h->options.format & TORRENT_V1) != 0;
  bool v2 = (h->options.format & TORRENT_V2) != 0;
  if (v1 && EVP_DigestInit_ex2(w->sha1, h->sha1, NULL) != 1) {
    return false;
  }
  merkle_reset(&w->merkle);
  for (size_t at = 0; at < len; at += MERKLE_BLOCK) {
    size_t block = len - at < MERKLE_BLOCK ? len - at : MERKLE_BLOCK;
    if ((v1 && EVP_DigestUpdate(w->sha1, bytes + at, block) != 1) ||
        (v2 && !merkle_add_block(&w->merkle, bytes + at, block))) {
      return false;
    }
  }
  if (v1) {
    unsigned char *sha1 = (unsigned char *)h->result.pieces.ptr + index * SHA1_SIZE;
    if (EVP_DigestFinal_ex(w->sha1, sha1, NULL) != 1) {
      return false;
    }
  }
  if (!v2) {
    return true;
  }
  if (h->result.size <= h->result.piece_length) {
    return merkle_root(&w->merkle, merkle_width(w->merkle.count), NULL, h->result.pieces_root);
  }
  unsigned char *root = (unsigned char *)h->result.piece_layer.ptr + index * MERKLE_HASH;
  return merkle_root(&w->merkle, h->result.piece_length / MERKLE_BLOCK, NULL, root);
}

static bool hash_pieces(struct hasher *h, struct worker *w, const struct slot *slot, uint64_t n) {
  size_t length = h->options.piece_length;
  uint64_t index = n * (h->slot_size / length);
  for (size_t at = 0; at < slot->len; at += length, index++) {
    size_t len = slot->len - at < length ? slot->len - at : length;
    if (!hash_piece(h, w, slot->bytes + at, len, index)) {
      return false;
    }
  }
  return true;
}

/* With the lock held, which is let go meanwhile. \return whether there was anything to do. */
static bool work(struct hasher *h, struct worker *w) {
  bool good;
  struct slot *slot;
  if (h->options.digest && !h->digesting && h->next_digest < h->filled) {
    slot = &h->slots[h->next_digest % h->slot_count];
    h->digesting = true;
    pthread_mutex_unlock(&h->lock);
    good = EVP_DigestUpdate(h->digest, slot->bytes, slot->len) == 1;
    pthread_mutex_lock(&h->lock);
    h->digesting = false;
    h->next_digest++;
  } else if (h->next_pieces < h->filled) {
    uint64_t n = h->next_pieces++;
    slot = &h->slots[n % h->slot_count];
    pthread_mutex_unlock(&h->lock);
    good = hash_pieces(h, w, slot, n);
    pthread_mutex_lock(&h->lock);
  } else {
    return false;
  }
  h->failed |= !good;
  if (--slot->pending == 0 || !good) {
    pthread_cond_signal(&h->room);
  }
  return true;
}

static void *worker_main(void *arg) {
  struct hasher *h = arg;
  struct worker w = {.sha1 = EVP_MD_CTX_new()};
  bool good = merkle_init(&w.merkle) && w.sha1 != NULL;
  pthread_mutex_lock(&h->lock);
  h->failed |= !good;
  while (!h->failed) {
    if (work(h, &w)) {
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
  merkle_free(&w.merkle);
  EVP_MD_CTX_free(w.sha1);
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

static int set_up(struct hasher *h, struct error *e) {
  const struct hasher_options *o = &h->options;
  uint64_t pieces = torrent_piece_count(o->size, o->piece_length);
  h->result.format = o->format;
  h->result.size = o->size;
  h->result.piece_length = o->piece_length;
  h->slot_size = o->piece_length > SLOT_MIN ? o->piece_length : SLOT_MIN;
  uint64_t slots = torrent_piece_count(o->size, (uint32_t)h->slot_size);
  uint64_t tasks = slots * (o->digest ? 2 : 1);
  unsigned threads = o->threads == 0 ? cores() : o->threads;
  h->thread_count = (unsigned)least(least(threads, THREADS_MAX), tasks);
  h->slot_count = (unsigned)least(least(h->thread_count + 2, slots), MEMORY_MAX / h->slot_size);

  h->sha1 = EVP_MD_fetch(NULL, "SHA1", NULL);
  h->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
  h->digest = EVP_MD_CTX_new();
  if (h->sha1 == NULL || h->sha256 == NULL || h->digest == NULL ||
      EVP_DigestInit_ex2(h->digest, h->sha256, NULL) != 1) {
    return error_set(e, ERROR_FAILED, "cannot hash: OpenSSL has no SHA-1 or SHA-256 here");
  }
  bool good = true;
  if ((o->format & TORRENT_V1) != 0) {
    good &= buf_reserve(&h->result.pieces, pieces * SHA1_SIZE) != NULL;
    h->result.pieces.len = pieces * SHA1_SIZE;
  }
  if ((o->format & TORRENT_V2) != 0 && pieces > 1) {
    good &= buf_reserve(&h->result.piece_layer, pieces * MERKLE_HASH) != NULL;
    h->result.piece_layer.len = pieces * MERKLE_HASH;
  }
  for (unsigned i = 0; i < h->slot_count; i++) {
    h->slots[i].bytes = malloc(least(h->slot_size, o->size));
    good &= h->slots[i].bytes != NULL;
  }
  if (!good) {
    return error_set(e, ERROR_FAILED, "cannot hash: out of memory");
  }
  return 0;
}

/* Waits for the workers, who finish what was filled unless hashing failed. */
static void join(struct hasher *h) {
  pthread_mutex_lock(&h->lock);
  h->ending = true;
  pthread_cond_broadcast(&h->work);
  pthread_mutex_unlock(&h->lock);
  for (unsigned i = 0; i < h->thread_count; i++) {
    pthread_join(h->threads[i], NULL);
  }
}

/* Frees all but the result. */
static void release(struct hasher *h) {
  for (unsigned i = 0; i < h->slot_count; i++) {
    free(h->slots[i].bytes);
  }
  EVP_MD_CTX_free(h->digest);
  EVP_MD_free(h->sha256);
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
  int result = set_up(h, e);
  unsigned wanted = result == 0 ? h->thread_count : 0;
  h->thread_count = 0;
  for (; h->thread_count < wanted; h->thread_count++) {
    int number = pthread_create(&h->threads[h->thread_count], NULL, worker_main, h);
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

/* The slot at whose end the next byte goes. */
static struct slot *filling(struct hasher *h) {
  return &h->slots[h->fed / h->slot_size % h->slot_count];
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
  struct slot *slot = filling(h);
  size_t used = h->fed % h->slot_size;
  pthread_mutex_lock(&h->lock);
  while (slot->pending > 0 && !h->failed) {
    pthread_cond_wait(&h->room, &h->lock);
  }
  bool failed = h->failed;
  pthread_mutex_unlock(&h->lock);
  if (failed) {
    fail(e);
    return NULL;
  }
  *room = (size_t)least(h->slot_size - used, h->options.size - h->fed);
  return slot->bytes + used;
}

void hasher_commit(struct hasher *h, size_t len) {
  struct slot *slot = filling(h);
  size_t used = h->fed % h->slot_size + len;
  h->fed += len;
  if (len > 0 && (used == h->slot_size || h->fed == h->options.size)) {
    pthread_mutex_lock(&h->lock);
    slot->len = used;
    slot->pending = h->options.digest ? 2 : 1;
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
