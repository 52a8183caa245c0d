#include "front.h"

#include "base/units.h"
#include "cache/cache.h"
#include "gateway/fill.h"
#include "gateway/hashing.h"
#include "gateway/manifest_store.h"
#include "gateway/preparing.h"
#include "gateway/readers.h"

/* Before who reads from it. */
static int open_cache(struct front *f, const struct config *config,
                      const struct upstreams *upstreams, struct error *e) {
  const struct config_cache *c = &config->gateway.cache;
  if (c->path.text == NULL) {
    return 0;
  }
  const struct cache_options cache = {
      .path = c->path.text, .max_size = c->max_size, .free_min = c->min_free};
  if (cache_new(&cache, &f->cache, e) != 0) {
    error_context(e, "gateway.cache.path");
    return config_error_at(config, c->path.line, e);
  }
  char used[UNITS_TEXT_MAX], most[UNITS_TEXT_MAX];
  units_print_size(cache_used(f->cache), used);
  units_print_size(c->max_size, most);
  log_write(&config->log, LOG_LEVEL_INFO, "the cache in %s takes %s of %s", c->path.text, used,
            most);
  const struct fills_options fills = {.cache = f->cache,
                                      .registries = upstreams->registries,
                                      .registry_count = upstreams->count,
                                      .log = &config->log};
  f->fills = fills_new(&fills, e);
  return f->fills == NULL ? -1 : 0;
}

static int open_feed(struct front *f, const struct gateway_options *o, struct error *e) {
  const struct feed_options feed = {
      .keyring = o->keyring, .revocations = o->revocations, .db = o->db, .log = o->log};
  f->feed = feed_new(&feed);
  return f->feed == NULL ? error_set(e, ERROR_FAILED, "cannot start: out of memory") : 0;
}

/* Who makes torrents: when they are asked for, and when a registry says that an image was pushed.
 */
static int open_makers(struct front *f, const struct gateway_options *o, struct error *e) {
  const struct hashing_options hashing = {.registries = o->registries,
                                          .registry_count = o->registry_count,
                                          .format = o->format,
                                          .swarm_authority = o->swarm_authority,
                                          .db = o->db,
                                          .cache = f->cache,
                                          .log = o->log};
  const struct manifest_store_options manifests = {
      .registries = o->registries, .registry_count = o->registry_count, .log = o->log};
  f->hashing = hashing_new(&hashing, e);
  f->manifests = f->hashing == NULL ? NULL : manifest_store_new(&manifests, e);
  if (f->manifests == NULL) {
    return -1;
  }
  const struct preparing_options preparing = {.registries = o->registries,
                                              .registry_count = o->registry_count,
                                              .format = o->format,
                                              .swarm_authority = o->swarm_authority,
                                              .hashing = f->hashing,
                                              .manifests = f->manifests,
                                              .db = o->db,
                                              .log = o->log};
  f->preparing = preparing_new(&preparing);
  return f->preparing == NULL
             ? error_set(e, ERROR_FAILED, "cannot start the gateway: out of memory")
             : 0;
}

static int open_readers(struct front *f, const struct config_webseed *webseed, struct error *e) {
  const struct readers_options readers = {.rate = webseed->max_rate,
                                          .rate_per_token = webseed->max_rate_per_token,
                                          .max = webseed->max_readers};
  f->readers = readers_new(&readers);
  return f->readers == NULL ? error_set(e, ERROR_FAILED, "cannot start the gateway: out of memory")
                            : 0;
}

int front_open(struct front *front, const struct config *config, const struct upstreams *upstreams,
               struct gateway_options *options, struct error *e) {
  options->url = config->gateway.url.text;
  options->announce_url = config->tracker.url.text;
  options->registries = upstreams->registries;
  options->registry_count = upstreams->count;
  options->format = (enum torrent_format)config->gateway.format;
  options->swarm_ttl = config->auth.ttl_swarm;
  options->webseed_ttl = config->auth.ttl_webseed;
  options->session_ttl = config->auth.ttl_session;
  if (open_cache(front, config, upstreams, e) != 0 || open_feed(front, options, e) != 0 ||
      open_makers(front, options, e) != 0 ||
      open_readers(front, &config->gateway.webseed, e) != 0) {
    return -1;
  }
  options->feed = front->feed;
  options->cache = front->cache;
  options->hashing = front->hashing;
  options->manifests = front->manifests;
  options->preparing = front->preparing;
  options->readers = front->readers;
  return 0;
}

void front_close(struct front *front) {
  readers_free(front->readers);
  preparing_free(front->preparing);
  hashing_free(front->hashing);
  manifest_store_free(front->manifests);
  fills_free(front->fills);
  cache_free(front->cache);
  feed_free(front->feed);
}
