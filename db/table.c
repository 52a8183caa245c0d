#include "db/table.h"

#include "db/internal.h"
#include "db/record.h"

#include <errno.h>

const char *table_name(enum table table) {
  static const char *const names[TABLE_COUNT] = {"meta",     "torrents",    "aliases", "digests",
                                                 "readable", "revocations", "users",   "grants",
                                                 "refresh",  "holders",     "wanted"};
  return names[table];
}

/* Hands out the error that sticks. */
static int stuck(const struct db_txn *txn, struct error *e) {
  return error_set(e, txn->error.kind, "%s", txn->error.text);
}

static int stick(struct db_txn *txn, int code, const char *what, struct error *e) {
  if (txn->error.kind == ERROR_NONE) {
    txn->code = code;
    db_failed(txn->db, code, what, &txn->error);
  }
  return stuck(txn, e);
}

static MDB_val val(struct slice s) {
  /* LMDB only reads what it is given. */
  return (MDB_val){s.len, (void *)(uintptr_t)s.ptr}; // NOLINT(performance-no-int-to-ptr)
}

/* A record whose length is damaged must not be read behind the map's end. Pages that a write
 * transaction changed are not in the map. */
static bool in_bounds(const struct db_txn *txn, const MDB_val *v) {
  MDB_envinfo info;
  mdb_env_info(txn->db->env, &info);
  uintptr_t map = (uintptr_t)info.me_mapaddr, at = (uintptr_t)v->mv_data;
  return v->mv_size <= TABLE_VALUE_MAX + RECORD_CHECKSUM_SIZE &&
         (at < map || at >= map + info.me_mapsize || v->mv_size <= map + info.me_mapsize - at);
}

/* Checks and takes off the checksum. */
static bool unpack(const struct db_txn *txn, struct slice key, const MDB_val *v,
                   struct slice *value) {
  unsigned char checksum[RECORD_CHECKSUM_SIZE];
  if (v->mv_size < RECORD_CHECKSUM_SIZE || !in_bounds(txn, v)) {
    return false;
  }
  struct slice bytes = slice_of(v->mv_data, v->mv_size);
  *value = slice_from(bytes, RECORD_CHECKSUM_SIZE);
  record_checksum(key, *value, checksum);
  return memcmp(bytes.ptr, checksum, sizeof checksum) == 0;
}

int table_get(struct db_txn *txn, enum table table, struct slice key, struct slice *value,
              struct error *e) {
  MDB_val k = val(key), v;
  if (txn->error.kind != ERROR_NONE) {
    return stuck(txn, e);
  }
  int code = mdb_get(txn->txn, txn->db->tables[table], &k, &v);
  if (code == MDB_NOTFOUND || code == MDB_BAD_VALSIZE) {
    return error_set(e, ERROR_NOT_FOUND, "%s has no such record in %s", txn->db->path,
                     table_name(table));
  }
  if (code == 0 && !unpack(txn, key, &v, value)) {
    code = MDB_CORRUPTED;
  }
  return code == 0 ? 0 : stick(txn, code, "read", e);
}

bool table_has(struct db_txn *txn, enum table table, struct slice key) {
  MDB_val k = val(key), v;
  return mdb_get(txn->txn, txn->db->tables[table], &k, &v) == 0;
}

int table_put(struct db_txn *txn, enum table table, struct slice key, struct slice value,
              struct error *e) {
  if (txn->error.kind != ERROR_NONE) {
    return stuck(txn, e);
  }
  if (key.len == 0 || key.len > TABLE_KEY_MAX || value.len > TABLE_VALUE_MAX) {
    return error_set(e, ERROR_USAGE, "cannot write %s: a record of %s is too large", txn->db->path,
                     table_name(table));
  }
  MDB_val k = val(key), v = {value.len + RECORD_CHECKSUM_SIZE, NULL};
  int code = mdb_put(txn->txn, txn->db->tables[table], &k, &v, MDB_RESERVE);
  if (code != 0) {
    return stick(txn, code, "write", e);
  }
  unsigned char *to = v.mv_data;
  record_checksum(key, value, to);
  if (value.len > 0) {
    memcpy(to + RECORD_CHECKSUM_SIZE, value.ptr, value.len);
  }
  return 0;
}

