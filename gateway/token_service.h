/**
 * The token service: the realm of a registry with `auth: token` (Docker token specification, Token
 * Authentication and its OAuth 2 variant). Users show a password or a refresh token, and get a
 * registry token for what they may do of what they ask for.
 */
#pragma once

#include "auth/keyring.h"
#include "auth/revocation_set.h"
#include "base/log.h"
#include "db/audit.h"
#include "gateway/revocation_watch.h"
#include "http/server.h"

enum {
  TOKEN_SERVICE_REFRESH_SECONDS = 90 * 24 * 3600, /**< for which a refresh token is good */
  /** Tokens without credentials that an address gets in a while, so that nobody fills the audit log
   *  with them: a thousand nodes behind one address have two each. */
  TOKEN_SERVICE_ANONYMOUS_MAX = 2000,
  TOKEN_SERVICE_ANONYMOUS_MS = 60000,
};

/** Immutable while a token service uses it, and outlives it, with all that it points to. */
struct token_service_options {
  struct keyring *keyring;       /**< signs registry tokens, as the token service's */
  const char *service;           /**< `aud`; what clients have to ask for as `service` */
  const char *registry;          /**< the registry that it is for, by which users are revoked */
  unsigned ttl;                  /**< seconds from `iat` to `exp` */
  const struct slice *anonymous; /**< patterns of repositories that everybody may pull */
  size_t anonymous_count;

  struct db *db;                   /**< users, grants, refresh tokens */
  struct audit *audit;             /**< has what is handed out before it leaves */
  struct revocations *revocations; /**< NULL: none */
  struct revocation_watch *watch;  /**< keeps them up; NULL: they are as they are */
  const struct log *log;
};

/** Shared by all loops. */
struct token_service;

/**
 * \return NULL with \p e: ERROR_USAGE for a service that cannot stand in a challenge, for it holds
 * a control character; ERROR_FAILED when there is no memory or no randomness.
 */
struct token_service *token_service_new(const struct token_service_options *options,
                                        struct error *e);

/** To be called when the loops have ended. NULL is fine. */
void token_service_free(struct token_service *service);

enum { TOKEN_SERVICE_ROUTES = 2 };

/** Fills in the routes `GET, POST /token` for an http_server on any loop. They refer to \p service.
 */
void token_service_routes(struct token_service *service,
                          struct http_route routes[TOKEN_SERVICE_ROUTES]);
