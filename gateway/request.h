/**
 * A request for `/v1/<name>/…`, read: what every such route begins with. The table of these routes
 * stands in request.c; each is a file with its own handler.
 */
#pragma once

#include "base/address.h"
#include "gateway/bearer.h"
#include "gateway/caller.h"
#include "gateway/internal.h"
#include "gateway/issue.h"

/** In the exchange's arena, for as long as the exchange lives. */
struct request {
  const struct gateway *gateway;
  struct http_exchange *x;
  const struct gateway_upstream *upstream; /**< the registry that `?ns=` names */
  struct slice repository;                 /**< a valid name, followed by a NUL */
  bool manifest;                           /**< it is about a manifest, not blobs */
  /** What stands behind `/blobs/` or `/manifests/`, not checked yet, followed by a NUL; a NULL
   * pointer for a route that has nothing there. */
  struct slice reference;
  char from[ADDRESS_TEXT_MAX]; /**< the address that asks */
  struct caller caller;        /**< named, but not authorised yet: authorise.h */
  struct slice verified_by;    /**< the key that verified the caller's token here; or empty */
  enum bearer_right right;     /**< BEARER_UNREAD unless the registry's tokens are verified here */
};

/** Answers \p r, at once or later. */
typedef void request_handler(struct request *r);

/** To whom tokens for this request are issued, and for what. */
struct issue_grant request_grant(const struct request *r);

/**
 * Logs `WHAT of REGISTRY/REPOSITORY: WHY`, where \p what ends in what it is about, such as
 * `cannot hand out the torrent of`, and \p digest names it. Anybody can bring such a line about, so
 * at LOG_LEVEL_WARN it is within the bounds of refusals_warn().
 */
void request_log(const struct request *r, enum log_level level, const char *what,
                 struct slice digest, const char *why);

/** Answers 500 and logs why: `WHAT DIGEST of REGISTRY/REPOSITORY: …`. */
void request_fail(const struct request *r, const char *what, struct slice digest,
                  const struct error *e);
