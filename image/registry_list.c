#include "image/registry_list.h"

#include "base/cleanup.h"
#include "image/json.h"

#include <stdlib.h>

/* --- pages --- */

void registry_list_free(struct registry_list *list) {
  for (size_t i = 0; i < list->count; i++) {
    free(list->names[i]);
  }
  free(list->names);
  *list = (struct registry_list){0};
}

static int out_of_memory(struct error *e) {
  return error_set(e, ERROR_FAILED, "out of memory");
}

static int make_room(struct registry_list *list, size_t more, struct error *e) {
  if (more > REGISTRY_LIST_MAX - list->count) {
    return error_set(e, ERROR_FAILED, "the list has more than %d names", REGISTRY_LIST_MAX);
  }
  if (list->count + more > list->capacity) {
    size_t capacity = 2 * (list->count + more);
    char **grown = reallocarray(list->names, capacity, sizeof *grown);
    if (grown == NULL) {
      return out_of_memory(e);
    }
    list->names = grown;
    list->capacity = capacity;
  }
  return 0;
}

static int add_names(struct registry_list *list, const json_t *names, struct error *e) {
  if (make_room(list, json_array_size(names), e) != 0) {
    return -1;
  }
  for (size_t i = 0; i < json_array_size(names); i++) {
    const char *name = json_string_value(json_array_get(names, i));
    if (name == NULL) {
      return error_set(e, ERROR_FAILED, "the list has a name that is no text");
    }
    list->names[list->count] = strdup(name);
    if (list->names[list->count] == NULL) {
      return out_of_memory(e);
    }
    list->count++;
  }
  return 0;
}

int registry_list_add(struct registry_list *list, struct slice page, const char *member,
                      struct error *e) {
  CLEANUP(image_json_release) json_t *json = image_json_read(page, e);
  const json_t *names = json_object_get(json, member);
  if (json == NULL) {
    return -1;
  }
  if (json_is_null(names)) {
    return 0;
  }
  return json_is_array(names)
             ? add_names(list, names, e)
             : error_set(e, ERROR_FAILED, "the registry answered without a list of `%s`", member);
}

/* --- links --- */

/* Takes a parameter's value off, a token or a quoted-string, without its quotes. */
static struct slice take_value(struct slice *rest) {
  if (!slice_starts(*rest, SLICE("\""))) {
    size_t n = 0;
    while (n < rest->len && rest->ptr[n] != ';' && rest->ptr[n] != ',') {
      n++;
    }
    struct slice value = slice_trim(slice_of(rest->ptr, n));
    *rest = slice_from(*rest, n);
    return value;
  }
  size_t end = 1;
  while (end < rest->len && rest->ptr[end] != '"') {
    end += rest->ptr[end] == '\\' ? 2 : 1;
  }
  end = end < rest->len ? end : rest->len;
  struct slice value = slice_of(rest->ptr + 1, end - 1);
  *rest = slice_from(*rest, end < rest->len ? end + 1 : end);
  return value;
}

/* `rel` is a list of relation types between spaces. */
static bool has_next(struct slice value) {
  while (value.ptr != NULL) {
    if (slice_equal_nocase(slice_cut(&value, ' '), SLICE("next"))) {
      return true;
    }
  }
  return false;
}

static struct slice trim_left(struct slice s) {
  while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t')) {
    s = slice_from(s, 1);
  }
  return s;
}

/* Reads the parameters of a link, up to the comma behind it. Of several `rel` the first counts. */
static bool take_parameters(struct slice *rest) {
  bool next = false, seen = false;
  for (*rest = trim_left(*rest); slice_starts(*rest, SLICE(";")); *rest = trim_left(*rest)) {
    size_t n = 1;
    while (n < rest->len && rest->ptr[n] != '=' && rest->ptr[n] != ';' && rest->ptr[n] != ',') {
      n++;
    }
    bool is_rel = slice_equal_nocase(slice_trim(slice_of(rest->ptr + 1, n - 1)), SLICE("rel"));
    *rest = slice_from(*rest, n);
    if (slice_starts(*rest, SLICE("="))) {
      *rest = trim_left(slice_from(*rest, 1));
      struct slice value = take_value(rest);
      next = is_rel && !seen ? has_next(value) : next;
    }
    seen = seen || is_rel;
  }
  return next;
}

struct slice registry_list_next(struct slice link) {
  while ((link = trim_left(link)).len > 0) {
    if (slice_starts(link, SLICE(","))) {
      link = slice_from(link, 1);
      continue;
    }
    const char *end = link.ptr[0] == '<' ? memchr(link.ptr, '>', link.len) : NULL;
    if (end == NULL) {
      break;
    }
    struct slice target = slice_of(link.ptr + 1, (size_t)(end - link.ptr) - 1);
    link = slice_from(link, target.len + 2);
    if (take_parameters(&link)) {
      return target;
    }
    if (link.len > 0 && link.ptr[0] != ',') {
      break;
    }
  }
  return (struct slice){NULL, 0};
}

bool registry_list_is_error(struct slice body) {
  CLEANUP(image_json_release) json_t *json = image_json_read(body, NULL);
  const json_t *first = json_array_get(json_object_get(json, "errors"), 0);
  return json_is_string(json_object_get(first, "code"));
}
