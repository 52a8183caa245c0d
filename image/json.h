/** JSON of others, read within limits: manifests, indexes, image configurations. */
#pragma once

#include "base/buf.h"
#include "base/error.h"

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

/** The same of at most \p limit bytes, for what has long strings in it. */
json_t *image_json_read_long(struct slice text, size_t limit, struct error *e);

/**
 * Appends \p json to \p out, by jansson's \p flags. Whole or not at all: json_dumps() leaves out a
 * member's name when there is no memory for it, and says nothing.
 *
 * \return 0, or -1 with ERROR_FAILED, also for NULL.
 */
int image_json_write(const json_t *json, size_t flags, struct buf *out, struct error *e);

static inline void image_json_release(json_t **json) {
  json_decref(*json);
}
