/**
 * `/livez` and `/readyz` of the admin listener, for whoever starts the server anew, and for whoever
 * sends it clients. Nothing that is asked for here is a secret, nor needs one.
 */
#pragma once

#include "base/buf.h"
#include "http/server.h"

/** One thing that has to be well for the server to be ready. */
struct health_check {
  const char *name;
  /**
   * Asked on the loop, so that it must not wait.
   *
   * \param now NumericDate.
   * \param why told in a line, without a newline, when it is not well.
   */
  bool (*ready)(const void *arg, int64_t now, struct buf *why);
  const void *arg;
};

/** Embedded by its owner; outlives the servers. */
struct health {
  const struct health_check *checks;
  size_t count;
};

enum { HEALTH_ROUTES = 2 };

/**
 * Fills in the routes: `GET /livez`, 200 whenever the loop runs; `GET /readyz`, 200 when every
 * check is well, else 503 with a line `NAME: why` for each that is not.
 */
void health_routes(struct health *health, struct http_route routes[HEALTH_ROUTES]);
