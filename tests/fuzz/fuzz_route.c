// LINKS node image http base
/* A path, and behind a `?` a query. What is served is of a valid name, and spelt plainly it is the
 * same again. */
#include "node/route.h"

#include "image/reference.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct route_host hosts[] = {{"registry.example", "http://gate.example"},
                                          {"localhost:5000", "http://other.example"}};

static void check(bool holds) {
  if (!holds) {
    abort();
  }
}

static void check_again(const struct route *r, size_t count, struct arena *arena) {
  bool is_manifest = r->kind == ROUTE_MANIFEST;
  struct slice path = arena_printf(arena, "/v2/%s/%s/%s", r->repository,
                                   is_manifest ? "manifests" : "blobs", r->reference);
  struct slice query = arena_printf(arena, "ns=%s", r->host->name);
  struct route again = route_read(path, query, hosts, count, arena);
  check(again.kind == r->kind && again.host == r->host);
  check(strcmp(again.repository, r->repository) == 0);
  check(strcmp(again.reference, r->reference) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct slice query = slice_of(data, size);
  struct slice path = slice_cut(&query, '?');
  for (size_t count = 1; count <= sizeof hosts / sizeof *hosts; count++) {
    struct arena arena = {0};
    struct route r = route_read(path, query, hosts, count, &arena);
    if (r.kind == ROUTE_MANIFEST || r.kind == ROUTE_BLOB) {
      check(image_name_valid(slice_str(r.repository)));
      check(image_digest_valid(slice_str(r.reference)) ||
            (r.kind == ROUTE_MANIFEST && image_tag_valid(slice_str(r.reference))));
      if (r.host != NULL) {
        check_again(&r, count, &arena);
      }
    } else {
      check(r.host == NULL && r.repository == NULL && r.reference == NULL);
    }
    arena_free(&arena);
  }
  return 0;
}
