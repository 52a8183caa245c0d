#include "auth/revocation_feed.h"

#include "auth/verify.h"
#include "base/cleanup.h"
#include "base/hex.h"

enum {
  HASH_DIGITS = 64,
  /* Commas: three an entry, and some for the claims. More would only take memory. */
  COMMAS_MAX = 3 * REVOCATION_FEED_ENTRIES_MAX + 256,
};
static const char typ[] = "revocations+jwt";

/* --- writing --- */

static void add_entry(struct buf *out, const struct revocation *r, bool first) {
  char hex[HASH_DIGITS + 1];
  hex_encode(r->hash, sizeof r->hash, hex);
  buf_printf(out, "%s{\"sha256\":\"%s\",\"at\":%lld", first ? "" : ",", hex, (long long)r->at);
  if (r->until != 0) {
    buf_printf(out, ",\"until\":%lld", (long long)r->until);
  }
  buf_str(out, "}");
}

/* By hand, for jansson would take hundreds of bytes for each. \return how many. */
static size_t add_entries(struct buf *out, const struct revocation_list *list, int64_t now) {
  size_t count = 0;
  buf_str(out, ",\"revocations\":{");
  for (int kind = 1; kind <= REVOCATION_KINDS; kind++) {
    bool first = true;
    buf_printf(out, "%s\"%s\":[", kind == 1 ? "" : ",",
               revocation_kind_name((enum revocation_kind)kind));
    for (size_t i = 0; i < list->count; i++) {
      const struct revocation *r = &list->items[i];
      if ((int)r->kind == kind && r->expires > now) {
        add_entry(out, r, first);
        first = false;
        count++;
      }
    }
    buf_str(out, "]");
  }
  buf_str(out, "}}");
  return count;
}

static int no_memory(struct error *e) {
  return error_set(e, ERROR_FAILED, "cannot sign the list of revocations: out of memory");
}

static int write_claims(const char *issuer, const char *audience,
                        const struct revocation_list *list, int64_t now, struct buf *out,
                        struct error *e) {
  const json_int_t iat = now, exp = iat + REVOCATION_FEED_LIFE;
  strict_json_starved();
  CLEANUP_JSON json_t *json =
      json_pack("{s:s, s:s, s:I, s:I}", "iss", issuer, "aud", audience, "iat", iat, "exp", exp);
  bool starved = strict_json_starved();
  CLEANUP_FREE char *text = strict_json_dump(json, JSON_COMPACT);
  if (json == NULL && !starved) {
    return error_set(e, ERROR_USAGE,
                     "cannot sign the list of revocations: issuer or audience is "
                     "not UTF-8");
  }
  if (starved || text == NULL) {
    return no_memory(e);
  }
  buf_append(out, text, strlen(text) - 1); /* but for the closing brace */
  size_t count = add_entries(out, list, now);
  if (count > REVOCATION_FEED_ENTRIES_MAX) {
    return error_set(e, ERROR_FAILED, "cannot sign a list of %zu revocations: %d at most", count,
                     REVOCATION_FEED_ENTRIES_MAX);
  }
  return out->failed ? no_memory(e) : 0;
}

static int write_header(const struct key *key, struct buf *out, struct error *e) {
  CLEANUP_FREE char *kid = key->kid == NULL ? key_thumbprint(key) : strdup(key->kid);
  strict_json_starved();
  CLEANUP_JSON json_t *json =
      kid == NULL ? NULL
                  : json_pack("{s:s, s:s, s:s}", "alg", key_algorithm_name(key->algorithm), "typ",
                              typ, "kid", kid);
  CLEANUP_FREE char *text = strict_json_starved() ? NULL : strict_json_dump(json, JSON_COMPACT);
  buf_str(out, text == NULL ? "" : text);
  return text == NULL || out->failed ? no_memory(e) : 0;
}

int revocation_feed_write(const struct key *key, const char *issuer, const char *audience,
                          const struct revocation_list *list, int64_t now, struct buf *out,
                          struct error *e) {
  struct buf header = {0}, claims = {0}, jws = {0};
  int status = write_header(key, &header, e);
  if (status == 0) {
    status = write_claims(issuer, audience, list, now, &claims, e);
  }
  if (status == 0) {
    status = jws_write(key, buf_view(&header), buf_view(&claims), &jws, e);
  }
  if (status == 0 && jws.len > REVOCATION_FEED_MAX) {
    status =
        error_set(e, ERROR_FAILED, "cannot sign a list of %zu bytes of revocations: %d at most",
                  jws.len, REVOCATION_FEED_MAX);
  }
  if (status == 0) {
    buf_slice(out, buf_view(&jws));
    status = out->failed ? no_memory(e) : 0;
  }
  buf_free(&header);
  buf_free(&claims);
  buf_free(&jws);
  return status;
}

/* --- reading --- */

static int wrong(struct error *e, const char *what) {
  return error_set(e, ERROR_DENIED, "%s", what);
}

/* Absent: 0, which `at` may not be. */
static bool read_date(const json_t *entry, const char *name, int64_t *out, size_t *members) {
  const json_t *value = json_object_get(entry, name);
  *out = json_integer_value(value);
  *members += value != NULL;
  return value == NULL || (json_typeof(value) == JSON_INTEGER && *out >= 0);
}

static bool is_lowercase(struct slice text) {
  for (size_t i = 0; i < text.len; i++) {
    if (text.ptr[i] >= 'A' && text.ptr[i] <= 'F') {
      return false;
    }
  }
  return true;
}

