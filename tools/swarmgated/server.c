#include "server.h"

#include "base/clock.h"
#include "base/file.h"
#include "descriptors.h"
#include "front.h"
#include "gateway/delegate_cache.h"
#include "loop.h"
#include "review.h"
#include "session_key.h"
#include "tools/issuers.h"
#include "tools/swarm.h"
#include "upstreams.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOOPS_MAX = 256, CHECKS_MAX = 2 };

/* All that a running server holds, in the order in which it is made. */
struct server {
  struct config config;
  struct keyring_state *keys; /* until the keyring has taken them over */
  struct keyring *keyring;
  struct swarm_ca *swarm_ca; /* until the authority has taken it over; NULL: swarms have none */
  struct swarm_authority *swarm_authority;
  struct db *db;
  struct audit *audit;
  struct revocations *revocations;
  struct revocation_watch *watch;
  struct subscription *subscription;
  struct key_watch *key_watch;
  struct tracker *tracker;
  struct upstreams upstreams;
  struct delegate_cache *delegate_cache;
  struct front front;
  struct gateway_options gateway;
  struct slice *anonymous; /* as many as the configuration names */
  struct token_service_options service;
  struct health_check checks[CHECKS_MAX];
  struct health health;
  struct shared shared;
  struct loop *loops[LOOPS_MAX];
  size_t loop_count;
};

void server_free(struct server *s) {
  if (s == NULL) {
    return;
  }
  for (size_t i = 0; i < s->loop_count; i++) {
    loop_free(s->loops[i]);
  }
  front_close(&s->front);
  token_service_free(s->shared.token_service);
  free(s->anonymous);
  tracker_free(s->tracker);
  revocation_watch_free(s->watch);
  subscription_free(s->subscription);
  key_watch_free(s->key_watch);
  revocations_free(s->revocations);
  delegate_cache_free(s->delegate_cache);
  audit_close(s->audit);
  db_close(s->db);
  upstreams_free(&s->upstreams);
  entrance_free(&s->shared.tracker_entrance);
  entrance_free(&s->shared.gateway_entrance);
  entrance_free(&s->shared.admin_entrance);
  keyring_free(s->keyring);
  keyring_state_free(s->keys);
  swarm_authority_free(s->swarm_authority);
  swarm_ca_release(s->swarm_ca);
  config_free(&s->config);
  free(s);
}

static int load_entrances(struct server *s, struct error *e) {
  static const struct config_tls plain = {0};
  static const struct config_texts nobody = {0};
  const struct config *c = &s->config;
  return entrance_load(c, "admin", &plain, &nobody, &s->shared.admin_entrance, e) != 0 ||
                 entrance_load(c, "tracker", &c->tracker.tls, &c->tracker.trusted_proxies,
                               &s->shared.tracker_entrance, e) != 0 ||
                 entrance_load(c, "gateway", &c->gateway.tls, &c->gateway.trusted_proxies,
                               &s->shared.gateway_entrance, e) != 0
             ? -1
             : 0;
}

static int load(struct server *s, const char *path, struct error *e) {
  const struct config *c = &s->config;
  if (config_load(path, &s->config, e) != 0 || review_config(c, e) != 0 ||
      issuers_load(c, &s->keys, e) != 0 || swarm_load(c, &s->swarm_ca, e) != 0 ||
      upstreams_load(c, &s->upstreams, e) != 0 || load_entrances(s, e) != 0) {
    return -1;
  }
  review_warn(c);
  return 0;
}

struct server *server_load(const char *path, struct error *e) {
  struct server *s = calloc(1, sizeof *s);
  if (s == NULL) {
    error_set(e, ERROR_FAILED, "cannot start: out of memory");
    return NULL;
  }
  if (load(s, path, e) != 0) {
    server_free(s);
    return NULL;
  }
  return s;
}

static int start_tracker(struct server *s, struct error *e) {
  const struct config_tracker *t = &s->config.tracker;
  struct tracker_options options = {.interval = t->interval,
                                    .min_interval = t->min_interval,
                                    .numwant_default = t->numwant_default,
                                    .numwant_max = t->numwant_max,
                                    .session_max = t->session_max,
                                    .max_peers = t->max_peers,
                                    .keyring = s->keyring,
                                    .revocations = s->revocations,
                                    /* A peer whose token is forgotten is out with a revocation. */
                                    .max_tokens = t->max_peers,
                                    .kinds = s->subscription == NULL ? TOKEN_SWARM | TOKEN_REGISTRY
                                                                     : TOKEN_SWARM,
                                    .db = s->db,
                                    .log = &s->config.log};
  int result = session_key_read(t->session_key.text, options.session_key, e);
  if (result != 0 && e->kind == ERROR_NOT_FOUND) {
    result = session_key_make(t->session_key.text, options.session_key, e);
  }
  if (result == 0) {
    result = tracker_new(&options, &s->tracker, e);
  }
  explicit_bzero(options.session_key, sizeof options.session_key);
  return result;
}

