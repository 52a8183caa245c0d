#include "gateway/caller.h"

#include "base/base64.h"
#include "base/hex.h"

#include <jansson.h>
#include <openssl/evp.h>

static bool is_token68(struct slice s) {
  while (slice_ends(s, SLICE("="))) {
    s.len--;
  }
  for (size_t i = 0; i < s.len; i++) {
    char c = s.ptr[i];
    if ((c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') &&
        (c == '\0' || strchr("-._~+/", c) == NULL)) {
      return false;
    }
  }
  return s.len > 0;
}

/* A name that goes into a token and into logs: UTF-8 on one line, of bounded length. */
static bool is_name(struct slice s) {
  if (s.len > CALLER_NAME_MAX) {
    return false;
  }
  for (struct slice rest = s; rest.len > 0; rest = slice_from(rest, 1)) {
    if (slice_control(rest) > 0) {
      return false;
    }
  }
  json_t *text = json_stringn(s.len == 0 ? "" : s.ptr, s.len);
  json_decref(text);
  return text != NULL;
}

/* The user name of Basic credentials; a NULL pointer when they are malformed. */
static struct slice basic_user(struct slice encoded, struct arena *arena) {
  char *decoded = arena_alloc(arena, encoded.len / 4 * 3 + 2);
  size_t len = 0;
  if (decoded == NULL || !base64_decode(BASE64_STANDARD, encoded, decoded, &len)) {
    return slice_of(NULL, 0);
  }
  struct slice password = slice_of(decoded, len);
  struct slice user = slice_cut(&password, ':');
  return password.ptr != NULL && is_name(user) ? user : slice_of(NULL, 0);
}

/* A member that is a string; a NULL pointer when there is none. */
static struct slice copy_member(const json_t *object, const char *member, struct arena *arena) {
  const json_t *value = json_object_get(object, member);
  struct slice text = slice_of(json_string_value(value), json_string_length(value));
  const char *copy = text.ptr == NULL ? NULL : arena_copy(arena, text);
  return slice_of(copy, copy == NULL ? 0 : text.len);
}

/* Whole seconds; what is no time that could be is none (RFC 7519, section 2). */
static int64_t date_of(const json_t *value) {
  double date = json_number_value(value);
  return date >= 1 && date < (double)(INT64_C(1) << 53) ? (int64_t)date : 0;
}

/* A part of a JWT as JSON; NULL when it is none. Less strict than with tokens that are verified
 * here: what a registry takes, its user must not make unreadable by what he asks for, in length or
 * with a NUL in a repository's name, and lose the name by which he is revoked. */
static json_t *read_part(struct slice part, struct arena *arena) {
  char *bytes = arena_alloc(arena, part.len / 4 * 3 + 2);
  size_t len = 0;
  return bytes != NULL && base64_decode(BASE64_URL, part, bytes, &len)
             ? json_loadb(bytes, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL)
             : NULL;
}

/* Reads a JWT. \return its `sub`; a NULL pointer when there is none to be read. The signature is
 * left out: registries read other spellings of one, which its bearer can make, and who does must
 * not lose the name. */
static struct slice read_bearer(struct slice token, struct arena *arena, struct caller *out) {
  struct slice rest = token;
  struct slice header_part = slice_cut(&rest, '.');
  struct slice claims_part = rest.ptr == NULL ? rest : slice_cut(&rest, '.');
  json_t *header = rest.ptr == NULL ? NULL : read_part(header_part, arena);
  json_t *claims = json_is_object(header) ? read_part(claims_part, arena) : NULL;
  struct slice name = {0};
  if (json_is_object(claims)) {
    out->key_id = copy_member(header, "kid", arena);
    name = copy_member(claims, "sub", arena);
    out->token_id = copy_member(claims, "jti", arena);
    out->issued = date_of(json_object_get(claims, "iat"));
  }
  json_decref(header);
  json_decref(claims);
  return name.ptr != NULL && is_name(name) ? name : slice_of(NULL, 0);
}

static struct slice bearer_fingerprint(struct slice token, struct arena *arena) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  char text[17];
  if (EVP_Digest(token.ptr, token.len, digest, NULL, EVP_sha256(), NULL) != 1) {
    return slice_of(NULL, 0);
  }
  hex_encode(digest, 8, text);
  return arena_printf(arena, "token:%s", text);
}

int caller_read(struct slice authorization, struct slice registry, struct arena *arena,
                struct caller *out, struct error *e) {
  struct slice credentials = authorization;
  struct slice scheme = slice_cut(&credentials, ' ');
  struct slice name = SLICE("");
  *out = (struct caller){.authorization = SLICE("")};
  credentials = slice_trim(credentials);
  if (is_token68(credentials) && slice_equal_nocase(scheme, SLICE("Basic"))) {
    struct slice user = basic_user(credentials, arena);
    if (user.ptr != NULL) {
      name = user;
      out->authorization = authorization;
    }
  } else if (is_token68(credentials) && slice_equal_nocase(scheme, SLICE("Bearer"))) {
    out->bearer = true;
    name = read_bearer(credentials, arena, out);
    if (name.ptr == NULL) {
      name = bearer_fingerprint(credentials, arena);
    }
    out->authorization = authorization;
  }
  out->subject = arena_printf(arena, "%.*s/%.*s", SLICE_ARG(registry), SLICE_ARG(name));
  if (name.ptr == NULL || out->subject.ptr == NULL) {
    return error_set(e, ERROR_FAILED, "cannot read a caller's credentials: out of memory");
  }
  return 0;
}
