#include "gateway/hashing.h"

#include "auth/swarm_ca.h"
#include "base/hex.h"
#include "cache/cache.h"
#include "db/torrent_store.h"
#include "gateway/issue.h"
#include "image/registry.h"

#include <inttypes.h>
#include <stdlib.h>

struct hashing {
  struct hashing_options options;
  struct errands *errands;
};

/** Of an errand. */
struct blob {
  struct hasher *hasher;
  struct cache_deposit *deposit; /* NULL: its bytes are not kept */
  uint64_t size;
  struct arena arena; /* of the torrent */
};

struct finding {
  const struct errand *errand;
  uint8_t format;
};

static int find(struct db_txn *txn, void *arg, struct error *e) {
  const struct finding *f = arg;
  struct arena arena = {0};
  struct torrent_record record;
  int result = torrent_store_find(txn, slice_str(f->errand->digest), f->format, &arena, &record, e);
  arena_free(&arena);
  return result;
}

/* Who asked may have looked just before it was stored. */
static bool is_done(const struct errand *a) {
  const struct hashing *h = a->context;
  struct finding f = {a, (uint8_t)h->options.format};
  return db_read(h->options.db, find, &f, NULL) == 0;
}

static struct slice hex_of(const struct errand *a) {
  return slice_str(a->digest + strlen("sha256:"));
}

/* What lies in a registry's own storage is read from there. */
static bool has_storage(const struct hashing *h, const char *registry) {
  for (size_t i = 0; i < h->options.registry_count; i++) {
    if (strcmp(h->options.registries[i].name, registry) == 0) {
      return h->options.registries[i].storage != NULL;
    }
  }
  return false;
}

static int head(struct errand *a, const struct registry_answer *answer, uint64_t *size,
                struct error *e) {
  const struct hashing *h = a->context;
  struct blob *b = a->state;
  b->size = answer->has_length ? answer->length : a->size;
  *size = b->size;
  if (b->size == ERRAND_SIZE_UNKNOWN) {
    return error_set(e, ERROR_FAILED, "the registry does not say how long it is");
  }
  if (a->size != ERRAND_SIZE_UNKNOWN && b->size != a->size) {
    return error_set(e, ERROR_MISMATCH,
                     "the registry says it has %" PRIu64 " bytes, but it should have %" PRIu64,
                     b->size, a->size);
  }
  const struct hasher_options options = {
      .format = h->options.format,
      .size = b->size,
      .piece_length = torrent_piece_length(b->size),
      .threads = HASHING_CORES,
      .digest = true,
  };
  if (hasher_new(&options, &b->hasher, e) != 0) {
    return -1;
  }
  if (h->options.cache != NULL && b->size > 0 && !has_storage(h, a->registry)) {
    b->deposit = cache_deposit_new(h->options.cache, hex_of(a), b->size);
  }
  return 0;
}

static int data(struct errand *a, struct slice bytes, struct error *e) {
  struct blob *b = a->state;
  if (b->deposit != NULL && !cache_deposit_write(b->deposit, bytes)) {
    cache_deposit_drop(b->deposit); /* the disk is full; it is hashed all the same */
    b->deposit = NULL;
  }
  return hasher_feed(b->hasher, bytes, e);
}

struct storing {
  const struct errand *errand;
  struct torrent_record record;
};

static int store(struct db_txn *txn, void *arg, struct error *e) {
  const struct storing *s = arg;
  return torrent_store_put(txn, &s->record, e) == 0
             ? torrent_store_allow(txn, s->record.infohash, slice_str(s->errand->registry),
                                   slice_str(s->errand->repository), e)
             : -1;
}

static int check_digest(const struct errand *a, const struct hashes *hashes, struct error *e) {
  char hex[65];
  hex_encode(hashes->sha256, sizeof hashes->sha256, hex);
  return strcmp(hex, a->digest + strlen("sha256:")) == 0
             ? 0
             : error_set(e, ERROR_MISMATCH,
                         "the registry sent other bytes: their digest is sha256:%s", hex);
}

static int store_torrent(struct errand *a, const struct hashes *hashes, struct error *e) {
  const struct hashing *h = a->context;
  struct blob *b = a->state;
  struct slice digest = slice_str(a->digest);
  struct slice name = issue_name(digest, &b->arena);
  struct metainfo m;
  if (name.ptr == NULL) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  struct swarm_ca *ca = swarm_authority_hold(h->options.swarm_authority);
  int result = metainfo_make(hashes, name, swarm_ca_certificate(ca), &b->arena, &m, e);
  swarm_ca_release(ca);
  if (result != 0) {
    return -1;
  }
  struct storing storing = {.errand = a,
                            .record = {.format = (uint8_t)m.format,
                                       .digest = digest,
                                       .size = m.size,
                                       .info = m.info,
                                       .piece_layers = m.piece_layers}};
  memcpy(storing.record.infohash, m.infohash, sizeof storing.record.infohash);
  memcpy(storing.record.infohash_v2, m.infohash_v2, sizeof storing.record.infohash_v2);
  return db_write_now(h->options.db, store, &storing, e);
}

static int finish(struct errand *a, struct error *e) {
  const struct hashing *h = a->context;
  struct blob *b = a->state;
  struct hashes hashes = {0};
  struct hasher *hasher = b->hasher;
  b->hasher = NULL;
  if (hasher_finish(hasher, &hashes, e) != 0) {
    return -1;
  }
  int result = check_digest(a, &hashes, e);
  if (result == 0 && b->deposit != NULL) {
    cache_deposit_keep(b->deposit); /* before the torrent is there, and somebody reads by it */
    b->deposit = NULL;
  }
  result = result == 0 ? store_torrent(a, &hashes, e) : -1;
  hashes_free(&hashes);
  if (result == 0) {
    log_write(h->options.log, LOG_LEVEL_INFO,
              "made the torrent of %s of %s/%s, %" PRIu64 " bytes, on request", a->digest,
              a->registry, a->repository, b->size);
  }
  return result;
}

static void clean(struct errand *a) {
  struct blob *b = a->state;
  hasher_cancel(b->hasher);
  cache_deposit_drop(b->deposit);
  arena_free(&b->arena);
}

struct hashing *hashing_new(const struct hashing_options *options, struct error *e) {
  static const struct errand_kind kind = {
      .verb = "hash",
      .threads = HASHING_THREADS,
      .at_once = 1,
      .most = HASHING_MOST,
      .wait_ms = HASHING_WAIT_MS,
      .state_size = sizeof(struct blob),
      .is_done = is_done,
      .head = head,
      .data = data,
      .finish = finish,
      .clean = clean,
  };
  struct hashing *h = calloc(1, sizeof *h);
  if (h == NULL) {
    error_set(e, ERROR_FAILED, "cannot start the gateway: out of memory");
    return NULL;
  }
  h->options = *options;
  const struct errands_options errands = {
      .kind = &kind,
      .context = h,
      .registries = options->registries,
      .registry_count = options->registry_count,
      .log = options->log,
      .wait_ms = options->wait_ms,
  };
  h->errands = errands_new(&errands, e);
  if (h->errands == NULL) {
    free(h);
    return NULL;
  }
  return h;
}

void hashing_free(struct hashing *hashing) {
  if (hashing != NULL) {
    errands_free(hashing->errands);
    free(hashing);
  }
}

struct errand_wait *hashing_ask(struct hashing *hashing, uv_loop_t *loop,
                                const struct errand_question *question, errand_told *told,
                                void *arg, struct error *e) {
  return errand_ask(hashing->errands, loop, question, told, arg, e);
}
