/** Users of the token service: their passwords' hashes, and what they may do to which repositories.
 */
#pragma once

#include "base/arena.h"
#include "db/db.h"

enum { USER_STORE_NAME_MAX = 255 }; /**< bytes; with a pattern they fill one key of LMDB */

/** What a grant allows; the bits are those of enum scope_action of auth/. */
enum { USER_STORE_PULL = 1, USER_STORE_PUSH = 2 };

struct user_grant {
  struct slice pattern; /**< of repository_pattern_check() */
  unsigned actions;     /**< USER_STORE_PULL, alone or with USER_STORE_PUSH */
};

/** A user as stored; all slices live in the arena it was read into. */
struct user_record {
  struct slice name;
  struct slice password;           /**< its hash, as it was given */
  int64_t changed;                 /**< when the password was last set, NumericDate */
  const struct user_grant *grants; /**< by pattern */
  size_t grant_count;
};

/** \return NULL, or what is wrong with a name and what would do, a static text: it has 1 to 255
 *  bytes of UTF-8 without control characters, `:` or `/`, which Basic and `sub` set apart. */
const char *user_store_name_check(struct slice name);

/**
 * \param password a hash; not looked into.
 * \param now NumericDate.
 * \return 0, or -1: ERROR_USAGE for a bad name, ERROR_FAILED when there is such a user already.
 */
int user_store_add(struct db_txn *txn, struct slice name, struct slice password, int64_t now,
                   struct error *e);

/** Sets another password, and removes the user's refresh tokens. \return 0, or -1 with
 *  ERROR_NOT_FOUND, or ERROR_USAGE for a bad name. */
int user_store_set_password(struct db_txn *txn, struct slice name, struct slice password,
                            int64_t now, struct error *e);

/** \return 0, or -1 with ERROR_NOT_FOUND, also for a name that can be none. */
int user_store_get(struct db_txn *txn, struct slice name, struct arena *arena,
                   struct user_record *out, struct error *e);

/** Removes the user, the grants and the refresh tokens. \return as user_store_set_password(). */
int user_store_remove(struct db_txn *txn, struct slice name, struct error *e);

/**
 * Gives a user \p actions, and no others, on what \p pattern matches.
 *
 * \return 0, or -1: ERROR_NOT_FOUND when there is no such user; ERROR_USAGE for a bad name or
 * pattern, or actions that are not those of a user_grant.
 */
int user_store_grant(struct db_txn *txn, struct slice name, struct slice pattern, unsigned actions,
                     struct error *e);

/**
 * Takes \p actions of the grant of that very pattern; who may no longer pull may not push either.
 *
 * \return 0, or -1: ERROR_NOT_FOUND when there is no such user or grant; ERROR_USAGE for a bad name
 * or pattern.
 */
int user_store_ungrant(struct db_txn *txn, struct slice name, struct slice pattern,
                       unsigned actions, struct error *e);

/** Called for each user, by name. The record ends with the call. \return false to stop. */
typedef bool user_store_visit(void *arg, const struct user_record *record);
int user_store_each(struct db_txn *txn, user_store_visit *visit, void *arg, struct error *e);
