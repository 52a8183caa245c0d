#include "image/json.h"

#include "image/manifest.h"

/* Every value but the first of a document, array or object follows `[`, `{` or `,`. */
static bool too_many_values(struct slice text) {
  size_t values = 0;
  bool quoted = false;
  for (size_t i = 0; i < text.len; i++) {
    char c = text.ptr[i];
    if (c == '"') {
      quoted = !quoted;
    } else if (quoted) {
      i += c == '\\';
    } else {
      values += c == '[' || c == '{' || c == ',';
    }
  }
  return values > IMAGE_JSON_VALUES_MAX;
}

json_t *image_json_read(struct slice text, struct error *e) {
  return image_json_read_long(text, IMAGE_MANIFEST_MAX, e);
}

json_t *image_json_read_long(struct slice text, size_t limit, struct error *e) {
  json_error_t why;
  if (text.len > limit) {
    error_set(e, ERROR_FAILED, "it is larger than %zu bytes", limit);
    return NULL;
  }
  if (too_many_values(text)) {
    error_set(e, ERROR_FAILED, "it holds more than %d values", IMAGE_JSON_VALUES_MAX);
    return NULL;
  }
  /* jansson passes over a NUL behind a number; other readers of a manifest do not. */
  if (text.len > 0 && memchr(text.ptr, '\0', text.len) != NULL) {
    error_set(e, ERROR_FAILED, "it holds a NUL");
    return NULL;
  }
  json_t *json = json_loadb(text.len == 0 ? "" : text.ptr, text.len, JSON_REJECT_DUPLICATES, &why);
  if (json == NULL) {
    error_set(e, ERROR_FAILED, "line %d: %s", why.line, why.text);
  }
  return json;
}

static int append(const char *piece, size_t len, void *out) {
  buf_append(out, piece, len);
  return ((const struct buf *)out)->failed ? -1 : 0;
}

int image_json_write(const json_t *json, size_t flags, struct buf *out, struct error *e) {
  return json != NULL && json_dump_callback(json, append, out, flags) == 0 && !out->failed
             ? 0
             : error_set(e, ERROR_FAILED, "cannot write JSON: out of memory");
}
