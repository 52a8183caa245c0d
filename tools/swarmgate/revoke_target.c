#include "revoke_target.h"

#include "base/hex.h"
#include "command.h"
#include "db/revocation_store.h"
#include "image/reference.h"
#include "tools/issuers.h"

#include <jansson.h>

/* A registry in `registries`, or where there are none in the trust of a tracker that stands alone.
 * NULL behind the last. */
static const char *row_at(const struct config *c, size_t i) {
  if (c->registry_count > 0) {
    return i < c->registry_count ? c->registries[i].name.text : NULL;
  }
  for (size_t k = 0; k < c->auth.trust_count; k++) {
    const char *name = c->auth.trust[k].registry.text;
    bool counted = name == NULL;
    for (size_t before = 0; before < k && !counted; before++) {
      const char *other = c->auth.trust[before].registry.text;
      counted = other != NULL && strcmp(other, name) == 0;
    }
    if (!counted && i-- == 0) {
      return name;
    }
  }
  return NULL;
}

/* A registry that the configuration names, with the one that the token service's users belong to:
 * it may be none of the others. NULL behind the last. */
static const char *registry_at(const struct config *c, size_t i) {
  const char *ours = c->token_service.present ? config_service_registry(c) : NULL;
  size_t count = 0;
  for (const char *name; (name = row_at(c, count)) != NULL; count++) {
    if (i == count) {
      return name;
    }
    ours = ours != NULL && strcmp(ours, name) == 0 ? NULL : ours;
  }
  return i == count ? ours : NULL;
}

static size_t count_registries(const struct config *c) {
  size_t count = 0;
  while (registry_at(c, count) != NULL) {
    count++;
  }
  return count;
}

static bool has_in_front(struct slice value, const char *registry) {
  size_t len = strlen(registry);
  return slice_starts(value, slice_of(registry, len)) && value.len > len && value.ptr[len] == '/';
}

/* Cuts the registry off the front of `value`, or takes the one that was said; NULL: neither. */
static int find_registry(const struct config *c, const char *said, struct slice *value,
                         const char **out, struct error *e) {
  const char *name;
  *out = NULL;
  for (size_t i = 0; *out == NULL && (name = registry_at(c, i)) != NULL; i++) {
    if (said == NULL ? has_in_front(*value, name) : strcmp(said, name) == 0) {
      *out = name;
    }
  }
  if (said != NULL && *out == NULL) {
    if (registry_at(c, 0) != NULL) {
      return error_set(e, ERROR_USAGE, "--registry %s: %s has no registry of that name", said,
                       c->file);
    }
    *out = said; /* a tracker that stands alone may know none */
  }
  if (*out != NULL && has_in_front(*value, *out)) {
    *value = slice_from(*value, strlen(*out) + 1);
  }
  return 0;
}

static int add(struct revoke_target *t, struct slice value, struct error *e) {
  t->values[t->count++] = value;
  return value.ptr == NULL ? error_set(e, ERROR_FAILED, "out of memory") : 0;
}

static int add_placed(struct revoke_target *t, const char *registry, struct slice rest,
                      struct error *e) {
  return add(t, arena_printf(&t->arena, "%s/%.*s", registry, SLICE_ARG(rest)), e);
}

static int find_subject(struct revoke_target *t, const char *said, struct slice name,
                        struct error *e) {
  const char *registry;
  if (find_registry(&t->config, said, &name, &registry, e) != 0) {
    return -1;
  }
  if (registry != NULL) {
    return add_placed(t, registry, name, e);
  }
  for (size_t i = 0; (registry = registry_at(&t->config, i)) != NULL; i++) {
    if (add_placed(t, registry, name, e) != 0) {
      return -1;
    }
  }
  return add(t, name, e);
}

static int find_repository(struct revoke_target *t, const char *said, struct slice name,
                           struct error *e) {
  const char *registry;
  if (find_registry(&t->config, said, &name, &registry, e) != 0) {
    return -1;
  }
  if (registry == NULL && count_registries(&t->config) == 1) {
    registry = registry_at(&t->config, 0);
  }
  if (registry == NULL) {
    return error_set(e, ERROR_USAGE,
                     "--registry NAME is missing: which registry of %s the repository belongs to",
                     t->config.file);
  }
  if (!image_name_valid(name)) {
    return error_set(e, ERROR_USAGE, "--repository %.*s: no valid repository name",
                     SLICE_ARG(name));
  }
  return add_placed(t, registry, name, e);
}

/* As infohashes are written in what is revoked: in lowercase. */
static int find_infohash(struct revoke_target *t, struct slice text, struct error *e) {
  unsigned char bytes[32];
  if (!hex_decode(text, bytes, 20) && !hex_decode(text, bytes, 32)) {
    return error_set(e, ERROR_USAGE, "--infohash %.*s: 40 or 64 hex digits are wanted",
                     SLICE_ARG(text));
  }
  char *hex = arena_alloc(&t->arena, text.len + 1);
  if (hex == NULL) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  hex_encode(bytes, text.len / 2, hex);
  return add(t, slice_of(hex, text.len), e);
}

/* Whether a token can hold it, and a list show it. */
static int check_text(struct slice value, const char *option, struct error *e) {
  json_t *json = json_stringn(value.ptr, value.len);
  bool good = json != NULL && value.len > 0 && value.len <= REVOCATION_STORE_VALUE_MAX;
  json_decref(json);
  for (size_t i = 0; good && i < value.len; i++) {
    good = slice_control(slice_from(value, i)) == 0;
  }
  return good ? 0
              : error_set(e, ERROR_USAGE,
                          "--%s: 1 to %d bytes of UTF-8 are wanted, without control characters",
                          option, REVOCATION_STORE_VALUE_MAX);
}

/* The kind whose option is given. */
static int find_kind(const struct revoke_selection *s, enum revocation_kind *out, struct error *e) {
  int given = 0;
  for (int kind = 1; kind <= REVOCATION_KINDS; kind++) {
    if (s->values[kind] != NULL) {
      *out = (enum revocation_kind)kind;
      given++;
    }
  }
  if (given != 1) {
    return error_set(e, ERROR_USAGE,
                     "exactly one of --jti, --sub, --repository, --infohash and --kid is wanted");
  }
  return s->registry == NULL || *out == REVOCATION_SUB || *out == REVOCATION_REPOSITORY
             ? 0
             : error_set(e, ERROR_USAGE, "--registry goes with --sub and --repository");
}

int revoke_target_find(const struct revoke_selection *selection, struct revoke_target *out,
                       struct error *e) {
  *out = (struct revoke_target){0};
  if (find_kind(selection, &out->kind, e) != 0) {
    return -1;
  }
  struct slice value = slice_str(selection->values[out->kind]);
  if (check_text(value, revocation_kind_name(out->kind), e) != 0 ||
      command_config_here(selection->config, &out->config, e) != 0) {
    return -1;
  }
  out->values =
      arena_alloc(&out->arena, (count_registries(&out->config) + 1) * sizeof *out->values);
  if (out->values == NULL) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  switch (out->kind) {
  case REVOCATION_SUB:
    return find_subject(out, selection->registry, value, e);
  case REVOCATION_REPOSITORY:
    return find_repository(out, selection->registry, value, e);
  case REVOCATION_INFOHASH:
    return find_infohash(out, value, e);
  case REVOCATION_JTI:
  case REVOCATION_KID:
    break;
  }
  return add(out, value, e);
}

void revoke_target_free(struct revoke_target *target) {
  arena_free(&target->arena);
  config_free(&target->config);
}
