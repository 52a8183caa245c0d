/*
 * A token lies under its hash. A second table, user, NUL, hash, says which are a user's: that
 * record holds when the token was issued, so that the first can be found.
 */
#include "db/refresh_store.h"

#include "db/internal.h"
#include "db/record.h"
#include "db/user_store.h"

enum { HASH_SIZE = sizeof(struct refresh_hash) };

static struct slice hash_key(const struct refresh_hash *token) {
  return slice_of(token->bytes, HASH_SIZE);
}

static int damaged(struct error *e) {
  return error_set(e, ERROR_FAILED, "it is not in the form of this schema");
}

static int no_memory(struct error *e) {
  return error_set(e, ERROR_FAILED, "out of memory");
}

static const char no_token[] = "there is no such refresh token";

/* Reads a record; the slices point into it. */
static int decode(struct slice value, struct refresh_record *out, struct error *e) {
  struct record_reader r = {.rest = value};
  out->issued = (int64_t)record_int(&r, 8);
  out->expires = (int64_t)record_int(&r, 8);
  out->user = record_bytes(&r);
  out->service = record_bytes(&r);
  out->client = record_bytes(&r);
  bool fits = out->user.len > 0 && out->user.len <= USER_STORE_NAME_MAX &&
              out->service.len <= REFRESH_STORE_TEXT_MAX &&
              out->client.len <= REFRESH_STORE_TEXT_MAX;
  return record_ended(&r) && fits ? 0 : damaged(e);
}

/* Writes the key of a user's token to `key`, of all of them when `token` is NULL. */
static struct slice holder_key(struct slice user, const struct refresh_hash *token,
                               unsigned char key[TABLE_KEY_MAX]) {
  memcpy(key, user.ptr, user.len);
  key[user.len] = '\0';
  if (token != NULL) {
    memcpy(key + user.len + 1, token->bytes, HASH_SIZE);
  }
  return slice_of(key, user.len + 1 + (token == NULL ? 0 : HASH_SIZE));
}

/* Cuts such a key. */
static bool read_holder_key(struct slice key, struct slice *user, struct refresh_hash *token) {
  if (key.len < HASH_SIZE + 2 || key.ptr[key.len - HASH_SIZE - 1] != '\0') {
    return false;
  }
  *user = slice_of(key.ptr, key.len - HASH_SIZE - 1);
  memcpy(token->bytes, key.ptr + key.len - HASH_SIZE, HASH_SIZE);
  return true;
}

/* Reads what lies under a hash; the slices point into the map. */
static int find(struct db_txn *txn, const struct refresh_hash *token, struct refresh_record *out,
                struct error *e) {
  struct slice value;
  struct error why = {0};
  if (table_get(txn, TABLE_REFRESH, hash_key(token), &value, &why) != 0) {
    error_set(e, why.kind, "%s", why.kind == ERROR_NOT_FOUND ? no_token : why.text);
    return -1;
  }
  return decode(value, out, e);
}

int refresh_store_remove(struct db_txn *txn, const struct refresh_hash *token, struct error *e) {
  struct refresh_record record;
  unsigned char key[TABLE_KEY_MAX];
  if (find(txn, token, &record, e) != 0 ||
      table_remove_one(txn, TABLE_HOLDERS, holder_key(record.user, token, key), e) != 0) {
    return -1;
  }
  return table_remove_one(txn, TABLE_REFRESH, hash_key(token), e);
}

/* Hashes, one behind the other, of tokens that are to go. */
struct hashes {
  struct buf bytes;
  int64_t now;
  bool damaged;
};

/* Removes them, and frees the list. */
static int remove_hashes(struct db_txn *txn, struct hashes *h, struct error *e) {
  int rc = h->bytes.failed ? no_memory(e) : h->damaged ? damaged(e) : 0;
  for (struct slice rest = buf_view(&h->bytes); rc == 0 && rest.len > 0;
       rest = slice_from(rest, HASH_SIZE)) {
    struct refresh_hash token;
    struct error why = {0};
    memcpy(token.bytes, rest.ptr, HASH_SIZE);
    if (refresh_store_remove(txn, &token, &why) != 0) {
      rc = why.kind == ERROR_NOT_FOUND ? damaged(e) : error_set(e, why.kind, "%s", why.text);
    }
  }
  buf_free(&h->bytes);
  return rc;
}

