/*
 * A torrent lies under its infohash, the v1 one where it has both; a hybrid's other infohash is an
 * alias of that. Which repositories may read it is torrent_rights.c.
 */
#include "db/torrent_store.h"

#include "base/cleanup.h"
#include "base/hex.h"
#include "db/internal.h"
#include "db/record.h"

enum {
  INFOHASH_SIZE = TORRENT_STORE_INFOHASH,
  DIGEST_SIZE = 32,
  DIGEST_KEY_SIZE = TORRENT_STORE_DIGEST_KEY,
  FORMAT_HYBRID = 3,
};
static const struct slice digest_prefix = {"sha256:", 7};

static struct slice infohash_key(const unsigned char *infohash) {
  return slice_of(infohash, INFOHASH_SIZE);
}

static int no_torrent(const unsigned char *infohash, struct error *e) {
  char hex[2 * INFOHASH_SIZE + 1];
  hex_encode(infohash, INFOHASH_SIZE, hex);
  return error_set(e, ERROR_NOT_FOUND, "no torrent has the infohash %s", hex);
}

static int damaged(struct error *e) {
  return error_set(e, ERROR_FAILED, "it is not in the form of this schema");
}

int torrent_store_digest_key(struct slice digest, uint8_t format,
                             unsigned char out[TORRENT_STORE_DIGEST_KEY], struct error *e) {
  if (!slice_starts(digest, digest_prefix) ||
      !hex_decode(slice_from(digest, digest_prefix.len), out, DIGEST_SIZE)) {
    return error_set(e, ERROR_USAGE, "%.*s is no digest: sha256: and 64 hexadecimal digits are",
                     (int)(digest.len < 128 ? digest.len : 128), digest.ptr);
  }
  out[DIGEST_SIZE] = format;
  return 0;
}

/* Reads a record; its digest, as text, goes to the arena, all else points into the record. */
static int decode(struct slice value, struct arena *arena, struct torrent_record *out,
                  struct error *e) {
  struct record_reader r = {.rest = value};
  unsigned char digest[DIGEST_SIZE];
  char hex[2 * DIGEST_SIZE + 1];
  *out = (struct torrent_record){.format = (uint8_t)record_int(&r, 1)};
  record_copy(&r, out->infohash, sizeof out->infohash);
  record_copy(&r, out->infohash_v2, sizeof out->infohash_v2);
  record_copy(&r, digest, sizeof digest);
  out->size = record_int(&r, 8);
  out->info = record_bytes(&r);
  out->piece_layers = record_bytes(&r);
  if (!record_ended(&r) || out->format < 1 || out->format > FORMAT_HYBRID) {
    return damaged(e);
  }
  hex_encode(digest, sizeof digest, hex);
  out->digest = arena_printf(arena, "%.*s%s", SLICE_ARG(digest_prefix), hex);
  return out->digest.ptr == NULL ? error_set(e, ERROR_FAILED, "out of memory") : 0;
}

static void encode(const struct torrent_record *t, const unsigned char digest[DIGEST_SIZE],
                   struct buf *out) {
  record_add_int(out, t->format, 1);
  buf_append(out, t->infohash, sizeof t->infohash);
  buf_append(out, t->infohash_v2, sizeof t->infohash_v2);
  buf_append(out, digest, DIGEST_SIZE);
  record_add_int(out, t->size, 8);
  record_add_bytes(out, t->info);
  record_add_bytes(out, t->piece_layers);
}

int torrent_store_resolve(struct db_txn *txn, const unsigned char *infohash, struct infohash *out,
                          struct slice *value, struct error *e) {
  struct slice key = infohash_key(infohash);
  struct error why = {0};
  memcpy(out->bytes, infohash, INFOHASH_SIZE);
  if (table_get(txn, TABLE_TORRENTS, key, value, &why) == 0) {
    return 0;
  }
  if (why.kind == ERROR_NOT_FOUND && table_get(txn, TABLE_ALIASES, key, value, &why) == 0) {
    struct record_reader r = {.rest = *value};
    record_copy(&r, out->bytes, INFOHASH_SIZE);
    if (table_get(txn, TABLE_TORRENTS, infohash_key(out->bytes), value, &why) == 0) {
      return 0;
    }
  }
  return why.kind == ERROR_NOT_FOUND ? no_torrent(infohash, e)
                                     : error_set(e, why.kind, "%s", why.text);
}

/* What lies under the new torrent's infohash already may be the same one, with or without its piece
 * layers, and nothing else. */