static int read_entry(const json_t *entry, enum revocation_kind kind, struct revocation_list *out,
                      struct error *e) {
  struct revocation r = {.kind = kind, .expires = INT64_MAX};
  struct slice hex;
  size_t members = 1;
  if (strict_json_text(entry, "sha256", &hex) != STRICT_JSON_FOUND || !is_lowercase(hex) ||
      !hex_decode(hex, r.hash, sizeof r.hash)) {
    return wrong(e, "a revocation without sha256, of 64 lowercase hex digits");
  }
  if (!read_date(entry, "at", &r.at, &members) || r.at == 0 ||
      !read_date(entry, "until", &r.until, &members)) {
    return wrong(e, "a revocation whose at or until is not a NumericDate");
  }
  if (json_object_size(entry) != members) {
    return wrong(e, "a revocation with a member that is not known");
  }
  if (out->count == REVOCATION_FEED_ENTRIES_MAX) {
    return error_set(e, ERROR_DENIED, "more than %d revocations", REVOCATION_FEED_ENTRIES_MAX);
  }
  return revocation_list_add_hash(out, &r, e);
}

static int read_entries(const json_t *claims, struct revocation_list *out, struct error *e) {
  const json_t *lists = json_object_get(claims, "revocations");
  size_t members = 0;
  if (!json_is_object(lists)) {
    return wrong(e, "claim revocations is not an object");
  }
  for (int k = 1; k <= REVOCATION_KINDS; k++) {
    enum revocation_kind kind = (enum revocation_kind)k;
    const json_t *list = json_object_get(lists, revocation_kind_name(kind));
    members += list != NULL;
    if (list != NULL && json_typeof(list) != JSON_ARRAY) {
      return error_set(e, ERROR_DENIED, "claim revocations: %s is not a list",
                       revocation_kind_name(kind));
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
      if (read_entry(json_array_get(list, i), kind, out, e) != 0) {
        return -1;
      }
    }
  }
  /* What is not understood may be what matters. */
  return json_object_size(lists) == members
             ? 0
             : wrong(e, "claim revocations has a member that is not known");
}

static int check_dates(const struct token *claims, int64_t last, int64_t now, int64_t leeway,
                       struct error *e) {
  /* Without `iat` it would be 0, and have ended long ago. */
  if (claims->expires < claims->issued || claims->expires > claims->issued + REVOCATION_FEED_LIFE) {
    return error_set(e, ERROR_DENIED, "exp is not within %d s of iat", REVOCATION_FEED_LIFE);
  }
  if (verify_dates(claims, now, leeway, e) != 0) {
    return -1;
  }
  if (claims->expires + leeway <= now) {
    return error_set(e, ERROR_DENIED, "expired %lld s ago", (long long)(now - claims->expires));
  }
  if (claims->issued < last) {
    return error_set(e, ERROR_DENIED, "older by %lld s than the list that was taken last",
                     (long long)(last - claims->issued));
  }
  return 0;
}

static bool too_many_values(struct slice json) {
  size_t commas = 0;
  for (size_t i = 0; i < json.len; i++) {
    commas += json.ptr[i] == ',';
  }
  return commas > COMMAS_MAX;
}

static int read_header(struct slice text, struct claims_header *out, json_t **json,
                       struct error *e) {
  struct slice said;
  *json = strict_json_object(text, e);
  if (*json == NULL) {
    return error_context(e, "header");
  }
  if (claims_read_any_header(*json, out, &said, e) != 0) {
    return -1;
  }
  if (!slice_equal(said, slice_str(typ))) {
    return error_set(e, ERROR_DENIED, "typ is not %s", typ);
  }
  /* Whoever may let peers in may say who may not. */
  out->kind = TOKEN_SWARM;
  return 0;
}

static int read_feed(const struct trust *trust, struct slice text, int64_t last, int64_t now,
                     struct arena *arena, struct revocation_list *out, int64_t *issued,
                     struct error *e) {
  struct jws jws;
  struct claims_header header;
  struct token registered = {0};
  CLEANUP_JSON json_t *header_json = NULL;
  if (text.len > REVOCATION_FEED_MAX) {
    return error_set(e, ERROR_DENIED, "longer than %d bytes", REVOCATION_FEED_MAX);
  }
  if (jws_read(text, arena, &jws, e) != 0 ||
      read_header(jws.header, &header, &header_json, e) != 0) {
    return -1;
  }
  if (too_many_values(jws.payload)) {
    return wrong(e, "more values than a list of revocations has");
  }
  CLEANUP_JSON json_t *claims = strict_json_object(jws.payload, e);
  if (claims == NULL) {
    return error_context(e, "claims");
  }
  if (claims_read_registered(claims, arena, &registered, e) != 0 ||
      check_dates(&registered, last, now, trust->leeway, e) != 0 ||
      verify_signature(trust, &header, claims, &jws, now, &registered, e) != 0) {
    return -1;
  }
  if (read_entries(claims, out, e) != 0) {
    return -1;
  }
  *issued = registered.issued;
  return 0;
}

int revocation_feed_read(const struct trust *trust, struct slice jws, int64_t last, int64_t now,
                         struct revocation_list *out, int64_t *issued, struct error *e) {
  struct arena arena = {0};
  *out = (struct revocation_list){0};
  int status = read_feed(trust, jws, last, now, &arena, out, issued, e);
  arena_free(&arena);
  if (status != 0) {
    revocation_list_free(out);
    return error_context(e, "the list of revocations is refused");
  }
  return 0;
}
