/*
 * A blob: what was registered to the repository and is not there any more is taken back; what is
 * there and has no torrent is hashed; what has one is registered. Each in one transaction.
 */
#include "base/cleanup.h"
#include "base/hex.h"
#include "progress.h"
#include "registration.h"
#include "sync.h"

#include <stdio.h>
#include <string.h>

static int out_of_memory(struct error *e) {
  return error_set(e, ERROR_FAILED, "out of memory");
}

/* --- what the registry has --- */

static int want_none(void *arg, struct slice bytes, struct error *e) {
  (void)arg, (void)bytes;
  return error_set(e, ERROR_FAILED, "the registry says 404 to a HEAD of it, and yet sends it");
}

/* Whoever answers in the registry's place while it is away says 404 to all; and to a HEAD nobody
 * says who he is. So what is to be taken back is asked for once more: that 404 has a body. */
static enum sync_answer ask_for_blob(struct sync_repository *r, const struct sync_blob *b,
                                     struct error *e) {
  struct registry_get get = {.method = "HEAD", .repository = r->name, .blob = b->digest};
  struct registry_reply reply;
  enum sync_answer answer = sync_ask(r->sync, &get, b->size, NULL, NULL, &r->arena, &reply, e);
  if (answer != SYNC_GONE || b->registered_count == 0) {
    return answer;
  }
  get.method = "GET";
  return sync_ask(r->sync, &get, IMAGE_SIZE_UNKNOWN, want_none, NULL, &r->arena, &reply, e);
}

/* --- hashing --- */

struct feeding {
  struct hasher *hasher;
  struct progress progress;
};

static int feed(void *arg, struct slice bytes, struct error *e) {
  struct feeding *f = arg;
  progress_add(&f->progress, bytes.len);
  return hasher_feed(f->hasher, bytes, e);
}

static int check_digest(const struct sync_blob *b, const struct hashes *hashes, struct error *e) {
  char hex[65];
  hex_encode(hashes->sha256, sizeof hashes->sha256, hex);
  return strcmp(hex, b->digest + strlen("sha256:")) == 0
             ? 0
             : error_set(e, ERROR_MISMATCH,
                         "the registry sent other bytes: their digest is sha256:%s", hex);
}

static enum sync_answer read_blob(struct sync_repository *r, const struct sync_blob *b,
                                  const char *label, struct hashes *out, struct error *e) {
  const struct registry_get get = {.method = "GET", .repository = r->name, .blob = b->digest};
  const struct hasher_options options = {.format = r->sync->format,
                                         .size = b->size,
                                         .piece_length = torrent_piece_length(b->size),
                                         .digest = true};
  struct registry_reply reply;
  struct feeding f;
  if (hasher_new(&options, &f.hasher, e) != 0) {
    return SYNC_FAILED;
  }
  progress_start(&f.progress, label, b->size);
  enum sync_answer answer = sync_ask(r->sync, &get, b->size, feed, &f, &r->arena, &reply, e);
  progress_end(&f.progress);
  if (answer != SYNC_THERE) {
    hasher_cancel(f.hasher);
    return answer;
  }
  return hasher_finish(f.hasher, out, e) == 0 && check_digest(b, out, e) == 0 ? SYNC_THERE
                                                                              : SYNC_FAILED;
}

static int store(struct sync_repository *r, const struct sync_blob *b, const struct hashes *hashes,
                 struct error *e) {
  CLEANUP(arena_free) struct arena arena = {0};
  struct slice name = arena_printf(&arena, "sha256-%s", b->digest + strlen("sha256:"));
  struct registration g = {.registry = r->sync->registry, .repository = r->name, .db = r->sync->db};
  struct metainfo m;
  if (name.ptr == NULL) {
    return out_of_memory(e);
  }
  int result =
      metainfo_make(hashes, name, swarm_ca_certificate(r->sync->swarm_ca), &arena, &m, e) != 0 ||
              registration_add(&g, &m, b->digest, &arena, e) != 0
          ? -1
          : registration_commit(&g, e);
  g.db = NULL; /* it is not the registration's */
  registration_close(&g);
  return result;
}

