#include "image/registry_internal.h"

#include "http/url.h"

#include <stdlib.h>

static bool copy_text(struct registry *registry, const char *from, const char **to) {
  *to = from == NULL ? NULL : arena_copy(&registry->arena, slice_str(from));
  return from == NULL || *to != NULL;
}

static int registry_fill(struct registry *registry, const struct registry_options *o,
                         struct error *e) {
  registry->url = http_url_public(o->url, e);
  if (registry->url == NULL) {
    return error_context(e, "registry");
  }
  for (size_t len = strlen(registry->url); len > 0 && registry->url[len - 1] == '/'; len--) {
    registry->url[len - 1] = '\0';
  }
  registry->tls.insecure = o->tls.insecure;
  registry->tls.given_by = o->tls.given_by;
  if (!copy_text(registry, o->tls.ca_file, &registry->tls.ca_file) ||
      !copy_text(registry, o->tls.cert_file, &registry->tls.cert_file) ||
      !copy_text(registry, o->tls.key_file, &registry->tls.key_file)) {
    return error_set(e, ERROR_FAILED, "no memory for a registry");
  }
  return o->credentials == NULL ? 0
                                : image_credentials_copy(o->credentials, &registry->credentials, e);
}

struct registry *registry_new(struct http_client *client, const struct registry_options *o,
                              struct error *e) {
  struct registry *registry = calloc(1, sizeof *registry);
  if (registry == NULL) {
    error_set(e, ERROR_FAILED, "no memory for a registry");
    return NULL;
  }
  registry->client = client;
  registry->api = o->api == NULL ? "v2" : o->api;
  if (registry_fill(registry, o, e) != 0) {
    registry_free(registry);
    return NULL;
  }
  return registry;
}

void registry_free(struct registry *registry) {
  if (registry == NULL) {
    return;
  }
  struct registry_request *r;
  while ((r = registry->requests) != NULL) {
    registry_cancel(r);
  }
  registry_tokens_free(&registry->tokens);
  image_credentials_free(&registry->credentials);
  arena_free(&registry->arena);
  free(registry->url);
  free(registry);
}

const char *registry_url(const struct registry *registry) {
  return registry->url;
}

bool registry_answered(const struct registry *registry) {
  return registry->answered;
}
