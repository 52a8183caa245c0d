// LINKS auth base PkgConfig::JANSSON PkgConfig::LIBJWT PkgConfig::CRYPTO
/* The first byte says what the rest is: `r` a token as it comes in; `s` a header and, behind a
 * newline, claims, which are signed by the key that fits the header; `x` the same, signed by a key
 * that nobody trusts; `f` the same under the right key's signature of something else. The verdict
 * is the one of a plain reading (token_oracle.h), and libjwt has to find the signature of what was
 * accepted right where it knows kind and algorithm. */
#include "auth/jws.h"
#include "auth/token_cache.h"
#include "base/base64.h"
#include "token_oracle.h"

#include <jwt.h>
#include <openssl/pem.h>

static const int64_t now = INT64_C(1800000000);
enum { ALL_KINDS = TOKEN_SWARM | TOKEN_REGISTRY | TOKEN_WEBSEED, ROWS = 3 };

static struct key ed25519 /* of RFC 8037, A.1 */, p256, stranger;
static char *libtrust; /* the other name of the JWKS's key */
static struct buf p256_public;
static struct trust_row rows[ROWS];
static const struct trust trust = {.rows = rows, .count = ROWS, .leeway = ORACLE_LEEWAY};
static struct token_cache *cache;

static void must(bool holds) {
  if (!holds) {
    abort();
  }
}

static void trust_in(struct trust_row *row, char *issuer, char *audience, struct slice keys) {
  static char registry[] = "r";
  *row = (struct trust_row){.issuer = issuer,
                            .audience = audience,
                            .registry = registry,
                            .algorithms = KEY_ALL,
                            .accept = issuer[0] == 'i' ? ALL_KINDS : TOKEN_REGISTRY};
  must(keyset_parse(keys, "key", &row->keys, NULL) == 0);
}

static void set_up(void) {
  static char i[] = "i", j[] = "j", a[] = "a", b[] = "b";
  const struct slice ed25519_pem =
      SLICE("-----BEGIN PRIVATE KEY-----\n"
            "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
            "-----END PRIVATE KEY-----\n");
  const struct slice p256_pem =
      SLICE("-----BEGIN PRIVATE KEY-----\n"
            "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgr6r6IAdpD0WhNEyb\n"
            "N+vetna/nepg7zR+sNw31l92K+ChRANCAARnS14PPrggR6B4RQXX6cfeKzwEYk/S\n"
            "HBVMZgXBNXnpYaDkdRjTVlmmONYZ+geeSUedC3+jQjBi8fRnP7WS/Ey0\n"
            "-----END PRIVATE KEY-----\n");
  const struct slice jwks =
      SLICE("{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"" ORACLE_KID "\","
            "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}");
  must(key_parse_private(ed25519_pem, "key", &ed25519, NULL) == 0);
  must(key_parse_private(p256_pem, "key", &p256, NULL) == 0);
  struct buf pem = {0};
  must(key_generate(KEY_EDDSA, &pem, NULL) == 0 &&
       key_parse_private(buf_view(&pem), "key", &stranger, NULL) == 0);
  buf_free(&pem);
  trust_in(&rows[0], i, a, ed25519_pem);
  trust_in(&rows[1], i, a, p256_pem);
  trust_in(&rows[2], j, b, jwks);
  libtrust = key_libtrust_id(&ed25519);
  BIO *bio = BIO_new(BIO_s_mem());
  char *text = NULL;
  must(PEM_write_bio_PUBKEY(bio, p256.pkey) == 1);
  size_t len = (size_t)BIO_get_mem_data(bio, &text);
  buf_append(&p256_public, text, len);
  BIO_free(bio);
  struct keyring_state *state = keyring_state_new();
  must(libtrust != NULL && state != NULL);
  state->trust = trust;
  cache = token_cache_new(keyring_new(state), NULL, 64);
  must(cache != NULL);
}

static const struct key *key_of(struct slice header) {
  json_t *json = json_loadb(header.ptr, header.len, 0, NULL);
  bool es256 = oracle_is(json_object_get(json, "alg"), "ES256");
  json_decref(json);
  return es256 ? &p256 : &ed25519;
}

/* A token whose signature is that of the claims and a blank. */
static void forge(struct slice header, struct slice claims, struct buf *out) {
  struct buf other = {0}, good = {0};
  buf_slice(&other, claims);
  buf_str(&other, " ");
  must(jws_write(key_of(header), header, buf_view(&other), &good, NULL) == 0 &&
       jws_write(key_of(header), header, claims, out, NULL) == 0);
  size_t signature = BASE64_SPACE(64) - 3;
  memcpy(out->ptr + out->len - signature, good.ptr + good.len - signature, signature);
  buf_free(&other);
  buf_free(&good);
}

