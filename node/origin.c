#include "node/origin.h"

#include <stdio.h>
#include <stdlib.h>

struct origin {
  const char *repository;
  struct registry *registry[2]; /* over https, and over plain http or NULL */
  int at;
};

static struct registry *open_registry(const struct origin_options *o, const char *scheme,
                                      struct error *e) {
  char url[sizeof "https://registry-1.docker.io" + 512];
  const char *host = strcmp(o->host, "docker.io") == 0 ? "registry-1.docker.io" : o->host;
  snprintf(url, sizeof url, "%s://%s", scheme, host);
  const struct registry_options options = {
      .url = url, .tls = o->tls, .credentials = o->credentials};
  return registry_new(o->client, &options, e);
}

int origin_new(const struct origin_options *o, struct origin **out, struct error *e) {
  struct origin *origin = calloc(1, sizeof *origin);
  if (origin == NULL) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  origin->repository = o->repository;
  origin->registry[0] = open_registry(o, "https", e);
  if (origin->registry[0] != NULL && o->may_be_plain) {
    origin->registry[1] = open_registry(o, "http", e);
  }
  if (origin->registry[0] == NULL || (o->may_be_plain && origin->registry[1] == NULL)) {
    origin_free(origin);
    return -1;
  }
  *out = origin;
  return 0;
}

void origin_free(struct origin *origin) {
  if (origin != NULL) {
    registry_free(origin->registry[0]);
    registry_free(origin->registry[1]);
    free(origin);
  }
}

struct registry_request *origin_start(struct origin *origin, const char *digest, uint64_t first,
                                      uint64_t last, const struct registry_events *events,
                                      void *arg, struct error *e) {
  const struct registry_get get = {.method = "GET",
                                   .repository = origin->repository,
                                   .blob = digest,
                                   .ranged = true,
                                   .first = first,
                                   .last = last};
  return registry_start(origin->registry[origin->at], &get, events, arg, e);
}

void origin_failed(struct origin *origin) {
  if (origin->registry[1] != NULL && !registry_answered(origin->registry[origin->at])) {
    origin->at = 1 - origin->at;
  }
}