static bool same_torrent(struct slice old, struct slice new) {
  const size_t head = 1 + INFOHASH_SIZE + DIGEST_SIZE + DIGEST_SIZE + 8;
  struct record_reader a = {.rest = slice_from(old, head)}, b = {.rest = slice_from(new, head)};
  return old.len >= head && memcmp(old.ptr, new.ptr, head) == 0 &&
         slice_equal(record_bytes(&a), record_bytes(&b));
}

static int put_record(struct db_txn *txn, struct slice key, struct slice value, struct error *e) {
  struct slice old;
  struct error why = {0};
  if (table_get(txn, TABLE_TORRENTS, key, &old, &why) != 0) {
    return why.kind == ERROR_NOT_FOUND ? table_put(txn, TABLE_TORRENTS, key, value, e)
                                       : error_set(e, why.kind, "%s", why.text);
  }
  if (!same_torrent(old, value)) {
    char hex[2 * INFOHASH_SIZE + 1];
    hex_encode(key.ptr, INFOHASH_SIZE, hex);
    return error_set(e, ERROR_FAILED, "another torrent has the infohash %s already", hex);
  }
  return old.len >= value.len ? 0 : table_put(txn, TABLE_TORRENTS, key, value, e);
}

static int put_encoded(struct db_txn *txn, const struct torrent_record *t, struct slice value,
                       struct slice digest, struct error *e) {
  struct slice key = infohash_key(t->infohash);
  if (put_record(txn, key, value, e) != 0 || table_put(txn, TABLE_DIGESTS, digest, key, e) != 0) {
    return -1;
  }
  return t->format == FORMAT_HYBRID
             ? table_put(txn, TABLE_ALIASES, infohash_key(t->infohash_v2), key, e)
             : 0;
}

int torrent_store_put(struct db_txn *txn, const struct torrent_record *record, struct error *e) {
  unsigned char key[DIGEST_KEY_SIZE];
  struct buf bytes = {.limit = TABLE_VALUE_MAX};
  if (torrent_store_digest_key(record->digest, record->format, key, e) != 0) {
    return -1;
  }
  encode(record, key, &bytes);
  int rc = bytes.failed
               ? error_set(e, ERROR_USAGE, "a torrent is too large to be stored: %zu bytes",
                           record->info.len + record->piece_layers.len)
               : put_encoded(txn, record, buf_view(&bytes), slice_of(key, sizeof key), e);
  buf_free(&bytes);
  return rc;
}

static int copy_slice(struct arena *arena, struct slice *s, struct error *e) {
  char *copy = arena_copy(arena, *s);
  s->ptr = copy;
  return copy == NULL ? error_set(e, ERROR_FAILED, "out of memory") : 0;
}

int torrent_store_get(struct db_txn *txn, const unsigned char infohash[20], struct arena *arena,
                      struct torrent_record *out, struct error *e) {
  struct infohash primary;
  struct slice value;
  if (torrent_store_resolve(txn, infohash, &primary, &value, e) != 0 ||
      decode(value, arena, out, e) != 0 || copy_slice(arena, &out->info, e) != 0) {
    return -1;
  }
  return copy_slice(arena, &out->piece_layers, e);
}

int torrent_store_find(struct db_txn *txn, struct slice digest, uint8_t format, struct arena *arena,
                       struct torrent_record *out, struct error *e) {
  unsigned char key[DIGEST_KEY_SIZE];
  struct slice value;
  struct infohash primary;
  struct error why = {0};
  if (torrent_store_digest_key(digest, format, key, e) != 0) {
    return -1;
  }
  if (table_get(txn, TABLE_DIGESTS, slice_of(key, sizeof key), &value, &why) != 0) {
    return why.kind != ERROR_NOT_FOUND
               ? error_set(e, why.kind, "%s", why.text)
               : error_set(e, ERROR_NOT_FOUND, "no torrent of %.*s", SLICE_ARG(digest));
  }
  struct record_reader r = {.rest = value};
  record_copy(&r, primary.bytes, INFOHASH_SIZE);
  return torrent_store_get(txn, primary.bytes, arena, out, e);
}

