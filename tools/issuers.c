#include "tools/issuers.h"

#include "config/values.h"
#include "tools/retention.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int out_of_memory(const struct config *config, struct error *e) {
  return error_set(e, ERROR_FAILED, "cannot load the keys of %s: out of memory", config->file);
}

/* Of a file that a key of the configuration names. */
static int file_error(const struct config *config, const char *key, const struct config_text *file,
                      struct error *e) {
  error_context(e, "%s", key);
  return config_error_at(config, file->line, e);
}

static const char *const key_of_use[] = {
    [KEY_ANNOUNCE] = "auth.signing_keys[0]", [KEY_REGISTRY] = "token_service.signing_key"};

/* Names the row whose keys are loaded. \return NULL without memory; what is made so far belongs to
 * the trust even then. */
static struct trust_row *add_row(struct trust *trust, const char *issuer, const char *audience,
                                 const char *registry) {
  struct trust_row *row = &trust->rows[trust->count++];
  row->issuer = strdup(issuer);
  row->audience = strdup(audience);
  row->registry = registry == NULL ? NULL : strdup(registry);
  return row->issuer == NULL || row->audience == NULL || (registry != NULL && row->registry == NULL)
             ? NULL
             : row;
}

static unsigned algorithms_of(const struct config_trust *row) {
  unsigned set = 0;
  for (size_t i = 0; i < row->algorithms.count; i++) {
    set |= key_algorithm_of(slice_str(row->algorithms.items[i].text));
  }
  return set;
}

static unsigned kinds_of(const struct config_trust *row) {
  static const struct {
    const char *name;
    enum token_kind kind;
  } kinds[] = {{"swarm", TOKEN_SWARM}, {"registry", TOKEN_REGISTRY}, {"webseed", TOKEN_WEBSEED}};
  unsigned set = 0;
  for (size_t i = 0; i < row->accept.count; i++) {
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
      set |= strcmp(row->accept.items[i].text, kinds[k].name) == 0 ? (unsigned)kinds[k].kind : 0;
    }
  }
  return set;
}

/* A row for a key of ours, which \p key of the configuration names. \param signer takes the key;
 * NULL: it only verifies. */
static int add_own(const struct config *config, const char *key, const struct config_text *file,
                   enum key_use use, struct trust_row *row, struct keyring_signer *signer,
                   struct error *e) {
  struct key_file loaded;
  if (row == NULL) {
    return out_of_memory(config, e);
  }
  if (key_file_load(file->text, use, &loaded, e) != 0) {
    return file_error(config, key, file, e);
  }
  row->keys = loaded.trusted;
  row->algorithms = KEY_ALL;
  row->accept = use == KEY_REGISTRY ? TOKEN_REGISTRY : TOKEN_SWARM | TOKEN_WEBSEED;
  row->own = true;
  if (signer == NULL) {
    key_free(&loaded.key);
    return 0;
  }
  *signer = (struct keyring_signer){
      .key = loaded.key, .issuer = strdup(row->issuer), .audience = strdup(row->audience)};
  return signer->issuer == NULL || signer->audience == NULL ? out_of_memory(config, e) : 0;
}

static int load_own(const struct config *config, struct keyring_state *state, struct error *e) {
  const struct config_auth *auth = &config->auth;
  const struct config_token_service *service = &config->token_service;
  for (size_t i = 0; i < auth->signing_keys.count; i++) {
    struct trust_row *row = add_row(&state->trust, auth->issuer.text, auth->audience.text, NULL);
    char key[64];
    snprintf(key, sizeof key, "auth.signing_keys[%zu]", i);
    if (add_own(config, key, &auth->signing_keys.items[i], KEY_ANNOUNCE, row,
                i == 0 ? &state->swarm : NULL, e) != 0) {
      return -1;
    }
  }
  return service->present
             ? add_own(config, key_of_use[KEY_REGISTRY], &service->signing_key, KEY_REGISTRY,
                       add_row(&state->trust, service->issuer.text, service->service.text,
                               config_service_registry(config)),
                       &state->service, e)
             : 0;
}

/* Keys at a URL are not here yet: of these the URL alone is looked at. */
static bool share_a_key(const struct trust_row *a, const struct trust_row *b) {
  for (size_t i = 0; i < a->keys.count; i++) {
    if (keyset_find(&b->keys, &a->keys.keys[i]) != NULL) {
      return true;
    }
  }
  return a->source != NULL && b->source != NULL && strcmp(a->source->url, b->source->url) == 0;
}

/* The row before the last by which a registry token that the last one takes would be of another
 * registry; NULL: none. Two services may well have the same names, but not the same key. */
