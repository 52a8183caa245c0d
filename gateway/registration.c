#include "gateway/registration.h"

#include "gateway/problem.h"
#include "gateway/swarm_torrent.h"

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
  const struct gateway_options *o = r->gateway->options;
  if (swarm_torrent_find(txn, o->swarm_authority, f->digest, (uint8_t)o->format, f->arena,
                         f->record, e) != 0) {
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
  const struct gateway_options *options;
  struct slice registry;
  struct slice repository;
  size_t count;
  struct slice digests[]; /* and behind them what the others point to */
};

static int write_all(struct db_txn *txn, void *arg, struct error *e) {
  const struct registration *g = arg;
  const struct gateway_options *o = g->options;
  for (size_t i = 0; i < g->count; i++) {
    if (swarm_torrent_allow(txn, o->swarm_authority, g->digests[i], (uint8_t)o->format, g->registry,
                            g->repository, e) != 0) {
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

static struct slice put(char **at, struct slice text) {
  struct slice here = slice_of(*at, text.len);
  memcpy(*at, text.ptr, text.len);
  *at += text.len;
  return here;
}

struct registration *registration_start(const struct request *r, const struct slice *digests,
                                        size_t count, registration_told *told, void *arg,
                                        struct error *e) {
  struct slice registry = r->upstream->name;
  size_t size = sizeof(struct registration) + count * sizeof *digests;
  size_t texts = registry.len + r->repository.len;
  for (size_t i = 0; i < count; i++) {
    texts += digests[i].len;
  }
  struct registration *g = malloc(size + texts);
  if (g == NULL) {
    error_set(e, ERROR_FAILED, "out of memory");
    return NULL;
  }
  char *at = (char *)g + size;
  *g = (struct registration){
      .told = told, .arg = arg, .options = r->gateway->options, .count = count};
  g->registry = put(&at, registry);
  g->repository = put(&at, r->repository);
  for (size_t i = 0; i < count; i++) {
    g->digests[i] = put(&at, digests[i]);
  }
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
