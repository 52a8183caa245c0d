/** JSON of others, read within limits: manifests, indexes, image configurations. */
#pragma once

#include "base/error.h"
#include "base/slice.h"

#include <jansson.h>

enum {
  /** Values a document may hold; jansson takes some 300 bytes for the smallest object. */
  IMAGE_JSON_VALUES_MAX = 128 * 1024,
};

/**
 * Reads one object or array of at most IMAGE_MANIFEST_MAX bytes; doubled members are refused.
 *
 * \return a new reference, released by json_decref(); NULL with ERROR_FAILED.
 */
json_t *image_json_read(struct slice text, struct error *e);

static inline void image_json_release(json_t **json) {
  json_decref(*json);
}
