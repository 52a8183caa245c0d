/* Opening: make the folder, map the file, drop readers that died, and in one write transaction see
 * that the schema is ours and the tables are there. Any failure closes what was opened. */
#include "db/db.h"

#include "base/cleanup.h"
#include "db/folder.h"
#include "db/internal.h"
#include "db/record.h"
#include "db/writer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
  MAP_SIZE_FIRST = 256 * 1024 * 1024, /* of addresses: the file is as large as its pages in use */
  READERS_MAX = 4096,                 /* slots of 64 bytes in the lock file */
  TABLES_MAX = 32,
};
static const size_t map_size_max = (size_t)1 << 40;

int db_failed(const struct db *db, int code, const char *what, struct error *e) {
  const char *why = mdb_strerror(code);
  switch (code) {
  case EACCES:
  case EPERM:
  case EROFS:
    return error_set(e, ERROR_FAILED, "cannot %s %s: %s: run as the user that owns it", what,
                     db->path, why);
  case ENOSPC:
  case EDQUOT:
    return error_set(e, ERROR_FAILED, "cannot %s %s: %s: make room on the disk", what, db->path,
                     why);
  case EIO: /* LMDB's word for a write that was cut short, too */
    return error_set(e, ERROR_FAILED, "cannot %s %s: %s: the disk is full, or fails", what,
                     db->path, why);
  case MDB_CORRUPTED:
  case MDB_PAGE_NOTFOUND:
    return error_set(e, ERROR_FAILED, "cannot %s %s: it is damaged: restore it from a backup", what,
                     db->path);
  case MDB_INVALID:
  case MDB_VERSION_MISMATCH:
    return error_set(e, ERROR_FAILED,
                     "cannot %s %s: it is damaged, or not a database of this program", what,
                     db->path);
  case MDB_PANIC:
    return error_set(e, ERROR_FAILED,
                     "cannot %s %s: an earlier write failed: see to the disk, then start again",
                     what, db->path);
  case MDB_READERS_FULL:
    return error_set(e, ERROR_FAILED, "cannot %s %s: more than %d transactions read it now", what,
                     db->path, READERS_MAX);
  default:
    return error_set(e, ERROR_FAILED, "cannot %s %s: %s", what, db->path, why);
  }
}

/* Moves the map; `map` is held for writing. Size 0 takes the size that the file says. */
static int remap(struct db *db, size_t size, struct error *e) {
  int code = db->unmapped ? MDB_PANIC : mdb_env_set_mapsize(db->env, size);
  if (code != 0) {
    db->unmapped = true; /* LMDB took the old map away before it tried */
    return db_failed(db, code, "map", e);
  }
  return 0;
}

int db_grow(struct db *db, struct error *e) {
  MDB_envinfo info;
  pthread_rwlock_wrlock(&db->map);
  mdb_env_info(db->env, &info);
  int rc = info.me_mapsize > map_size_max / 2 ? db_failed(db, MDB_MAP_FULL, "write", e)
                                              : remap(db, info.me_mapsize * 2, e);
  pthread_rwlock_unlock(&db->map);
  return rc;
}

int db_begin(struct db *db, unsigned flags, MDB_txn **out, struct error *e) {
  for (int tries = 0;; tries++) {
    pthread_rwlock_rdlock(&db->map);
    int code = db->unmapped ? MDB_PANIC : mdb_txn_begin(db->env, NULL, flags, out);
    if (code == 0) {
      return 0;
    }
    pthread_rwlock_unlock(&db->map);
    if (tries >= 8) { /* the file may grow again in between, but not that often */
      return db_failed(db, code, "open", e);
    }
    if (code == MDB_MAP_RESIZED) {
      pthread_rwlock_wrlock(&db->map);
      int rc = remap(db, 0, e);
      pthread_rwlock_unlock(&db->map);
      if (rc != 0) {
        return -1;
      }
    } else if (code != MDB_READERS_FULL || mdb_reader_check(db->env, NULL) != 0) {
      return db_failed(db, code, "open", e);
    }
  }
}

void db_end(struct db *db) {
  pthread_rwlock_unlock(&db->map);
}

int db_read(struct db *db, db_read_fn *fn, void *arg, struct error *e) {
  struct db_txn txn = {.db = db};
  if (db_begin(db, MDB_RDONLY, &txn.txn, e) != 0) {
    return -1;
  }
  int rc = fn(&txn, arg, e);
  mdb_txn_abort(txn.txn);
  db_end(db);
  if (rc == 0 && txn.error.kind != ERROR_NONE) {
    return error_set(e, txn.error.kind, "%s", txn.error.text);
  }
  return rc;
}

int db_write_now(struct db *db, db_write_fn *fn, void *arg, struct error *e) {
  return writer_wait(db->writer, fn, arg, e);
}

int db_write(struct db *db, uv_loop_t *loop, db_write_fn *fn, void *arg, db_done_fn *done,
             struct error *e) {
  return writer_add(db->writer, loop, fn, arg, done, e);
}

/* A file that was cut short would end whoever reads the map behind its end with SIGBUS. Of pages of
 * zeros LMDB says that they are damaged. Done under the write lock, so that nothing is cut off. */
static int mend_length(struct db *db) {
  MDB_envinfo info;
  MDB_stat stat;
  struct stat file;
  int fd;
  int code = mdb_env_info(db->env, &info);
  code = code != 0 ? code : mdb_env_stat(db->env, &stat);
  code = code != 0 ? code : mdb_env_get_fd(db->env, &fd);
  if (code != 0) {
    return code;
  }
  off_t length = (off_t)(info.me_last_pgno + 1) * (off_t)stat.ms_psize;
  return fstat(fd, &file) != 0 || (file.st_size < length && ftruncate(fd, length) != 0) ? errno : 0;
}

