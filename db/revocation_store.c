/* A key is the kind, the value and a NUL, so that none is the beginning of another. */
#include "db/revocation_store.h"

#include "db/internal.h"
#include "db/record.h"

enum {
  KIND_INFOHASH = 4,
  KIND_LAST = 5,
  TIMES_SIZE = 3 * 8,
};

static const struct slice generation_key = SLICE("revocations");

struct key {
  unsigned char bytes[1 + REVOCATION_STORE_VALUE_MAX + 1];
  size_t len;
};

static int damaged(struct error *e) {
  return error_set(e, ERROR_FAILED, "it is not in the form of this schema");
}

static bool is_infohash(struct slice value) {
  for (size_t i = 0; i < value.len; i++) {
    char c = value.ptr[i];
    if ((c < '0' || c > '9') && (c < 'a' || c > 'f')) {
      return false;
    }
  }
  return value.len == 40 || value.len == 64;
}

static bool is_value(uint8_t kind, struct slice value) {
  return kind >= 1 && kind <= KIND_LAST && value.len >= 1 &&
         value.len <= REVOCATION_STORE_VALUE_MAX && memchr(value.ptr, '\0', value.len) == NULL &&
         (kind != KIND_INFOHASH || is_infohash(value));
}

static bool are_times(const struct revocation_record *r) {
  return r->at >= 1 && r->until >= 0 && r->expires > r->at && r->expires >= r->until;
}

static int make_key(uint8_t kind, struct slice value, struct key *out, struct error *e) {
  out->len = 0;
  if (!is_value(kind, value)) {
    return error_set(e, ERROR_USAGE,
                     "what is revoked has 1 to %d bytes, none of them NUL, an infohash 40 or 64 "
                     "lowercase hex digits",
                     REVOCATION_STORE_VALUE_MAX);
  }
  out->bytes[0] = kind;
  memcpy(out->bytes + 1, value.ptr, value.len);
  out->bytes[1 + value.len] = '\0';
  out->len = value.len + 2;
  return 0;
}

static struct slice key_view(const struct key *key) {
  return slice_of(key->bytes, key->len);
}

/* Everything points into the record. */
static int decode(struct slice key, struct slice value, struct revocation_record *out,
                  struct error *e) {
  struct record_reader r = {.rest = value};
  if (key.len < 3 || key.ptr[key.len - 1] != '\0') {
    return damaged(e);
  }
  *out = (struct revocation_record){.kind = (uint8_t)key.ptr[0],
                                    .value = slice_of(key.ptr + 1, key.len - 2)};
  out->at = (int64_t)record_int(&r, 8);
  out->until = (int64_t)record_int(&r, 8);
  out->expires = (int64_t)record_int(&r, 8);
  return record_ended(&r) && is_value(out->kind, out->value) && are_times(out) ? 0 : damaged(e);
}

static int get(struct db_txn *txn, const struct key *key, struct revocation_record *out,
               struct error *e) {
  struct slice value;
  if (table_get(txn, TABLE_REVOCATIONS, key_view(key), &value, e) != 0) {
    return -1;
  }
  return decode(key_view(key), value, out, e);
}

int revocation_store_get(struct db_txn *txn, uint8_t kind, struct slice value,
                         struct revocation_record *out, struct error *e) {
  struct key key;
  struct error why = {0};
  if (make_key(kind, value, &key, e) != 0) {
    return -1;
  }
  if (get(txn, &key, out, &why) != 0) {
    return why.kind == ERROR_NOT_FOUND
               ? error_set(e, ERROR_NOT_FOUND, "%.*s is not revoked", SLICE_ARG(value))
               : error_set(e, why.kind, "%s", why.text);
  }
  out->value = value;
  return 0;
}

int revocation_store_generation(struct db_txn *txn, uint64_t *out, struct error *e) {
  struct slice value;
  struct error why = {0};
  *out = 1;
  if (table_get(txn, TABLE_META, generation_key, &value, &why) != 0) {
    return why.kind == ERROR_NOT_FOUND ? 0 : error_set(e, why.kind, "%s", why.text);
  }
  struct record_reader r = {.rest = value};
  *out = record_int(&r, 8);
  return record_ended(&r) ? 0 : damaged(e);
}

/* To be called with every change. */
static int next_generation(struct db_txn *txn, struct error *e) {
  struct buf bytes = {0};
  uint64_t generation;
  if (revocation_store_generation(txn, &generation, e) != 0) {
    return -1;
  }
  record_add_int(&bytes, generation + 1, 8);
  int rc = bytes.failed ? error_set(e, ERROR_FAILED, "cannot write a revocation: out of memory")
                        : table_put(txn, TABLE_META, generation_key, buf_view(&bytes), e);
  buf_free(&bytes);
  return rc;
}

