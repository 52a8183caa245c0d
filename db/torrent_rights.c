/*
 * Which repositories may read which torrent. `readable` holds the right itself in its key, so that
 * asking for it is one look-up and nothing read.
 */
#include "db/internal.h"
#include "db/torrent_store.h"

enum { INFOHASH_SIZE = TORRENT_STORE_INFOHASH, FORMAT_LAST = 3 };

static struct slice infohash_key(const unsigned char *infohash) {
  return slice_of(infohash, INFOHASH_SIZE);
}

/* Writes the key of a right to `key`; its length, or 0 when the names can be none. */
static size_t readable_key(const unsigned char *infohash, struct slice registry,
                           struct slice repository, unsigned char key[TABLE_KEY_MAX]) {
  if (registry.len == 0 || registry.len > TORRENT_STORE_REGISTRY_MAX || repository.len == 0 ||
      repository.len > TORRENT_STORE_REPOSITORY_MAX ||
      memchr(registry.ptr, '\0', registry.len) != NULL ||
      memchr(repository.ptr, '\0', repository.len) != NULL) {
    return 0;
  }
  unsigned char *to = key;
  memcpy(to, infohash, INFOHASH_SIZE);
  to += INFOHASH_SIZE;
  memcpy(to, registry.ptr, registry.len);
  to += registry.len;
  *to++ = '\0';
  memcpy(to, repository.ptr, repository.len);
  return (size_t)(to - key) + repository.len;
}

int torrent_store_allow(struct db_txn *txn, const unsigned char infohash[20], struct slice registry,
                        struct slice repository, struct error *e) {
  struct infohash primary;
  struct slice value;
  unsigned char key[TABLE_KEY_MAX];
  if (torrent_store_resolve(txn, infohash, &primary, &value, e) != 0) {
    return -1;
  }
  size_t len = readable_key(primary.bytes, registry, repository, key);
  if (len == 0) {
    return error_set(e, ERROR_USAGE,
                     "a registry's name has 1 to %d bytes, a repository's 1 to %d, and none is NUL",
                     TORRENT_STORE_REGISTRY_MAX, TORRENT_STORE_REPOSITORY_MAX);
  }
  return table_put(txn, TABLE_READABLE, slice_of(key, len), (struct slice){0}, e);
}

static bool allowed(struct db_txn *txn, const unsigned char *infohash, struct slice registry,
                    struct slice repository) {
  unsigned char key[TABLE_KEY_MAX];
  struct slice value;
  size_t len = readable_key(infohash, registry, repository, key);
  return len > 0 && table_get(txn, TABLE_READABLE, slice_of(key, len), &value, NULL) == 0;
}

bool torrent_store_allowed(struct db_txn *txn, const unsigned char infohash[20],
                           struct slice registry, struct slice repository) {
  struct slice value;
  return allowed(txn, infohash, registry, repository) ||
         (table_get(txn, TABLE_ALIASES, infohash_key(infohash), &value, NULL) == 0 &&
          value.len == INFOHASH_SIZE &&
          allowed(txn, (const unsigned char *)value.ptr, registry, repository));
}

static bool see_one(void *arg, struct slice key, struct slice value) {
  (void)key, (void)value;
  *(bool *)arg = true;
  return false;
}

int torrent_store_disallow(struct db_txn *txn, const unsigned char infohash[20],
                           struct slice registry, struct slice repository, struct error *e) {
  struct infohash primary;
  struct slice value;
  unsigned char key[TABLE_KEY_MAX];
  bool others = false;
  if (torrent_store_resolve(txn, infohash, &primary, &value, e) != 0) {
    return -1;
  }
  size_t len = readable_key(primary.bytes, registry, repository, key);
  if (len == 0 || !table_has(txn, TABLE_READABLE, slice_of(key, len))) {
    return 0;
  }
  if (table_remove_one(txn, TABLE_READABLE, slice_of(key, len), e) != 0 ||
      table_each(txn, TABLE_READABLE, infohash_key(primary.bytes), see_one, &others, e) != 0) {
    return -1;
  }
  return others ? 0 : torrent_store_remove(txn, primary.bytes, e);
}

/* The torrent of a blob in a format. \return 1, 0 when there is none, or -1. */
static int find_of_blob(struct db_txn *txn, struct slice digest, uint8_t format,
                        struct infohash *out, struct error *e) {
  unsigned char key[TORRENT_STORE_DIGEST_KEY];
  struct slice value;
  struct error why = {0};
  if (torrent_store_digest_key(digest, format, key, e) != 0) {
    return -1;
  }
  if (table_get(txn, TABLE_DIGESTS, slice_of(key, sizeof key), &value, &why) != 0) {
    return why.kind == ERROR_NOT_FOUND ? 0 : error_set(e, why.kind, "%s", why.text);
  }
  memcpy(out->bytes, value.ptr, value.len < INFOHASH_SIZE ? value.len : INFOHASH_SIZE);
  return 1;
}

int torrent_store_disallow_blob(struct db_txn *txn, struct slice digest, struct slice registry,
                                struct slice repository, struct error *e) {
  for (unsigned format = 1; format <= FORMAT_LAST; format++) {
    struct infohash infohash = {0};
    int found = find_of_blob(txn, digest, (uint8_t)format, &infohash, e);
    if (found < 0 ||
        (found > 0 && torrent_store_disallow(txn, infohash.bytes, registry, repository, e) != 0)) {
      return -1;
    }
  }
  return 0;
}

bool torrent_store_allowed_blob(struct db_txn *txn, struct slice digest, struct slice registry,
                                struct slice repository) {
  for (unsigned format = 1; format <= FORMAT_LAST; format++) {
    struct infohash infohash = {0};
    if (find_of_blob(txn, digest, (uint8_t)format, &infohash, NULL) > 0 &&
        allowed(txn, infohash.bytes, registry, repository)) {
      return true;
    }
  }
  return false;
}

struct visit {
  torrent_store_visit_right *visit;
  void *arg;
};

static bool visit_right(void *arg, struct slice key, struct slice value) {
  const struct visit *v = arg;
  (void)value;
  struct slice repository = slice_from(key, INFOHASH_SIZE);
  struct slice registry = slice_cut(&repository, '\0');
  return v->visit(v->arg, (const unsigned char *)key.ptr, registry, repository);
}

int torrent_store_each_right(struct db_txn *txn, torrent_store_visit_right *visit, void *arg,
                             struct error *e) {
  struct visit v = {visit, arg};
  return table_each(txn, TABLE_READABLE, (struct slice){0}, visit_right, &v, e);
}

int torrent_store_check_readable(struct db_txn *txn, struct slice key, struct slice value,
                                 struct error *e) {
  struct slice repository = slice_from(key, INFOHASH_SIZE);
  struct slice registry = slice_cut(&repository, '\0');
  if (value.len != 0 || registry.len == 0 || repository.len == 0) {
    return error_set(e, ERROR_FAILED, "it is not in the form of this schema");
  }
  return torrent_store_check_reference(txn, slice_of(key.ptr, INFOHASH_SIZE), e);
}
