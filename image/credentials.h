/**
 * Registry credentials as skopeo finds them: `--creds`, `--authfile`, `$REGISTRY_AUTH_FILE`,
 * `${XDG_RUNTIME_DIR}/containers/auth.json`, `${XDG_CONFIG_HOME:-~/.config}/containers/auth.json`,
 * `${DOCKER_CONFIG:-~/.docker}/config.json`; keys of `auths` by repository path, then host
 * (containers-auth.json(5)). Credential helpers are not run.
 */
#pragma once

#include "base/error.h"

enum { IMAGE_CREDENTIALS_FILE_MAX = 1024 * 1024 }; /**< bytes of an auth file */

/** Wiped and freed by image_credentials_free(). All members NULL: there are none. */
struct image_credentials {
  char *username;
  char *password;
  char *identity_token; /**< an OAuth2 refresh token; then username and password are NULL */
  char *place;          /**< where they are from, for errors: a file, or `--creds` */
};

/**
 * Finds the credentials for a registry. A file that is named, by \p authfile or
 * `$REGISTRY_AUTH_FILE`, is the only one looked at; of the others the first that has an entry
 * counts. The most specific key wins: `host/path/name`, `host/path`, `host`; `https://host/…`
 * stands for `host`, and the names of Docker Hub for each other.
 *
 * \param creds `user:password` from `--creds`, or NULL. \param authfile from `--authfile`, or NULL.
 * \param host as in the reference, with its port. \param repository for keys that name one; may be
 * NULL.
 * \return 0 also when there are none; -1 with ERROR_USAGE for a file that was named and does not
 * exist, for one that is broken, for \p creds without a user name or a colon, and when all there
 * is for the host is a credential helper; ERROR_FAILED for one that cannot be read, or without
 * memory.
 */
int image_credentials_find(const char *creds, const char *authfile, const char *host,
                           const char *repository, struct image_credentials *out, struct error *e);

/**
 * What to do where a registry does not take \p c, or wants some and there are none: which login
 * was looked at, and how to make another. \p authfile as in image_credentials_find().
 *
 * \param given_by by what else the caller takes a login, such as "--authfile or --creds".
 * \return malloc'ed, freed by the caller; NULL without memory.
 */
char *image_credentials_advice(const struct image_credentials *c, const char *authfile,
                               const char *host, const char *given_by);

/** Copies; -1 without memory, and \p to is empty then. */
int image_credentials_copy(const struct image_credentials *from, struct image_credentials *to,
                           struct error *e);

/**
 * The `Authorization` of username and password (RFC 7617).
 *
 * \return malloc'ed, freed by image_secret_free(); NULL without memory.
 */
char *image_credentials_basic(const struct image_credentials *c);

/** Wipes and frees a string; NULL is fine. */
void image_secret_free(char *secret);

void image_credentials_free(struct image_credentials *c);