static int write_schema(struct db_txn *txn, struct error *e) {
  const unsigned char bytes[4] = {DB_SCHEMA};
  return table_put(txn, TABLE_META, SLICE("schema"), slice_of(bytes, sizeof bytes), e);
}

/* Each version has only added tables, which are made where they are missing; an older environment
 * gets the new number and nothing else: versions that do not know those tables must not write it
 * any more. */
static int check_schema(struct db_txn *txn, bool fresh, struct error *e) {
  struct slice value;
  if (fresh) {
    return write_schema(txn, e);
  }
  if (table_get(txn, TABLE_META, SLICE("schema"), &value, e) != 0) {
    return error_context(e, "cannot tell the schema of %s", txn->db->path);
  }
  struct record_reader r = {.rest = value};
  uint64_t schema = record_int(&r, 4);
  if (!record_ended(&r) || schema == 0) {
    return db_failed(txn->db, MDB_CORRUPTED, "read", e);
  }
  if (schema > DB_SCHEMA) {
    return error_set(
        e, ERROR_FAILED,
        "cannot open %s: a newer version of this program wrote it (schema %u, this one "
        "knows %d): use that version",
        txn->db->path, (unsigned)schema, DB_SCHEMA);
  }
  return schema < DB_SCHEMA ? write_schema(txn, e) : 0;
}

static int open_tables(struct db *db, struct db_txn *txn, struct error *e) {
  const char *meta = table_name(TABLE_META);
  int code = mend_length(db);
  code = code != 0 ? code : mdb_dbi_open(txn->txn, meta, 0, &db->tables[TABLE_META]);
  bool fresh = code == MDB_NOTFOUND;
  if (fresh) {
    code = mdb_dbi_open(txn->txn, meta, MDB_CREATE, &db->tables[TABLE_META]);
  }
  if (code != 0) {
    return db_failed(db, code, "open", e);
  }
  if (check_schema(txn, fresh, e) != 0) {
    return -1;
  }
  for (int i = TABLE_META + 1; i < TABLE_COUNT; i++) {
    code = mdb_dbi_open(txn->txn, table_name((enum table)i), MDB_CREATE, &db->tables[i]);
    if (code != 0) {
      return db_failed(db, code, "open", e);
    }
  }
  return 0;
}

static int open_schema(struct db *db, struct error *e) {
  struct db_txn txn = {.db = db};
  if (db_begin(db, 0, &txn.txn, e) != 0) {
    return -1;
  }
  int rc = open_tables(db, &txn, e);
  if (rc != 0) {
    mdb_txn_abort(txn.txn);
  } else {
    int code = mdb_txn_commit(txn.txn);
    rc = code != 0 ? db_failed(db, code, "open", e) : 0;
  }
  db_end(db);
  return rc;
}

/* LMDB makes its files as whoever runs, so that they are made before it does. */
static int make_files(const struct db *db, const char *data_dir, struct error *e) {
  CLEANUP_FD int folder = folder_open(data_dir, db->path, e);
  if (folder < 0) {
    return -1;
  }
  return folder_make_file(folder, "data.mdb") == 0 && folder_make_file(folder, "lock.mdb") == 0
             ? 0
             : db_failed(db, errno, "make the files of", e);
}

static int open_environment(struct db *db, size_t map_size, struct error *e) {
  int code = mdb_env_create(&db->env);
  code = code != 0 ? code : mdb_env_set_mapsize(db->env, map_size);
  code = code != 0 ? code : mdb_env_set_maxreaders(db->env, READERS_MAX);
  code = code != 0 ? code : mdb_env_set_maxdbs(db->env, TABLES_MAX);
  /* NOTLS: a reader's slot belongs to its transaction, not to a thread that may live for ever. */
  code = code != 0 ? code : mdb_env_open(db->env, db->path, MDB_NOTLS, 0600);
  code = code != 0 ? code : mdb_reader_check(db->env, NULL);
  return code == 0 ? 0 : db_failed(db, code, "open", e);
}

int db_open_sized(const char *data_dir, size_t map_size, struct db **out, struct error *e) {
  struct db *db = calloc(1, sizeof *db);
  if (db == NULL || asprintf(&db->path, "%s/db", data_dir) < 0) {
    free(db);
    return error_set(e, ERROR_FAILED, "cannot open %s/db: out of memory", data_dir);
  }
  pthread_rwlockattr_t attributes;
  pthread_rwlockattr_init(&attributes);
  /* Else readers that overlap without end keep the map from growing. */
  pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
  pthread_rwlock_init(&db->map, &attributes);
  pthread_rwlockattr_destroy(&attributes);
  if (make_files(db, data_dir, e) != 0 || open_environment(db, map_size, e) != 0 ||
      open_schema(db, e) != 0 || (db->writer = writer_start(db, e)) == NULL) {
    db_close(db);
    return -1;
  }
  *out = db;
  return 0;
}

int db_open(const char *data_dir, struct db **out, struct error *e) {
  return db_open_sized(data_dir, MAP_SIZE_FIRST, out, e);
}

void db_close(struct db *db) {
  if (db == NULL) {
    return;
  }
  writer_stop(db->writer);
  if (db->env != NULL) {
    mdb_env_close(db->env);
  }
  pthread_rwlock_destroy(&db->map);
  free(db->path);
  free(db);
}
