/**
 * Refresh tokens that were given out by the token service (Docker token specification, OAuth2). Of
 * a token its SHA-256 is known alone. It goes with its user, with any change of the password, and
 * when it has expired.
 */
#pragma once

#include "base/arena.h"
#include "db/db.h"

enum {
  REFRESH_STORE_USER_MAX = 2048, /**< tokens of a user; beyond them the one first issued goes */
  REFRESH_STORE_TEXT_MAX = 255,  /**< bytes of `service` and of `client` */
};

/** The SHA-256 of a token. */
struct refresh_hash {
  unsigned char bytes[32];
};

/** A token as stored. Slices given to a put are copied; those from a get live in the arena. */
struct refresh_record {
  struct slice user;
  struct slice service;    /**< the `service` that it is good for */
  struct slice client;     /**< `client_id`, or empty */
  int64_t issued, expires; /**< NumericDate */
};

/**
 * \param password the hash that the user's right to a token was found with: between that and this
 *        the password may have been changed.
 * \return 0, or -1: ERROR_DENIED when it is not the user's any more, or there is no such user;
 * ERROR_USAGE when a text is too long.
 */
int refresh_store_put(struct db_txn *txn, const struct refresh_hash *token,
                      const struct refresh_record *record, struct slice password, struct error *e);

/** \param now NumericDate. \return 0, or -1 with ERROR_NOT_FOUND, also when it has expired. */
int refresh_store_get(struct db_txn *txn, const struct refresh_hash *token, int64_t now,
                      struct arena *arena, struct refresh_record *out, struct error *e);

/** \return 0, or -1 with ERROR_NOT_FOUND. */
int refresh_store_remove(struct db_txn *txn, const struct refresh_hash *token, struct error *e);

/** Removes all tokens of a user; none is no error. */
int refresh_store_remove_user(struct db_txn *txn, struct slice user, struct error *e);

/** Removes the tokens that have expired; \p count is set to how many. It reads all there are. */
int refresh_store_remove_expired(struct db_txn *txn, int64_t now, uint64_t *count, struct error *e);

/** Called for each token, the expired too. All slices end with the call. \return false to stop. */
typedef bool refresh_store_visit(void *arg, const struct refresh_hash *token,
                                 const struct refresh_record *record);
int refresh_store_each(struct db_txn *txn, refresh_store_visit *visit, void *arg, struct error *e);