static bool add_held(void *arg, struct slice key, struct slice value) {
  struct hashes *h = arg;
  struct slice user;
  struct refresh_hash token;
  (void)value;
  if (!read_holder_key(key, &user, &token)) {
    h->damaged = true;
    return false;
  }
  buf_slice(&h->bytes, hash_key(&token));
  return !h->bytes.failed;
}

int refresh_store_remove_user(struct db_txn *txn, struct slice user, struct error *e) {
  unsigned char key[TABLE_KEY_MAX];
  struct hashes h = {0};
  if (user_store_name_check(user) != NULL) {
    return 0;
  }
  if (table_each(txn, TABLE_HOLDERS, holder_key(user, NULL, key), add_held, &h, e) != 0) {
    buf_free(&h.bytes);
    return -1;
  }
  return remove_hashes(txn, &h, e);
}

static bool add_expired(void *arg, struct slice key, struct slice value) {
  struct hashes *h = arg;
  struct refresh_record record;
  if (key.len != HASH_SIZE || decode(value, &record, NULL) != 0) {
    h->damaged = true;
    return false;
  }
  if (record.expires <= h->now) {
    buf_slice(&h->bytes, key);
  }
  return !h->bytes.failed;
}

int refresh_store_remove_expired(struct db_txn *txn, int64_t now, uint64_t *count,
                                 struct error *e) {
  struct hashes h = {.now = now};
  if (table_each(txn, TABLE_REFRESH, (struct slice){0}, add_expired, &h, e) != 0) {
    buf_free(&h.bytes);
    return -1;
  }
  *count = h.bytes.len / HASH_SIZE;
  return remove_hashes(txn, &h, e);
}

/* How many tokens a user has, and which was issued first. */
struct held {
  size_t count;
  struct refresh_hash first;
  int64_t issued;
};

static bool count_held(void *arg, struct slice key, struct slice value) {
  struct held *o = arg;
  struct record_reader r = {.rest = value};
  struct slice user;
  struct refresh_hash token;
  int64_t issued = (int64_t)record_int(&r, 8);
  if (read_holder_key(key, &user, &token) && (o->count == 0 || issued < o->issued)) {
    o->first = token;
    o->issued = issued;
  }
  o->count++;
  return true;
}

/* Makes room for one more. */
static int keep_within_bound(struct db_txn *txn, struct slice user, struct error *e) {
  unsigned char key[TABLE_KEY_MAX];
  struct held o = {0};
  if (table_each(txn, TABLE_HOLDERS, holder_key(user, NULL, key), count_held, &o, e) != 0) {
    return -1;
  }
  return o.count < REFRESH_STORE_USER_MAX ? 0 : refresh_store_remove(txn, &o.first, e);
}

/* That the user is there, and that the password is still that of this hash. */
static int check_user(struct db_txn *txn, struct slice name, struct slice password,
                      struct error *e) {
  struct arena arena = {0};
  struct user_record user;
  struct error why = {0};
  int rc = user_store_get(txn, name, &arena, &user, &why);
  if (rc != 0 && why.kind != ERROR_NOT_FOUND) {
    error_set(e, why.kind, "%s", why.text);
  } else if (rc != 0 || !slice_equal(user.password, password)) {
    rc = error_set(e, ERROR_DENIED, "the user is gone, or has another password by now");
  }
  arena_free(&arena);
  return rc;
}

static int put_encoded(struct db_txn *txn, const struct refresh_hash *token,
                       const struct refresh_record *record, struct buf *value, struct error *e) {
  unsigned char key[TABLE_KEY_MAX];
  struct buf issued = {0};
  record_add_int(&issued, (uint64_t)record->issued, 8);
  record_add_int(value, (uint64_t)record->issued, 8);
  record_add_int(value, (uint64_t)record->expires, 8);
  record_add_bytes(value, record->user);
  record_add_bytes(value, record->service);
  record_add_bytes(value, record->client);
  int rc = value->failed || issued.failed ? no_memory(e)
           : table_put(txn, TABLE_REFRESH, hash_key(token), buf_view(value), e) != 0
               ? -1
               : table_put(txn, TABLE_HOLDERS, holder_key(record->user, token, key),
                           buf_view(&issued), e);
  buf_free(&issued);
  return rc;
}