/* One step of a cursor over the keys that start with `prefix`. */
static int step(MDB_cursor *cursor, bool first, struct slice prefix, MDB_val *k, MDB_val *v) {
  *k = val(prefix);
  int code = mdb_cursor_get(cursor, k, v,
                            !first           ? MDB_NEXT
                            : prefix.len > 0 ? MDB_SET_RANGE
                                             : MDB_FIRST);
  if (code == 0 && !slice_starts(slice_of(k->mv_data, k->mv_size), prefix)) {
    return MDB_NOTFOUND;
  }
  return code;
}

int table_remove(struct db_txn *txn, enum table table, struct slice prefix, struct error *e) {
  MDB_cursor *cursor;
  MDB_val k, v;
  if (txn->error.kind != ERROR_NONE) {
    return stuck(txn, e);
  }
  int code = mdb_cursor_open(txn->txn, txn->db->tables[table], &cursor);
  if (code != 0) {
    return stick(txn, code, "write", e);
  }
  /* After a deletion the cursor stands on the next record: it is set anew, for that is plain. */
  while ((code = step(cursor, true, prefix, &k, &v)) == 0 &&
         (code = mdb_cursor_del(cursor, 0)) == 0) {
  }
  mdb_cursor_close(cursor);
  return code == MDB_NOTFOUND ? 0 : stick(txn, code, "write", e);
}

int table_remove_one(struct db_txn *txn, enum table table, struct slice key, struct error *e) {
  MDB_val k = val(key);
  if (txn->error.kind != ERROR_NONE) {
    return stuck(txn, e);
  }
  int code = mdb_del(txn->txn, txn->db->tables[table], &k, NULL);
  return code == 0 || code == MDB_NOTFOUND ? 0 : stick(txn, code, "write", e);
}

int table_each(struct db_txn *txn, enum table table, struct slice prefix, table_visit *visit,
               void *arg, struct error *e) {
  MDB_cursor *cursor;
  MDB_val k, v;
  struct slice value;
  if (txn->error.kind != ERROR_NONE) {
    return stuck(txn, e);
  }
  int code = mdb_cursor_open(txn->txn, txn->db->tables[table], &cursor);
  if (code != 0) {
    return stick(txn, code, "read", e);
  }
  for (bool first = true; (code = step(cursor, first, prefix, &k, &v)) == 0; first = false) {
    struct slice key = slice_of(k.mv_data, k.mv_size);
    if (!unpack(txn, key, &v, &value)) {
      code = MDB_CORRUPTED;
      break;
    }
    if (!visit(arg, key, value)) {
      break;
    }
  }
  mdb_cursor_close(cursor);
  return code == 0 || code == MDB_NOTFOUND ? 0 : stick(txn, code, "read", e);
}

int table_check(struct db_txn *txn, enum table table, table_form *form, uint64_t *records,
                uint64_t *faults, struct error *first, struct error *e) {
  MDB_cursor *cursor;
  MDB_val k, v;
  struct slice value;
  int code = mdb_cursor_open(txn->txn, txn->db->tables[table], &cursor);
  if (code != 0) {
    return stick(txn, code, "read", e);
  }
  const struct slice all = {0};
  for (bool start = true; (code = step(cursor, start, all, &k, &v)) == 0; start = false) {
    struct slice key = slice_of(k.mv_data, k.mv_size);
    struct error fault = {0};
    ++*records;
    if (!unpack(txn, key, &v, &value)) {
      error_set(&fault, ERROR_FAILED, "its checksum is wrong");
    } else if (form(txn, key, value, &fault) == 0) {
      continue;
    }
    if (++*faults == 1) {
      error_set(first, ERROR_FAILED, "%s: record %llu of %s is damaged: %s", txn->db->path,
                (unsigned long long)*records, table_name(table), fault.text);
    }
  }
  mdb_cursor_close(cursor);
  return code == MDB_NOTFOUND ? 0 : stick(txn, code, "read", e);
}

int table_count(struct db_txn *txn, enum table table, uint64_t *count, struct error *e) {
  MDB_stat stat;
  int code = mdb_stat(txn->txn, txn->db->tables[table], &stat);
  *count = code == 0 ? stat.ms_entries : 0;
  return code == 0 ? 0 : stick(txn, code, "read", e);
}
