/*
 * A user lies under the name, a grant under name, NUL, pattern: all grants of a user lie together.
 */
#include "db/user_store.h"

#include "base/repository.h"
#include "db/internal.h"
#include "db/record.h"
#include "db/refresh_store.h"

const char *user_store_name_check(struct slice name) {
  static const char what[] =
      "a user's name has 1 to 255 bytes of UTF-8 without control characters, `:` and `/`";
  if (name.len == 0 || name.len > USER_STORE_NAME_MAX || !slice_utf8(name)) {
    return what;
  }
  for (struct slice rest = name; rest.len > 0; rest = slice_from(rest, 1)) {
    if (slice_control(rest) > 0 || rest.ptr[0] == ':' || rest.ptr[0] == '/') {
      return what;
    }
  }
  return NULL;
}

static int check_name(struct slice name, struct error *e) {
  const char *wrong = user_store_name_check(name);
  return wrong == NULL ? 0 : error_set(e, ERROR_USAGE, "%s", wrong);
}

static int no_user(struct slice name, struct error *e) {
  return error_set(e, ERROR_NOT_FOUND, "there is no user %.*s", SLICE_ARG(name));
}

static int damaged(struct error *e) {
  return error_set(e, ERROR_FAILED, "it is not in the form of this schema");
}

static int no_memory(struct error *e) {
  return error_set(e, ERROR_FAILED, "out of memory");
}

/* Reads a record, whose password points into it. */
static int decode(struct slice value, struct user_record *out, struct error *e) {
  struct record_reader r = {.rest = value};
  out->changed = (int64_t)record_int(&r, 8);
  out->password = record_bytes(&r);
  return record_ended(&r) && out->password.len > 0 ? 0 : damaged(e);
}

static int put(struct db_txn *txn, struct slice name, struct slice password, int64_t now,
               struct error *e) {
  struct buf value = {.limit = TABLE_VALUE_MAX};
  if (password.len == 0) {
    return error_set(e, ERROR_USAGE, "the hash of a password is empty");
  }
  record_add_int(&value, (uint64_t)now, 8);
  record_add_bytes(&value, password);
  int rc = value.failed ? no_memory(e) : table_put(txn, TABLE_USERS, name, buf_view(&value), e);
  buf_free(&value);
  return rc;
}

/* Whether there is such a user, of a name that can be one. */
static int must_be(struct db_txn *txn, struct slice name, struct error *e) {
  if (check_name(name, e) != 0) {
    return -1;
  }
  return table_has(txn, TABLE_USERS, name) ? 0 : no_user(name, e);
}

int user_store_add(struct db_txn *txn, struct slice name, struct slice password, int64_t now,
                   struct error *e) {
  if (check_name(name, e) != 0) {
    return -1;
  }
  if (table_has(txn, TABLE_USERS, name)) {
    return error_set(e, ERROR_FAILED,
                     "there is a user %.*s already; `swarmgate user passwd` sets another password",
                     SLICE_ARG(name));
  }
  return put(txn, name, password, now, e);
}

int user_store_set_password(struct db_txn *txn, struct slice name, struct slice password,
                            int64_t now, struct error *e) {
  if (must_be(txn, name, e) != 0 || put(txn, name, password, now, e) != 0) {
    return -1;
  }
  return refresh_store_remove_user(txn, name, e);
}

/* Writes the key of a grant to `key`, of all of a user's when the pattern is empty; its length. */
static struct slice grant_key(struct slice name, struct slice pattern,
                              unsigned char key[TABLE_KEY_MAX]) {
  memcpy(key, name.ptr, name.len);
  key[name.len] = '\0';
  if (pattern.len > 0) {
    memcpy(key + name.len + 1, pattern.ptr, pattern.len);
  }
  return slice_of(key, name.len + 1 + pattern.len);
}

static bool is_actions(unsigned actions) {
  return actions == USER_STORE_PULL || actions == (USER_STORE_PULL | USER_STORE_PUSH);
}

/* The actions of a grant as stored; 0 when it is in another form. */
static unsigned decode_actions(struct slice value) {
  struct record_reader r = {.rest = value};
  unsigned actions = (unsigned)record_int(&r, 1);
  return record_ended(&r) && is_actions(actions) ? actions : 0;
}

/* A user's grants, counted first and then kept. */
struct grants {
  struct arena *arena;
  struct user_grant *items; /* NULL while they are counted */
  size_t count;
  bool damaged, starved;
};

static bool add_grant(void *arg, struct slice key, struct slice value) {
  struct grants *g = arg;
  struct slice pattern = key;
  slice_cut(&pattern, '\0');
  if (g->items != NULL) {
    const char *copy = arena_copy(g->arena, pattern);
    g->items[g->count] = (struct user_grant){slice_of(copy, pattern.len), decode_actions(value)};
    g->starved = copy == NULL;
    g->damaged = g->items[g->count].actions == 0;
  }
  g->count++;
  return !g->starved && !g->damaged;
}

static int read_grants(struct db_txn *txn, struct arena *arena, struct user_record *out,
                       struct error *e) {
  unsigned char key[TABLE_KEY_MAX];
  struct slice all = grant_key(out->name, (struct slice){0}, key);
  struct grants g = {.arena = arena};
  if (table_each(txn, TABLE_GRANTS, all, add_grant, &g, e) != 0) {
    return -1;
  }
  g.items = arena_alloc(arena, (g.count + 1) * sizeof *g.items);
  g.count = 0;
  if (g.items == NULL) {
    return no_memory(e);
  }
  if (table_each(txn, TABLE_GRANTS, all, add_grant, &g, e) != 0) {
    return -1;
  }
  out->grants = g.items;
  out->grant_count = g.count;
  return g.starved ? no_memory(e) : g.damaged ? damaged(e) : 0;
}

