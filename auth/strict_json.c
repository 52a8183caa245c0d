#include "auth/strict_json.h"

/* jansson recurses 2048 levels deep; what is nested that deep is refused before it is asked. */
static bool nested_too_deep(struct slice text) {
  size_t depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.len; i++) {
    char c = text.ptr[i];
    if (in_string) {
      i += c == '\\';
      in_string = c != '"';
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > STRICT_JSON_DEPTH_MAX) {
        return true;
      }
    } else if ((c == '}' || c == ']') && depth > 0) {
      depth--;
    }
  }
  return false;
}

json_t *strict_json_object(struct slice text, struct error *e) {
  if (nested_too_deep(text)) {
    error_set(e, ERROR_DENIED, "JSON nested deeper than %d", STRICT_JSON_DEPTH_MAX);
    return NULL;
  }
  json_error_t why;
  json_t *json = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, &why);
  if (json == NULL) {
    /* The library's own text quotes the input. */
    if (json_error_code(&why) == json_error_duplicate_key) {
      error_set(e, ERROR_DENIED, "doubled JSON member at byte %d", why.position);
    } else {
      error_set(e, ERROR_DENIED, "not JSON in UTF-8, at byte %d", why.position);
    }
    return NULL;
  }
  if (!json_is_object(json)) {
    error_set(e, ERROR_DENIED, "not a JSON object");
    json_decref(json);
    return NULL;
  }
  return json;
}

enum strict_json_found strict_json_text(const json_t *object, const char *name, struct slice *out) {
  const json_t *value = json_object_get(object, name);
  if (value == NULL) {
    return STRICT_JSON_ABSENT;
  }
  if (!json_is_string(value)) {
    return STRICT_JSON_WRONG;
  }
  *out = slice_of(json_string_value(value), json_string_length(value));
  return STRICT_JSON_FOUND;
}
