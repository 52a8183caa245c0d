#include "loop.h"

#include "base/clock.h"
#include "descriptors.h"
#include "gateway/preparing.h"
#include "sweep.h"

#include <stdlib.h>

enum {
  TRACKER_ROUTES = 2,
  SERVERS = 3,
  STOP_GRACE_MS = 5000,
  TICK_MS = 1000,
};

struct loop {
  uv_loop_t uv;
  uv_thread_t thread;
  uv_async_t stop;
  uv_timer_t tick;
  const struct shared *shared;
  struct http_client *client;
  struct gateway *gateway;
  struct http_server *tracker_server, *gateway_server, *admin_server;
  bool first;
  struct sweep sweep; /* of the first */
  struct http_route tracker_routes[TRACKER_ROUTES];
  struct http_route gateway_routes[GATEWAY_ROUTES + TOKEN_SERVICE_ROUTES];
  struct http_route admin_routes[HEALTH_ROUTES];
  unsigned servers; /* that have not stopped yet */
  bool fetching;
  bool started, stopping;
};

static void on_client_stopped(void *arg) {
  (void)arg; /* nothing is left that keeps the loop alive */
}

static void stop_fetching(const struct shared *shared) {
  key_watch_stop(shared->key_watch);
  if (shared->subscription != NULL) {
    subscription_stop(shared->subscription);
  }
  if (shared->gateway != NULL) {
    preparing_stop(shared->gateway->preparing);
  }
}

/* The gateway's exchanges use the client, so that it goes after the servers. */
static void on_server_stopped(void *arg) {
  struct loop *loop = arg;
  loop->servers--;
  if (loop->servers == 0) {
    gateway_free(loop->gateway);
    loop->gateway = NULL;
    if (loop->fetching) {
      stop_fetching(loop->shared);
    }
    if (loop->client != NULL) {
      http_client_stop(loop->client, on_client_stopped, loop);
    }
  }
}

static void on_stop(uv_async_t *async) {
  struct loop *loop = async->data;
  struct http_server *servers[SERVERS] = {loop->tracker_server, loop->gateway_server,
                                          loop->admin_server};
  if (loop->stopping) {
    return;
  }
  loop->stopping = true;
  uv_close((uv_handle_t *)&loop->stop, NULL);
  uv_close((uv_handle_t *)&loop->tick, NULL);
  loop->servers++; /* held until all have been told, for a server may stop at once */
  for (size_t i = 0; i < SERVERS; i++) {
    if (servers[i] != NULL) {
      loop->servers++;
      http_server_stop(servers[i], STOP_GRACE_MS, on_server_stopped, loop);
    }
  }
  on_server_stopped(loop);
}

static void forget_sessions(const struct entrance *entrance) {
  if (entrance->tls != NULL) {
    http_tls_forget(entrance->tls, clock_now());
  }
}

/* What one of the loops does for all. */
static void tick_first(struct loop *loop) {
  const struct shared *shared = loop->shared;
  if (shared->watch != NULL) {
    revocation_watch_poll(shared->watch, &loop->uv);
  }
  sweep_tick(&loop->sweep, &loop->uv);
  if (shared->tracker != NULL) {
    tracker_expire(shared->tracker);
  }
  forget_sessions(&shared->tracker_entrance);
  forget_sessions(&shared->gateway_entrance);
}

static void on_tick(uv_timer_t *timer) {
  struct loop *loop = timer->data;
  if (loop->gateway != NULL) {
    gateway_tick(loop->gateway);
  }
  if (loop->first) {
    tick_first(loop);
  }
}

/* One role's server, at all its places. */
static int listen_all(struct loop *loop, const struct entrance *entrance,
                      const struct http_route *routes, size_t route_count,
                      const struct http_large_bodies *large, unsigned connections_max,
                      struct http_server **out, struct error *e) {
  const struct http_server_options options = {.routes = routes,
                                              .route_count = route_count,
                                              .limits = {.connections_max = connections_max},
                                              .large = large,
                                              .tls = entrance->tls,
                                              .trusted = entrance->trusted,
                                              .trusted_count = entrance->trusted_count,
                                              .log = &loop->shared->config->log};
  *out = http_server_new(&loop->uv, &options);
  if (*out == NULL) {
    return error_set(e, ERROR_FAILED, "cannot make a server: out of memory");
  }
  for (size_t i = 0; i < entrance->places.count; i++) {
    if (http_server_listen(*out, &entrance->places.items[i], e) != 0) {
      return -1;
    }
  }
  return 0;
}

