// LINKS db base PkgConfig::UV
/* Records of any bytes under right checksums, as an attacker or another version may leave them: one
 * that check says is in order can be read by its infohash, or its name, and removed; the others are
 * refused. A record is a line of three: table, key, value, each with its length in front. */
#include "base/repository.h"
#include "db/internal.h"
#include "db/refresh_store.h"
#include "db/revocation_store.h"
#include "db/torrent_store.h"
#include "db/user_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct {
  enum table table;
  table_form *form;
} forms[] = {
    {TABLE_TORRENTS, torrent_store_check_torrent}, {TABLE_ALIASES, torrent_store_check_alias},
    {TABLE_DIGESTS, torrent_store_check_digest},   {TABLE_READABLE, torrent_store_check_readable},
    {TABLE_USERS, user_store_check_user},          {TABLE_GRANTS, user_store_check_grant},
    {TABLE_REFRESH, refresh_store_check_token},    {TABLE_HOLDERS, refresh_store_check_holder},
    {TABLE_REVOCATIONS, revocation_store_check},   {TABLE_WANTED, wanted_store_check}};
enum { FORMS = sizeof forms / sizeof *forms };

static void check(bool holds) {
  if (!holds) {
    abort();
  }
}

/* What is open stays when its files are gone. */
static struct db *open_nameless(void) {
  char folder[] = "/tmp/swarmgate-fuzz.XXXXXX", path[64];
  struct db *db = NULL;
  check(mkdtemp(folder) != NULL && db_open(folder, &db, NULL) == 0);
  static const char *const names[] = {"/db/data.mdb", "/db/lock.mdb", "/db", ""};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    snprintf(path, sizeof path, "%s%s", folder, names[i]);
    remove(path);
  }
  return db;
}

static uint64_t count_faults(struct db_txn *txn) {
  uint64_t records = 0, faults = 0;
  struct error first, e;
  for (size_t i = 0; i < FORMS; i++) {
    check(table_check(txn, forms[i].table, forms[i].form, &records, &faults, &first, &e) == 0);
  }
  return faults;
}

struct first {
  bool any;
  unsigned char infohash[20];
};

static bool keep_first(void *arg, const struct torrent_record *record,
                       const struct slice *registries, const struct slice *repositories,
                       size_t count) {
  struct first *first = arg;
  first->any = true;
  memcpy(first->infohash, record->infohash, sizeof first->infohash);
  for (size_t i = 0; i < count; i++) {
    check(memchr(registries[i].ptr, '\0', registries[i].len) == NULL && repositories[i].len < 512);
  }
  return false;
}

struct revoked {
  uint8_t kind;
  char value[REVOCATION_STORE_VALUE_MAX + 1];
};

static bool keep_revoked(void *arg, const struct revocation_record *r) {
  struct revoked *first = arg;
  check(r->value.len > 0 && r->value.len < sizeof first->value);
  check(r->at > 0 && r->until >= 0 && r->expires >= r->until);
  first->kind = r->kind;
  memcpy(first->value, r->value.ptr, r->value.len);
  first->value[r->value.len] = '\0';
  return false;
}

/* Each is found as it was visited, may be put again, and is removed alone. */
static void empty_revocations(struct db_txn *txn) {
  uint64_t before, after;
  struct revocation_record record;
  for (struct revoked first = {0};; first.kind = 0) {
    check(revocation_store_each(txn, keep_revoked, &first, NULL) == 0);
    check(table_count(txn, TABLE_REVOCATIONS, &before, NULL) == 0);
    check((before > 0) == (first.kind > 0));
    if (before == 0) {
      return;
    }
    struct slice value = slice_str(first.value);
    check(revocation_store_get(txn, first.kind, value, &record, NULL) == 0);
    check(revocation_store_put(txn, &record, NULL) == 0);
    check(revocation_store_remove(txn, first.kind, value, NULL) == 0);
    check(table_count(txn, TABLE_REVOCATIONS, &after, NULL) == 0 && after == before - 1);
  }
}

