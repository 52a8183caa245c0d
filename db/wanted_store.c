/* The key is what is wanted: registry, NUL, repository, NUL, digest. */
#include "db/wanted_store.h"

#include "base/hex.h"
#include "db/internal.h"
#include "db/record.h"

enum {
  HASH_SIZE = 32,
  DIGEST_SIZE = 71, /* of its text */
};

static int damaged(struct error *e) {
  return error_set(e, ERROR_FAILED, "it is not in the form of this schema");
}

static bool is_digest(struct slice digest) {
  static const struct slice prefix = {"sha256:", 7};
  unsigned char hash[HASH_SIZE];
  return digest.len == DIGEST_SIZE && slice_starts(digest, prefix) &&
         hex_decode(slice_from(digest, prefix.len), hash, sizeof hash);
}

static bool is_name(struct slice name, size_t max) {
  return name.len > 0 && name.len <= max && memchr(name.ptr, '\0', name.len) == NULL;
}

static char *add(char *to, struct slice text) {
  memcpy(to, text.ptr, text.len);
  return to + text.len;
}

/* Writes the key of a record to `key`. */
static int make_key(const struct wanted_record *w, char key[TABLE_KEY_MAX], struct slice *out,
                    struct error *e) {
  char *to = key;
  if (!is_name(w->registry, WANTED_STORE_REGISTRY_MAX) ||
      !is_name(w->repository, WANTED_STORE_REPOSITORY_MAX) || !is_digest(w->digest)) {
    return error_set(
        e, ERROR_USAGE,
        "what is wanted is a manifest by its sha256 digest, in a repository of 1 to %d "
        "bytes, of a registry whose name has 1 to %d",
        WANTED_STORE_REPOSITORY_MAX, WANTED_STORE_REGISTRY_MAX);
  }
  to = add(to, w->registry);
  *to++ = '\0';
  to = add(to, w->repository);
  *to++ = '\0';
  to = add(to, w->digest);
  *out = slice_of(key, (size_t)(to - key));
  return 0;
}

/* Reads a record; the slices point into it. */
static int decode(struct slice key, struct slice value, struct wanted_record *out,
                  struct error *e) {
  struct record_reader r = {.rest = value};
  out->due = (int64_t)record_int(&r, 8);
  out->tries = (uint8_t)record_int(&r, 1);
  out->registry = slice_cut(&key, '\0');
  out->repository = slice_cut(&key, '\0');
  out->digest = key;
  return record_ended(&r) && is_name(out->registry, WANTED_STORE_REGISTRY_MAX) &&
                 is_name(out->repository, WANTED_STORE_REPOSITORY_MAX) && is_digest(out->digest)
             ? 0
             : damaged(e);
}

static int check_room(struct db_txn *txn, struct slice key, struct error *e) {
  uint64_t count;
  if (table_count(txn, TABLE_WANTED, &count, e) != 0) {
    return -1;
  }
  return count < WANTED_STORE_MAX || table_has(txn, TABLE_WANTED, key)
             ? 0
             : error_set(e, ERROR_DENIED, "%d manifests wait to be hashed already",
                         WANTED_STORE_MAX);
}

int wanted_store_put(struct db_txn *txn, const struct wanted_record *record, struct error *e) {
  char bytes[TABLE_KEY_MAX];
  struct slice key = {0};
  struct buf value = {0};
  if (make_key(record, bytes, &key, e) != 0 || check_room(txn, key, e) != 0) {
    return -1;
  }
  record_add_int(&value, (uint64_t)record->due, 8);
  record_add_int(&value, record->tries, 1);
  int rc = value.failed ? error_set(e, ERROR_FAILED, "out of memory")
                        : table_put(txn, TABLE_WANTED, key, buf_view(&value), e);
  buf_free(&value);
  return rc;
}

int wanted_store_remove(struct db_txn *txn, const struct wanted_record *record, struct error *e) {
  char bytes[TABLE_KEY_MAX];
  struct slice key = {0};
  return make_key(record, bytes, &key, e) == 0 ? table_remove_one(txn, TABLE_WANTED, key, e) : -1;
}

struct visit {
  wanted_store_visit *visit;
  void *arg;
  bool damaged;
};

static bool visit_one(void *arg, struct slice key, struct slice value) {
  struct visit *v = arg;
  struct wanted_record record;
  v->damaged = decode(key, value, &record, NULL) != 0;
  return !v->damaged && v->visit(v->arg, &record);
}

int wanted_store_each(struct db_txn *txn, wanted_store_visit *visit, void *arg, struct error *e) {
  struct visit v = {.visit = visit, .arg = arg};
  if (table_each(txn, TABLE_WANTED, (struct slice){0}, visit_one, &v, e) != 0) {
    return -1;
  }
  return v.damaged ? damaged(e) : 0;
}

/* Whom what is wanted may be of, and the first registry that is none of them, with a NUL behind. */
struct stranger {
  const struct slice *registries;
  size_t count;
  char name[WANTED_STORE_REGISTRY_MAX + 1];
  size_t len;
};

static bool find_stranger(void *arg, const struct wanted_record *record) {
  struct stranger *s = arg;
  for (size_t i = 0; i < s->count; i++) {
    if (slice_equal(s->registries[i], record->registry)) {
      return true;
    }
  }
  *add(s->name, record->registry) = '\0';
  s->len = record->registry.len + 1;
  return false;
}

int wanted_store_keep(struct db_txn *txn, const struct slice *registries, size_t count,
                      uint64_t *removed, struct error *e) {
  struct stranger s = {.registries = registries, .count = count};
  uint64_t before, after;
  if (table_count(txn, TABLE_WANTED, &before, e) != 0) {
    return -1;
  }
  do {
    s.len = 0;
    if (wanted_store_each(txn, find_stranger, &s, e) != 0 ||
        (s.len > 0 && table_remove(txn, TABLE_WANTED, slice_of(s.name, s.len), e) != 0)) {
      return -1;
    }
  } while (s.len > 0);
  if (table_count(txn, TABLE_WANTED, &after, e) != 0) {
    return -1;
  }
  *removed = before - after;
  return 0;
}

int wanted_store_check(struct db_txn *txn, struct slice key, struct slice value, struct error *e) {
  struct wanted_record record;
  (void)txn;
  return decode(key, value, &record, e);
}