static int open_tracker(struct loop *loop, struct error *e) {
  const struct shared *shared = loop->shared;
  loop->tracker_routes[0] =
      (struct http_route){"GET", "/announce", tracker_announce_handle, shared->tracker};
  loop->tracker_routes[1] =
      (struct http_route){"GET", "/scrape", tracker_scrape_handle, shared->tracker};
  return listen_all(loop, &shared->tracker_entrance, loop->tracker_routes, TRACKER_ROUTES, NULL,
                    shared->connections_max, &loop->tracker_server, e);
}

static int open_gateway(struct loop *loop, struct error *e) {
  const struct shared *shared = loop->shared;
  size_t routes = GATEWAY_ROUTES;
  loop->gateway = gateway_new(shared->gateway, loop->client, e);
  if (loop->gateway == NULL) {
    return -1;
  }
  gateway_routes(loop->gateway, loop->gateway_routes);
  if (shared->token_service != NULL) {
    token_service_routes(shared->token_service, loop->gateway_routes + routes);
    routes += TOKEN_SERVICE_ROUTES;
  }
  return listen_all(loop, &shared->gateway_entrance, loop->gateway_routes, routes,
                    gateway_large_bodies(loop->gateway), shared->connections_max,
                    &loop->gateway_server, e);
}

static int open_admin(struct loop *loop, struct error *e) {
  health_routes(loop->shared->health, loop->admin_routes);
  return listen_all(loop, &loop->shared->admin_entrance, loop->admin_routes, HEALTH_ROUTES, NULL,
                    DESCRIPTORS_ADMIN, &loop->admin_server, e);
}

/* What one of the loops fetches for all. */
static int start_fetching(struct loop *loop, struct error *e) {
  const struct shared *shared = loop->shared;
  key_watch_start(shared->key_watch, &loop->uv, loop->client);
  if (shared->subscription != NULL) {
    subscription_start(shared->subscription, &loop->uv, loop->client);
  }
  loop->fetching = true;
  return shared->gateway == NULL
             ? 0
             : preparing_start(shared->gateway->preparing, &loop->uv, loop->client, e);
}

static int open_roles(struct loop *loop, struct error *e) {
  const struct shared *shared = loop->shared;
  if ((shared->gateway != NULL || loop->first) &&
      (loop->client = http_client_new(&loop->uv)) == NULL) {
    return error_set(e, ERROR_FAILED, "cannot make a loop's client: out of memory");
  }
  if ((shared->tracker != NULL && open_tracker(loop, e) != 0) ||
      (shared->gateway != NULL && open_gateway(loop, e) != 0) ||
      (loop->first && shared->health != NULL && open_admin(loop, e) != 0)) {
    return -1;
  }
  return loop->first ? start_fetching(loop, e) : 0;
}

struct loop *loop_new(const struct shared *shared, bool first, struct error *e) {
  struct loop *loop = calloc(1, sizeof *loop);
  if (loop == NULL || uv_loop_init(&loop->uv) != 0) {
    free(loop);
    error_set(e, ERROR_FAILED, "cannot make an event loop: out of memory or descriptors");
    return NULL;
  }
  loop->shared = shared;
  int failed = uv_async_init(&loop->uv, &loop->stop, on_stop);
  if (failed != 0) {
    error_set(e, ERROR_FAILED, "cannot make an event loop: %s", uv_strerror(failed));
    uv_loop_close(&loop->uv);
    free(loop);
    return NULL;
  }
  loop->first = first;
  sweep_init(&loop->sweep, shared->tracker, shared->revocations);
  uv_timer_init(&loop->uv, &loop->tick);
  loop->stop.data = loop;
  loop->tick.data = loop;
  if (open_roles(loop, e) != 0) {
    loop_free(loop);
    return NULL;
  }
  uv_timer_start(&loop->tick, on_tick, TICK_MS, TICK_MS);
  return loop;
}

static void run(void *arg) {
  struct loop *loop = arg;
  uv_run(&loop->uv, UV_RUN_DEFAULT);
}

int loop_start(struct loop *loop, struct error *e) {
  int failed = uv_thread_create(&loop->thread, run, loop);
  if (failed != 0) {
    return error_set(e, ERROR_FAILED, "cannot start a thread: %s", uv_strerror(failed));
  }
  loop->started = true;
  return 0;
}

void loop_stop(struct loop *loop) {
  uv_async_send(&loop->stop);
}

void loop_free(struct loop *loop) {
  if (loop == NULL) {
    return;
  }
  if (loop->started) {
    uv_thread_join(&loop->thread);
  } else {
    on_stop(&loop->stop);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
  }
  uv_loop_close(&loop->uv);
  free(loop);
}
