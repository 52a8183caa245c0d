// LINKS image base
/* A line with the Content-Type, then a manifest or index: what is taken keeps the bounds. */
#include "image/manifest.h"

#include "image/reference.h"

#include <stdlib.h>

static void check_descriptor(const struct image_descriptor *d, bool entry) {
  bool valid = image_digest_valid(slice_str(d->digest));
  if ((!valid && !entry) || valid != (image_descriptor_check(d, NULL) == 0) ||
      d->size > IMAGE_BLOB_MAX) {
    abort();
  }
}

static void check(const struct image_manifest *m, struct arena *arena) {
  const struct image_platform platform = {"linux", "arm64", NULL};
  struct error e = {0};
  size_t count = 0;
  for (size_t i = 0; i < m->layer_count; i++) {
    check_descriptor(&m->layers[i], m->is_index);
  }
  if (m->is_index) {
    const struct image_descriptor *entry = image_index_select(m, &platform, &e);
    if (entry == NULL && e.kind != ERROR_NOT_FOUND) {
      abort();
    }
    return;
  }
  check_descriptor(&m->config, false);
  if (image_manifest_blobs(m, arena, &count, &e) != NULL && count > m->layer_count + 1) {
    abort();
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct arena arena = {0};
  struct image_manifest m;
  struct error e = {0};
  struct slice json = slice_of(data, size);
  struct slice type = size == 0 ? json : slice_cut(&json, '\n');
  if (image_manifest_parse(json, type.len == 0 ? NULL : arena_copy(&arena, type), &arena, &m, &e) ==
      0) {
    check(&m, &arena);
  }
  arena_free(&arena);
  return 0;
}
