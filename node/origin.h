/** Pieces straight from the registry, for when the gateway is away: the nodes go on sharing one
 * copy among them, instead of each taking the whole. */
#pragma once

#include "image/registry.h"

struct origin;

struct origin_options {
  struct http_client *client;
  const char *host;       /**< as in a reference */
  const char *repository; /**< outlives the origin */
  struct http_client_tls tls;
  const struct image_credentials *credentials; /**< copied */
  bool may_be_plain;                           /**< plain http will do when https does not answer */
};

/** \return 0, or -1 as registry_new(). */
int origin_new(const struct origin_options *options, struct origin **out, struct error *e);
/** NULL is fine. */
void origin_free(struct origin *origin);

/** Asks for bytes \p first to \p last of a blob: registry_start(). */
struct registry_request *origin_start(struct origin *origin, const char *digest, uint64_t first,
                                      uint64_t last, const struct registry_events *events,
                                      void *arg, struct error *e);

/** What was asked for has failed: plain http is tried next time, if nothing has ever answered and
 * it will do. */
void origin_failed(struct origin *origin);
