/** A folder for the environment of one test, and a store that is as plain as can be. */
#pragma once

#include "unit/cmocka_all.h"

#include "db/internal.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const size_t kib = 1024, mib = 1048576;

static inline int folder_setup(void **state) {
  char *folder = strdup("/tmp/swarmgate-db.XXXXXX");
  *state = folder;
  return folder != NULL && mkdtemp(folder) != NULL ? 0 : -1;
}

static inline int folder_remove_one(const char *path, const struct stat *s, int type,
                                    struct FTW *at) {
  (void)s, (void)type, (void)at;
  return remove(path);
}

static inline int folder_teardown(void **state) {
  int rc = nftw(*state, folder_remove_one, 8, FTW_DEPTH | FTW_PHYS);
  free(*state);
  return rc;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, folder_setup, folder_teardown)

static inline struct db *must_open(const char *folder) {
  struct error e = {0};
  struct db *db = NULL;
  if (db_open_sized(folder, 64 * mib, &db, &e) != 0) {
    fail_msg("%s", e.text);
  }
  return db;
}

/* A record of the table `readable`: a number as its key, and `size` bytes. */
struct numbered {
  uint64_t number;
  size_t size;
  bool found;
  bool fail;
};

static inline struct slice numbered_key(const struct numbered *n) {
  return slice_of(&n->number, sizeof n->number);
}

static inline int put_numbered(struct db_txn *txn, void *arg, struct error *e) {
  const struct numbered *n = arg;
  char *bytes = calloc(1, n->size + 1);
  memset(bytes, (int)(n->number & 0xff), n->size);
  int rc = table_put(txn, TABLE_READABLE, numbered_key(n), slice_of(bytes, n->size), e);
  free(bytes);
  return n->fail ? error_set(e, ERROR_DENIED, "told to fail") : rc;
}

static inline int get_numbered(struct db_txn *txn, void *arg, struct error *e) {
  struct numbered *n = arg;
  struct slice value;
  struct error why = {0};
  n->found = table_get(txn, TABLE_READABLE, numbered_key(n), &value, &why) == 0;
  if (n->found) {
    n->size = value.len;
  }
  return n->found || why.kind == ERROR_NOT_FOUND ? 0 : error_set(e, why.kind, "%s", why.text);
}

static inline bool has_number(struct db *db, uint64_t number) {
  struct numbered n = {.number = number};
  struct error e = {0};
  if (db_read(db, get_numbered, &n, &e) != 0) {
    fail_msg("%s", e.text);
  }
  return n.found;
}
