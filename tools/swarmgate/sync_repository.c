/* A repository: what is registered to it, and what its tags name, make the list of its blobs. */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/hex.h"
#include "db/torrent_store.h"
#include "image/manifest.h"
#include "image/reference.h"
#include "sync.h"

#include <openssl/evp.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int out_of_memory(struct error *e) {
  return error_set(e, ERROR_FAILED, "out of memory");
}

/* --- its blobs --- */

static int by_digest(const void *a, const void *b) {
  return strcmp(((const struct sync_blob *)a)->digest, ((const struct sync_blob *)b)->digest);
}

static int grow(struct sync_repository *r, struct error *e) {
  if (r->blob_count == SYNC_MOST) {
    return error_set(e, ERROR_FAILED, "%s has more than %d blobs", r->name, SYNC_MOST);
  }
  if (r->blob_count == r->blob_capacity) {
    size_t capacity = r->blob_capacity == 0 ? 64 : 2 * r->blob_capacity;
    struct sync_blob **grown = reallocarray(r->blobs, capacity, sizeof(struct sync_blob *));
    if (grown == NULL) {
      return out_of_memory(e);
    }
    r->blobs = grown;
    r->blob_capacity = capacity;
  }
  return 0;
}

/* The blob of that digest, made when it is not there yet; NULL with \p e. */
static struct sync_blob *blob_of(struct sync_repository *r, struct slice digest, uint64_t size,
                                 struct error *e) {
  const struct sync_blob key = {.digest = arena_copy(&r->arena, digest)};
  struct sync_blob *const *found = key.digest == NULL ? NULL : tfind(&key, &r->tree, by_digest);
  if (found != NULL) {
    return *found;
  }
  struct sync_blob *b = arena_alloc(&r->arena, sizeof *b);
  if (key.digest == NULL || b == NULL) {
    out_of_memory(e);
    return NULL;
  }
  if (grow(r, e) != 0) {
    return NULL;
  }
  *b = (struct sync_blob){.digest = key.digest, .size = size};
  if (tsearch(b, &r->tree, by_digest) == NULL) {
    out_of_memory(e);
    return NULL;
  }
  r->blobs[r->blob_count++] = b;
  return b;
}

/* --- what is registered to it --- */

struct reading {
  struct sync_repository *repository;
  struct db_txn *txn;
  struct error *e;
  bool failed;
};

static int add_registered(struct sync_repository *r, const struct torrent_record *t,
                          struct error *e) {
  struct sync_blob *b = blob_of(r, t->digest, t->size, e);
  struct sync_infohash *all =
      b == NULL ? NULL : arena_alloc(&r->arena, (b->registered_count + 1) * sizeof *all);
  if (all == NULL) {
    return b == NULL ? -1 : out_of_memory(e);
  }
  if (b->registered_count > 0) {
    memcpy(all, b->registered, b->registered_count * sizeof *all);
  }
  memcpy(all[b->registered_count].bytes, t->infohash, sizeof all->bytes);
  b->registered = all;
  b->registered_count++;
  return 0;
}

static bool visit(void *arg, const unsigned char infohash[20], struct slice registry,
                  struct slice repository) {
  struct reading *g = arg;
  struct sync_repository *r = g->repository;
  if (!slice_equal(registry, slice_str(r->sync->registry)) ||
      !slice_equal(repository, slice_str(r->name))) {
    return true;
  }
  CLEANUP(arena_free) struct arena arena = {0};
  struct torrent_record t;
  g->failed = torrent_store_get(g->txn, infohash, &arena, &t, g->e) != 0 ||
              add_registered(r, &t, g->e) != 0;
  return !g->failed;
}

static int read_registered(struct db_txn *txn, void *arg, struct error *e) {
  struct reading g = {.repository = arg, .txn = txn, .e = e};
  return torrent_store_each_right(txn, visit, &g, e) != 0 || g.failed ? -1 : 0;
}

/* --- what its tags name --- */

