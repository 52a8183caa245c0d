#include "auth/token.h"

#include "auth/verify.h"
#include "base/cleanup.h"

#include <stdlib.h>

struct trust_source *trust_source_new(const char *url) {
  struct trust_source *source = calloc(1, sizeof *source);
  if (source != NULL && (source->url = strdup(url)) == NULL) {
    free(source);
    source = NULL;
  }
  return source;
}

static void free_source(struct trust_source *source) {
  if (source != NULL) {
    free(source->url);
    free(source);
  }
}

void trust_free(struct trust *trust) {
  for (size_t i = 0; i < trust->count; i++) {
    struct trust_row *row = &trust->rows[i];
    free(row->issuer);
    free(row->audience);
    free(row->registry);
    keyset_free(&row->keys);
    free_source(row->source);
  }
  free(trust->rows);
  *trust = (struct trust){0};
}

/* The search for a row and key that verify, for the reason when there is none. */
struct search {
  int64_t now, issued, leeway;
  const struct key *key;           /* the one that verifies */
  unsigned tries;                  /* signatures checked */
  bool named, accepted, algorithm; /* some row had the issuer and audience; and took the kind; … */
  bool over;                       /* a key fitted, but was retired before */
  bool starved;                    /* a key was passed over for want of memory */
};

enum { LIBTRUST_ID_LEN = 12 * 4 + 11 };

/* A registry token names its key as docker-registry wants it, whatever the JWKS of that very key
 * calls it: both names are made of the key itself, and only a token that has the form of it costs a
 * hash. */
static bool is_libtrust_id(const struct key *key, struct slice kid, struct search *search) {
  if (kid.len != LIBTRUST_ID_LEN) {
    return false;
  }
  CLEANUP_FREE char *id = key_libtrust_id(key);
  search->starved |= id == NULL;
  return slice_equal(kid, slice_str(id));
}

static bool kid_fits(const struct keyset *keys, const struct key *key,
                     const struct claims_header *header, struct search *search) {
  bool same = header->has_kid && slice_equal(header->kid, slice_str(key->kid));
  if (!keys->named) {
    return key->kid == NULL || !header->has_kid || same;
  }
  return same || (header->has_kid && header->kind == TOKEN_REGISTRY &&
                  is_libtrust_id(key, header->kid, search));
}

/* Whether the key's time had come when it should have signed this, or has come since. */
static bool is_over(const struct key *key, const struct search *search) {
  bool expired = key->expires != 0 && search->now >= key->expires;
  bool unsigned_by_it =
      key->retired != 0 && (search->issued == 0 || search->issued > key->retired + search->leeway);
  return expired || unsigned_by_it;
}

static bool row_verifies(const struct trust_row *row, const struct claims_header *header,
                         const struct jws *jws, struct search *search) {
  search->named = true;
  if ((row->accept & header->kind) == 0) {
    return false;
  }
  search->accepted = true;
  if ((row->algorithms & header->algorithm) == 0) {
    return false;
  }
  search->algorithm = true;
  bool missed = header->has_kid;
  for (size_t i = 0; i < row->keys.count && search->tries < TOKEN_TRIES_MAX; i++) {
    const struct key *key = &row->keys.keys[i];
    if (key->algorithm != header->algorithm || !kid_fits(&row->keys, key, header, search)) {
      continue;
    }
    missed = false;
    if (is_over(key, search)) {
      search->over = true;
      continue;
    }
    search->tries++;
    if (jws_verify(key, jws)) {
      search->key = key;
      return true;
    }
  }
  if (missed && row->source != NULL) {
    atomic_store_explicit(&row->source->missed, true, memory_order_relaxed);
  }
  return false;
}

static int explain(const struct search *search, const struct claims_header *header,
                   struct slice issuer, struct error *why) {
  const char *algorithm = key_algorithm_name(header->algorithm);
  const char *kind = claims_kind_name(header->kind);
  int shown = issuer.len > 128 ? 128 : (int)issuer.len;
  if (search->starved) {
    return error_set(why, ERROR_FAILED, "out of memory");
  }
  if (!search->named) {
    return error_set(why, ERROR_DENIED, "no trust row for issuer %.*s and the token's audience",
                     shown, issuer.ptr);
  }
  if (!search->accepted) {
    return error_set(why, ERROR_DENIED, "issuer %.*s is not trusted for %s tokens", shown,
                     issuer.ptr, kind);
  }
  if (!search->algorithm) {
    return error_set(why, ERROR_DENIED, "issuer %.*s is not trusted to sign by %s", shown,
                     issuer.ptr, algorithm);
  }
  if (search->over) {
    return error_set(why, ERROR_DENIED,
                     "the key of issuer %.*s that fits the token's kid was retired before", shown,
                     issuer.ptr);
  }
  if (search->tries == 0) {
    return error_set(why, ERROR_DENIED, "issuer %.*s has no %s key that fits the token's kid",
                     shown, issuer.ptr, algorithm);
  }
  return error_set(why, ERROR_DENIED, "the signature does not verify by a key of issuer %.*s",
                   shown, issuer.ptr);
}

