#include "auth/jwk.h"

#include "auth/strict_json.h"
#include "base/base64.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/sha.h>
#include <stdlib.h>

enum {
  COORDINATE = 32,                            /* bytes of a P-256 coordinate, of an Ed25519 key */
  NUMBER_MAX = KEY_RSA_BITS_MAX / 8 + 1,      /* of RSA n, with a leading zero that some write */
  NUMBER_TEXT_MAX = BASE64_SPACE(NUMBER_MAX), /* with the NUL */
  NUMBER_SPACE = NUMBER_TEXT_MAX / 4 * 3 + 2, /* what base64_decode() wants for that */
};

/* When a key stopped signing; of our own. */
#define JWK_RETIRED "swarmgate_retired"

/* Reading */

/* A base64url member that is not empty and fits. */
static bool read_bytes(const json_t *jwk, const char *name, unsigned char out[NUMBER_SPACE],
                       size_t *len) {
  struct slice text;
  return strict_json_text(jwk, name, &text) == STRICT_JSON_FOUND && text.len > 0 &&
         text.len < NUMBER_TEXT_MAX && base64_decode(BASE64_URL, text, out, len) && *len > 0;
}

static EVP_PKEY *from_params(const char *type, OSSL_PARAM_BLD *build) {
  EVP_PKEY *pkey = NULL;
  OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
  EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
  if (params == NULL || ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
      EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1) {
    pkey = NULL;
  }
  EVP_PKEY_CTX_free(ctx);
  OSSL_PARAM_free(params);
  return pkey;
}

static EVP_PKEY *read_rsa(const json_t *jwk, OSSL_PARAM_BLD *build) {
  unsigned char bytes[NUMBER_SPACE];
  size_t len = 0;
  BIGNUM *n = read_bytes(jwk, "n", bytes, &len) ? BN_bin2bn(bytes, (int)len, NULL) : NULL;
  BIGNUM *e = read_bytes(jwk, "e", bytes, &len) ? BN_bin2bn(bytes, (int)len, NULL) : NULL;
  EVP_PKEY *pkey = NULL;
  if (n != NULL && e != NULL && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
      OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e) == 1) {
    pkey = from_params("RSA", build);
  }
  BN_free(n);
  BN_free(e);
  return pkey;
}

static EVP_PKEY *read_ec(const json_t *jwk, OSSL_PARAM_BLD *build) {
  unsigned char bytes[NUMBER_SPACE];
  unsigned char point[1 + 2 * COORDINATE] = {POINT_CONVERSION_UNCOMPRESSED};
  static const char *const names[] = {"x", "y"};
  for (size_t i = 0; i < 2; i++) {
    size_t len = 0;
    if (!read_bytes(jwk, names[i], bytes, &len) || len != COORDINATE) {
      return NULL;
    }
    memcpy(point + 1 + i * COORDINATE, bytes, COORDINATE);
  }
  if (OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, SN_X9_62_prime256v1, 0) !=
          1 ||
      OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point) != 1) {
    return NULL;
  }
  return from_params("EC", build);
}

static EVP_PKEY *read_okp(const json_t *jwk) {
  unsigned char bytes[NUMBER_SPACE];
  size_t len = 0;
  if (!read_bytes(jwk, "x", bytes, &len) || len != COORDINATE) {
    return NULL;
  }
  return EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL, bytes, len);
}

/* Whether string member `name` is absent or has this value. */
static bool may_be(const json_t *jwk, const char *name, const char *value) {
  struct slice text;
  enum strict_json_found found = strict_json_text(jwk, name, &text);
  return found == STRICT_JSON_ABSENT ||
         (found == STRICT_JSON_FOUND && slice_equal(text, slice_str(value)));
}

static bool may_verify(const json_t *jwk) {
  const json_t *operations = json_object_get(jwk, "key_ops");
  bool listed = operations == NULL;
  for (size_t i = 0; i < json_array_size(operations); i++) {
    const char *operation = json_string_value(json_array_get(operations, i));
    listed = listed || (operation != NULL && strcmp(operation, "verify") == 0);
  }
  return listed && may_be(jwk, "use", "sig");
}

static bool holds_secret(const json_t *jwk) {
  static const char *const names[] = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if (json_object_get(jwk, names[i]) != NULL) {
      return true;
    }
  }
  struct slice type;
  return strict_json_text(jwk, "kty", &type) == STRICT_JSON_FOUND &&
         slice_equal(type, SLICE("oct"));
}

/* A NumericDate (RFC 7519, 2) that some time is; absent: 0. */
static bool read_time(const json_t *jwk, const char *name, int64_t *out) {
  static const double max = (double)(INT64_C(1) << 53);
  const json_t *value = json_object_get(jwk, name);
  double time = json_is_number(value) ? json_number_value(value) : 0;
  *out = time >= 1 && time <= max ? (int64_t)time : 0;
  return value == NULL || *out != 0;
}

