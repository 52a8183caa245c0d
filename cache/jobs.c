/* What is to be brought, and what comes of it. */
#include "cache/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SCAN_READ = 64 * 1024 }; /* bytes hashed at once */

/* --- the next job --- */

/* As many missing pieces from there on as the reader needs, and some more, and one claim may have.
 */
static uint64_t claim_length(const struct cache_blob *blob, uint32_t first, uint64_t end) {
  uint64_t length = 0;
  uint64_t ahead = (uint64_t)first * blob->pieces.piece_length + CACHE_CLAIM_MIN;
  end = end < ahead ? ahead : end;
  for (uint32_t i = first; i < blob->pieces.count && blob->states[i] == PIECE_MISSING; i++) {
    uint32_t piece = pieces_length(&blob->pieces, i);
    bool needed = (uint64_t)i * blob->pieces.piece_length < end;
    if (i > first && (!needed || length + piece > CACHE_CLAIM_MAX)) {
      break;
    }
    length += piece;
  }
  return length;
}

static void free_claim(struct cache_job *job) {
  piece_check_free(job->check);
  free(job->steps);
  free(job->registry);
  free(job->repository);
}

static bool make_claim(struct cache *cache, struct cache_want *want, uint32_t first,
                       uint64_t length, struct cache_job *out) {
  struct cache_blob *blob = want->blob;
  uint64_t offset = (uint64_t)first * blob->pieces.piece_length;
  *out = (struct cache_job){.kind = CACHE_CLAIM,
                            .blob = blob,
                            .offset = offset,
                            .length = length,
                            .check = piece_check_new(blob->pieces.v2),
                            .steps = steps_new(blob->fd, offset, length),
                            .registry = strdup(want->registry),
                            .repository = strdup(want->repository)};
  if (out->check == NULL || out->steps == NULL || out->registry == NULL ||
      out->repository == NULL) {
    free_claim(out);
    return false;
  }
  uint32_t i = first;
  for (uint64_t marked = 0; marked < length; i++) {
    blob->states[i] = PIECE_CLAIMED;
    marked += pieces_length(&blob->pieces, i);
  }
  blob->claims++;
  blob->bytes += length;
  cache->used += length;
  return true;
}

/* \return whether there is a job for this one. */
static bool job_for(struct cache *cache, struct cache_want *want, uint64_t now,
                    struct cache_job *out, uint64_t *again) {
  struct cache_blob *blob = want->blob;
  if (blob->knowledge == BLOB_UNSEEN) {
    blob->knowledge = BLOB_SCANNED;
    *out = (struct cache_job){.kind = CACHE_SCAN, .blob = blob};
  } else {
    uint32_t piece = blob_piece_at(blob, want->offset);
    if (blob->knowledge == BLOB_SCANNED || blob->claims == CACHE_CLAIMS_A_BLOB ||
        blob->states[piece] != PIECE_MISSING) {
      return false;
    }
    if (blob->rests_until > now) {
      *again = blob->rests_until < *again ? blob->rests_until : *again;
      return false;
    }
    uint64_t length = claim_length(blob, piece, want->end);
    /* A blob that there will never be room for must not drive out the others. */
    if (blob->pieces.size > cache->max_size || !cache_make_room(cache, length) ||
        !make_claim(cache, want, piece, length, out)) {
      want_tell(cache, want, CACHE_NO_ROOM);
      return false;
    }
  }
  memcpy(out->digest, blob->digest, sizeof out->digest);
  blob_hold(blob);
  return true;
}

bool cache_next(struct cache *cache, uint64_t now, bool scans, struct cache_job *out,
                uint64_t *again) {
  bool found = false;
  *again = UINT64_MAX;
  uv_mutex_lock(&cache->lock);
  for (struct cache_want *w = cache->wants, *next; w != NULL && !found; w = next) {
    next = w->next;
    found = (scans || w->blob->knowledge == BLOB_KNOWN) && job_for(cache, w, now, out, again);
  }
  uv_mutex_unlock(&cache->lock);
  cache_let_go(cache);
  return found;
}

/* --- what is there already --- */

/* Whether the file holds piece i. */
static bool holds_piece(const struct cache_job *job, struct piece_check *check, uint32_t i) {
  const struct pieces *p = &job->blob->pieces;
  char bytes[SCAN_READ];
  off_t at = (off_t)i * p->piece_length;
  for (size_t left = pieces_length(p, i); left > 0;) {
    ssize_t n = pread(job->blob->fd, bytes, left < sizeof bytes ? left : sizeof bytes, at);
    if (n <= 0) {
      break; /* the check says no */
    }
    piece_check_add(check, slice_of(bytes, (size_t)n));
    at += n;
    left -= (size_t)n;
  }
  return piece_check_end(check, p, i);
}

/* The first piece from i on of which something is on disk; count when there is none. */
static uint32_t next_piece(const struct cache_job *job, uint32_t i) {
  const struct pieces *p = &job->blob->pieces;
  off_t data = lseek(job->blob->fd, (off_t)i * p->piece_length, SEEK_DATA);
  if (data < 0) {
    return errno == ENXIO ? p->count : i; /* a file system that cannot tell */
  }
  uint32_t piece = (uint32_t)((uint64_t)data / p->piece_length);
  return piece > i ? piece : i;
}

