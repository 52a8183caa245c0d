#include "auth/claims.h"

#include "base/hex.h"
#include "base/repository.h"

/* Up to here a double holds every integer, and so does what made the token. */
static const int64_t date_max = INT64_C(1) << 53;

enum {
  V1_DIGITS = 40,
  V2_DIGITS = 64,
  REPOSITORY_MAX = 255, /* bytes of a repository's name that a registry can hold */
};

static const struct {
  const char *typ, *name;
  size_t size_max;
} kinds[] = {[TOKEN_SWARM] = {"swarm+jwt", "swarm", TOKEN_MAX},
             [TOKEN_REGISTRY] = {"JWT", "registry", TOKEN_REGISTRY_MAX},
             [TOKEN_WEBSEED] = {"webseed+jwt", "webseed", TOKEN_MAX}};

const char *claims_typ(enum token_kind kind) {
  return kinds[kind].typ;
}

const char *claims_kind_name(enum token_kind kind) {
  return kinds[kind].name;
}

size_t claims_size_max(enum token_kind kind) {
  return kinds[kind].size_max;
}

bool claims_is_digest(struct slice text) {
  unsigned char bytes[32];
  if (!slice_starts(text, SLICE("sha256:"))) {
    return false;
  }
  struct slice digits = slice_from(text, 7);
  for (size_t i = 0; i < digits.len; i++) {
    if (digits.ptr[i] >= 'A' && digits.ptr[i] <= 'F') {
      return false;
    }
  }
  return hex_decode(digits, bytes, sizeof bytes);
}

/* Header */

int claims_read_any_header(const json_t *json, struct claims_header *out, struct slice *typ,
                           struct error *e) {
  /* `crit` names extensions, none of which is known here; the others change what the payload is. */
  static const char *const refused[] = {"crit", "b64", "zip", "enc"};
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
    if (json_object_get(json, refused[i]) != NULL) {
      return error_set(e, ERROR_DENIED, "header member %s is refused", refused[i]);
    }
  }
  struct slice alg;
  if (strict_json_text(json, "alg", &alg) != STRICT_JSON_FOUND) {
    return error_set(e, ERROR_DENIED, "header without alg");
  }
  out->algorithm = key_algorithm_of(alg);
  if (out->algorithm == 0) {
    return error_set(e, ERROR_DENIED, "alg is none of ES256, RS256, EdDSA");
  }
  *typ = SLICE("JWT");
  if (strict_json_text(json, "typ", typ) == STRICT_JSON_WRONG) {
    return error_set(e, ERROR_DENIED, "typ is not a string");
  }
  out->kind = (enum token_kind)0;
  enum strict_json_found found = strict_json_text(json, "kid", &out->kid);
  out->has_kid = found == STRICT_JSON_FOUND;
  return found == STRICT_JSON_WRONG ? error_set(e, ERROR_DENIED, "kid is not a string") : 0;
}

int claims_read_header(const json_t *json, struct claims_header *out, struct error *e) {
  struct slice typ = {0};
  if (claims_read_any_header(json, out, &typ, e) != 0) {
    return -1;
  }
  static const enum token_kind known[] = {TOKEN_SWARM, TOKEN_REGISTRY, TOKEN_WEBSEED};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    if (slice_equal(typ, slice_str(claims_typ(known[i])))) {
      out->kind = known[i];
    }
  }
  if (out->kind == 0) {
    return error_set(e, ERROR_DENIED, "typ is none of swarm+jwt, webseed+jwt, JWT");
  }
  return 0;
}

/* Claims */

static int wrong(struct error *e, const char *claim, const char *want) {
  return error_set(e, ERROR_DENIED, "claim %s is not %s", claim, want);
}

