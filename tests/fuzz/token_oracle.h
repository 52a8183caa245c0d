/* An independent, plain reading of the contract's section Tokens, to hold the verifier against. */
#pragma once

#include "auth/token.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>

/* Whom the verifier under test trusts: `i` by bare keys, for all kinds; `j` by a JWKS with one
 * Ed25519 key of that name, for registry tokens. */
#define ORACLE_KID "k1"
enum { ORACLE_LEEWAY = 60 };

static inline bool oracle_is(const json_t *json, const char *text) {
  return json_is_string(json) && strcmp(json_string_value(json), text) == 0;
}

/* Canonical base64url, decoded by OpenSSL and encoded again; NULL when it is not. */
static inline char *oracle_decode(struct slice text, size_t *len) {
  size_t blocks = (text.len + 3) / 4;
  char *padded = malloc(4 * blocks + 1), *again = malloc(4 * blocks + 1);
  char *plain = malloc(3 * blocks + 1);
  memset(padded, '=', 4 * blocks);
  bool good = text.len > 0 && text.len % 4 != 1;
  for (size_t i = 0; i < text.len; i++) {
    char c = text.ptr[i];
    good &= c != '+' && c != '/' && c != '=' && c > ' ';
    padded[i] = (char)(c == '-' ? '+' : c == '_' ? '/' : c);
  }
  *len = 3 * blocks - (4 * blocks - text.len);
  good = good && EVP_DecodeBlock((unsigned char *)plain, (unsigned char *)padded,
                                 (int)(4 * blocks)) == (int)(3 * blocks);
  if (good) {
    EVP_EncodeBlock((unsigned char *)again, (unsigned char *)plain, (int)*len);
    good = memcmp(again, padded, 4 * blocks) == 0;
  }
  free(padded);
  free(again);
  if (!good) {
    free(plain);
  }
  return good ? plain : NULL;
}

static inline json_t *oracle_json(struct slice part) {
  size_t len = 0;
  char *text = oracle_decode(part, &len);
  bool nul = text != NULL && memchr(text, '\0', len) != NULL; /* jansson passes over some */
  json_t *json = text == NULL || nul ? NULL : json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
  int depth = 0, deepest = 0;
  bool quoted = false;
  for (size_t i = 0; json != NULL && i < len; i++) {
    quoted ^= text[i] == '"';
    i += quoted && text[i] == '\\';
    depth += quoted ? 0 : (text[i] == '{' || text[i] == '[') - (text[i] == '}' || text[i] == ']');
    deepest = depth > deepest ? depth : deepest;
  }
  free(text);
  if (json != NULL && (!json_is_object(json) || deepest > 32)) {
    json_decref(json);
    json = NULL;
  }
  return json;
}

/* The date of a claim, 0 without one, -1 when it is none. */
static inline int64_t oracle_date(const json_t *claims, const char *name) {
  const json_t *date = json_object_get(claims, name);
  if (date == NULL || json_is_integer(date)) {
    int64_t whole = json_integer_value(date);
    return whole <= INT64_C(1) << 53 ? whole : -1;
  }
  double value = json_is_real(date) ? json_real_value(date) : -1;
  return value < 0 || value > 0x1p53 ? -1 : (int64_t)value;
}

/* Absent, or a string. */
static inline bool oracle_text(const json_t *object, const char *name) {
  const json_t *text = json_object_get(object, name);
  return text == NULL || json_is_string(text);
}

static inline bool oracle_hex(const char *text, size_t len, const char *digits) {
  return text != NULL && strlen(text) == len && strspn(text, digits) == len;
}

static inline bool oracle_infohashes(const json_t *claim) {
  size_t count = json_is_array(claim) ? json_array_size(claim) : 1;
  bool good = count >= 1 && count <= 48;
  for (size_t i = 0; i < count && good; i++) {
    const char *hex = json_string_value(json_is_array(claim) ? json_array_get(claim, i) : claim);
    good = oracle_hex(hex, 40, "0123456789abcdefABCDEF") ||
           oracle_hex(hex, 64, "0123456789abcdefABCDEF");
  }
  return good;
}

static inline bool oracle_access(const json_t *claim) {
  bool good = claim == NULL || json_is_null(claim) || json_is_array(claim);
  good = good && json_array_size(claim) <= TOKEN_ACCESS_MAX;
  for (size_t i = 0; i < json_array_size(claim) && good; i++) {
    const json_t *entry = json_array_get(claim, i);
    const json_t *actions = json_object_get(entry, "actions");
    good = json_is_string(json_object_get(entry, "type"));
    if (good && oracle_is(json_object_get(entry, "type"), "repository")) {
      good = json_is_string(json_object_get(entry, "name")) &&
             (json_is_array(actions) || json_is_null(actions));
      for (size_t k = 0; k < json_array_size(actions); k++) {
        good = good && json_is_string(json_array_get(actions, k));
      }
    }
  }
  return good;
}

