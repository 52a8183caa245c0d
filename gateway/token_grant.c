#include "gateway/token_grant.h"

static unsigned actions_of(const struct token_grant_rules *rules, const struct scope *wanted) {
  unsigned actions = 0;
  for (size_t i = 0; i < rules->anonymous_count; i++) {
    actions |= scope_granted(wanted, rules->anonymous[i], SCOPE_PULL);
  }
  for (size_t i = 0; i < rules->grant_count; i++) {
    actions |= scope_granted(wanted, rules->grants[i].pattern, rules->grants[i].actions);
  }
  return actions;
}

static bool is_barred(const struct token_grant_rules *rules, struct slice repository, int64_t now) {
  int64_t until;
  return rules->revocations != NULL &&
         revocation_set_bars(rules->revocations, 0, revocation_name_in(rules->registry, repository),
                             now, &until) != 0;
}

static const char *text_of(unsigned actions) {
  return actions == SCOPE_PULL ? "pull" : actions == SCOPE_PUSH ? "push" : "pull,push";
}

static int out_of_memory(struct error *e) {
  return error_set(e, ERROR_FAILED, "cannot issue a token: out of memory");
}

static int join_scopes(struct arena *arena, struct token_grant *out, struct error *e) {
  size_t size = 0;
  for (size_t i = 0; i < out->count; i++) {
    size += out->scopes[i].len + 1;
  }
  char *text = arena_alloc(arena, size + 1);
  if (text == NULL) {
    return out_of_memory(e);
  }
  out->scope = slice_of(text, size == 0 ? 0 : size - 1);
  for (size_t i = 0; i < out->count; i++) {
    memcpy(text, out->scopes[i].ptr, out->scopes[i].len);
    text += out->scopes[i].len;
    *text++ = ' ';
  }
  return 0;
}

int token_grant_decide(const struct token_grant_rules *rules, const struct scope_list *wanted,
                       int64_t now, struct arena *arena, struct token_grant *out, struct error *e) {
  *out = (struct token_grant){
      .access = arena_alloc(arena, (wanted->count + 1) * sizeof *out->access),
      .scopes = arena_alloc(arena, (wanted->count + 1) * sizeof *out->scopes),
  };
  if (out->access == NULL || out->scopes == NULL) {
    return out_of_memory(e);
  }
  for (size_t i = 0; i < wanted->count; i++) {
    struct slice name = wanted->items[i].name;
    unsigned actions = actions_of(rules, &wanted->items[i]);
    if (actions == 0 || is_barred(rules, name, now)) {
      continue;
    }
    struct slice scope =
        arena_printf(arena, "repository:%.*s:%s", SLICE_ARG(name), text_of(actions));
    if (scope.ptr == NULL) {
      return out_of_memory(e);
    }
    out->scopes[out->count] = scope;
    out->access[out->count++] = (struct token_access){.repository = name, .actions = actions};
  }
  return join_scopes(arena, out, e);
}