void cache_scan(struct cache_job *job) {
  struct cache_blob *blob = job->blob;
  struct cache *cache = blob->cache;
  struct piece_check *check = piece_check_new(blob->pieces.v2);
  uint64_t right = 0;
  uint32_t i = check == NULL ? blob->pieces.count : 0;
  while (!atomic_load(&cache->stopping) && i < blob->pieces.count &&
         (i = next_piece(job, i)) < blob->pieces.count) {
    if (holds_piece(job, check, i)) {
      uv_mutex_lock(&cache->lock);
      blob_piece_ready(blob, i);
      uv_mutex_unlock(&cache->lock);
      right += pieces_length(&blob->pieces, i);
    }
    i++;
  }
  piece_check_free(check);
  uv_mutex_lock(&cache->lock);
  blob_count(blob, right);
  blob->knowledge = BLOB_KNOWN;
  uv_mutex_unlock(&cache->lock);
}

void cache_stop(struct cache *cache) {
  atomic_store(&cache->stopping, true);
}

/* --- what is brought --- */

static int written(const struct cache_job *job, int failed, struct error *e) {
  if (failed == 0) {
    return 0;
  }
  error_errno(e, failed, "cannot write sha256:%s into the cache", job->digest);
  if (e != NULL && (failed == ENOSPC || failed == EDQUOT || failed == EFBIG)) {
    e->kind = ERROR_USAGE;
  }
  return -1;
}

int cache_write(struct cache_job *job, struct slice bytes, struct error *e) {
  struct cache_blob *blob = job->blob;
  struct cache *cache = blob->cache;
  if (bytes.len > job->length - job->done) {
    return error_set(e, ERROR_MISMATCH, "more of sha256:%s came than was asked for", job->digest);
  }
  while (bytes.len > 0) {
    uint64_t at = job->offset + job->done;
    uint32_t piece = blob_piece_at(blob, at);
    uint64_t left =
        (uint64_t)piece * blob->pieces.piece_length + pieces_length(&blob->pieces, piece) - at;
    struct slice part = slice_of(bytes.ptr, left < bytes.len ? (size_t)left : bytes.len);
    if (written(job, steps_add(job->steps, part), e) != 0) {
      return -1;
    }
    piece_check_add(job->check, part);
    if (part.len == left) {
      if (!piece_check_end(job->check, &blob->pieces, piece)) {
        return error_set(e, ERROR_MISMATCH, "piece %u of sha256:%s is not what its hash says",
                         piece, job->digest);
      }
      if (written(job, steps_flush(job->steps), e) != 0) {
        return -1;
      }
      uv_mutex_lock(&cache->lock);
      blob_piece_ready(blob, piece);
      blob->failures = 0;
      uv_mutex_unlock(&cache->lock);
    }
    job->done += part.len;
    bytes = slice_from(bytes, part.len);
  }
  return 0;
}

/* --- how it ends --- */

/* Tells who waits for a piece of the blob that is missing. */
static void tell_missing(struct cache_blob *blob, enum cache_news news) {
  for (struct cache_want *w = blob->cache->wants, *next; w != NULL; w = next) {
    next = w->next;
    if (w->blob == blob && blob->states[blob_piece_at(blob, w->offset)] == PIECE_MISSING) {
      want_tell(blob->cache, w, news);
    }
  }
}

/*
eturn the bytes that were claimed in vain. */
static uint64_t unclaim(const struct cache_job *job) {
  struct cache_blob *blob = job->blob;
  uint64_t bytes = 0, length;
  for (uint64_t at = job->offset; at < job->offset + job->length; at += length) {
    uint32_t i = blob_piece_at(blob, at);
    length = pieces_length(&blob->pieces, i);
    if (blob->states[i] == PIECE_CLAIMED) {
      blob->states[i] = PIECE_MISSING;
      bytes += length;
    }
  }
  return bytes;
}

static void end_claim(struct cache_job *job, enum cache_outcome outcome, uint64_t now) {
  struct cache_blob *blob = job->blob;
  uint64_t missing = unclaim(job);
  blob_count(blob, blob->bytes - missing);
  blob->claims--;
  if (outcome == CACHE_DONE && missing > 0) {
    outcome = CACHE_RETRY;
  }
  if (outcome == CACHE_RETRY && ++blob->failures < CACHE_TRIES) {
    blob->rests_until = now + CACHE_REST_MS;
  } else if (outcome != CACHE_DONE) {
    blob->failures = 0;
    tell_missing(blob, outcome == CACHE_FULL   ? CACHE_NO_ROOM
                       : outcome == CACHE_LOST ? CACHE_GONE
                                               : CACHE_FAILED);
  }
}

void cache_job_end(struct cache_job *job, enum cache_outcome outcome, uint64_t now) {
  struct cache *cache = job->blob->cache;
  if (job->kind == CACHE_CLAIM) {
    uv_mutex_lock(&cache->lock);
    end_claim(job, outcome, now);
    uv_mutex_unlock(&cache->lock);
    free_claim(job);
  }
  cache_release(job->blob);
}