/* --- what is accepted --- */

static void must_be_same(const struct token *a, const struct token *b) {
  must(a->kind == b->kind && a->expires == b->expires && a->not_before == b->not_before &&
       a->issued == b->issued && a->session == b->session);
  must(slice_equal(a->subject, b->subject) && slice_equal(a->id, b->id) &&
       slice_equal(a->registry, b->registry) && slice_equal(a->repository, b->repository) &&
       slice_equal(a->digest, b->digest));
  must(a->infohash_count == b->infohash_count && a->access_count == b->access_count);
  for (size_t i = 0; i < a->infohash_count; i++) {
    must(slice_equal(a->infohash_texts[i], b->infohash_texts[i]));
  }
  for (size_t i = 0; i < a->access_count; i++) {
    must(slice_equal(a->access[i].repository, b->access[i].repository));
  }
}

static void must_verify_by_libjwt(struct slice text) {
  struct buf copy = {0};
  jwt_t *jwt = NULL;
  buf_slice(&copy, text);
  buf_append(&copy, "", 1);
  must(jwt_decode(&jwt, copy.ptr, (const unsigned char *)p256_public.ptr, (int)p256_public.len) ==
       0);
  must(jwt_get_alg(jwt) == JWT_ALG_ES256);
  jwt_free(jwt);
  buf_free(&copy);
}

/* The cache's verdict is the verifier's, at first and when it remembers. */
static void check_cache(struct slice jws, const struct token *token, enum token_verdict verdict) {
  unsigned char asked[2][20] = {{0}};
  bool covers[2];
  struct token_grant grant;
  if (token->infohash_count > 0) {
    memcpy(asked[1], token->infohashes[token->infohash_count - 1].bytes, sizeof asked[1]);
  }
  const struct token_question question = {
      .kinds = ALL_KINDS, .now = now, .infohashes = asked[0], .count = 2};
  for (int i = 0; i < 2; i++) {
    must(token_cache_check(cache, jws, &question, &grant, covers, NULL) == verdict);
    must(covers[1] == (token->infohash_count > 0));
    must(verdict == TOKEN_INVALID ||
         (grant.expires == token->expires && grant.kind == token->kind));
  }
}

/* What was accepted is of the kinds asked for, and the same when it is signed anew. */
static enum token_verdict verify(struct slice jws, struct arena *arena) {
  struct error why = {0};
  struct token token, again;
  struct slice header, claims;
  enum token_verdict verdict = token_verify(&trust, jws, ALL_KINDS, now, arena, &token, &why);
  must((verdict == TOKEN_VALID) == (why.kind == ERROR_NONE));
  bool readable = token_inspect(jws, arena, &header, &claims, NULL) == 0;
  check_cache(jws, &token, verdict);
  if (verdict == TOKEN_INVALID) {
    return verdict;
  }
  must(readable);
  must(token_verify(&trust, jws, ALL_KINDS & ~(unsigned)token.kind, now, arena, &again, NULL) ==
       TOKEN_INVALID);
  if (token.kind == TOKEN_REGISTRY && key_of(header) == &p256) {
    must_verify_by_libjwt(jws);
  }
  struct buf out = {0};
  if (token_sign(&ed25519, &token, &out, &why) == 0) {
    must(token_verify(&trust, buf_view(&out), token.kind, now, arena, &again, NULL) == verdict);
    must_be_same(&token, &again);
  } else {
    must(why.kind == ERROR_USAGE); /* longer with our header; `exp` 0 */
  }
  buf_free(&out);
  return verdict;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (cache == NULL) {
    set_up();
  }
  struct slice claims = slice_from(slice_of(data, size), 1);
  struct arena arena = {0};
  char mode = size == 0 ? 'r' : (char)data[0];
  if (mode == 'r') {
    /* Who signed it is not known here: that it verifies is believed. */
    enum token_verdict verdict = verify(claims, &arena);
    must(verdict == TOKEN_INVALID || verdict == oracle_verdict(claims, true, now, libtrust));
  } else if (mode == 's' || mode == 'x' || mode == 'f') {
    struct slice header = slice_cut(&claims, '\n');
    struct buf jws = {0};
    if (mode == 'f') {
      forge(header, claims, &jws);
    } else {
      must(jws_write(mode == 'x' ? &stranger : key_of(header), header, claims, &jws, NULL) == 0);
    }
    must(verify(buf_view(&jws), &arena) ==
         oracle_verdict(buf_view(&jws), mode == 's', now, libtrust));
    buf_free(&jws);
  }
  arena_free(&arena);
  return 0;
}