int refresh_store_put(struct db_txn *txn, const struct refresh_hash *token,
                      const struct refresh_record *record, struct slice password, struct error *e) {
  struct buf value = {0};
  if (record->service.len > REFRESH_STORE_TEXT_MAX || record->client.len > REFRESH_STORE_TEXT_MAX) {
    return error_set(e, ERROR_USAGE, "service and client_id have %d bytes at most",
                     REFRESH_STORE_TEXT_MAX);
  }
  if (check_user(txn, record->user, password, e) != 0 ||
      (table_has(txn, TABLE_REFRESH, hash_key(token)) &&
       refresh_store_remove(txn, token, e) != 0) ||
      keep_within_bound(txn, record->user, e) != 0) {
    return -1;
  }
  int rc = put_encoded(txn, token, record, &value, e);
  buf_free(&value);
  return rc;
}

static int copy_slice(struct arena *arena, struct slice *s, struct error *e) {
  s->ptr = arena_copy(arena, *s);
  return s->ptr == NULL ? no_memory(e) : 0;
}

int refresh_store_get(struct db_txn *txn, const struct refresh_hash *token, int64_t now,
                      struct arena *arena, struct refresh_record *out, struct error *e) {
  if (find(txn, token, out, e) != 0) {
    return -1;
  }
  if (out->expires <= now) {
    return error_set(e, ERROR_NOT_FOUND, "%s", no_token);
  }
  return copy_slice(arena, &out->user, e) != 0 || copy_slice(arena, &out->service, e) != 0
             ? -1
             : copy_slice(arena, &out->client, e);
}

struct visit {
  refresh_store_visit *visit;
  void *arg;
  bool damaged;
};

static bool visit_one(void *arg, struct slice key, struct slice value) {
  struct visit *v = arg;
  struct refresh_record record;
  struct refresh_hash token;
  if (key.len != HASH_SIZE || decode(value, &record, NULL) != 0) {
    v->damaged = true;
    return false;
  }
  memcpy(token.bytes, key.ptr, HASH_SIZE);
  return v->visit(v->arg, &token, &record);
}

int refresh_store_each(struct db_txn *txn, refresh_store_visit *visit, void *arg, struct error *e) {
  struct visit v = {.visit = visit, .arg = arg};
  if (table_each(txn, TABLE_REFRESH, (struct slice){0}, visit_one, &v, e) != 0) {
    return -1;
  }
  return v.damaged ? damaged(e) : 0;
}

int refresh_store_check_token(struct db_txn *txn, struct slice key, struct slice value,
                              struct error *e) {
  struct refresh_record record;
  struct refresh_hash token;
  unsigned char holder[TABLE_KEY_MAX];
  if (key.len != HASH_SIZE || decode(value, &record, e) != 0) {
    return damaged(e);
  }
  memcpy(token.bytes, key.ptr, HASH_SIZE);
  return table_has(txn, TABLE_USERS, record.user) &&
                 table_has(txn, TABLE_HOLDERS, holder_key(record.user, &token, holder))
             ? 0
             : error_set(e, ERROR_FAILED, "its user is not there");
}

int refresh_store_check_holder(struct db_txn *txn, struct slice key, struct slice value,
                               struct error *e) {
  struct record_reader r = {.rest = value};
  struct refresh_record record;
  struct refresh_hash token;
  struct slice user;
  int64_t issued = (int64_t)record_int(&r, 8);
  if (!record_ended(&r) || !read_holder_key(key, &user, &token)) {
    return damaged(e);
  }
  return find(txn, &token, &record, NULL) == 0 && slice_equal(record.user, user) &&
                 record.issued == issued
             ? 0
             : error_set(e, ERROR_FAILED, "its refresh token is not there");
}