static const struct trust_row *find_rival(const struct trust *trust) {
  const struct trust_row *last = &trust->rows[trust->count - 1];
  for (const struct trust_row *row = trust->rows; row < last; row++) {
    if ((row->accept & last->accept & TOKEN_REGISTRY) != 0 &&
        strcmp(row->issuer, last->issuer) == 0 && strcmp(row->audience, last->audience) == 0 &&
        row->registry != NULL && last->registry != NULL &&
        strcmp(row->registry, last->registry) != 0 && share_a_key(row, last)) {
      return row;
    }
  }
  return NULL;
}

/* From a URL they are fetched later: until then there are none. */
static int load_keys(const struct config *config, size_t i, struct trust_row *row,
                     struct error *e) {
  const struct config_trust *from = &config->auth.trust[i];
  if (value_is_url(slice_str(from->keys.text))) {
    row->keys.named = true;
    row->source = trust_source_new(from->keys.text);
    return row->source == NULL ? out_of_memory(config, e) : 0;
  }
  if (keyset_load(from->keys.text, &row->keys, e) != 0) {
    char key[64];
    snprintf(key, sizeof key, "auth.trust[%zu].keys", i);
    return file_error(config, key, &from->keys, e);
  }
  return 0;
}

static int load_others(const struct config *config, struct trust *trust, struct error *e) {
  for (size_t i = 0; i < config->auth.trust_count; i++) {
    const struct config_trust *from = &config->auth.trust[i];
    const char *registry = from->registry.text;
    if (registry == NULL && config->registry_count == 1) {
      registry = config->registries[0].name.text;
    }
    struct trust_row *row = add_row(trust, from->issuer.text, from->audience.text, registry);
    if (row == NULL) {
      return out_of_memory(config, e);
    }
    if (load_keys(config, i, row, e) != 0) {
      return -1;
    }
    row->algorithms = algorithms_of(from);
    row->accept = kinds_of(from);
    const struct trust_row *rival = find_rival(trust);
    if (rival != NULL) {
      return config_error(config, from->registry.line, e,
                          "auth.trust[%zu]: the same issuer, audience and key stand for registry "
                          "%s already, and a token says no more than these: let each registry have "
                          "an audience of its own",
                          i, rival->registry);
    }
    keyring_retire_own(trust, &row->keys);
  }
  return 0;
}

int issuers_load(const struct config *config, struct keyring_state **out, struct error *e) {
  size_t rows = config->auth.signing_keys.count + config->auth.trust_count + 1;
  struct keyring_state *state = keyring_state_new();
  if (state != NULL) {
    state->trust = (struct trust){.rows = calloc(rows, sizeof *state->trust.rows),
                                  .leeway = config->auth.leeway,
                                  .lifetime = retention_lifetime(config)};
  }
  if (state == NULL || state->trust.rows == NULL) {
    keyring_state_free(state);
    return out_of_memory(config, e);
  }
  if (load_own(config, state, e) != 0 || load_others(config, &state->trust, e) != 0) {
    keyring_state_free(state);
    return -1;
  }
  *out = state;
  return 0;
}

const struct config_text *issuers_key_file(const struct config *config, enum key_use use,
                                           struct error *e) {
  const struct config_texts *keys = &config->auth.signing_keys;
  if (use == KEY_REGISTRY && config->token_service.present) {
    return &config->token_service.signing_key;
  }
  if (use == KEY_ANNOUNCE && keys->count > 0) {
    return &keys->items[0];
  }
  error_set(e, ERROR_USAGE, "%s: %s (make one with `swarmgate key generate`)", config->file,
            use == KEY_REGISTRY
                ? "token_service: missing; its signing_key signs registry tokens"
                : "auth.signing_keys: missing; it names the private keys that sign");
  return NULL;
}

int issuers_signing_key(const struct config *config, enum key_use use, struct key *out,
                        struct error *e) {
  const struct config_text *file = issuers_key_file(config, use, e);
  if (file == NULL) {
    return -1;
  }
  return key_load_private(file->text, out, e) == 0 ? 0
                                                   : file_error(config, key_of_use[use], file, e);
}

static int64_t larger(int64_t a, int64_t b) {
  return a > b ? a : b;
}

int64_t issuers_lifetime(const struct config *config, enum key_use use) {
  const struct config_auth *auth = &config->auth;
  int64_t longest = use == KEY_REGISTRY
                        ? config->token_service.ttl
                        : larger(auth->ttl_session, larger(auth->ttl_swarm, auth->ttl_webseed));
  /* Whoever signed may have been ahead, and whoever verifies takes it for as long again. */
  return longest + 2 * (int64_t)auth->leeway;
}