/* --- mutation behind the signature --- */

/* Of libFuzzer, and not there where the corpus is replayed. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size) __attribute__((weak));
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

/* Gives one member of an object a value that is of another type or at a bound, or takes it out. */
static bool mutate_member(struct buf *text, unsigned seed) {
  static const char *const values[] = {
      "0",
      "-1",
      "1800000060",
      "1800000061",
      "1799999940",
      "1799999939",
      "9007199254740992",
      "9007199254740993",
      "1.8e9",
      "1e300",
      "\"\"",
      "\"a\"",
      "\"i\"",
      "\"j\"",
      "\"EdDSA\"",
      "\"ES256\"",
      "\"swarm+jwt\"",
      "\"webseed+jwt\"",
      "\"JWT\"",
      "[]",
      "[\"a\"]",
      "[\"b\",1]",
      "{}",
      "null",
      "true",
      "[\"pull\"]",
      "[{\"type\":\"repository\",\"name\":\"a\",\"actions\":null}]"};
  static const char *const names[] = {"iss",        "aud",    "exp",    "nbf",      "iat",
                                      "session",    "sub",    "jti",    "infohash", "registry",
                                      "repository", "digest", "access", "alg",      "typ",
                                      "kid",        "crit",   "b64",    "zip",      "enc"};
  json_t *json = json_loadb(text->ptr, text->len, 0, NULL);
  if (!json_is_object(json)) {
    json_decref(json);
    return false;
  }
  const char *name = names[seed / 32 % (sizeof names / sizeof *names)];
  if (seed % 32 < sizeof values / sizeof *values) {
    json_object_set_new(json, name, json_loads(values[seed % 32], JSON_DECODE_ANY, NULL));
  } else {
    json_object_del(json, name);
  }
  char *changed = json_dumps(json, JSON_COMPACT);
  buf_consume(text, text->len);
  buf_str(text, changed);
  free(changed);
  json_decref(json);
  return true;
}

static void mutate_part(struct buf *text, size_t max_size, unsigned seed) {
  if (seed % 2 == 0 && mutate_member(text, seed / 2)) {
    return;
  }
  must(buf_reserve(text, max_size) != NULL);
  text->len = LLVMFuzzerMutate((uint8_t *)text->ptr, text->len, text->len + max_size / 4 + 1);
}

/* The header and the claims of any mode but a token that cannot be decoded. */
static bool take_apart(struct slice input, struct buf *header, struct buf *claims) {
  struct slice rest = slice_from(input, 1);
  struct jws jws;
  struct arena arena = {0};
  bool token = slice_starts(input, SLICE("r"));
  bool good = !token || jws_read(rest, &arena, &jws, NULL) == 0;
  if (good) {
    buf_slice(header, token ? jws.header : slice_cut(&rest, '\n'));
    buf_slice(claims, token ? jws.payload : rest);
  }
  arena_free(&arena);
  return good;
}

/* One in eight inputs is mutated as the bytes it is. Of the others the header or the claims are,
 * and the result is a token signed anew, or is left to be signed: rightly, by a stranger, or
 * forged. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed) {
  struct buf header = {0}, claims = {0}, out = {0};
  if (cache == NULL) {
    set_up();
  }
  if (seed % 8 == 0 || !take_apart(slice_of(data, size), &header, &claims)) {
    return LLVMFuzzerMutate(data, size, max_size);
  }
  mutate_part(seed / 8 % 4 == 0 ? &header : &claims, max_size, seed / 512);
  char mode = "rxfsssssssssssss"[seed / 32 % 16];
  buf_append(&out, &mode, 1);
  if (mode == 'r') {
    struct slice name = buf_view(&header);
    must(jws_write(key_of(name), name, buf_view(&claims), &out, NULL) == 0);
  } else {
    buf_slice(&out, buf_view(&header));
    buf_str(&out, "\n");
    buf_slice(&out, buf_view(&claims));
  }
  size = out.len < max_size ? out.len : max_size;
  memcpy(data, out.ptr, size);
  buf_free(&header);
  buf_free(&claims);
  buf_free(&out);
  return size;
}