int torrent_store_remove(struct db_txn *txn, const unsigned char infohash[20], struct error *e) {
  struct arena arena = {0};
  struct infohash primary;
  struct slice value, found;
  struct torrent_record t;
  unsigned char key[DIGEST_KEY_SIZE];
  int rc = -1;
  if (torrent_store_resolve(txn, infohash, &primary, &value, e) != 0 ||
      decode(value, &arena, &t, e) != 0 ||
      torrent_store_digest_key(t.digest, t.format, key, e) != 0) {
    goto out;
  }
  struct slice digest = slice_of(key, sizeof key), under = infohash_key(primary.bytes);
  /* A torrent of other piece length may have been put after it, and is the one that is found. */
  if (table_get(txn, TABLE_DIGESTS, digest, &found, NULL) == 0 && slice_equal(found, under) &&
      table_remove(txn, TABLE_DIGESTS, digest, e) != 0) {
    goto out;
  }
  if ((t.format == FORMAT_HYBRID &&
       table_remove(txn, TABLE_ALIASES, infohash_key(t.infohash_v2), e) != 0) ||
      table_remove(txn, TABLE_READABLE, under, e) != 0) {
    goto out;
  }
  rc = table_remove(txn, TABLE_TORRENTS, under, e);
out:
  arena_free(&arena);
  return rc;
}

/* The names a torrent is registered to, while torrent_store_each() visits it. */
struct names {
  struct slice *registries, *repositories;
  size_t count, capacity;
  bool failed;
};

static bool add_names(void *arg, struct slice key, struct slice value) {
  struct names *n = arg;
  (void)value;
  if (n->count == n->capacity) {
    size_t capacity = n->capacity == 0 ? 8 : 2 * n->capacity;
    struct slice *grown = realloc(n->registries, 2 * capacity * sizeof *grown);
    if (grown == NULL) {
      n->failed = true;
      return false;
    }
    memmove(grown + capacity, grown + n->capacity, n->count * sizeof *grown);
    n->registries = grown;
    n->repositories = grown + capacity;
    n->capacity = capacity;
  }
  struct slice rest = slice_from(key, INFOHASH_SIZE);
  n->registries[n->count] = slice_cut(&rest, '\0');
  n->repositories[n->count++] = rest;
  return true;
}

struct visit {
  struct db_txn *txn;
  torrent_store_visit *visit;
  void *arg;
  struct arena arena;
  struct names names;
  struct error error;
};

static bool visit_one(void *arg, struct slice key, struct slice value) {
  struct visit *v = arg;
  struct torrent_record t;
  v->names.count = 0;
  if (decode(value, &v->arena, &t, &v->error) != 0 ||
      table_each(v->txn, TABLE_READABLE, key, add_names, &v->names, &v->error) != 0) {
    return false;
  }
  if (v->names.failed) {
    error_set(&v->error, ERROR_FAILED, "out of memory");
    return false;
  }
  bool more = v->visit(v->arg, &t, v->names.registries, v->names.repositories, v->names.count);
  arena_reset(&v->arena);
  return more;
}

int torrent_store_each(struct db_txn *txn, torrent_store_visit *visit, void *arg, struct error *e) {
  struct visit v = {.txn = txn, .visit = visit, .arg = arg};
  int rc = table_each(txn, TABLE_TORRENTS, (struct slice){0}, visit_one, &v, e);
  arena_free(&v.arena);
  free(v.names.registries);
  return v.error.kind != ERROR_NONE ? error_set(e, v.error.kind, "%s", v.error.text) : rc;
}

int torrent_store_check_torrent(struct db_txn *txn, struct slice key, struct slice value,
                                struct error *e) {
  struct arena arena = {0};
  struct torrent_record t;
  int rc = decode(value, &arena, &t, e);
  if (rc == 0 && (!slice_equal(key, infohash_key(t.infohash)) ||
                  (t.format == FORMAT_HYBRID &&
                   !table_has(txn, TABLE_ALIASES, infohash_key(t.infohash_v2))))) {
    rc = damaged(e);
  }
  arena_free(&arena);
  return rc;
}

int torrent_store_check_reference(struct db_txn *txn, struct slice infohash, struct error *e) {
  return infohash.len == INFOHASH_SIZE && table_has(txn, TABLE_TORRENTS, infohash)
             ? 0
             : error_set(e, ERROR_FAILED, "its torrent is not there");
}

int torrent_store_check_alias(struct db_txn *txn, struct slice key, struct slice value,
                              struct error *e) {
  return key.len != INFOHASH_SIZE ? damaged(e) : torrent_store_check_reference(txn, value, e);
}

int torrent_store_check_digest(struct db_txn *txn, struct slice key, struct slice value,
                               struct error *e) {
  return key.len != DIGEST_KEY_SIZE ? damaged(e) : torrent_store_check_reference(txn, value, e);
}
