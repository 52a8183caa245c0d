#include "auth/strict_json.h"

#include <stdlib.h>

/*
 * Where memory fails it, jansson may go on without the bytes that it had no room for, and read or
 * write another text than the one that was signed or asked for. So its allocations are watched,
 * from before the first.
 */
static _Thread_local bool starved;

static void *watched_malloc(size_t size) {
  void *p = malloc(size);
  starved |= p == NULL;
  return p;
}

__attribute__((constructor)) static void watch(void) {
  json_set_alloc_funcs(watched_malloc, free);
}

bool strict_json_starved(void) {
  bool was = starved;
  starved = false;
  return was;
}

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
  /* jansson passes over a NUL behind a number; other readers end there. */
  const char *nul = text.len == 0 ? NULL : memchr(text.ptr, '\0', text.len);
  if (nul != NULL) {
    error_set(e, ERROR_DENIED, "not JSON in UTF-8, at byte %td", nul - text.ptr);
    return NULL;
  }
  if (nested_too_deep(text)) {
    error_set(e, ERROR_DENIED, "JSON nested deeper than %d", STRICT_JSON_DEPTH_MAX);
    return NULL;
  }
  json_error_t why;
  strict_json_starved();
  json_t *json = json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES, &why);
  if (strict_json_starved()) {
    json_decref(json);
    error_set(e, ERROR_FAILED, "out of memory");
    return NULL;
  }
  if (json == NULL) {
    /* The library's own text quotes the input. */
    if (json_error_code(&why) == json_error_duplicate_key) {
      error_set(e, ERROR_DENIED, "doubled JSON member at byte %d", why.position);
    } else {
      error_set(e, ERROR_DENIED, "not JSON in UTF-8, at byte %d", why.position);
    }
    return NULL;
  }
  if (json_typeof(json) != JSON_OBJECT) {
    error_set(e, ERROR_DENIED, "not a JSON object");
    json_decref(json);
    return NULL;
  }
  return json;
}

char *strict_json_dump(const json_t *json, size_t flags) {
  strict_json_starved();
  char *text = json_dumps(json, flags);
  if (strict_json_starved()) {
    free(text);
    return NULL;
  }
  return text;
}

enum strict_json_found strict_json_text(const json_t *object, const char *name, struct slice *out) {
  const json_t *value = json_object_get(object, name);
  if (value == NULL) {
    return STRICT_JSON_ABSENT;
  }
  if (json_typeof(value) != JSON_STRING) {
    return STRICT_JSON_WRONG;
  }
  *out = slice_of(json_string_value(value), json_string_length(value));
  return STRICT_JSON_FOUND;
}
