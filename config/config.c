#include "config/config.h"

#include "base/address.h"
#include "base/buf.h"
#include "base/file.h"
#include "config/document.h"
#include "config/reader.h"

#include <stdarg.h>
#include <stdio.h>

int config_error(const struct config *config, unsigned line, struct error *e, const char *format,
                 ...) {
  char what[ERROR_TEXT_MAX];
  va_list args;
  va_start(args, format);
  vsnprintf(what, sizeof what, format, args);
  va_end(args);
  return line == 0 ? error_set(e, ERROR_USAGE, "%s: %s", config->file, what)
                   : error_set(e, ERROR_USAGE, "%s:%u: %s", config->file, line, what);
}

int config_error_at(const struct config *config, unsigned line, struct error *e) {
  const struct error inner = *e;
  return config_error(config, line, e, "%s", inner.text);
}

static bool has_text(const struct config_texts *texts, const char *text) {
  for (size_t i = 0; i < texts->count; i++) {
    if (strcmp(texts->items[i].text, text) == 0) {
      return true;
    }
  }
  return false;
}

static bool has_registry(const struct config *c, size_t count, const char *name) {
  for (size_t i = 0; i < count; i++) {
    if (strcmp(c->registries[i].name.text, name) == 0) {
      return true;
    }
  }
  return false;
}

static int check_trust(const struct config *c, size_t i, struct error *e) {
  const struct config_trust *row = &c->auth.trust[i];
  const char *name = row->registry.text;
  if (name != NULL && c->registry_count > 0 && !has_registry(c, c->registry_count, name)) {
    return config_error(c, row->registry.line, e,
                        "auth.trust[%zu].registry: `registries` has no row named %s", i, name);
  }
  if (name == NULL && c->registry_count != 1 && has_text(&row->accept, "registry")) {
    return config_error(c, row->line, e,
                        "auth.trust[%zu].registry: is missing; a row that accepts registry tokens "
                        "names their registry, unless there is just one",
                        i);
  }
  return 0;
}

const char *config_service_registry(const struct config *c) {
  const struct config_token_service *service = &c->token_service;
  for (size_t i = 0; i < c->auth.trust_count; i++) {
    const struct config_trust *row = &c->auth.trust[i];
    if (row->registry.text != NULL && strcmp(row->issuer.text, service->issuer.text) == 0 &&
        strcmp(row->audience.text, service->service.text) == 0) {
      return row->registry.text;
    }
  }
  return c->registry_count == 1 ? c->registries[0].name.text : service->service.text;
}

/* Whether some issuer's tokens, our own token service's among them, count as those of the
 * registry. */
static bool takes_tokens_of(const struct config *c, const char *registry) {
  if (c->token_service.present && strcmp(config_service_registry(c), registry) == 0) {
    return true;
  }
  for (size_t i = 0; i < c->auth.trust_count; i++) {
    const struct config_trust *row = &c->auth.trust[i];
    if (has_text(&row->accept, "registry") &&
        (row->registry.text == NULL || strcmp(row->registry.text, registry) == 0)) {
      return true;
    }
  }
  return false;
}

static int check_registry(const struct config *c, size_t i, struct error *e) {
  const struct config_registry *row = &c->registries[i];
  if (has_registry(c, i, row->name.text)) {
    return config_error(c, row->name.line, e, "registries[%zu].name: %s is there twice", i,
                        row->name.text);
  }
  if ((row->certificate.text == NULL) != (row->key.text == NULL)) {
    return config_error(c, row->line, e, "registries[%zu]: certificate and key go together", i);
  }
  if (strcmp(row->authorise.text, "token") == 0 && !takes_tokens_of(c, row->name.text)) {
    return config_error(c, row->authorise.line, e,
                        "registries[%zu].authorise: token needs a row in auth.trust that accepts "
                        "registry tokens of %s: - { issuer: ISSUER, audience: SERVICE, keys: FILE, "
                        "algorithms: [ES256, RS256], accept: [registry], registry: '%s' }%s%s",
                        i, row->name.text, row->name.text,
                        c->token_service.present ? "; token_service issues those of " : "",
                        c->token_service.present ? config_service_registry(c) : "");
  }
  return 0;
}

