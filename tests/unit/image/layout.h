/** An OCI image layout in a test's folder: an image of LAYOUT_CONFIG and LAYOUT_LAYER, and the
 * indexes that lead there. */
#pragma once

#include "unit/image/fixture.h"

#define INDEX_TYPE    "application/vnd.oci.image.index.v1+json"
#define MANIFEST_TYPE "application/vnd.oci.image.manifest.v1+json"

static const struct slice LAYOUT_CONFIG = {"{}", 2};
static const struct slice LAYOUT_LAYER = {"the layer's bytes", 17};

static inline void layout_put_blob(struct fixture *f, struct slice bytes) {
  const char *digest = fixture_digest(f, bytes);
  fixture_write(f, arena_printf(&f->arena, "blobs/sha256/%s", digest + 7).ptr, bytes);
}

static inline void layout_put_index(struct fixture *f, const char *entries) {
  fixture_write(
      f, "index.json",
      fixture_json(f,
                   arena_printf(&f->arena, "{'schemaVersion':2,'manifests':[%s]}", entries).ptr));
}

/* An entry of an index; \p more is put into the descriptor. */
static inline const char *layout_entry(struct fixture *f, const char *type, struct slice bytes,
                                       const char *more) {
  return arena_printf(&f->arena, "{'mediaType':'%s','digest':'%s','size':%zu%s}", type,
                      fixture_digest(f, bytes), bytes.len, more)
      .ptr;
}

static inline struct slice layout_index_of(struct fixture *f, const char *entries) {
  return fixture_json(
      f, arena_printf(&f->arena,
                      "{'schemaVersion':2,'mediaType':'" INDEX_TYPE "','manifests':[%s]}", entries)
             .ptr);
}

/* A layout with config and layer, and no index.json yet; returns the manifest. */
static inline struct slice layout_put(struct fixture *f) {
  struct slice manifest = fixture_manifest(f, LAYOUT_CONFIG, LAYOUT_LAYER);
  fixture_folder(f, "blobs");
  fixture_folder(f, "blobs/sha256");
  fixture_write(f, "oci-layout", SLICE("{\"imageLayoutVersion\":\"1.0.0\"}"));
  layout_put_blob(f, LAYOUT_CONFIG);
  layout_put_blob(f, LAYOUT_LAYER);
  layout_put_blob(f, manifest);
  return manifest;
}
