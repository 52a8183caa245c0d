/**
 * A signing key's file with its companions, which take the key through time (docs/rights.md, Keys
 * in time): FILE signs; FILE.next is the key that signs after the next rotation; FILE.retired.json
 * is a JWKS of those that have signed, the latest first, each with the times from which on it is
 * not trusted any more.
 */
#pragma once

#include "auth/key.h"

/** What a key signs, and so by which name tokens call it. */
enum key_use {
  KEY_ANNOUNCE, /**< swarm and webseed tokens: key_thumbprint() */
  KEY_REGISTRY, /**< registry tokens: key_libtrust_id() */
};

/** Retired keys that a file may have, so that a JWKS of all our keys stays below KEYSET_MAX. */
enum { KEY_FILE_RETIRED_MAX = 120 };

struct key_file {
  struct key key;        /**< private */
  struct keyset trusted; /**< public: that key, the next, those retired and not yet of no use */
};

/**
 * Loads a key and its companions, where there are any; also while they are being rotated, or after
 * that was cut short: what has signed or will sign next is among the trusted.
 *
 * \param out freed by key_file_free() when 0 is returned.
 * \return 0, or -1: ERROR_NOT_FOUND when there is no such key, ERROR_USAGE for files that cannot be
 * used, private ones that others may read among them.
 */
int key_file_load(const char *path, enum key_use use, struct key_file *out, struct error *e);
void key_file_free(struct key_file *file);

/** How to rotate. */
struct key_file_plan {
  enum key_use use;
  int64_t now;             /**< NumericDate */
  int64_t lifetime;        /**< seconds for which what the key has signed can be alive */
  const char *certificate; /**< a bundle for certificate_save(), with all keys; NULL: none */
};

/** What has come of it. Owned strings. */
struct key_file_rotation {
  char *signs, *next, *retired; /**< the `kid` of each */
  int64_t retired_until;        /**< NumericDate */
  bool known;                   /**< the key that signs now was FILE.next before */
};

/**
 * Rotates: the key retires, the next one signs, a new one is next. Retired keys whose time has come
 * are dropped. Killed at any instant it leaves files that key_file_load() takes, and a further
 * rotation goes on from there. What is written has mode 0600 and the owner of the key's file. Two
 * at once exclude each other.
 *
 * \return 0, or -1: ERROR_NOT_FOUND, ERROR_USAGE as key_file_load() and for a symbolic link,
 * ERROR_FAILED also when another rotation came in between, and when KEY_FILE_RETIRED_MAX keys are
 * trusted still. What went wrong before anything changed leaves all as it was.
 */
int key_file_rotate(const char *path, const struct key_file_plan *plan,
                    struct key_file_rotation *out, struct error *e);
void key_file_rotation_free(struct key_file_rotation *rotation);