/* A tracker that stands alone. */
static int start_subscription(struct server *s, struct error *e) {
  const struct subscription_options options = {.url = s->config.tracker.revocations.text,
                                               .keyring = s->keyring,
                                               .revocations = s->revocations,
                                               .log = &s->config.log};
  s->subscription = subscription_new(&options);
  if (s->subscription == NULL) {
    return error_set(e, ERROR_FAILED, "cannot start: out of memory");
  }
  return 0;
}

/* Before anything listens. */
static int start_watch(struct server *s, struct error *e) {
  if (s->config.gateway.present) {
    s->delegate_cache = delegate_cache_new(e);
    if (s->delegate_cache == NULL) {
      return -1;
    }
  }
  const struct revocation_watch_options options = {.db = s->db,
                                                   .revocations = s->revocations,
                                                   .delegate_cache = s->delegate_cache,
                                                   .log = &s->config.log};
  return revocation_watch_new(&options, &s->watch, e);
}

static int start_token_service(struct server *s, struct error *e) {
  const struct config *c = &s->config;
  const struct config_texts *anonymous = &c->token_service.anonymous_pull;
  s->anonymous = calloc(anonymous->count + 1, sizeof *s->anonymous);
  if (s->anonymous == NULL) {
    return error_set(e, ERROR_FAILED, "cannot start the token service: out of memory");
  }
  for (size_t i = 0; i < anonymous->count; i++) {
    s->anonymous[i] = slice_str(anonymous->items[i].text);
  }
  s->service = (struct token_service_options){.keyring = s->keyring,
                                              .service = c->token_service.service.text,
                                              .registry = config_service_registry(c),
                                              .ttl = c->token_service.ttl,
                                              .anonymous = s->anonymous,
                                              .anonymous_count = anonymous->count,
                                              .db = s->db,
                                              .audit = s->audit,
                                              .revocations = s->revocations,
                                              .watch = s->watch,
                                              .log = &c->log};
  s->shared.token_service = token_service_new(&s->service, e);
  return s->shared.token_service == NULL ? -1 : 0;
}

static void divide_descriptors(struct server *s, unsigned loops) {
  struct shared *shared = &s->shared;
  shared->connections_max = descriptors_divide(
      loops, shared->tracker_entrance.places.count + shared->gateway_entrance.places.count,
      (shared->tracker != NULL ? DESCRIPTORS_TRACKER : 0U) +
          (shared->gateway != NULL ? DESCRIPTORS_GATEWAY : 0U),
      shared->gateway != NULL ? DESCRIPTORS_READERS : 0U, &s->config.log);
}

/* What is revoked, from where this server has it. */
static int start_revocations(struct server *s, struct error *e) {
  const struct config *c = &s->config;
  s->revocations = revocations_new();
  if (s->revocations == NULL) {
    return error_set(e, ERROR_FAILED, "cannot start: out of memory");
  }
  if (c->tracker.revocations.text != NULL) {
    return start_subscription(s, e);
  }
  return db_open(c->data_dir.text, &s->db, e) != 0 || start_watch(s, e) != 0 ? -1 : 0;
}

static int start_gateway(struct server *s, struct error *e) {
  const struct config *c = &s->config;
  if (audit_open(c->data_dir.text, &s->audit, e) != 0) {
    return -1;
  }
  swarm_log(s->swarm_ca, &c->log);
  s->swarm_authority = swarm_authority_new(s->swarm_ca);
  if (s->swarm_authority == NULL) {
    return error_set(e, ERROR_FAILED, "cannot start: out of memory");
  }
  s->swarm_ca = NULL;
  s->gateway = (struct gateway_options){.keyring = s->keyring,
                                        .swarm_authority = s->swarm_authority,
                                        .delegate_cache = s->delegate_cache,
                                        .revocations = s->revocations,
                                        .watch = s->watch,
                                        .db = s->db,
                                        .audit = s->audit,
                                        .log = &c->log};
  if (front_open(&s->front, c, &s->upstreams, &s->gateway, e) != 0 ||
      entrance_open(c, "gateway", &c->gateway.listen, &s->shared.gateway_entrance, e) != 0) {
    return -1;
  }
  s->shared.gateway = &s->gateway;
  return c->token_service.present ? start_token_service(s, e) : 0;
}

static bool is_subscription_ready(const void *arg, int64_t now, struct buf *why) {
  return subscription_ready(arg, now, why);
}

static bool is_key_watch_ready(const void *arg, int64_t now, struct buf *why) {
  (void)now;
  return key_watch_ready(arg, why);
}

static int start_admin(struct server *s, struct error *e) {
  s->health.checks = s->checks;
  s->checks[s->health.count++] = (struct health_check){"keys", is_key_watch_ready, s->key_watch};
  if (s->subscription != NULL) {
    s->checks[s->health.count++] =
        (struct health_check){"revocations", is_subscription_ready, s->subscription};
  }
  s->shared.health = &s->health;
  return entrance_open(&s->config, "admin", &s->config.admin.listen, &s->shared.admin_entrance, e);
}

