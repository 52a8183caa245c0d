#include "tools/issuers.h"

#include <stdlib.h>
#include <string.h>

/* \return NULL with the error. What is made so far belongs to the trust even then. */
static struct trust_row *add_row(struct trust *trust, const struct config_text *keys,
                                 const char *issuer, const char *audience, const char *registry,
                                 const struct config *config, struct error *e) {
  struct trust_row *row = &trust->rows[trust->count];
  if (keyset_load(keys->text, &row->keys, e) != 0) {
    config_error_at(config, keys->line, e);
    return NULL;
  }
  trust->count++;
  row->issuer = strdup(issuer);
  row->audience = strdup(audience);
  row->registry = registry == NULL ? NULL : strdup(registry);
  if (row->issuer == NULL || row->audience == NULL || (registry != NULL && row->registry == NULL)) {
    error_set(e, ERROR_FAILED, "cannot load %s: out of memory", keys->text);
    return NULL;
  }
  return row;
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

static int load(const struct config *config, struct trust *trust, struct error *e) {
  const struct config_auth *auth = &config->auth;
  struct trust_row *row;
  for (size_t i = 0; i < auth->signing_keys.count; i++) {
    row = add_row(trust, &auth->signing_keys.items[i], auth->issuer.text, auth->audience.text, NULL,
                  config, e);
    if (row == NULL) {
      return -1;
    }
    row->algorithms = KEY_ALL;
    row->accept = TOKEN_SWARM | TOKEN_WEBSEED;
  }
  for (size_t i = 0; i < auth->trust_count; i++) {
    const struct config_trust *from = &auth->trust[i];
    const char *registry = from->registry.text;
    if (registry == NULL && config->registry_count == 1) {
      registry = config->registries[0].name.text;
    }
    row = add_row(trust, &from->keys, from->issuer.text, from->audience.text, registry, config, e);
    if (row == NULL) {
      return -1;
    }
    row->algorithms = algorithms_of(from);
    row->accept = kinds_of(from);
  }
  return 0;
}

int issuers_load(const struct config *config, struct trust *out, struct error *e) {
  size_t rows = config->auth.signing_keys.count + config->auth.trust_count;
  *out = (struct trust){.rows = calloc(rows == 0 ? 1 : rows, sizeof *out->rows),
                        .leeway = config->auth.leeway};
  if (out->rows == NULL) {
    return error_set(e, ERROR_FAILED, "cannot load the keys of %s: out of memory", config->file);
  }
  if (load(config, out, e) != 0) {
    trust_free(out);
    return -1;
  }
  return 0;
}

int issuers_signing_key(const struct config *config, struct key *out, struct error *e) {
  const struct config_texts *keys = &config->auth.signing_keys;
  if (keys->count == 0) {
    return error_set(e, ERROR_USAGE,
                     "%s: auth.signing_keys: missing; it names the private keys "
                     "that sign (make one with `swarmgate key generate`)",
                     config->file);
  }
  if (key_load_private(keys->items[0].text, out, e) != 0) {
    return config_error_at(config, keys->items[0].line, e);
  }
  return 0;
}
