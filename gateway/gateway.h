/**
 * The gateway: hands out torrents with tokens inside to those whom the registry lets read a blob,
 * and serves blobs as a webseed (contract, sections Gateway and Torrents). One gateway a loop, for
 * connections to registries belong to a loop; the options are shared by all loops.
 */
#pragma once

#include "auth/keyring.h"
#include "auth/revocation_set.h"
#include "auth/swarm_ca.h"
#include "base/log.h"
#include "db/audit.h"
#include "gateway/feed.h"
#include "gateway/revocation_watch.h"
#include "http/client.h"
#include "http/server.h"
#include "image/registry.h"
#include "torrent/metainfo.h"

struct cache;
struct readers;

/** Who decides what a caller may read. */
enum gateway_authorise {
  GATEWAY_DELEGATE, /**< the registry, asked with the caller's own credentials */
  GATEWAY_TOKEN,    /**< the registry's bearer token, verified here */
};

/** A registry that is fronted. */
struct gateway_registry {
  const char *name; /**< what `?ns=` and the tokens call it */
  enum gateway_authorise authorise;
  const char *storage; /**< the `rootdirectory` of its filesystem storage; NULL: it is asked */
  const char
      *notification_secret; /**< by which its notifications are known; NULL: none are taken */
  struct registry_options upstream; /**< credentials: the gateway's own, for reading blobs */
};

/** Immutable while a gateway uses it, and outlives it, with all that it points to. */
struct gateway_options {
  const char *url;          /**< where callers reach this gateway, with or without a final `/` */
  const char *announce_url; /**< the tracker's; the token is added to its query */
  const struct gateway_registry *registries;
  size_t registry_count;      /**< at least 1 */
  enum torrent_format format; /**< which torrent of a blob is handed out */

  /** Signs swarm and webseed tokens. Webseed tokens are verified with it, by a row with our own
   * keys that accepts TOKEN_WEBSEED; and registry tokens of a registry with GATEWAY_TOKEN, by rows
   * that name it. */
  struct keyring *keyring;
  /** Whose certificate torrents are put under, and who signs those of peers; NULL, or without a CA:
   *  they are under none. */
  struct swarm_authority *swarm_authority;
  unsigned swarm_ttl;   /**< seconds from `iat` to `exp` of a swarm token */
  unsigned webseed_ttl; /**< the same of a webseed token */
  unsigned session_ttl; /**< seconds from `iat` to the end of the session */

  struct delegate_cache *delegate_cache; /**< the registries' answers, for all loops */
  struct revocations *revocations;       /**< what tokens and callers are held against */
  struct revocation_watch *watch;        /**< keeps it up with \ref db */
  struct feed *feed;                     /**< `GET /v1/revocations` */
  struct hashing *hashing;          /**< makes torrents that are missing; NULL: only those that were
                                         registered are handed out */
  struct manifest_store *manifests; /**< reads manifests; NULL: none are handed out */
  struct preparing *preparing;      /**< makes those of what was pushed; NULL: no notifications are
                                         taken */
  struct db *db;
  struct cache *cache;     /**< blobs on disk, which somebody fills; NULL: all are relayed */
  struct readers *readers; /**< who reads of the webseed: how many, and how fast */
  struct audit *audit;     /**< has what is handed out before it leaves */
  const struct log *log;
};

struct gateway;

/**
 * \param client of the loop that the routes will run on; outlives the gateway.
 * \return NULL with \p e: ERROR_USAGE for no registry or one whose URL cannot be read, ERROR_FAILED
 * for no memory.
 */
struct gateway *gateway_new(const struct gateway_options *options, struct http_client *client,
                            struct error *e);

/** To be called when the server with its routes has stopped, so that no exchange is left. */
void gateway_free(struct gateway *gateway);

/** To be called on the gateway's loop once a second: when the revocations have changed, cuts the
 *  answers under way to tokens that are revoked now. */
void gateway_tick(struct gateway *gateway);

enum { GATEWAY_ROUTES = 7 };

/**
 * Fills in the routes `GET /v1/revocations`, `POST /v1/notifications`, `GET, POST /v1/`, `GET, HEAD
 * /webseed/` and `GET /.well-known/jwks.json` for an http_server on the loop of the client given to
 * gateway_new(). They refer to \p gateway.
 */
void gateway_routes(struct gateway *gateway, struct http_route routes[GATEWAY_ROUTES]);

/** Whom that server is to take large bodies from: a registry, by its notifications' secret. */
const struct http_large_bodies *gateway_large_bodies(const struct gateway *gateway);