/* \return false with the reason in `why` when it is to be passed over. */
static bool read_jwk(const json_t *jwk, struct key *out, struct error *why) {
  struct slice type;
  struct slice curve = {0};
  struct slice kid;
  int64_t expires = 0;
  int64_t retired = 0;
  if (strict_json_text(jwk, "kty", &type) != STRICT_JSON_FOUND) {
    type = SLICE("");
  }
  if (strict_json_text(jwk, "crv", &curve) == STRICT_JSON_WRONG) {
    curve = SLICE("");
  }
  if (strict_json_text(jwk, "kid", &kid) != STRICT_JSON_FOUND) {
    error_set(why, ERROR_USAGE, "without kid");
    return false;
  }
  if (!may_verify(jwk)) {
    error_set(why, ERROR_USAGE, "not for verifying (use, key_ops)");
    return false;
  }
  if (!read_time(jwk, "exp", &expires) || !read_time(jwk, JWK_RETIRED, &retired)) {
    error_set(why, ERROR_USAGE, "its exp or " JWK_RETIRED " is no time");
    return false;
  }
  OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
  EVP_PKEY *pkey = NULL;
  ERR_set_mark();
  if (build == NULL) {
    error_set(why, ERROR_FAILED, "out of memory");
  } else if (slice_equal(type, SLICE("RSA"))) {
    pkey = read_rsa(jwk, build);
  } else if (slice_equal(type, SLICE("EC")) && slice_equal(curve, SLICE("P-256"))) {
    pkey = read_ec(jwk, build);
  } else if (slice_equal(type, SLICE("OKP")) && slice_equal(curve, SLICE("Ed25519"))) {
    pkey = read_okp(jwk);
  }
  ERR_pop_to_mark();
  OSSL_PARAM_BLD_free(build);
  if (pkey == NULL) {
    error_set(why, ERROR_USAGE, "not an RSA, EC P-256 or OKP Ed25519 key, or not well formed");
    return false;
  }
  if (key_adopt(pkey, out, why) != 0) {
    return false;
  }
  if (!may_be(jwk, "alg", key_algorithm_name(out->algorithm))) {
    error_set(why, ERROR_USAGE, "its alg does not fit it");
    key_free(out);
    return false;
  }
  out->expires = expires;
  out->retired = retired;
  out->kid = strndup(kid.ptr, kid.len);
  if (out->kid == NULL) {
    key_free(out);
    error_set(why, ERROR_FAILED, "out of memory");
  }
  return out->kid != NULL;
}

int jwks_parse(struct slice text, const char *name, struct keyset *out, struct error *e) {
  *out = (struct keyset){.named = true};
  CLEANUP_JSON json_t *root = strict_json_object(text, e);
  if (root == NULL) {
    if (e != NULL && e->kind == ERROR_DENIED) {
      e->kind = ERROR_USAGE;
    }
    return error_context(e, "%s", name);
  }
  const json_t *keys = json_object_get(root, "keys");
  size_t count = json_array_size(keys);
  if (!json_is_array(keys) || count == 0) {
    return error_set(e, ERROR_USAGE, "%s: not a JWKS: no list of \"keys\"", name);
  }
  if (count > KEYSET_MAX) {
    return error_set(e, ERROR_USAGE, "%s: holds %zu keys; %d at most", name, count, KEYSET_MAX);
  }
  out->keys = calloc(count, sizeof *out->keys);
  if (out->keys == NULL) {
    return error_set(e, ERROR_FAILED, "%s: out of memory", name);
  }
  struct error why = {0};
  for (size_t i = 0; i < count; i++) {
    const json_t *jwk = json_array_get(keys, i);
    if (holds_secret(jwk)) {
      keyset_free(out);
      return error_set(e, ERROR_USAGE,
                       "%s: key %zu is private or symmetric; only public keys belong into a JWKS: "
                       "swarmgate key jwks FILE...",
                       name, i + 1);
    }
    if (read_jwk(jwk, &out->keys[out->count], &why)) {
      out->count++;
    } else if (why.kind == ERROR_FAILED) {
      keyset_free(out);
      return error_set(e, ERROR_FAILED, "%s: %s", name, why.text);
    } else {
      error_context(&why, "key %zu", i + 1);
    }
  }
  if (out->count == 0) {
    keyset_free(out);
    return error_set(e, ERROR_USAGE, "%s: no key of use: %s", name, why.text);
  }
  return 0;
}

/* Writing */

static void set_bytes(json_t *jwk, const char *name, const unsigned char *bytes, size_t len) {
  char text[NUMBER_TEXT_MAX];
  size_t text_len = base64_encode(BASE64_URL, bytes, len, text);
  json_object_set_new(jwk, name, json_stringn(text, text_len));
}

/* `width` 0: as many bytes as the number has (Base64urlUInt, RFC 7518, 2). */
static void set_number(json_t *jwk, const char *name, const EVP_PKEY *pkey, const char *param,
                       int width) {
  unsigned char bytes[NUMBER_MAX];
  BIGNUM *number = NULL;
  if (EVP_PKEY_get_bn_param(pkey, param, &number) == 1) {
    int len = width == 0 ? BN_num_bytes(number) : width;
    if (BN_bn2binpad(number, bytes, len) == len) {
      set_bytes(jwk, name, bytes, (size_t)len);
    }
  }
  BN_free(number);
}