static int64_t later(int64_t a, int64_t b) {
  return a > b ? a : b;
}

/* Joins what is there already with `record`. */
static int join(struct db_txn *txn, const struct key *key, struct revocation_record *record,
                struct error *e) {
  struct revocation_record old = {0};
  struct error why = {0};
  if (get(txn, key, &old, &why) == 0) {
    record->at = later(record->at, old.at);
    record->until = later(record->until, old.until);
    record->expires = later(record->expires, old.expires);
    return 0;
  }
  if (why.kind != ERROR_NOT_FOUND) {
    return error_set(e, why.kind, "%s", why.text);
  }
  uint64_t count;
  if (table_count(txn, TABLE_REVOCATIONS, &count, e) != 0) {
    return -1;
  }
  return count < REVOCATION_STORE_MAX
             ? 0
             : error_set(e, ERROR_FAILED,
                         "%d revocations are stored, and there is no room for more: remove some",
                         REVOCATION_STORE_MAX);
}

int revocation_store_put(struct db_txn *txn, const struct revocation_record *record,
                         struct error *e) {
  struct revocation_record r = *record;
  struct key key;
  if (make_key(r.kind, r.value, &key, e) != 0) {
    return -1;
  }
  if (!are_times(&r)) {
    return error_set(e, ERROR_USAGE, "a revocation does not expire before it begins or ends");
  }
  if (join(txn, &key, &r, e) != 0 || next_generation(txn, e) != 0) {
    return -1;
  }
  struct buf times = {0};
  record_add_int(&times, (uint64_t)r.at, 8);
  record_add_int(&times, (uint64_t)r.until, 8);
  record_add_int(&times, (uint64_t)r.expires, 8);
  int rc = times.failed ? error_set(e, ERROR_FAILED, "cannot write a revocation: out of memory")
                        : table_put(txn, TABLE_REVOCATIONS, key_view(&key), buf_view(&times), e);
  buf_free(&times);
  return rc;
}

int revocation_store_remove(struct db_txn *txn, uint8_t kind, struct slice value, struct error *e) {
  struct revocation_record found;
  struct key key;
  if (revocation_store_get(txn, kind, value, &found, e) != 0 ||
      make_key(kind, value, &key, e) != 0 || next_generation(txn, e) != 0) {
    return -1;
  }
  return table_remove(txn, TABLE_REVOCATIONS, key_view(&key), e);
}

struct visit {
  revocation_store_visit *visit;
  void *arg;
  struct error error;
};

static bool visit_one(void *arg, struct slice key, struct slice value) {
  struct visit *v = arg;
  struct revocation_record record;
  return decode(key, value, &record, &v->error) == 0 && v->visit(v->arg, &record);
}

int revocation_store_each(struct db_txn *txn, revocation_store_visit *visit, void *arg,
                          struct error *e) {
  struct visit v = {.visit = visit, .arg = arg};
  int rc = table_each(txn, TABLE_REVOCATIONS, (struct slice){0}, visit_one, &v, e);
  return v.error.kind != ERROR_NONE ? error_set(e, v.error.kind, "a revocation: %s", v.error.text)
                                    : rc;
}

/* The keys of those that have expired. */
struct expired {
  int64_t now;
  struct buf keys;
};

static bool collect(void *arg, const struct revocation_record *record) {
  struct expired *expired = arg;
  if (record->expires <= expired->now) {
    record_add_int(&expired->keys, record->kind, 1);
    record_add_bytes(&expired->keys, record->value);
  }
  return true;
}

int revocation_store_drop(struct db_txn *txn, int64_t now, struct error *e) {
  struct expired expired = {.now = now};
  int rc = revocation_store_each(txn, collect, &expired, e);
  if (rc == 0 && expired.keys.failed) {
    rc = error_set(e, ERROR_FAILED, "cannot drop revocations: out of memory");
  }
  struct record_reader r = {.rest = buf_view(&expired.keys)};
  while (rc == 0 && r.rest.len > 0) {
    uint8_t kind = (uint8_t)record_int(&r, 1);
    rc = revocation_store_remove(txn, kind, record_bytes(&r), e);
  }
  buf_free(&expired.keys);
  return rc;
}

int revocation_store_check(struct db_txn *txn, struct slice key, struct slice value,
                           struct error *e) {
  struct revocation_record record;
  (void)txn;
  return decode(key, value, &record, e);
}