static int start_roles(struct server *s, struct error *e) {
  const struct config *c = &s->config;
  s->shared.config = c;
  s->shared.revocations = s->revocations;
  s->shared.watch = s->watch;
  s->shared.subscription = s->subscription;
  s->shared.key_watch = s->key_watch;
  if (c->tracker.present) {
    if (start_tracker(s, e) != 0 ||
        entrance_open(c, "tracker", &c->tracker.listen, &s->shared.tracker_entrance, e) != 0) {
      return -1;
    }
    s->shared.tracker = s->tracker;
  }
  return (c->gateway.present && start_gateway(s, e) != 0) ||
                 (c->admin.present && start_admin(s, e) != 0)
             ? -1
             : 0;
}

int server_start(struct server *s, struct error *e) {
  unsigned loops = uv_available_parallelism();
  loops = loops < LOOPS_MAX ? loops : LOOPS_MAX;
  if (file_make_folders(s->config.data_dir.text, e) != 0) {
    return -1;
  }
  s->keyring = keyring_new(s->keys);
  if (s->keyring == NULL) {
    return error_set(e, ERROR_FAILED, "cannot start: out of memory");
  }
  s->keys = NULL;
  s->key_watch =
      key_watch_new(&(struct key_watch_options){.keyring = s->keyring, .log = &s->config.log});
  if (s->key_watch == NULL) {
    return error_set(e, ERROR_FAILED, "cannot start: out of memory");
  }
  if (start_revocations(s, e) != 0 || start_roles(s, e) != 0) {
    return -1;
  }
  divide_descriptors(s, loops);
  for (unsigned i = 0; i < loops; i++) {
    struct loop *loop = loop_new(&s->shared, i == 0, e);
    if (loop == NULL) {
      return -1;
    }
    s->loops[s->loop_count++] = loop;
  }
  for (size_t i = 0; i < s->loop_count; i++) {
    if (loop_start(s->loops[i], e) != 0) {
      return -1;
    }
  }
  return 0;
}

/* Puts the new keys in force. \return what is to be said of them, in \p text; NULL with \p e. */
static const char *replace_keys(struct server *s, struct server *fresh, char text[128],
                                struct error *e) {
  if (keyring_reload(s->keyring, fresh->keys, clock_now(), e) != 0) {
    return NULL;
  }
  fresh->keys = NULL;
  struct keyring_state *keys = keyring_hold(s->keyring);
  const char *kid = keys->swarm.key.kid;
  size_t count = 0;
  for (size_t i = 0; i < keys->trust.count; i++) {
    count += keys->trust.rows[i].keys.count;
  }
  snprintf(text, 128, "%zu %s, %s%s", count, count == 1 ? "key verifies" : "keys verify",
           kid == NULL ? "none" : kid, kid == NULL ? " signs" : " signs swarm and webseed tokens");
  keyring_release(keys);
  return text;
}

static void replace_swarm_ca(struct server *s, struct server *fresh) {
  if (s->swarm_authority != NULL) {
    swarm_authority_replace(s->swarm_authority, fresh->swarm_ca);
    swarm_log(fresh->swarm_ca, &s->config.log); /* which only the next reload takes away */
    fresh->swarm_ca = NULL;
  }
}

static void replace_certificate(struct entrance *now, struct entrance *fresh) {
  if (now->tls != NULL && fresh->tls != NULL) {
    http_tls_replace(now->tls, fresh->tls);
    fresh->tls = NULL;
  }
}

void server_reload(struct server *s, const char *path) {
  const struct log *log = &s->config.log;
  struct error e = {0};
  struct server *fresh = server_load(path, &e);
  char text[128];
  const char *keys = fresh == NULL ? NULL : replace_keys(s, fresh, text, &e);
  if (keys == NULL) {
    server_free(fresh);
    log_write(log, LOG_LEVEL_ERROR, "reloading changed nothing: %s", e.text);
    return;
  }
  replace_certificate(&s->shared.tracker_entrance, &fresh->shared.tracker_entrance);
  replace_certificate(&s->shared.gateway_entrance, &fresh->shared.gateway_entrance);
  replace_swarm_ca(s, fresh);
  log_write(log, LOG_LEVEL_INFO,
            "reloaded the certificates, the swarms' CA, and the keys and issuers of auth and "
            "token_service: %s; "
            "whatever else has changed is taken up by a restart",
            keys);
  key_watch_refresh(s->key_watch);
  server_free(fresh);
}

void server_stop(struct server *s) {
  entrance_close(&s->shared.tracker_entrance);
  entrance_close(&s->shared.gateway_entrance);
  entrance_close(&s->shared.admin_entrance);
  for (size_t i = 0; i < s->loop_count; i++) {
    loop_stop(s->loops[i]);
  }
}

const struct log *server_log(const struct server *s) {
  return &s->config.log;
}

size_t server_loops(const struct server *s) {
  return s->loop_count;
}
