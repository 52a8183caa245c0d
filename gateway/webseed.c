/*
 * GET and HEAD /webseed/<token>/<file> (BEP 19). The happy path: the token verifies, is not revoked
 * and is for that file; the size comes from the torrent or, when it is gone, from the registry;
 * then the blob is sent out of the cache, or relayed. Paths hold tokens: nothing of them is logged.
 */
#include "gateway/internal.h"

#include "base/clock.h"
#include "db/torrent_store.h"
#include "gateway/etag.h"
#include "gateway/issue.h"
#include "gateway/problem.h"
#include "gateway/readers.h"
#include "gateway/relay.h"
#include "gateway/serve.h"
#include "gateway/storage.h"
#include "gateway/webseed_tokens.h"
#include "http/query.h"
#include "image/reference.h"

#include <unistd.h>

/** One request; in the exchange's arena. */
struct reading {
  struct gateway *gateway;
  struct http_exchange *x;
  struct blob_order order;
  int file;                         /**< of the registry's storage; -1: none */
  struct cache_blob *blob;          /**< held; NULL, and no file: it is relayed */
  struct registry_request *request; /**< while the registry is asked for the size */
  bool size_known;
  int status; /**< the registry's answer to the question for the size */
};

static bool is_head(const struct http_exchange *x) {
  return slice_equal(http_request_method(x), SLICE("HEAD"));
}

/* The Range that counts: none unless If-Range, when there is one, names this very blob. */
static struct slice range_field(const struct http_exchange *x, struct slice etag) {
  struct slice condition = http_request_field(x, SLICE("If-Range"));
  bool other = condition.ptr != NULL && !slice_equal(condition, etag);
  return other ? slice_of(NULL, 0) : http_request_field(x, SLICE("Range"));
}

/* The infohashes of a blob's torrents, of every format, as announced. */
struct torrents {
  const char *digest;
  unsigned char infohashes[2 * 3][20];
  size_t count;
};

static int find_torrents(struct db_txn *txn, void *arg, struct error *e) {
  static const uint8_t formats[] = {TORRENT_V1, TORRENT_V2, TORRENT_HYBRID};
  struct torrents *t = arg;
  for (size_t i = 0; i < sizeof formats; i++) {
    struct arena arena = {0};
    struct torrent_record record;
    struct error why = {0};
    int result = torrent_store_find(txn, slice_str(t->digest), formats[i], &arena, &record, &why);
    arena_free(&arena);
    if (result == 0) {
      memcpy(t->infohashes[t->count++], record.infohash, sizeof t->infohashes[0]);
      memcpy(t->infohashes[t->count++], record.infohash_v2, sizeof t->infohashes[0]);
    } else if (why.kind != ERROR_NOT_FOUND) {
      return error_set(e, why.kind, "%s", why.text);
    }
  }
  return 0;
}

/* Whether the token is revoked, or the blob's torrents are. */
static bool is_revoked(void *arg, const struct blob_order *order) {
  const struct gateway_options *o = ((const struct gateway *)arg)->options;
  const struct revocation_set *set = revocations_hold(o->revocations, NULL);
  bool revoked = revocation_set_refuses(set, &order->names, order->issued) != 0;
  bool by_infohash = revocation_set_has(set, REVOCATION_INFOHASH);
  revocations_release(o->revocations);
  if (revoked || !by_infohash) {
    return revoked;
  }
  struct torrents torrents = {.digest = order->digest};
  if (db_read(o->db, find_torrents, &torrents, NULL) != 0) {
    return true; /* there is no telling */
  }
  set = revocations_hold(o->revocations, NULL);
  for (size_t i = 0; i < torrents.count && !revoked; i++) {
    revoked = revocation_set_refuses_infohash(set, torrents.infohashes[i], order->issued);
  }
  revocations_release(o->revocations);
  return revoked;
}

void webseed_cut(struct gateway *gateway) {
  blob_answers_cut(&gateway->answers, is_revoked, gateway);
}

static void refuse_revoked(const struct reading *r) {
  log_write(r->gateway->options->log, LOG_LEVEL_DEBUG,
            "refused a webseed token for %s of %.*s/%s: it is revoked", r->order.digest,
            SLICE_ARG(r->order.upstream->name), r->order.repository);
  problem_answer(r->x, 403, "DENIED", "the webseed token was revoked");
}

static void release(const struct reading *r) {
  if (r->file >= 0) {
    close(r->file);
  }
  if (r->blob != NULL) {
    cache_release(r->blob);
  }
}

/* Nothing of the blob is sent. */
static void give_up(const struct reading *r) {
  release(r);
  reader_leave(r->order.reader);
}