/* A NumericDate may have a fraction (RFC 7519, 2), which is cut off. Absent: 0. */
static int read_date(const json_t *json, const char *claim, int64_t *out, struct error *e) {
  const json_t *value = json_object_get(json, claim);
  if (value == NULL) {
    return 0;
  }
  int64_t date = -1;
  if (json_typeof(value) == JSON_INTEGER) {
    date = json_integer_value(value);
  } else if (json_typeof(value) == JSON_REAL && json_real_value(value) >= 0 &&
             json_real_value(value) <= (double)date_max) {
    date = (int64_t)json_real_value(value);
  }
  if (date < 0 || date > date_max) {
    return wrong(e, claim, "a NumericDate from 0 to 2^53");
  }
  *out = date;
  return 0;
}

/* Copies a string into the arena. Absent: empty. */
static int read_text(const json_t *json, const char *claim, struct arena *arena, struct slice *out,
                     struct error *e) {
  struct slice text;
  enum strict_json_found found = strict_json_text(json, claim, &text);
  if (found != STRICT_JSON_FOUND) {
    return found == STRICT_JSON_ABSENT ? 0 : wrong(e, claim, "a string");
  }
  *out = slice_of(arena_copy(arena, text), text.len);
  return out->ptr == NULL ? error_set(e, ERROR_FAILED, "out of memory") : 0;
}

static int check_audience(const json_t *json, struct error *e) {
  const json_t *aud = json_object_get(json, "aud");
  bool ok = json_typeof(aud) == JSON_STRING || json_typeof(aud) == JSON_ARRAY;
  for (size_t i = 0; ok && i < json_array_size(aud); i++) {
    ok = json_typeof(json_array_get(aud, i)) == JSON_STRING;
  }
  return ok ? 0 : wrong(e, "aud", "a string or a list of strings");
}

bool claims_audience_is(const json_t *json, struct slice audience) {
  const json_t *aud = json_object_get(json, "aud");
  bool list = json_typeof(aud) == JSON_ARRAY;
  size_t count = list ? json_array_size(aud) : 1;
  for (size_t i = 0; i < count; i++) {
    const json_t *one = list ? json_array_get(aud, i) : aud;
    if (slice_equal(slice_of(json_string_value(one), json_string_length(one)), audience)) {
      return true;
    }
  }
  return false;
}

static int read_infohashes(const json_t *json, struct arena *arena, struct token *out,
                           struct error *e) {
  const json_t *claim = json_object_get(json, "infohash");
  bool single = json_is_string(claim);
  size_t count = single ? 1 : json_array_size(claim);
  if (count == 0 || count > TOKEN_INFOHASHES_MAX) {
    return error_set(e, ERROR_DENIED, "claim infohash is not a string or a list of 1 to %d",
                     TOKEN_INFOHASHES_MAX);
  }
  struct token_infohash *infohashes = arena_alloc(arena, count * sizeof *infohashes);
  struct slice *texts = arena_alloc(arena, count * sizeof *texts);
  if (infohashes == NULL || texts == NULL) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  for (size_t i = 0; i < count; i++) {
    const json_t *one = single ? claim : json_array_get(claim, i);
    struct slice text = slice_of(json_string_value(one), json_string_length(one));
    unsigned char bytes[V2_DIGITS / 2];
    if ((text.len != V1_DIGITS && text.len != V2_DIGITS) ||
        !hex_decode(text, bytes, text.len / 2)) {
      return wrong(e, "infohash", "40 or 64 hex digits");
    }
    memcpy(infohashes[i].bytes, bytes, sizeof infohashes[i].bytes);
    texts[i] = slice_of(arena_copy(arena, text), text.len);
    if (texts[i].ptr == NULL) {
      return error_set(e, ERROR_FAILED, "out of memory");
    }
  }
  out->infohashes = infohashes;
  out->infohash_texts = texts;
  out->infohash_count = count;
  return 0;
}

/* Whether `actions` lets its holder pull; `*` stands for all. -1 when it is not a list of strings.
 */
static int may_pull(const json_t *actions) {
  int pull = 0;
  if (!json_is_array(actions)) {
    return json_is_null(actions) ? 0 : -1;
  }
  for (size_t i = 0; i < json_array_size(actions); i++) {
    const char *action = json_string_value(json_array_get(actions, i));
    if (action == NULL) {
      return -1;
    }
    if (strcmp(action, "pull") == 0 || strcmp(action, "*") == 0) {
      pull = 1;
    }
  }
  return pull;
}