int verify_signature(const struct trust *trust, const struct claims_header *header,
                     const json_t *claims, const struct jws *jws, int64_t now, struct token *token,
                     struct error *why) {
  struct search search = {.now = now, .issued = token->issued, .leeway = trust->leeway};
  for (size_t i = 0; i < trust->count; i++) {
    const struct trust_row *row = &trust->rows[i];
    struct slice audience = slice_str(row->audience);
    if (slice_equal(token->issuer, slice_str(row->issuer)) &&
        claims_audience_is(claims, audience) && row_verifies(row, header, jws, &search)) {
      token->audience = audience;
      token->key_expires = search.key->expires;
      token->key_id = slice_str(search.key->kid != NULL ? search.key->kid : search.key->thumbprint);
      if (header->kind == TOKEN_REGISTRY) {
        token->registry = slice_str(row->registry);
      }
      return 0;
    }
  }
  return explain(&search, header, token->issuer, why);
}

int verify_dates(const struct token *token, int64_t now, int64_t leeway, struct error *why) {
  if (token->not_before - leeway > now) {
    return error_set(why, ERROR_DENIED, "not valid yet (nbf)");
  }
  if (token->issued - leeway > now) {
    return error_set(why, ERROR_DENIED, "issued in the future (iat); are the clocks right?");
  }
  return 0;
}

/* All but expiry. */
static int verify(const struct trust *trust, struct slice text, unsigned kinds, int64_t now,
                  struct arena *arena, struct token *out, struct error *why) {
  if (text.len > ((kinds & TOKEN_REGISTRY) != 0 ? TOKEN_REGISTRY_MAX : TOKEN_MAX)) {
    return error_set(why, ERROR_DENIED, "too long: %zu bytes", text.len);
  }
  struct jws jws;
  struct claims_header header;
  if (jws_read(text, arena, &jws, why) != 0) {
    return -1;
  }
  CLEANUP_JSON json_t *header_json = strict_json_object(jws.header, why);
  if (header_json == NULL) {
    return error_context(why, "header");
  }
  if (claims_read_header(header_json, &header, why) != 0) {
    return -1;
  }
  if ((header.kind & kinds) == 0) {
    return error_set(why, ERROR_DENIED, "a %s token will not do here",
                     claims_kind_name(header.kind));
  }
  if (text.len > claims_size_max(header.kind)) {
    return error_set(why, ERROR_DENIED, "too long: %zu bytes", text.len);
  }
  CLEANUP_JSON json_t *claims = strict_json_object(jws.payload, why);
  if (claims == NULL) {
    return error_context(why, "claims");
  }
  if (claims_read(claims, header.kind, arena, out, why) != 0 ||
      verify_dates(out, now, trust->leeway, why) != 0) {
    return -1;
  }
  if (header.has_kid) {
    const char *copy = arena_copy(arena, header.kid);
    if (copy == NULL) {
      return error_set(why, ERROR_FAILED, "out of memory");
    }
    out->header_kid = slice_of(copy, header.kid.len);
  }
  return verify_signature(trust, &header, claims, &jws, now, out, why);
}

static bool outlives(const struct trust *trust, const struct token *t) {
  return trust->lifetime > 0 && t->issued > 0 && t->expires - t->issued > trust->lifetime;
}

enum token_verdict token_verify(const struct trust *trust, struct slice jws, unsigned kinds,
                                int64_t now, struct arena *arena, struct token *out,
                                struct error *why) {
  *out = (struct token){0};
  if (verify(trust, jws, kinds, now, arena, out, why) != 0) {
    *out = (struct token){0};
    return TOKEN_INVALID;
  }
  bool cut = outlives(trust, out);
  out->expires = cut ? out->issued + trust->lifetime : out->expires;
  if (out->expires + trust->leeway > now) {
    return TOKEN_VALID;
  }
  if (cut) {
    error_set(why, ERROR_DENIED,
              "expired %lld s ago: its exp is later, but none is honoured for longer than %lld s, "
              "as long as revocations are kept",
              (long long)(now - out->expires), (long long)trust->lifetime);
  } else {
    error_set(why, ERROR_DENIED, "expired %lld s ago", (long long)(now - out->expires));
  }
  return TOKEN_EXPIRED;
}

int token_inspect(struct slice jws, struct arena *arena, struct slice *header, struct slice *claims,
                  struct error *e) {
  if (jws.len > TOKEN_REGISTRY_MAX) {
    return error_set(e, ERROR_DENIED, "not a token: longer than %d bytes", TOKEN_REGISTRY_MAX);
  }
  struct jws parts;
  if (jws_read(jws, arena, &parts, e) != 0) {
    return error_context(e, "not a token");
  }
  const struct slice texts[2] = {parts.header, parts.payload};
  struct slice *const outs[2] = {header, claims};
  for (size_t i = 0; i < 2; i++) {
    CLEANUP_JSON json_t *json = strict_json_object(texts[i], e);
    if (json == NULL) {
      return error_context(e, "not a token: %s", i == 0 ? "header" : "claims");
    }
    CLEANUP_FREE char *text = strict_json_dump(json, JSON_INDENT(2));
    char *copy = text == NULL ? NULL : arena_copy(arena, slice_str(text));
    if (copy == NULL) {
      return error_set(e, ERROR_FAILED, "out of memory");
    }
    *outs[i] = slice_str(copy);
  }
  return 0;
}
