#include "gateway/registration.h"

#include "gateway/problem.h"

#include <stdlib.h>

struct finding {
  const struct request *request;
  struct slice digest;
  struct arena *arena;
  struct torrent_record *record;
  bool registered;
};

static int find(struct db_txn *txn, void *arg, struct error *e) {
  struct finding *f = arg;
  const struct request *r = f->request;
  if (torrent_store_find(txn, f->digest, (uint8_t)r->gateway->options->format, f->arena, f->record,
                         e) != 0) {
    return -1;
  }
  f->registered = torrent_store_allowed(txn, f->record->infohash, r->upstream->name, r->repository);
  return 0;
}

int registration_find(const struct request *r, struct slice digest, struct arena *arena,
                      struct torrent_record *out, bool *registered, struct error *e) {
  struct finding f = {.request = r, .digest = digest, .arena = arena, .record = out};
  int result = db_read(r->gateway->options->db, find, &f, e);
  *registered = result == 0 && f.registered;
  return result;
}

/* The argument of a write transaction, which may outlive the request. */
struct registration {
  registration_told *told; /* NULL when nobody waits any more */
  void *arg;
  struct slice registry;
  struct slice repository;
  const struct token_infohash *infohashes;
  size_t count;
  char bytes[]; /* what the others point to */
};

static int write_all(struct db_txn *txn, void *arg, struct error *e) {
  const struct registration *g = arg;
  for (size_t i = 0; i < g->count; i++) {
    if (torrent_store_allow(txn, g->infohashes[i].bytes, g->registry, g->repository, e) != 0) {
      return -1;
    }
  }
  return 0;
}

static void on_written(void *arg, const struct error *e) {
  struct registration *g = arg;
  if (g->told != NULL) {
    g->told(g->arg, e);
  }
  free(g);
}

static const char *put(char **at, const void *bytes, size_t len) {
  char *here = *at;
  memcpy(here, bytes, len);
  *at += len;
  return here;
}

struct registration *registration_start(const struct request *r,
                                        const struct token_infohash *infohashes, size_t count,
                                        registration_told *told, void *arg, struct error *e) {
  struct slice registry = r->upstream->name;
  size_t size = count * sizeof *infohashes;
  struct registration *g = malloc(sizeof *g + size + registry.len + r->repository.len);
  if (g == NULL) {
    error_set(e, ERROR_FAILED, "out of memory");
    return NULL;
  }
  char *at = g->bytes;
  *g = (struct registration){.told = told, .arg = arg, .count = count};
  g->infohashes = (const void *)put(&at, infohashes, size);
  g->registry = slice_of(put(&at, registry.ptr, registry.len), registry.len);
  g->repository = slice_of(put(&at, r->repository.ptr, r->repository.len), r->repository.len);
  if (db_write(r->gateway->options->db, http_exchange_loop(r->x), write_all, g, on_written, e) !=
      0) {
    free(g);
    return NULL;
  }
  return g;
}

void registration_leave(struct registration *registration) {
  if (registration != NULL) {
    registration->told = NULL;
  }
}

void registration_missing(const struct request *r, struct slice digest) {
  request_log(r, LOG_LEVEL_DEBUG, "no torrent of", digest,
              "the caller may read it, but none is registered in this format");
  problem_answer(
      r->x, 404, "BLOB_UNKNOWN",
      "no torrent is registered for this blob: `GET /v1/<name>/blobs/<digest>` makes it, "
      "or the operator by `swarmgate torrent create --register`");
}