static int by_text(const void *a, const void *b) {
  return strcmp(a, b);
}

/* Whether a manifest was read before, under another tag or in another index. */
static bool was_read(const struct sync_repository *r, const char *digest) {
  return tfind(digest, &r->manifests, by_text) != NULL;
}

static int keep_read(struct sync_repository *r, const char *digest, struct error *e) {
  if (r->manifest_count == SYNC_MOST) {
    return error_set(e, ERROR_FAILED, "%s has more than %d manifests", r->name, SYNC_MOST);
  }
  r->manifest_count++;
  return tsearch(digest, &r->manifests, by_text) != NULL ? 0 : out_of_memory(e);
}

static int collect(void *arg, struct slice bytes, struct error *e) {
  struct buf *text = arg;
  buf_slice(text, bytes);
  return text->failed ? error_set(e, ERROR_FAILED, "it is larger than %d bytes", IMAGE_MANIFEST_MAX)
                      : 0;
}

/* The digest of a manifest's bytes, which must be the one that it was asked by, or is said to have;
 * NULL with \p e. */
static const char *digest_of(struct sync_repository *r, struct slice text, const char *expected,
                             struct error *e) {
  unsigned char sha256[EVP_MAX_MD_SIZE];
  char hex[65];
  if (EVP_Digest(text.ptr == NULL ? "" : text.ptr, text.len, sha256, NULL, EVP_sha256(), NULL) !=
      1) {
    out_of_memory(e);
    return NULL;
  }
  hex_encode(sha256, 32, hex);
  struct slice digest = arena_printf(&r->arena, "sha256:%s", hex);
  if (digest.ptr == NULL) {
    out_of_memory(e);
    return NULL;
  }
  if (expected != NULL && strcmp(expected, digest.ptr) != 0) {
    error_set(e, ERROR_MISMATCH, "its bytes have the digest %s, but should have %s", digest.ptr,
              expected);
    return NULL;
  }
  return digest.ptr;
}

static int add_blobs(struct sync_repository *r, const struct image_manifest *m, struct arena *arena,
                     struct error *e) {
  size_t count;
  const struct image_descriptor *blobs = image_manifest_blobs(m, arena, &count, e);
  for (size_t i = 0; blobs != NULL && i < count; i++) {
    struct sync_blob *b = blob_of(r, slice_str(blobs[i].digest), blobs[i].size, e);
    if (b == NULL) {
      return -1;
    }
    b->named = true;
  }
  return blobs == NULL ? -1 : 0;
}

static void read_manifest(struct sync_repository *r, const char *reference, unsigned depth);

static void read_entries(struct sync_repository *r, const struct image_manifest *index,
                         unsigned depth) {
  for (size_t i = 0; depth < IMAGE_INDEX_DEPTH_MAX && i < index->layer_count; i++) {
    const struct image_descriptor *entry = &index->layers[i];
    if (image_index_entry_known(entry) && image_descriptor_check(entry, NULL) == 0 &&
        !was_read(r, entry->digest)) {
      read_manifest(r, entry->digest, depth + 1);
    }
  }
}

/* What came in answer to \p reference. */
static int take_manifest(struct sync_repository *r, const char *reference, struct slice text,
                         const struct registry_reply *reply, unsigned depth, struct error *e) {
  CLEANUP(arena_free) struct arena arena = {0};
  bool by_digest = image_digest_valid(slice_str(reference));
  const char *digest = digest_of(r, text, by_digest ? reference : reply->digest, e);
  struct image_manifest m;
  if (digest == NULL) {
    return -1;
  }
  if (was_read(r, digest)) {
    return 0;
  }
  r->counts.manifests++;
  if (keep_read(r, digest, e) != 0 ||
      image_manifest_parse(text, reply->media_type, &arena, &m, e) != 0) {
    return -1;
  }
  if (m.is_index) {
    read_entries(r, &m, depth);
    return 0;
  }
  return add_blobs(r, &m, &arena, e);
}