/* The required public members alone, as the thumbprint takes them (RFC 7638, 3.2). */
static json_t *public_members(const struct key *key) {
  json_t *jwk = json_object();
  switch (key->algorithm) {
  case KEY_RS256:
    json_object_set_new(jwk, "kty", json_string("RSA"));
    set_number(jwk, "n", key->pkey, OSSL_PKEY_PARAM_RSA_N, 0);
    set_number(jwk, "e", key->pkey, OSSL_PKEY_PARAM_RSA_E, 0);
    break;
  case KEY_ES256:
    json_object_set_new(jwk, "kty", json_string("EC"));
    json_object_set_new(jwk, "crv", json_string("P-256"));
    set_number(jwk, "x", key->pkey, OSSL_PKEY_PARAM_EC_PUB_X, COORDINATE);
    set_number(jwk, "y", key->pkey, OSSL_PKEY_PARAM_EC_PUB_Y, COORDINATE);
    break;
  case KEY_EDDSA: {
    unsigned char bytes[COORDINATE];
    size_t len = sizeof bytes;
    json_object_set_new(jwk, "kty", json_string("OKP"));
    json_object_set_new(jwk, "crv", json_string("Ed25519"));
    if (EVP_PKEY_get_raw_public_key(key->pkey, bytes, &len) == 1) {
      set_bytes(jwk, "x", bytes, len);
    }
    break;
  }
  }
  size_t wanted = key->algorithm == KEY_ES256 ? 4 : 3;
  if (json_object_size(jwk) != wanted) {
    json_decref(jwk);
    return NULL;
  }
  return jwk;
}

char *key_thumbprint(const struct key *key) {
  json_t *jwk = public_members(key);
  char *text = strict_json_dump(jwk, JSON_COMPACT | JSON_SORT_KEYS);
  json_decref(jwk);
  unsigned char hash[SHA256_DIGEST_LENGTH];
  char *out = NULL;
  if (text != NULL && EVP_Digest(text, strlen(text), hash, NULL, EVP_sha256(), NULL) == 1) {
    out = malloc(BASE64_SPACE(sizeof hash));
  }
  if (out != NULL) {
    base64_encode(BASE64_URL, hash, sizeof hash, out);
  }
  free(text);
  return out;
}

static int set_time(json_t *jwk, const char *name, int64_t time) {
  return time == 0 ? 0 : json_object_set_new(jwk, name, json_integer(time));
}

static int append_jwk(json_t *keys, const struct key *key) {
  json_t *jwk = public_members(key);
  char *made = key->kid == NULL ? key_thumbprint(key) : NULL;
  const char *kid = key->kid == NULL ? made : key->kid;
  int status = jwk == NULL || kid == NULL ||
                       json_object_set_new(jwk, "kid", json_string(kid)) != 0 ||
                       json_object_set_new(jwk, "use", json_string("sig")) != 0 ||
                       json_object_set_new(jwk, "alg",
                                           json_string(key_algorithm_name(key->algorithm))) != 0 ||
                       set_time(jwk, "exp", key->expires) != 0 ||
                       set_time(jwk, JWK_RETIRED, key->retired) != 0
                   ? -1
                   : json_array_append(keys, jwk);
  json_decref(jwk);
  free(made);
  return status;
}

int jwks_write(const struct key *keys, size_t count, struct buf *out, struct error *e) {
  CLEANUP_JSON json_t *root = json_object();
  json_t *list = json_array();
  int status = json_object_set_new(root, "keys", list);
  for (size_t i = 0; i < count && status == 0; i++) {
    status = append_jwk(list, &keys[i]);
  }
  char *text = status == 0 ? strict_json_dump(root, JSON_INDENT(2)) : NULL;
  if (text != NULL) {
    buf_str(out, text);
    buf_str(out, "\n");
  }
  bool ok = text != NULL && !out->failed;
  free(text);
  return ok ? 0 : error_set(e, ERROR_FAILED, "cannot write a JWKS: out of memory");
}

/* Takes the keys of \p set over, which is left empty. */
static int move_keys(struct keyset *all, struct keyset *set) {
  struct key *keys = realloc(all->keys, (all->count + set->count) * sizeof *keys);
  if (keys == NULL) {
    return -1;
  }
  all->keys = keys;
  memcpy(keys + all->count, set->keys, set->count * sizeof *keys);
  all->count += set->count;
  set->count = 0;
  return 0;
}

int key_jwks(const char *const *paths, size_t count, struct buf *out, struct error *e) {
  struct keyset all = {0};
  int status = 0;
  for (size_t i = 0; i < count && status == 0; i++) {
    struct keyset set;
    status = keyset_load(paths[i], &set, e);
    if (status == 0 && move_keys(&all, &set) != 0) {
      status = error_set(e, ERROR_FAILED, "cannot write a JWKS: out of memory");
    }
    keyset_free(&set);
  }
  if (status == 0) {
    status = jwks_write(all.keys, all.count, out, e);
  }
  keyset_free(&all);
  return status;
}