static void send_blob(struct reading *r) {
  struct gateway *g = r->gateway;
  const struct log *log = g->options->log;
  struct error e = {0};
  if (r->file >= 0) {
    serve_file(r->x, &r->order, r->file, &g->answers, log);
    return;
  }
  if (r->blob != NULL && g->waker == NULL) {
    g->waker = cache_waker_new(g->options->cache, http_exchange_loop(r->x), &e);
    if (g->waker == NULL) {
      log_write(log, LOG_LEVEL_WARN, "%s", e.text);
    }
  }
  if (r->blob != NULL && g->waker != NULL) {
    serve_blob(r->x, &r->order, r->blob, g->options->cache, g->waker, &g->answers, log);
  } else {
    release(r);
    relay_blob(r->x, &r->order, &g->answers, log);
  }
}

/* The size is known. */
static void answer(struct reading *r) {
  struct blob_order *o = &r->order;
  struct http_field fields[] = {
      {SLICE("Content-Type"), SLICE("application/octet-stream")},
      {SLICE("Accept-Ranges"), SLICE("bytes")},
      {SLICE("ETag"), o->etag},
  };
  if (is_head(r->x)) {
    give_up(r);
    http_answer_start(r->x, 200, fields, sizeof fields / sizeof fields[0], o->size);
    http_answer_end(r->x);
    return;
  }
  o->range = range_parse(range_field(r->x, o->etag), o->size);
  if (o->range.kind == RANGE_UNSATISFIABLE) {
    give_up(r);
    char content_range[RANGE_CONTENT_MAX];
    fields[0] = (struct http_field){SLICE("Content-Range"),
                                    range_content(&o->range, o->size, content_range)};
    http_answer(r->x, 416, fields, sizeof fields / sizeof fields[0], SLICE(""));
    return;
  }
  send_blob(r);
}

static bool on_size_head(void *arg, const struct registry_answer *a) {
  struct reading *r = arg;
  r->status = a->status;
  r->size_known = a->status == 200 && a->has_length;
  r->order.size = a->length;
  return true;
}

static void on_size_done(void *arg, const struct error *e) {
  struct reading *r = arg;
  const struct blob_order *o = &r->order;
  bool revoked = is_revoked(r->gateway, o); /* meanwhile */
  r->request = NULL;
  if (!revoked && e == NULL && r->size_known) {
    answer(r);
    return;
  }
  give_up(r);
  if (revoked) {
    refuse_revoked(r);
    return;
  }
  log_write(r->gateway->options->log, LOG_LEVEL_WARN,
            "cannot tell the size of %s of %.*s/%s: the registry's status is %d%s%s", o->digest,
            SLICE_ARG(o->upstream->name), o->repository, r->status, e == NULL ? "" : ": ",
            e == NULL ? "" : e->text);
  if (e == NULL && r->status == 404) {
    problem_answer(r->x, 404, "BLOB_UNKNOWN", "the registry has no such blob any more");
  } else {
    problem_answer(r->x, 502, "UNAVAILABLE", "the registry did not give the blob");
  }
}

static void on_size_abandoned(void *arg) {
  struct reading *r = arg;
  if (r->request != NULL) {
    registry_cancel(r->request);
  }
  give_up(r);
}

static void ask_size(struct reading *r) {
  static const struct registry_events events = {.head = on_size_head, .done = on_size_done};
  const struct registry_get head = {
      .method = "HEAD",
      .repository = r->order.repository,
      .blob = r->order.digest,
  };
  struct error e = {0};
  http_exchange_on_abandoned(r->x, on_size_abandoned, r);
  r->request = registry_start(r->order.upstream->client, &head, &events, r, &e);
  if (r->request == NULL) {
    on_size_done(r, &e);
  }
}

/* A HEAD sends nothing. \return false: there are too many, which was answered. */
static bool enter(struct reading *r, uint64_t token) {
  struct gateway *g = r->gateway;
  if (is_head(r->x)) {
    return true;
  }
  if (g->readers == NULL) {
    g->readers = readers_loop_new(g->options->readers, http_exchange_loop(r->x));
  }
  r->order.reader = g->readers == NULL ? NULL : reader_enter(g->readers, token);
  if (r->order.reader == NULL) {
    refusals_warn(g->refusals, http_request_peer(r->x),
                  "webseed: a reader was turned away, for there are as many as "
                  "gateway.webseed.max_readers allows, or no memory");
    problem_later(r->x, 503, "UNAVAILABLE", "the webseed has too many readers: ask again",
                  READERS_RETRY_S);
    return false;
  }
  return true;
}

/* Its pieces' hashes are in the torrent, which says them as a file does. Without them, for it
 * cannot be read, it is relayed. */
