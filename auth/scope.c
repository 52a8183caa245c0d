#include "auth/scope.h"

#include "base/repository.h"

static bool is_lower_alnum(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* `resourcetypevalue` of the grammar. */
static bool is_type(struct slice s) {
  for (size_t i = 0; i < s.len; i++) {
    if (!is_lower_alnum(s.ptr[i])) {
      return false;
    }
  }
  return s.len > 0 && s.len <= SCOPE_TYPE_MAX;
}

/* `type` or `type(class)`; the class, which is out of use, is taken off. */
static bool read_type(struct slice text, struct slice *type) {
  struct slice class = text;
  *type = slice_cut(&class, '(');
  if (class.ptr == NULL) {
    return is_type(*type);
  }
  return is_type(*type) && slice_ends(class, SLICE(")")) &&
         is_type(slice_of(class.ptr, class.len - 1));
}

static enum scope_action action_of(struct slice name) {
  return slice_equal(name, SLICE("pull"))   ? SCOPE_PULL
         : slice_equal(name, SLICE("push")) ? SCOPE_PUSH
                                            : SCOPE_OTHER;
}

bool scope_actions(struct slice text, unsigned *out) {
  unsigned actions = 0;
  for (size_t i = 0; i < text.len; i++) {
    char c = text.ptr[i];
    if ((c < 'a' || c > 'z') && c != '*' && c != ',') {
      return false;
    }
  }
  while (text.ptr != NULL) {
    struct slice name = slice_cut(&text, ',');
    actions |= name.len == 0 ? 0 : action_of(name);
  }
  *out = actions;
  return true;
}

static bool read_scope(struct slice text, struct scope *out) {
  struct slice rest = text;
  struct slice type = slice_cut(&rest, ':');
  const char *last = rest.len == 0 ? NULL : memrchr(rest.ptr, ':', rest.len);
  if (last == NULL) {
    return false;
  }
  out->name = slice_of(rest.ptr, (size_t)(last - rest.ptr));
  return read_type(type, &out->type) && repository_hosted_name_valid(out->name) &&
         scope_actions(slice_from(rest, out->name.len + 1), &out->actions);
}

static int add(struct scope_list *list, const struct scope *one, struct error *e) {
  for (size_t i = 0; i < list->count; i++) {
    struct scope *have = &list->items[i];
    if (slice_equal(have->type, one->type) && slice_equal(have->name, one->name)) {
      have->actions |= one->actions;
      return 0;
    }
  }
  if (list->count == SCOPES_MAX) {
    return error_set(e, ERROR_USAGE, "scope: more than %d resources are asked for", SCOPES_MAX);
  }
  list->items[list->count++] = *one;
  return 0;
}

int scope_list_add(struct scope_list *list, struct slice value, struct error *e) {
  if (value.len > SCOPE_VALUE_MAX) {
    return error_set(e, ERROR_USAGE, "scope: is longer than %d bytes", SCOPE_VALUE_MAX);
  }
  while (value.ptr != NULL) {
    struct slice text = slice_cut(&value, ' ');
    struct scope one;
    if (text.len == 0) {
      continue;
    }
    if (!read_scope(text, &one)) {
      return error_set(e, ERROR_USAGE, "scope: is no list such as repository:NAME:pull,push");
    }
    if (add(list, &one, e) != 0) {
      return -1;
    }
  }
  return 0;
}

unsigned scope_granted(const struct scope *wanted, struct slice pattern, unsigned actions) {
  return slice_equal(wanted->type, SLICE("repository")) &&
                 repository_pattern_matches(pattern, wanted->name)
             ? wanted->actions & actions & (SCOPE_PULL | SCOPE_PUSH)
             : 0;
}