static bool is_wildcard(const union address *a) {
  return a->any.sa_family == AF_INET ? a->v4.sin_addr.s_addr == htonl(INADDR_ANY)
                                     : IN6_IS_ADDR_UNSPECIFIED(&a->v6.sin6_addr) != 0;
}

static bool is_same(const union address *a, const union address *b) {
  return a->any.sa_family == AF_INET ? a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr
                                     : IN6_ARE_ADDR_EQUAL(&a->v6.sin6_addr, &b->v6.sin6_addr) != 0;
}

/* Whether a connection could be for both; both families have the port in the same place. */
static bool overlap(const char *one, const char *other) {
  union address a, b;
  return strcmp(one, other) == 0 ||
         (address_parse_port(slice_str(one), &a) && address_parse_port(slice_str(other), &b) &&
          a.any.sa_family == b.any.sa_family && a.v4.sin_port == b.v4.sin_port &&
          (is_same(&a, &b) || is_wildcard(&a) || is_wildcard(&b)));
}

struct listeners {
  bool present;
  const char *role;
  const struct config_texts *listen;
};

/* The kernel would spread connections over both roles, whichever they are meant for. */
static int check_listen(const struct config *c, const struct listeners *role,
                        const struct listeners *before, struct error *e) {
  for (size_t i = 0; i < role->listen->count; i++) {
    const struct config_text *own = &role->listen->items[i];
    for (size_t j = 0; j < before->listen->count; j++) {
      const char *other = before->listen->items[j].text;
      if (strcmp(own->text, other) == 0) {
        return config_error(c, own->line, e, "%s.listen[%zu]: %s is in %s.listen", role->role, i,
                            own->text, before->role);
      }
      if (overlap(own->text, other)) {
        return config_error(c, own->line, e, "%s.listen[%zu]: %s overlaps %s of %s.listen",
                            role->role, i, own->text, other, before->role);
      }
    }
  }
  return 0;
}

static int check_listeners(const struct config *c, struct error *e) {
  const struct listeners roles[] = {{c->tracker.present, "tracker", &c->tracker.listen},
                                    {c->gateway.present, "gateway", &c->gateway.listen},
                                    {c->admin.present, "admin", &c->admin.listen}};
  for (size_t i = 1; i < sizeof roles / sizeof *roles; i++) {
    for (size_t k = 0; k < i && roles[i].present; k++) {
      if (roles[k].present && check_listen(c, &roles[i], &roles[k], e) != 0) {
        return -1;
      }
    }
  }
  return 0;
}

/* A tracker on a machine of its own, which holds no secret and knows what it is told. */
static int check_alone(const struct config *c, struct error *e) {
  const struct config_text *revocations = &c->tracker.revocations;
  if (revocations->text == NULL) {
    return 0;
  }
  if (c->gateway.present) {
    return config_error(c, revocations->line, e,
                        "tracker.revocations: is for a tracker without a gateway beside it; leave "
                        "it out, and the tracker reads them from data_dir");
  }
  if (c->auth.signing_keys.count > 0) {
    return config_error(c, c->auth.signing_keys.items[0].line, e,
                        "auth.signing_keys: a tracker with `revocations` has public keys only; "
                        "name their JWKS in a row of auth.trust (see `swarmgate key jwks`)");
  }
  for (size_t i = 0; i < c->auth.trust_count; i++) {
    if (has_text(&c->auth.trust[i].accept, "swarm")) {
      return 0;
    }
  }
  return config_error(c, revocations->line, e,
                      "tracker.revocations: needs a row in auth.trust that accepts swarm tokens; "
                      "its keys verify the list too");
}