/* Reads a user of that key and value into the arena. */
static int read_user(struct db_txn *txn, struct slice key, struct slice value, struct arena *arena,
                     struct user_record *out, struct error *e) {
  *out = (struct user_record){0};
  if (decode(value, out, e) != 0) {
    return -1;
  }
  const char *name = arena_copy(arena, key), *password = arena_copy(arena, out->password);
  if (name == NULL || password == NULL) {
    return no_memory(e);
  }
  out->name = slice_of(name, key.len);
  out->password.ptr = password;
  return read_grants(txn, arena, out, e);
}

int user_store_get(struct db_txn *txn, struct slice name, struct arena *arena,
                   struct user_record *out, struct error *e) {
  struct slice value;
  struct error why = {0};
  if (user_store_name_check(name) != NULL) {
    return error_set(e, ERROR_NOT_FOUND, "there is no such user");
  }
  if (table_get(txn, TABLE_USERS, name, &value, &why) != 0) {
    return why.kind == ERROR_NOT_FOUND ? no_user(name, e) : error_set(e, why.kind, "%s", why.text);
  }
  return read_user(txn, name, value, arena, out, e);
}

int user_store_remove(struct db_txn *txn, struct slice name, struct error *e) {
  unsigned char key[TABLE_KEY_MAX];
  if (must_be(txn, name, e) != 0 || table_remove_one(txn, TABLE_USERS, name, e) != 0 ||
      table_remove(txn, TABLE_GRANTS, grant_key(name, (struct slice){0}, key), e) != 0) {
    return -1;
  }
  return refresh_store_remove_user(txn, name, e);
}

static int check_pattern(struct slice pattern, struct error *e) {
  const char *wrong = repository_pattern_check(pattern);
  bool shown = pattern.len > 0 && pattern.len <= REPOSITORY_NAME_MAX && slice_utf8(pattern);
  struct slice what = shown ? pattern : SLICE("the pattern");
  return wrong == NULL ? 0 : error_set(e, ERROR_USAGE, "%.*s %s", SLICE_ARG(what), wrong);
}

int user_store_grant(struct db_txn *txn, struct slice name, struct slice pattern, unsigned actions,
                     struct error *e) {
  unsigned char key[TABLE_KEY_MAX];
  const unsigned char value[] = {(unsigned char)actions};
  if (check_pattern(pattern, e) != 0 || must_be(txn, name, e) != 0) {
    return -1;
  }
  if (!is_actions(actions)) {
    return error_set(e, ERROR_USAGE, "a grant is of pull, or of pull and push");
  }
  return table_put(txn, TABLE_GRANTS, grant_key(name, pattern, key), slice_of(value, 1), e);
}

int user_store_ungrant(struct db_txn *txn, struct slice name, struct slice pattern,
                       unsigned actions, struct error *e) {
  unsigned char bytes[TABLE_KEY_MAX];
  struct slice value;
  struct error why = {0};
  if (check_pattern(pattern, e) != 0 || must_be(txn, name, e) != 0) {
    return -1;
  }
  struct slice key = grant_key(name, pattern, bytes);
  if (table_get(txn, TABLE_GRANTS, key, &value, &why) != 0) {
    return why.kind == ERROR_NOT_FOUND ? error_set(e, ERROR_NOT_FOUND, "%.*s has no grant of %.*s",
                                                   SLICE_ARG(name), SLICE_ARG(pattern))
                                       : error_set(e, why.kind, "%s", why.text);
  }
  const unsigned char left[] = {(unsigned char)(decode_actions(value) & ~actions)};
  return (left[0] & USER_STORE_PULL) != 0 ? table_put(txn, TABLE_GRANTS, key, slice_of(left, 1), e)
                                          : table_remove_one(txn, TABLE_GRANTS, key, e);
}

struct visit {
  struct db_txn *txn;
  user_store_visit *visit;
  void *arg;
  struct arena arena;
  struct error error;
};

static bool visit_one(void *arg, struct slice key, struct slice value) {
  struct visit *v = arg;
  struct user_record record;
  if (read_user(v->txn, key, value, &v->arena, &record, &v->error) != 0) {
    return false;
  }
  bool more = v->visit(v->arg, &record);
  arena_reset(&v->arena);
  return more;
}

int user_store_each(struct db_txn *txn, user_store_visit *visit, void *arg, struct error *e) {
  struct visit v = {.txn = txn, .visit = visit, .arg = arg};
  int rc = table_each(txn, TABLE_USERS, (struct slice){0}, visit_one, &v, e);
  arena_free(&v.arena);
  return v.error.kind != ERROR_NONE ? error_set(e, v.error.kind, "%s", v.error.text) : rc;
}

int user_store_check_user(struct db_txn *txn, struct slice key, struct slice value,
                          struct error *e) {
  struct user_record record;
  (void)txn;
  return user_store_name_check(key) != NULL ? damaged(e) : decode(value, &record, e);
}

int user_store_check_grant(struct db_txn *txn, struct slice key, struct slice value,
                           struct error *e) {
  struct slice pattern = key, name = slice_cut(&pattern, '\0');
  if (repository_pattern_check(pattern) != NULL || decode_actions(value) == 0) {
    return damaged(e);
  }
  return table_has(txn, TABLE_USERS, name) ? 0
                                           : error_set(e, ERROR_FAILED, "its user is not there");
}