static void read_manifest(struct sync_repository *r, const char *reference, unsigned depth) {
  CLEANUP(buf_free) struct buf text = {.limit = IMAGE_MANIFEST_MAX};
  CLEANUP(arena_free) struct arena arena = {0};
  const struct registry_get get = {.method = "GET", .repository = r->name, .manifest = reference};
  struct registry_reply reply;
  struct error e = {0};
  enum sync_answer answer =
      sync_ask(r->sync, &get, IMAGE_SIZE_UNKNOWN, collect, &text, &arena, &reply, &e);
  /* One that is gone was deleted meanwhile, or an index names what was never pushed. */
  if (answer == SYNC_FAILED || (answer == SYNC_THERE && take_manifest(r, reference, buf_view(&text),
                                                                      &reply, depth, &e) != 0)) {
    error_context(&e, "manifest %.128s of %s", reference, r->name);
    sync_fail(r, &e);
  }
}

static bool is_given_up(const struct sync *s) {
  return s->silences >= SYNC_SILENCES_MAX;
}

/* \return SYNC_GONE when there is no such repository; then nothing is named. */
static enum sync_answer read_tags(struct sync_repository *r, struct error *e) {
  CLEANUP(registry_list_free) struct registry_list tags = {0};
  const struct registry_get get = {.method = "GET", .repository = r->name, .list = true};
  struct sync *s = r->sync;
  struct registry_reply reply;
  enum sync_answer answer = SYNC_FAILED;
  int result = registry_session_list(s->session, r->name, &tags, &r->arena, &reply, e);
  sync_heard(s, result, &reply, e);
  if (result == 0) {
    answer = sync_judge(s, &get, &reply, e);
  }
  for (size_t i = 0; answer == SYNC_THERE && i < tags.count && !is_given_up(s); i++) {
    read_manifest(r, tags.names[i], 0);
  }
  return answer;
}

/* --- all of it --- */

static void keep(void *node) {
  (void)node; /* the trees do not own what is in them */
}

static void finish(struct sync_repository *r) {
  struct sync *s = r->sync;
  s->total.manifests += r->counts.manifests;
  s->total.hashed += r->counts.hashed;
  s->total.registered += r->counts.registered;
  s->total.removed += r->counts.removed;
  s->total.failed += r->counts.failed;
  json_array_append_new(s->repositories,
                        json_pack("{s:s, s:I, s:O, s:O, s:O, s:O}", "repository", r->name,
                                  "manifests", (json_int_t)r->counts.manifests, "hashed", r->hashed,
                                  "registered", r->registered, "removed", r->removed, "failed",
                                  r->failed));
  json_decref(r->hashed);
  json_decref(r->registered);
  json_decref(r->removed);
  json_decref(r->failed);
  tdestroy(r->tree, keep);
  tdestroy(r->manifests, keep);
  free(r->blobs);
  arena_free(&r->arena);
}

int sync_repository(struct sync *s, const char *name, struct error *e) {
  struct sync_repository r = {.sync = s,
                              .name = name,
                              .hashed = json_array(),
                              .registered = json_array(),
                              .removed = json_array(),
                              .failed = json_array()};
  struct error why = {0};
  int result = 0;
  if (db_read(s->db, read_registered, &r, &why) != 0) {
    sync_fail(&r, &why);
  } else {
    switch (read_tags(&r, &why)) {
    case SYNC_FAILED:
      error_context(&why, "the tags of %s", name);
      sync_fail(&r, &why);
      r.blob_count = 0; /* whether the registry is one at all is not known */
      break;
    case SYNC_GONE:
      if (r.blob_count == 0) {
        result = error_set(e, ERROR_NOT_FOUND, "%s: %s", name, why.text);
      }
      break;
    case SYNC_THERE:
      break;
    }
  }
  for (size_t i = 0; i < r.blob_count && !is_given_up(s); i++) {
    sync_blob(&r, r.blobs[i], i + 1);
  }
  finish(&r);
  return result;
}
