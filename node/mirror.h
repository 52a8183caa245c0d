/**
 * The agent's HTTP side: a registry's `/v2/` as container runtimes ask a mirror for it (OCI
 * distribution specification, Pull), out of swarms. What is not a clean yes is a 404 at once, upon
 * which a runtime goes to the registry itself; an answer is not begun before its first bytes are
 * there. And `/v1/status`, JSON. Where no credentials are required,
 * nobody is answered who asks by another name than `localhost`.
 */
#pragma once

#include "http/server.h"
#include "node/stock.h"

struct mirror_options {
  struct images *images;
  struct stock *stock;
  const struct route_host *hosts; /**< whose images are mirrored; one at least */
  size_t host_count;
  bool require_credentials; /**< runtimes are challenged, and gateways are asked with theirs; which
                                 blobs there are is not told */
  const struct log *log;
};

enum { MIRROR_ROUTES = 3 };

/** Its routes, for a server; \p options outlive it. */
void mirror_routes(struct mirror_options *options, struct http_route out[MIRROR_ROUTES]);