static int hash(struct sync_repository *r, const struct sync_blob *b, size_t number,
                struct error *e) {
  CLEANUP(hashes_free) struct hashes hashes = {0};
  char label[128]; /* `2/7 0123456789ab…` */
  snprintf(label, sizeof label, "%zu/%zu %s", number, r->blob_count, b->digest + strlen("sha256:"));
  enum sync_answer answer = read_blob(r, b, label, &hashes, e);
  if (answer == SYNC_GONE) {
    return 0; /* a manifest may name what was never pushed */
  }
  if (answer == SYNC_FAILED || store(r, b, &hashes, e) != 0) {
    return -1;
  }
  sync_say(r, "hashed", b, r->hashed, &r->counts.hashed);
  return 0;
}

/* --- what is registered --- */

struct writing {
  const struct sync_repository *repository;
  const struct sync_blob *blob;
};

static int disallow(struct db_txn *txn, void *arg, struct error *e) {
  const struct writing *w = arg;
  for (size_t i = 0; i < w->blob->registered_count; i++) {
    struct error why = {0};
    /* One that is not there has been removed meanwhile. */
    if (torrent_store_disallow(txn, w->blob->registered[i].bytes,
                               slice_str(w->repository->sync->registry),
                               slice_str(w->repository->name), &why) != 0 &&
        why.kind != ERROR_NOT_FOUND) {
      return error_set(e, why.kind, "%s", why.text);
    }
  }
  return 0;
}

static int take_back(struct sync_repository *r, const struct sync_blob *b, struct error *e) {
  struct writing w = {r, b};
  if (b->registered_count == 0) {
    return 0;
  }
  if (db_write_now(r->sync->db, disallow, &w, e) != 0) {
    return -1;
  }
  sync_say(r, "removed", b, r->removed, &r->counts.removed);
  return 0;
}

static int allow(struct db_txn *txn, void *arg, struct error *e) {
  const struct writing *w = arg;
  CLEANUP(arena_free) struct arena arena = {0};
  const struct sync *s = w->repository->sync;
  struct torrent_record record;
  return torrent_store_find(txn, slice_str(w->blob->digest), (uint8_t)s->format, &arena, &record,
                            e) != 0
             ? -1
             : torrent_store_allow(txn, record.infohash, slice_str(s->registry),
                                   slice_str(w->repository->name), e);
}

static int give(struct sync_repository *r, const struct sync_blob *b, struct error *e) {
  struct writing w = {r, b};
  if (db_write_now(r->sync->db, allow, &w, e) != 0) {
    return -1;
  }
  sync_say(r, "registered", b, r->registered, &r->counts.registered);
  return 0;
}

struct finding {
  struct writing what;
  bool found, allowed;
};

static int find(struct db_txn *txn, void *arg, struct error *e) {
  struct finding *f = arg;
  CLEANUP(arena_free) struct arena arena = {0};
  const struct sync *s = f->what.repository->sync;
  struct torrent_record record;
  struct error why = {0};
  if (torrent_store_find(txn, slice_str(f->what.blob->digest), (uint8_t)s->format, &arena, &record,
                         &why) != 0) {
    return why.kind == ERROR_NOT_FOUND ? 0 : error_set(e, why.kind, "%s", why.text);
  }
  f->found = true;
  f->allowed = torrent_store_allowed(txn, record.infohash, slice_str(s->registry),
                                     slice_str(f->what.repository->name));
  return 0;
}

/* --- what is to be done --- */

static int see_to(struct sync_repository *r, const struct sync_blob *b, size_t number,
                  struct error *e) {
  struct finding f = {.what = {r, b}};
  if (db_read(r->sync->db, find, &f, e) != 0) {
    return -1;
  }
  if (f.found || b->registered_count > 0) {
    switch (ask_for_blob(r, b, e)) {
    case SYNC_FAILED:
      return -1;
    case SYNC_GONE:
      return take_back(r, b, e);
    case SYNC_THERE:
      break;
    }
  }
  if (!b->named || (f.found && f.allowed)) {
    return 0;
  }
  return f.found ? give(r, b, e) : hash(r, b, number, e);
}

void sync_blob(struct sync_repository *r, const struct sync_blob *b, size_t number) {
  struct error e = {0};
  if (b->size > 0 && see_to(r, b, number, &e) != 0) { /* an empty one has no torrent */
    error_context(&e, "%s of %s", b->digest, r->name);
    sync_fail(r, &e);
  }
}