static inline bool oracle_repository(const json_t *json) {
  static const char component[] = "[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*";
  const char *name = json_string_value(json);
  char pattern[128];
  regex_t regex;
  snprintf(pattern, sizeof pattern, "^%s(/%s)*$", component, component);
  if (name == NULL || json_string_length(json) > 255 ||
      regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB) != 0) {
    return false;
  }
  bool good = regexec(&regex, name, 0, NULL, 0) == 0;
  regfree(&regex);
  return good;
}

static inline bool oracle_webseed(const json_t *claims) {
  const char *digest = json_string_value(json_object_get(claims, "digest"));
  return json_string_length(json_object_get(claims, "registry")) > 0 &&
         oracle_repository(json_object_get(claims, "repository")) && digest != NULL &&
         strncmp(digest, "sha256:", 7) == 0 && oracle_hex(digest + 7, 64, "0123456789abcdef");
}

static inline bool oracle_audience(const json_t *aud, const char *wanted) {
  bool found = oracle_is(aud, wanted), strings = json_is_string(aud) || json_is_array(aud);
  for (size_t i = 0; i < json_array_size(aud); i++) {
    found |= oracle_is(json_array_get(aud, i), wanted);
    strings &= json_is_string(json_array_get(aud, i));
  }
  return found && strings;
}

static inline unsigned oracle_kind(const json_t *header) {
  const json_t *typ = json_object_get(header, "typ");
  return oracle_is(typ, "swarm+jwt")            ? TOKEN_SWARM
         : oracle_is(typ, "webseed+jwt")        ? TOKEN_WEBSEED
         : typ == NULL || oracle_is(typ, "JWT") ? TOKEN_REGISTRY
                                                : 0;
}

/* Whether header and claims are in order, whoever signed them. */
static inline bool oracle_reads(const json_t *header, const json_t *claims, int64_t now,
                                const char *libtrust) {
  unsigned kind = oracle_kind(header);
  bool eddsa = oracle_is(json_object_get(header, "alg"), "EdDSA");
  const json_t *kid = json_object_get(header, "kid");
  if ((!eddsa && !oracle_is(json_object_get(header, "alg"), "ES256")) || kind == 0 ||
      !oracle_text(header, "kid") || json_object_get(header, "crit") != NULL ||
      json_object_get(header, "b64") != NULL || json_object_get(header, "zip") != NULL ||
      json_object_get(header, "enc") != NULL) {
    return false;
  }
  const json_t *iss = json_object_get(claims, "iss"), *aud = json_object_get(claims, "aud");
  bool by_i = oracle_is(iss, "i") && oracle_audience(aud, "a");
  bool by_j = oracle_is(iss, "j") && oracle_audience(aud, "b") && kind == TOKEN_REGISTRY && eddsa &&
              (oracle_is(kid, ORACLE_KID) || oracle_is(kid, libtrust));
  int64_t nbf = oracle_date(claims, "nbf"), iat = oracle_date(claims, "iat");
  if ((!by_i && !by_j) || !json_is_number(json_object_get(claims, "exp")) ||
      oracle_date(claims, "exp") < 0 || nbf < 0 || iat < 0 || nbf > now + ORACLE_LEEWAY ||
      iat > now + ORACLE_LEEWAY || !oracle_text(claims, "sub") || !oracle_text(claims, "jti")) {
    return false;
  }
  if (kind == TOKEN_REGISTRY) {
    return oracle_access(json_object_get(claims, "access"));
  }
  bool place = oracle_text(claims, "registry") && oracle_text(claims, "repository");
  return place && (kind == TOKEN_SWARM ? oracle_date(claims, "session") >= 0 &&
                                             oracle_infohashes(json_object_get(claims, "infohash"))
                                       : oracle_webseed(claims));
}

/* What the verifier has to say of a token that \p signed_well says is signed by the right key. */
static inline enum token_verdict oracle_verdict(struct slice text, bool signed_well, int64_t now,
                                                const char *libtrust) {
  struct slice rest = text, parts[3];
  for (size_t i = 0; i < 3; i++) {
    parts[i] = slice_cut(&rest, '.');
  }
  size_t len = 0;
  char *signature = rest.ptr == NULL ? oracle_decode(parts[2], &len) : NULL;
  json_t *header = oracle_json(parts[0]), *claims = oracle_json(parts[1]);
  enum token_verdict verdict = TOKEN_INVALID;
  if (signature != NULL && header != NULL && claims != NULL && signed_well &&
      text.len <= (oracle_kind(header) == TOKEN_REGISTRY ? 8192 : 4096) &&
      oracle_reads(header, claims, now, libtrust)) {
    verdict = oracle_date(claims, "exp") + ORACLE_LEEWAY > now ? TOKEN_VALID : TOKEN_EXPIRED;
  }
  free(signature);
  json_decref(header);
  json_decref(claims);
  return verdict;
}
