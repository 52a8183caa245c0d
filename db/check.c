/* What `swarmgate db stats` and `db check` tell. */
#include "db/internal.h"
#include "db/record.h"

static int check_meta(struct db_txn *txn, struct slice key, struct slice value, struct error *e) {
  (void)txn;
  return (slice_equal(key, SLICE("schema")) && value.len == 4) ||
                 (slice_equal(key, SLICE("revocations")) && value.len == 8)
             ? 0
             : error_set(e, ERROR_FAILED, "it is not in the form of this schema");
}

struct check {
  uint64_t *records, *faults;
  struct error first;
};

static int check_tables(struct db_txn *txn, void *arg, struct error *e) {
  static table_form *const forms[TABLE_COUNT] = {
      [TABLE_META] = check_meta,
      [TABLE_TORRENTS] = torrent_store_check_torrent,
      [TABLE_ALIASES] = torrent_store_check_alias,
      [TABLE_DIGESTS] = torrent_store_check_digest,
      [TABLE_READABLE] = torrent_store_check_readable,
      [TABLE_REVOCATIONS] = revocation_store_check,
      [TABLE_USERS] = user_store_check_user,
      [TABLE_GRANTS] = user_store_check_grant,
      [TABLE_REFRESH] = refresh_store_check_token,
      [TABLE_HOLDERS] = refresh_store_check_holder,
      [TABLE_WANTED] = wanted_store_check,
  };
  struct check *c = arg;
  for (int i = 0; i < TABLE_COUNT; i++) {
    if (table_check(txn, (enum table)i, forms[i], c->records, c->faults, &c->first, e) != 0) {
      return -1;
    }
  }
  return 0;
}

int db_check(struct db *db, uint64_t *records, uint64_t *faults, struct error *e) {
  struct check c = {.records = records, .faults = faults};
  *records = *faults = 0;
  int rc = db_read(db, check_tables, &c, e);
  if (c.first.kind != ERROR_NONE) {
    return error_set(e, c.first.kind, "%s", c.first.text);
  }
  return rc;
}

static int count(struct db_txn *txn, void *arg, struct error *e) {
  struct db_stats *out = arg;
  MDB_envinfo info;
  MDB_stat stat;
  struct slice schema;
  mdb_env_info(txn->db->env, &info);
  mdb_env_stat(txn->db->env, &stat);
  if (table_get(txn, TABLE_META, SLICE("schema"), &schema, e) != 0) {
    return -1;
  }
  struct record_reader r = {.rest = schema};
  out->schema = record_int(&r, 4);
  out->map_size = info.me_mapsize;
  out->used_bytes = (info.me_last_pgno + 1) * (uint64_t)stat.ms_psize;
  const struct {
    enum table table;
    uint64_t *count;
  } counts[] = {{TABLE_TORRENTS, &out->torrents},       {TABLE_READABLE, &out->readable},
                {TABLE_REVOCATIONS, &out->revocations}, {TABLE_USERS, &out->users},
                {TABLE_GRANTS, &out->grants},           {TABLE_REFRESH, &out->refresh_tokens}};
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
    if (table_count(txn, counts[i].table, counts[i].count, e) != 0) {
      return -1;
    }
  }
  return 0;
}

/* LMDB lists the readers as lines of text under a heading; a reader's begins with its process. */
static int add_reader(const char *line, void *arg) {
  uint64_t *readers = arg;
  line += strspn(line, " ");
  *readers += *line >= '0' && *line <= '9';
  return 0;
}

int db_stats(struct db *db, struct db_stats *out, struct error *e) {
  *out = (struct db_stats){0};
  mdb_reader_list(db->env, add_reader, &out->readers_now);
  return db_read(db, count, out, e);
}
