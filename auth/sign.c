#include "auth/claims.h"
#include "auth/jws.h"
#include "base/cleanup.h"
#include "base/hex.h"

#include <openssl/err.h>
#include <openssl/rand.h>

static int set_text(json_t *json, const char *name, struct slice text) {
  if (text.len == 0) {
    return 0;
  }
  /* `\u0000` would be written well, and refused by whoever reads it. */
  if (memchr(text.ptr, '\0', text.len) != NULL) {
    return -1;
  }
  return json_object_set_new(json, name, json_stringn(text.ptr, text.len));
}

static int set_date(json_t *json, const char *name, int64_t date) {
  return date == 0 ? 0 : json_object_set_new(json, name, json_integer(date));
}

static int set_infohashes(json_t *json, const struct token *t) {
  json_t *list = json_array();
  int status = 0;
  for (size_t i = 0; i < t->infohash_count; i++) {
    struct slice text = t->infohash_texts[i];
    status |= json_array_append_new(list, json_stringn(text.ptr, text.len));
  }
  status |=
      json_object_set(json, "infohash", t->infohash_count == 1 ? json_array_get(list, 0) : list);
  json_decref(list);
  return status;
}

/* A list that lives in \p entry. */
static int set_actions(json_t *entry, unsigned actions) {
  json_t *list = json_array();
  int status = json_object_set_new(entry, "actions", list);
  if (status == 0 && (actions & SCOPE_PULL) != 0) {
    status = json_array_append_new(list, json_string("pull"));
  }
  if (status == 0 && (actions & SCOPE_PUSH) != 0) {
    status = json_array_append_new(list, json_string("push"));
  }
  return status;
}

static int set_access(json_t *json, const struct token *t) {
  json_t *list = json_array();
  int status = json_object_set_new(json, "access", list);
  for (size_t i = 0; i < t->access_count && status == 0; i++) {
    json_t *entry = json_pack("{s:s}", "type", "repository");
    status = set_text(entry, "name", t->access[i].repository);
    status |= set_actions(entry, t->access[i].actions);
    status |= json_array_append_new(list, entry);
  }
  return status;
}

static json_t *claims_of(const struct token *t) {
  json_t *json = json_object();
  int failed = set_text(json, "iss", t->issuer) | set_text(json, "aud", t->audience) |
               set_text(json, "sub", t->subject) | set_date(json, "exp", t->expires) |
               set_date(json, "nbf", t->not_before) | set_date(json, "iat", t->issued) |
               set_text(json, "jti", t->id);
  if (t->kind == TOKEN_REGISTRY) {
    failed |= set_access(json, t);
  } else {
    failed |= set_text(json, "registry", t->registry);
    failed |= set_text(json, "repository", t->repository);
  }
  if (t->kind == TOKEN_SWARM) {
    failed |= set_infohashes(json, t) | set_date(json, "session", t->session);
  }
  if (t->kind == TOKEN_WEBSEED) {
    failed |= set_text(json, "digest", t->digest);
  }
  if (failed != 0) {
    json_decref(json);
    return NULL;
  }
  return json;
}

/* malloc'ed; NULL when there is no memory. */
static char *kid_of(const struct key *key, enum token_kind kind) {
  if (kind == TOKEN_REGISTRY) {
    return key_libtrust_id(key);
  }
  return key->kid == NULL ? key_thumbprint(key) : strdup(key->kid);
}

static json_t *header_of(const struct key *key, enum token_kind kind) {
  CLEANUP_FREE char *kid = kid_of(key, kind);
  return kid == NULL ? NULL
                     : json_pack("{s:s, s:s, s:s}", "alg", key_algorithm_name(key->algorithm),
                                 "typ", claims_typ(kind), "kid", kid);
}

/* What would be written is read by the reader's own rules. */
static int check(const json_t *claims, const struct token *t, struct error *e) {
  struct arena arena = {0};
  struct token read = {0};
  int status = claims_read(claims, t->kind, &arena, &read, e);
  arena_free(&arena);
  if (status != 0 && e != NULL && e->kind == ERROR_DENIED) {
    e->kind = ERROR_USAGE;
  }
  return status;
}

static int out_of_memory(const struct token *t, struct error *e) {
  return error_set(e, ERROR_FAILED, "cannot sign a %s token: out of memory",
                   claims_kind_name(t->kind));
}

int token_sign(const struct key *key, const struct token *t, struct buf *out, struct error *e) {
  strict_json_starved();
  CLEANUP_JSON json_t *claims = claims_of(t);
  if (strict_json_starved()) {
    return out_of_memory(t, e);
  }
  if (claims == NULL) {
    return error_set(e, ERROR_USAGE, "cannot sign a %s token: a text is not UTF-8 or holds a NUL",
                     claims_kind_name(t->kind));
  }
  if (check(claims, t, e) != 0) {
    return error_context(e, "cannot sign a %s token", claims_kind_name(t->kind));
  }
  CLEANUP_JSON json_t *header = header_of(key, t->kind);
  CLEANUP_FREE char *header_text = strict_json_dump(header, JSON_COMPACT);
  CLEANUP_FREE char *claims_text = strict_json_dump(claims, JSON_COMPACT);
  if (header_text == NULL || claims_text == NULL) {
    return out_of_memory(t, e);
  }
  struct buf jws = {0};
  int status = jws_write(key, slice_str(header_text), slice_str(claims_text), &jws, e);
  if (status == 0 && jws.len > claims_size_max(t->kind)) {
    status = error_set(e, ERROR_USAGE,
                       "the %s token would have %zu bytes, %zu at most: let it name less",
                       claims_kind_name(t->kind), jws.len, claims_size_max(t->kind));
  }
  if (status == 0) {
    buf_slice(out, buf_view(&jws));
    status = out->failed ? error_set(e, ERROR_FAILED, "out of memory") : 0;
  }
  buf_free(&jws);
  return status;
}

int token_new_id(char out[33], struct error *e) {
  unsigned char bytes[16];
  if (RAND_bytes(bytes, sizeof bytes) != 1) {
    ERR_clear_error();
    return error_set(e, ERROR_FAILED, "no random numbers from the system");
  }
  hex_encode(bytes, sizeof bytes, out);
  return 0;
}
