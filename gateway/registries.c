#include "gateway/registries.h"

#include <stdlib.h>

int registries_open(struct registries *r, const struct gateway_registry *options, size_t count,
                    struct http_client *client, struct error *e) {
  *r = (struct registries){options, count, calloc(count, sizeof(struct registry *))};
  if (r->items == NULL) {
    return error_set(e, ERROR_FAILED, "cannot start the gateway: out of memory");
  }
  for (size_t i = 0; i < count; i++) {
    r->items[i] = registry_new(client, &options[i].upstream, e);
    if (r->items[i] == NULL) {
      return error_context(e, "registry %s", options[i].name);
    }
  }
  return 0;
}

void registries_close(struct registries *r) {
  for (size_t i = 0; r->items != NULL && i < r->count; i++) {
    registry_free(r->items[i]);
  }
  free(r->items);
  r->items = NULL;
}

size_t registries_index(const struct registries *r, struct slice name) {
  size_t i = 0;
  while (i < r->count && !slice_equal(slice_str(r->options[i].name), name)) {
    i++;
  }
  return i;
}