struct first_user {
  bool any;
  char name[USER_STORE_NAME_MAX];
  size_t len;
};

static bool keep_first_user(void *arg, const struct user_record *user) {
  struct first_user *first = arg;
  check(user_store_name_check(user->name) == NULL && user->password.len > 0);
  for (size_t i = 0; i < user->grant_count; i++) {
    check(repository_pattern_check(user->grants[i].pattern) == NULL);
  }
  first->any = true;
  first->len = user->name.len;
  memcpy(first->name, user->name.ptr, user->name.len);
  return false;
}

static bool keep_token(void *arg, const struct refresh_hash *token,
                       const struct refresh_record *record) {
  check(record->service.len <= REFRESH_STORE_TEXT_MAX);
  *(struct refresh_hash *)arg = *token;
  return true;
}

/* What is in order goes with its users. */
static void remove_users(struct db_txn *txn) {
  struct first_user first = {0};
  struct refresh_hash token = {0};
  uint64_t left, count;
  check(refresh_store_each(txn, keep_token, &token, NULL) == 0);
  check(refresh_store_remove_expired(txn, 0, &count, NULL) == 0);
  while (user_store_each(txn, keep_first_user, &first, NULL) == 0 && first.any) {
    check(user_store_remove(txn, slice_of(first.name, first.len), NULL) == 0);
    first.any = false;
  }
  check(!first.any);
  for (int i = TABLE_USERS; i <= TABLE_HOLDERS; i++) {
    check(table_count(txn, (enum table)i, &left, NULL) == 0 && left == 0);
  }
}

/* What is in another form is an error, and no more. */
static void try_users(struct db_txn *txn, struct slice name, struct arena *arena) {
  struct user_record user;
  struct refresh_record record;
  struct refresh_hash token = {0};
  user_store_get(txn, name, arena, &user, NULL);
  memcpy(token.bytes, name.ptr, name.len < sizeof token ? name.len : sizeof token);
  refresh_store_get(txn, &token, 0, arena, &record, NULL);
}

/* Undone at the end, so that the next input finds nothing. */
static int work(struct db_txn *txn, void *arg, struct error *e) {
  struct slice rest = *(struct slice *)arg;
  struct arena arena = {0};
  struct torrent_record record;
  while (rest.len >= 4) {
    enum table table = forms[(unsigned char)rest.ptr[0] % FORMS].table;
    size_t key = (unsigned char)rest.ptr[1];
    size_t value = (unsigned char)rest.ptr[2] | (size_t)(unsigned char)rest.ptr[3] << 8;
    rest = slice_from(rest, 4);
    if (key == 0 || key + value > rest.len) {
      break;
    }
    check(table_put(txn, table, slice_of(rest.ptr, key), slice_of(rest.ptr + key, value), e) == 0);
    if (key >= 20) {
      torrent_store_get(txn, (const unsigned char *)rest.ptr, &arena, &record, NULL);
      torrent_store_allowed(txn, (const unsigned char *)rest.ptr, SLICE("r"), SLICE("a/b"));
    }
    try_users(txn, slice_of(rest.ptr, key), &arena);
    rest = slice_from(rest, key + value);
  }
  bool good = count_faults(txn) == 0;
  struct first first = {0};
  while (torrent_store_each(txn, keep_first, &first, NULL) == 0 && first.any && good) {
    check(torrent_store_get(txn, first.infohash, &arena, &record, NULL) == 0);
    check(torrent_store_remove(txn, first.infohash, NULL) == 0);
    first.any = false;
  }
  check(!good || !first.any);
  if (good) {
    empty_revocations(txn);
    remove_users(txn);
  }
  arena_free(&arena);
  return error_set(e, ERROR_DENIED, "undo");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static struct db *db;
  if (db == NULL) {
    db = open_nameless();
  }
  struct slice input = slice_of(data, size);
  struct error e = {0};
  check(db_write_now(db, work, &input, &e) != 0 && e.kind == ERROR_DENIED);
  return 0;
}