static void hold(struct reading *r, const struct torrent_record *record, struct slice hex,
                 struct arena *arena) {
  const struct metainfo parts = {.info = record->info, .piece_layers = record->piece_layers};
  struct buf file = {0};
  struct metainfo m;
  struct pieces pieces;
  struct error e = {0};
  if (metainfo_write(&parts, &file, &e) != 0 ||
      metainfo_read(buf_view(&file), arena, &m, &e) != 0 || pieces_of(&m, &pieces, &e) != 0 ||
      cache_hold(r->gateway->options->cache, hex, &pieces, &r->blob, &e) != 0) {
    log_write(r->gateway->options->log, LOG_LEVEL_WARN, "cannot keep %s: %s", r->order.digest,
              e.text);
  }
  buf_free(&file);
}

/* A token is for the blob of a torrent that was handed out, so its size is nearly always there. */
static int find_torrent(struct db_txn *txn, void *arg, struct error *e) {
  struct reading *r = arg;
  struct arena arena = {0};
  struct torrent_record record;
  struct slice digest = slice_str(r->order.digest);
  int result =
      torrent_store_find(txn, digest, (uint8_t)r->gateway->options->format, &arena, &record, e);
  if (result == 0) {
    r->order.size = record.size;
    if (r->gateway->options->cache != NULL && !is_head(r->x)) {
      hold(r, &record, slice_from(digest, strlen("sha256:")), &arena);
    }
  }
  arena_free(&arena);
  return result;
}

/* The registry's own file, and what was sent since the start, say it without the database. */
static bool know_size(struct reading *r) {
  const struct gateway_options *o = r->gateway->options;
  const struct blob_order *order = &r->order;
  if (order->upstream->storage != NULL) {
    r->file =
        storage_open(order->upstream->storage, order->repository, order->digest, &r->order.size);
  }
  if (r->file >= 0) {
    return true;
  }
  struct slice digest = slice_str(r->order.digest);
  if (o->cache != NULL) {
    r->blob = cache_find(o->cache, slice_from(digest, strlen("sha256:")));
  }
  if (r->blob != NULL) {
    r->order.size = cache_size(r->blob);
    return true;
  }
  return db_read(o->db, find_torrent, r, NULL) == 0;
}

/* `<name>` or `<digest>`, and once more behind a `/` for clients that append it; or nothing, for
 * WebTorrent asks for the URL in `url-list` as it is, and the token says which blob. */
static bool right_file(struct slice path, struct slice name, struct slice digest,
                       struct arena *arena) {
  char *text = arena_alloc(arena, path.len + 1);
  size_t len = 0;
  if (path.ptr != NULL && path.len == 0) {
    return true;
  }
  if (text == NULL || !query_decode(path, text, path.len, &len)) {
    return false;
  }
  struct slice rest = slice_of(text, len);
  unsigned parts = 0;
  while (rest.ptr != NULL) {
    struct slice part = slice_cut(&rest, '/');
    if (++parts > 2 || !(slice_equal(part, name) || slice_equal(part, digest))) {
      return false;
    }
  }
  return true;
}

void webseed_handle(struct http_exchange *x, void *context) {
  struct gateway *gateway = context;
  struct arena *arena = http_exchange_arena(x);
  struct slice file = slice_from(http_request_path(x), strlen("/webseed/"));
  struct slice jws = slice_cut(&file, '/');
  struct webseed_grant grant;
  struct error why = {0};
  if (!webseed_tokens_check(gateway->webseed_tokens, gateway->options->keyring, jws, clock_now(),
                            arena, &grant, &why)) {
    log_write(gateway->options->log, LOG_LEVEL_DEBUG, "refused a webseed token: %s", why.text);
    problem_answer(x, 403, "DENIED",
                   "the webseed token is not valid, or has expired: fetch the torrent anew");
    return;
  }
  struct reading *r = arena_alloc(arena, sizeof *r);
  struct slice name = issue_name(grant.digest, arena);
  struct slice etag = etag_of(grant.digest, arena);
  if (r == NULL || name.ptr == NULL || etag.ptr == NULL) {
    problem_answer(x, 500, "UNKNOWN", "the gateway is out of memory");
    return;
  }
  *r = (struct reading){.gateway = gateway, .x = x, .file = -1};
  r->order = (struct blob_order){
      .upstream = gateway_find(gateway, grant.registry),
      .repository = grant.repository.ptr,
      .digest = grant.digest.ptr,
      .etag = etag,
      .names = grant.names,
      .issued = grant.issued,
  };
  if (r->order.upstream == NULL) {
    problem_answer(x, 404, "NAME_UNKNOWN", "the token's registry is not served here any more");
  } else if (is_revoked(gateway, &r->order)) {
    refuse_revoked(r);
  } else if (!right_file(file, name, grant.digest, arena)) {
    problem_answer(x, 404, "BLOB_UNKNOWN", "the token is for another file");
  } else if (etag_known(x, etag)) {
    const struct http_field field = {SLICE("ETag"), etag};
    http_answer(x, 304, &field, 1, SLICE(""));
  } else if (enter(r, grant.name)) {
    if (know_size(r)) {
      answer(r);
    } else {
      ask_size(r);
    }
  }
}
