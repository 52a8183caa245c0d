#include "gateway/gateway.h"

#include "cache/cache.h"
#include "gateway/challenges.h"
#include "gateway/internal.h"
#include "gateway/notification.h"
#include "gateway/readers.h"
#include "gateway/webseed_tokens.h"

#include <stdlib.h>

static int open_upstream(struct gateway_upstream *upstream, const struct gateway_registry *registry,
                         struct http_client *client, struct error *e) {
  upstream->name = slice_str(registry->name);
  upstream->by_token = registry->authorise == GATEWAY_TOKEN;
  upstream->storage = registry->storage;
  upstream->challenges = challenges_new();
  if (upstream->challenges == NULL) {
    return error_set(e, ERROR_FAILED, "cannot start the gateway: out of memory");
  }
  upstream->client = registry_new(client, &registry->upstream, e);
  return upstream->client == NULL ? error_context(e, "registry %s", registry->name) : 0;
}

struct gateway *gateway_new(const struct gateway_options *options, struct http_client *client,
                            struct error *e) {
  if (options->registry_count == 0) {
    error_set(e, ERROR_USAGE, "a gateway needs a registry: name one under `registries`");
    return NULL;
  }
  struct gateway *gateway = calloc(1, sizeof *gateway);
  struct gateway_upstream *upstreams = calloc(options->registry_count, sizeof *upstreams);
  if (gateway == NULL || upstreams == NULL) {
    free(gateway);
    free(upstreams);
    error_set(e, ERROR_FAILED, "cannot start the gateway: out of memory");
    return NULL;
  }
  gateway->options = options;
  gateway->large =
      (struct http_large_bodies){notifications_are_from, gateway, NOTIFICATION_BODY_MAX};
  gateway->upstreams = upstreams;
  gateway->refusals = refusals_new(options->log, e);
  gateway->webseed_tokens = webseed_tokens_new();
  if (gateway->refusals == NULL || gateway->webseed_tokens == NULL) {
    gateway_free(gateway);
    error_set(e, ERROR_FAILED, "cannot start the gateway: out of memory");
    return NULL;
  }
  for (size_t i = 0; i < options->registry_count; i++) {
    if (open_upstream(&upstreams[i], &options->registries[i], client, e) != 0) {
      gateway_free(gateway);
      return NULL;
    }
  }
  return gateway;
}

void gateway_free(struct gateway *gateway) {
  if (gateway == NULL) {
    return;
  }
  cache_waker_close(gateway->waker);
  readers_loop_close(gateway->readers);
  webseed_tokens_free(gateway->webseed_tokens);
  for (size_t i = 0; i < gateway->options->registry_count; i++) {
    registry_free(gateway->upstreams[i].client);
    challenges_free(gateway->upstreams[i].challenges);
  }
  refusals_free(gateway->refusals);
  free(gateway->upstreams);
  free(gateway);
}

void gateway_tick(struct gateway *gateway) {
  uint64_t generation = revocations_generation(gateway->options->revocations);
  if (generation != gateway->generation) {
    gateway->generation = generation;
    webseed_cut(gateway);
  }
}

const struct gateway_upstream *gateway_find(const struct gateway *gateway, struct slice name) {
  for (size_t i = 0; i < gateway->options->registry_count; i++) {
    if (slice_equal(gateway->upstreams[i].name, name)) {
      return &gateway->upstreams[i];
    }
  }
  return NULL;
}

void gateway_routes(struct gateway *gateway, struct http_route routes[GATEWAY_ROUTES]) {
  routes[0] = (struct http_route){"GET", "/v1/revocations", feed_handle, gateway->options->feed};
  routes[1] = (struct http_route){"POST", "/v1/notifications", notifications_handle, gateway};
  routes[2] = (struct http_route){"GET", "/v1/", request_handle, gateway};
  routes[3] = (struct http_route){"POST", "/v1/", request_handle, gateway};
  routes[4] = (struct http_route){"GET", "/webseed/", webseed_handle, gateway};
  routes[5] = (struct http_route){"HEAD", "/webseed/", webseed_handle, gateway};
  routes[6] = (struct http_route){"GET", "/.well-known/jwks.json", jwks_handle, gateway};
}

const struct http_large_bodies *gateway_large_bodies(const struct gateway *gateway) {
  return &gateway->large;
}