/* Types other than `repository` are none of ours. A login's token has no access, or null. */
static int read_access(const json_t *json, struct arena *arena, struct token *out,
                       struct error *e) {
  const json_t *claim = json_object_get(json, "access");
  if (claim == NULL || json_typeof(claim) == JSON_NULL) {
    return 0;
  }
  size_t count = json_array_size(claim);
  if (json_typeof(claim) != JSON_ARRAY || count > TOKEN_ACCESS_MAX) {
    return error_set(e, ERROR_DENIED, "claim access is not a list of at most %d", TOKEN_ACCESS_MAX);
  }
  struct token_access *access = arena_alloc(arena, count * sizeof *access);
  if (access == NULL) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  for (size_t i = 0; i < count; i++) {
    const json_t *entry = json_array_get(claim, i);
    struct slice type;
    struct slice name;
    if (strict_json_text(entry, "type", &type) != STRICT_JSON_FOUND) {
      return wrong(e, "access", "a list of objects with a type");
    }
    if (!slice_equal(type, SLICE("repository"))) {
      continue;
    }
    int pull = may_pull(json_object_get(entry, "actions"));
    if (strict_json_text(entry, "name", &name) != STRICT_JSON_FOUND || pull < 0) {
      return wrong(e, "access", "a list of repositories with name and actions");
    }
    if (pull == 1 && name.len > 0 && name.len <= REPOSITORY_MAX) {
      char *copy = arena_copy(arena, name);
      if (copy == NULL) {
        return error_set(e, ERROR_FAILED, "out of memory");
      }
      access[out->access_count++] =
          (struct token_access){.repository = slice_of(copy, name.len), .actions = SCOPE_PULL};
    }
  }
  out->access = access;
  return 0;
}

static int read_place(const json_t *json, struct arena *arena, struct token *out, struct error *e) {
  if (read_text(json, "registry", arena, &out->registry, e) != 0 ||
      read_text(json, "repository", arena, &out->repository, e) != 0) {
    return -1;
  }
  if (out->kind == TOKEN_SWARM) {
    return 0;
  }
  if (read_text(json, "digest", arena, &out->digest, e) != 0) {
    return -1;
  }
  if (out->registry.len == 0 || out->repository.len == 0) {
    return error_set(e, ERROR_DENIED, "claims registry and repository are required");
  }
  /* It becomes part of a path at the registry. */
  if (!repository_name_valid(out->repository)) {
    return wrong(e, "repository", "a repository's name");
  }
  return claims_is_digest(out->digest) ? 0
                                       : wrong(e, "digest", "sha256: and 64 lowercase hex digits");
}

int claims_read_registered(const json_t *json, struct arena *arena, struct token *out,
                           struct error *e) {
  if (json_object_get(json, "iss") == NULL || json_object_get(json, "aud") == NULL ||
      json_object_get(json, "exp") == NULL) {
    return error_set(e, ERROR_DENIED, "claims iss, aud and exp are required");
  }
  if (read_text(json, "iss", arena, &out->issuer, e) != 0 || check_audience(json, e) != 0 ||
      read_text(json, "sub", arena, &out->subject, e) != 0 ||
      read_text(json, "jti", arena, &out->id, e) != 0 ||
      read_date(json, "exp", &out->expires, e) != 0 ||
      read_date(json, "nbf", &out->not_before, e) != 0 ||
      read_date(json, "iat", &out->issued, e) != 0) {
    return -1;
  }
  return 0;
}

int claims_read(const json_t *json, enum token_kind kind, struct arena *arena, struct token *out,
                struct error *e) {
  out->kind = kind;
  if (claims_read_registered(json, arena, out, e) != 0) {
    return -1;
  }
  if (kind == TOKEN_REGISTRY) {
    return read_access(json, arena, out, e);
  }
  if (kind == TOKEN_SWARM && (read_date(json, "session", &out->session, e) != 0 ||
                              read_infohashes(json, arena, out, e) != 0)) {
    return -1;
  }
  return read_place(json, arena, out, e);
}
