#include "auth/jws.h"

#include "base/base64.h"
#include "base/cleanup.h"

#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>

enum {
  ES256_HALF = 32,                      /* bytes of r and of s (RFC 7518, 3.4) */
  ES256_DER_MAX = 72,                   /* both as INTEGERs in a SEQUENCE */
  SIGNATURE_MAX = KEY_RSA_BITS_MAX / 8, /* the longest signature of all */
};

static int decode_part(struct slice part, const char *name, struct arena *arena, struct slice *out,
                       struct error *e) {
  if (part.len == 0) {
    return error_set(e, ERROR_DENIED, "the %s is empty", name);
  }
  char *bytes = arena_alloc(arena, part.len / 4 * 3 + 2);
  if (bytes == NULL) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  size_t len = 0;
  if (!base64_decode(BASE64_URL, part, bytes, &len)) {
    return error_set(e, ERROR_DENIED, "the %s is not canonical base64url", name);
  }
  *out = slice_of(bytes, len);
  return 0;
}

int jws_read(struct slice text, struct arena *arena, struct jws *out, struct error *e) {
  struct slice rest = text;
  struct slice header = slice_cut(&rest, '.');
  struct slice payload = rest.ptr == NULL ? rest : slice_cut(&rest, '.');
  if (rest.ptr == NULL) {
    return error_set(e, ERROR_DENIED, "not three parts");
  }
  out->input = slice_of(text.ptr, header.len + 1 + payload.len);
  if (decode_part(header, "header", arena, &out->header, e) != 0 ||
      decode_part(payload, "payload", arena, &out->payload, e) != 0) {
    return -1;
  }
  /* A fourth part is refused with it: `.` is no digit of base64url. */
  return decode_part(rest, "signature", arena, &out->signature, e);
}

/* OpenSSL speaks DER, JOSE r || s. */
static bool es256_to_der(struct slice jose, unsigned char der[ES256_DER_MAX], size_t *der_len) {
  if (jose.len != 2 * (size_t)ES256_HALF) {
    return false;
  }
  const unsigned char *bytes = (const unsigned char *)jose.ptr;
  ECDSA_SIG *sig = ECDSA_SIG_new();
  BIGNUM *r = BN_bin2bn(bytes, ES256_HALF, NULL);
  BIGNUM *s = BN_bin2bn(bytes + ES256_HALF, ES256_HALF, NULL);
  bool ok = false;
  if (sig != NULL && ECDSA_SIG_set0(sig, r, s) == 1) {
    r = s = NULL;
    int len = i2d_ECDSA_SIG(sig, &der);
    ok = len > 0;
    *der_len = ok ? (size_t)len : 0;
  }
  BN_free(r);
  BN_free(s);
  ECDSA_SIG_free(sig);
  return ok;
}

static bool es256_from_der(const unsigned char *der, size_t len, unsigned char *jose) {
  ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)len);
  int written = sig == NULL
                    ? 0
                    : BN_bn2binpad(ECDSA_SIG_get0_r(sig), jose, ES256_HALF) +
                          BN_bn2binpad(ECDSA_SIG_get0_s(sig), jose + ES256_HALF, ES256_HALF);
  ECDSA_SIG_free(sig);
  return written == 2 * ES256_HALF;
}

/* Ed25519 hashes by itself (RFC 8032). */
static const EVP_MD *digest_of(const struct key *key) {
  return key->algorithm == KEY_EDDSA ? NULL : EVP_sha256();
}

bool jws_verify(const struct key *key, const struct jws *jws) {
  unsigned char der[ES256_DER_MAX];
  const unsigned char *signature = (const unsigned char *)jws->signature.ptr;
  size_t len = jws->signature.len;
  if (key->algorithm == KEY_ES256) {
    if (!es256_to_der(jws->signature, der, &len)) {
      return false;
    }
    signature = der;
  }
  /* A refused signature must leave nothing in the thread's error queue for the TLS code to find. */
  ERR_set_mark();
  EVP_MD_CTX *ctx = EVP_MD_CTX_new();
  bool ok = ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, digest_of(key), NULL, key->pkey) == 1 &&
            EVP_DigestVerify(ctx, signature, len, (const unsigned char *)jws->input.ptr,
                             jws->input.len) == 1;
  EVP_MD_CTX_free(ctx);
  ERR_pop_to_mark();
  return ok;
}

static bool sign(const struct key *key, struct slice input, unsigned char out[SIGNATURE_MAX],
                 size_t *len) {
  unsigned char raw[SIGNATURE_MAX];
  size_t raw_len = sizeof raw;
  ERR_set_mark();
  EVP_MD_CTX *ctx = EVP_MD_CTX_new();
  bool ok = ctx != NULL && EVP_DigestSignInit(ctx, NULL, digest_of(key), NULL, key->pkey) == 1 &&
            EVP_DigestSign(ctx, raw, &raw_len, (const unsigned char *)input.ptr, input.len) == 1;
  EVP_MD_CTX_free(ctx);
  if (ok && key->algorithm == KEY_ES256) {
    *len = 2 * (size_t)ES256_HALF;
    ok = es256_from_der(raw, raw_len, out);
  } else if (ok) {
    *len = raw_len;
    memcpy(out, raw, raw_len);
  }
  ERR_pop_to_mark();
  return ok;
}

static void append_base64(struct buf *out, struct slice bytes) {
  char *at = buf_reserve(out, BASE64_SPACE(bytes.len));
  if (at != NULL) {
    out->len += base64_encode(BASE64_URL, bytes.ptr, bytes.len, at);
  }
}

int jws_write(const struct key *key, struct slice header, struct slice payload, struct buf *out,
              struct error *e) {
  size_t start = out->len;
  append_base64(out, header);
  buf_str(out, ".");
  append_base64(out, payload);
  unsigned char signature[SIGNATURE_MAX];
  size_t len = 0;
  if (!out->failed && !sign(key, slice_of(out->ptr + start, out->len - start), signature, &len)) {
    return error_set(e, ERROR_FAILED, "cannot sign by the %s key",
                     key_algorithm_name(key->algorithm));
  }
  buf_str(out, ".");
  append_base64(out, slice_of(signature, len));
  return out->failed ? error_set(e, ERROR_FAILED, "cannot sign: out of memory") : 0;
}
