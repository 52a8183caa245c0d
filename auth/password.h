/**
 * Passwords of users, hashed by scrypt (RFC 7914) and written as a PHC string:
 * `$scrypt$ln=15,r=8,p=1$<salt>$<hash>`, both base64 without padding. Each hash takes 32 MiB and
 * about 0.1 s: none is made on a loop.
 */
#pragma once

#include "base/error.h"
#include "base/slice.h"

enum {
  PASSWORD_BYTES_MAX = 1024,              /**< of a password */
  PASSWORD_HASH_SPACE = 128,              /**< of a hash's text, with its NUL */
  PASSWORD_MEMORY_MAX = 64 * 1024 * 1024, /**< 128 × r × 2^ln of a hash that is verified, bytes */
  PASSWORD_PARALLEL_MAX = 4,              /**< its p */
};

/** \return NULL, or what is wrong with a password and what would do, a static text: it must not be
 *  empty, nor too long, nor hold a control character. */
const char *password_check(struct slice password);

/**
 * Writes the text of a new hash, with a salt of its own, and a NUL to \p out.
 *
 * \return 0, or -1: ERROR_USAGE when password_check() does not take it, ERROR_FAILED when there is
 * no memory or no randomness.
 */
int password_hash(struct slice password, char out[PASSWORD_HASH_SPACE], struct error *e);

/**
 * Compares in constant time.
 *
 * \param hash what password_hash() wrote; with other parameters as well, within the bounds.
 * \return 0 when it is the password; -1: ERROR_DENIED when it is not, ERROR_FAILED when that cannot
 * be told, for lack of memory or because \p hash cannot be read.
 */
int password_verify(struct slice password, struct slice hash, struct error *e);

/**
 * For a user that there is none: takes as long as password_verify() of a hash by password_hash(),
 * and says the same as of a wrong password.
 *
 * \return always -1: ERROR_DENIED, or ERROR_FAILED for lack of memory.
 */
int password_verify_nobody(struct slice password, struct error *e);
