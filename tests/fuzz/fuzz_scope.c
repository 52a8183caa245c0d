// LINKS auth base
/* A pattern, a NUL, and values of `scope` with NULs between them. What is read lies inside what was
 * there and is read again as the same; a grant never gives what was not wanted, and what it matches
 * is told here in another way. */
#include "auth/scope.h"
#include "base/repository.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
  if (!holds) {
    abort();
  }
}

static bool inside(struct slice part, struct slice whole) {
  return part.len > 0 && part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len;
}

static void read_again(const struct scope *s) {
  char text[1024];
  struct scope_list list = {0};
  int n = snprintf(text, sizeof text, "%.*s:%.*s:%s%s%s", SLICE_ARG(s->type), SLICE_ARG(s->name),
                   (s->actions & SCOPE_PULL) != 0 ? "pull," : "",
                   (s->actions & SCOPE_PUSH) != 0 ? "push," : "",
                   (s->actions & SCOPE_OTHER) != 0 ? "*" : "");
  check(scope_list_add(&list, slice_of(text, (size_t)n), NULL) == 0 && list.count == 1);
  check(slice_equal(list.items[0].type, s->type) && slice_equal(list.items[0].name, s->name));
  check(list.items[0].actions == s->actions);
}

/* Component by component. */
static bool matches(struct slice pattern, struct slice name) {
  for (;;) {
    struct slice want = slice_cut(&pattern, '/'), have = slice_cut(&name, '/');
    if (slice_equal(want, SLICE("*"))) {
      return true;
    }
    if (!slice_equal(want, have) || (pattern.ptr == NULL) != (name.ptr == NULL)) {
      return false;
    }
    if (pattern.ptr == NULL) {
      return true;
    }
  }
}

static void grant(const struct scope *s, struct slice pattern) {
  unsigned all = SCOPE_PULL | SCOPE_PUSH;
  bool repository = slice_equal(s->type, SLICE("repository"));
  check(scope_granted(s, SLICE("*"), all) == (repository ? s->actions & all : 0));
  check(scope_granted(s, s->name, SCOPE_PULL) == (repository ? s->actions & SCOPE_PULL : 0));
  if (repository_pattern_check(pattern) == NULL) {
    unsigned given = scope_granted(s, pattern, all);
    check(given == (repository && matches(pattern, s->name) ? s->actions & all : 0));
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct slice rest = slice_of(data, size);
  struct slice whole = rest, pattern = slice_cut(&rest, '\0');
  struct scope_list list = {0};
  while (rest.ptr != NULL) {
    struct error e = {0};
    if (scope_list_add(&list, slice_cut(&rest, '\0'), &e) != 0) {
      check(e.kind == ERROR_USAGE && slice_utf8(slice_str(e.text)));
      return 0;
    }
  }
  for (size_t i = 0; i < list.count; i++) {
    const struct scope *s = &list.items[i];
    check(inside(s->type, whole) && inside(s->name, whole));
    check(repository_hosted_name_valid(s->name) && s->actions <= 7);
    read_again(s);
    grant(s, pattern);
  }
  return 0;
}