/* What no key shows by itself. */
static int check(const struct config *c, struct error *e) {
  for (size_t i = 0; i < c->registry_count; i++) {
    if (check_registry(c, i, e) != 0) {
      return -1;
    }
  }
  for (size_t i = 0; i < c->auth.trust_count; i++) {
    if (check_trust(c, i, e) != 0) {
      return -1;
    }
  }
  if (c->gateway.present && c->registry_count == 0) {
    return config_error(c, c->gateway.line, e,
                        "gateway: needs a registry; add a row to `registries`");
  }
  if (c->gateway.present && c->auth.signing_keys.count == 0) {
    return config_error(c, c->gateway.line, e,
                        "gateway: needs a key to sign tokens; add one to auth.signing_keys");
  }
  return check_alone(c, e) != 0 ? -1 : check_listeners(c, e);
}

static int no_memory(const struct config *c, struct error *e) {
  return error_set(e, ERROR_FAILED, "cannot read %s: out of memory", c->file);
}

static void strip_slashes(struct config_text *url) {
  size_t len = strlen(url->text);
  while (url->text[len - 1] == '/') {
    url->text[--len] = '\0';
  }
}

/* A URL is made of the first address, where that is one. */
static int default_url(const struct config *c, const char *role, const struct config_texts *listen,
                       const struct config_tls *tls, const char *path, struct config_text *url,
                       struct error *e) {
  const struct config_text *first = &listen->items[0];
  if (url->text != NULL) {
    return 0;
  }
  if (slice_starts(slice_str(first->text), SLICE("unix:")) ||
      slice_starts(slice_str(first->text), SLICE("fd:"))) {
    return config_error(c, first->line, e,
                        "%s.url: is missing; it cannot be made of %s, which is no address", role,
                        first->text);
  }
  return asprintf(&url->text, "%s://%s%s", tls->line == 0 ? "http" : "https", first->text, path) < 0
             ? no_memory(c, e)
             : 0;
}

/* The defaults that are made of other values. */
static int complete(struct config *c, struct error *e) {
  struct config_tracker *t = &c->tracker;
  struct config_gateway *g = &c->gateway;
  if (t->session_key.text == NULL &&
      asprintf(&t->session_key.text, "%s/session.key", c->data_dir.text) < 0) {
    return no_memory(c, e);
  }
  if (default_url(c, "tracker", &t->listen, &t->tls, "/announce", &t->url, e) != 0 ||
      default_url(c, "gateway", &g->listen, &g->tls, "", &g->url, e) != 0) {
    return -1;
  }
  strip_slashes(&g->url);
  for (size_t i = 0; i < c->registry_count; i++) {
    strip_slashes(&c->registries[i].url);
  }
  return 0;
}

static int parse(struct config *c, struct slice bytes, struct error *e) {
  yaml_document_t document;
  if (document_load(c->file, bytes, &document, e) != 0) {
    return -1;
  }
  int rc = reader_read(c->file, &document, settings_top, settings_top_count, c, e);
  yaml_document_delete(&document);
  return rc != 0 || check(c, e) != 0 ? -1 : complete(c, e);
}

int config_parse(const char *name, const char *bytes, size_t len, struct config *out,
                 struct error *e) {
  struct config c = {.file = strdup(name)};
  if (c.file == NULL) {
    return error_set(e, ERROR_FAILED, "cannot read %s: out of memory", name);
  }
  int rc = len > CONFIG_SIZE_MAX
               ? config_error(&c, 0, e, "is larger than %d bytes", CONFIG_SIZE_MAX)
               : parse(&c, slice_of(bytes, len), e);
  if (rc != 0) {
    config_free(&c);
    return -1;
  }
  *out = c;
  return 0;
}

int config_load(const char *path, struct config *out, struct error *e) {
  struct buf bytes = {0};
  if (file_read(path, CONFIG_SIZE_MAX, &bytes, e) != 0) {
    if (e != NULL) {
      e->kind = ERROR_USAGE;
    }
    return -1;
  }
  int rc = config_parse(path, bytes.ptr, bytes.len, out, e);
  buf_free(&bytes);
  return rc;
}

void config_free(struct config *config) {
  reader_free(settings_top, settings_top_count, config);
  free(config->file);
  *config = (struct config){0};
}
