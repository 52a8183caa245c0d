#include "unit/auth/mangle.h"

#include "base/base64.h"
#include "unit/cmocka_all.h"

#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

static struct slice concat(struct rig *rig, struct slice a, struct slice b) {
  char *out = arena_alloc(&rig->arena, a.len + b.len + 1);
  memcpy(out, a.ptr, a.len);
  if (b.len > 0) {
    memcpy(out + a.len, b.ptr, b.len);
  }
  return slice_of(out, a.len + b.len);
}

static struct slice part(struct slice jws, int index) {
  struct slice found = slice_cut(&jws, '.');
  while (index-- > 0) {
    found = slice_cut(&jws, '.');
  }
  return found;
}

static struct slice join(struct rig *rig, struct slice header, struct slice payload,
                         struct slice signature) {
  return arena_printf(&rig->arena, "%.*s.%.*s.%.*s", SLICE_ARG(header), SLICE_ARG(payload),
                      SLICE_ARG(signature));
}

static struct slice encode(struct rig *rig, struct slice bytes) {
  char *out = arena_alloc(&rig->arena, BASE64_SPACE(bytes.len));
  return slice_of(out, base64_encode(BASE64_URL, bytes.ptr, bytes.len, out));
}

static struct slice with_signature(struct rig *rig, struct slice jws, struct slice bytes) {
  return join(rig, part(jws, 0), part(jws, 1), encode(rig, bytes));
}

struct slice mangle_no_signature(struct rig *rig, struct slice jws) {
  return join(rig, part(jws, 0), part(jws, 1), SLICE(""));
}

static struct slice hmac(struct rig *rig, struct slice jws, const EVP_MD *md, struct slice secret) {
  unsigned char mac[EVP_MAX_MD_SIZE];
  unsigned len = 0;
  size_t input = part(jws, 0).len + 1 + part(jws, 1).len;
  assert_non_null(
      HMAC(md, secret.ptr, (int)secret.len, (const unsigned char *)jws.ptr, input, mac, &len));
  return with_signature(rig, jws, slice_of(mac, len));
}

struct slice mangle_hs256_es_pem(struct rig *rig, struct slice jws) {
  return hmac(rig, jws, EVP_sha256(), rig_public_pem(rig, rig->keys[RIG_ES256].pkey));
}

struct slice mangle_hs256_rs_pem(struct rig *rig, struct slice jws) {
  return hmac(rig, jws, EVP_sha256(), rig_public_pem(rig, rig->keys[RIG_RS256].pkey));
}

struct slice mangle_hs256_empty(struct rig *rig, struct slice jws) {
  return hmac(rig, jws, EVP_sha256(), SLICE(""));
}

struct slice mangle_hs256_jwks(struct rig *rig, struct slice jws) {
  return hmac(rig, jws, EVP_sha256(), rig_jwks(rig, RIG_ES256, RIG_EDDSA));
}

struct slice mangle_hs384_es_pem(struct rig *rig, struct slice jws) {
  return hmac(rig, jws, EVP_sha384(), rig_public_pem(rig, rig->keys[RIG_ES256].pkey));
}

struct slice mangle_hs512_es_pem(struct rig *rig, struct slice jws) {
  return hmac(rig, jws, EVP_sha512(), rig_public_pem(rig, rig->keys[RIG_ES256].pkey));
}

struct slice mangle_padded_header(struct rig *rig, struct slice jws) {
  return join(rig, concat(rig, part(jws, 0), SLICE("=")), part(jws, 1), part(jws, 2));
}

struct slice mangle_padded_payload(struct rig *rig, struct slice jws) {
  return join(rig, part(jws, 0), concat(rig, part(jws, 1), SLICE("=")), part(jws, 2));
}

struct slice mangle_padded_signature(struct rig *rig, struct slice jws) {
  return concat(rig, jws, SLICE("=="));
}

/* Sets the lowest bit of the last character, which decoders that are lax throw away. */
static struct slice trailing_bits(struct rig *rig, struct slice jws, int index) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  struct slice parts[3] = {part(jws, 0), part(jws, 1), part(jws, 2)};
  assert_int_not_equal(parts[index].len % 4, 0);
  char *copy = arena_copy(&rig->arena, parts[index]);
  char *last = &copy[parts[index].len - 1];
  *last = digits[(strchr(digits, *last) - digits) | 1];
  parts[index].ptr = copy;
  return join(rig, parts[0], parts[1], parts[2]);
}

struct slice mangle_header_bits(struct rig *rig, struct slice jws) {
  return trailing_bits(rig, jws, 0);
}

struct slice mangle_payload_bits(struct rig *rig, struct slice jws) {
  return trailing_bits(rig, jws, 1);
}

struct slice mangle_signature_bits(struct rig *rig, struct slice jws) {
  return trailing_bits(rig, jws, 2);
}

static struct slice with_byte(struct rig *rig, struct slice jws, size_t at, char byte) {
  char *copy = arena_copy(&rig->arena, jws);
  copy[at] = byte;
  return slice_of(copy, jws.len);
}

/* As a decoder that knows one alphabet too many would take it. */
struct slice mangle_standard_alphabet(struct rig *rig, struct slice jws) {
  char *copy = arena_copy(&rig->arena, jws);
  size_t changed = 0;
  for (char *c = copy; *c != '\0'; c++) {
    changed += *c == '-' || *c == '_';
    *c = *c == '-' ? '+' : *c == '_' ? '/' : *c;
  }
  assert_true(changed > 0);
  return slice_of(copy, jws.len);
}

struct slice mangle_newline_inside(struct rig *rig, struct slice jws) {
  return with_byte(rig, jws, jws.len - 5, '\n');
}

struct slice mangle_nul_inside(struct rig *rig, struct slice jws) {
  return with_byte(rig, jws, jws.len - 5, '\0');
}

struct slice mangle_high_byte_inside(struct rig *rig, struct slice jws) {
  return with_byte(rig, jws, jws.len - 5, (char)0xc3);
}

static struct slice other_byte(struct rig *rig, struct slice jws, size_t at) {
  return with_byte(rig, jws, at, jws.ptr[at] == 'A' ? 'B' : 'A');
}

struct slice mangle_header_changed(struct rig *rig, struct slice jws) {
  return other_byte(rig, jws, 3);
}

struct slice mangle_payload_changed(struct rig *rig, struct slice jws) {
  return other_byte(rig, jws, part(jws, 0).len + 20);
}

struct slice mangle_signature_changed(struct rig *rig, struct slice jws) {
  return other_byte(rig, jws, jws.len - 20);
}

struct slice mangle_space_before(struct rig *rig, struct slice jws) {
  return concat(rig, SLICE(" "), jws);
}

struct slice mangle_space_behind(struct rig *rig, struct slice jws) {
  return concat(rig, jws, SLICE(" "));
}

struct slice mangle_newline_behind(struct rig *rig, struct slice jws) {
  return concat(rig, jws, SLICE("\n"));
}

struct slice mangle_nul_behind(struct rig *rig, struct slice jws) {
  return concat(rig, jws, slice_of("", 1));
}

struct slice mangle_quoted(struct rig *rig, struct slice jws) {
  return concat(rig, SLICE("\""), concat(rig, jws, SLICE("\"")));
}

struct slice mangle_bearer_before(struct rig *rig, struct slice jws) {
  return concat(rig, SLICE("Bearer "), jws);
}

struct slice mangle_percent_encoded(struct rig *rig, struct slice jws) {
  return arena_printf(&rig->arena, "%.*s%%2E%.*s%%2E%.*s", SLICE_ARG(part(jws, 0)),
                      SLICE_ARG(part(jws, 1)), SLICE_ARG(part(jws, 2)));
}

struct slice mangle_two_parts(struct rig *rig, struct slice jws) {
  (void)rig;
  return slice_of(jws.ptr, part(jws, 0).len + 1 + part(jws, 1).len);
}

struct slice mangle_four_parts(struct rig *rig, struct slice jws) {
  return concat(rig, jws, SLICE(".AA"));
}

struct slice mangle_dot_behind(struct rig *rig, struct slice jws) {
  return concat(rig, jws, SLICE("."));
}

struct slice mangle_five_parts(struct rig *rig, struct slice jws) {
  return concat(rig, jws, SLICE(".AA.AA"));
}

struct slice mangle_no_header(struct rig *rig, struct slice jws) {
  return join(rig, SLICE(""), part(jws, 1), part(jws, 2));
}

struct slice mangle_no_payload(struct rig *rig, struct slice jws) {
  return join(rig, part(jws, 0), SLICE(""), part(jws, 2));
}

struct slice mangle_nothing(struct rig *rig, struct slice jws) {
  (void)rig;
  (void)jws;
  return slice_of(NULL, 0);
}

struct slice mangle_dots(struct rig *rig, struct slice jws) {
  (void)rig;
  (void)jws;
  return SLICE("..");
}

struct slice mangle_parts_swapped(struct rig *rig, struct slice jws) {
  return join(rig, part(jws, 1), part(jws, 0), part(jws, 2));
}

struct slice mangle_json_serialization(struct rig *rig, struct slice jws) {
  return arena_printf(&rig->arena,
                      "{\"protected\":\"%.*s\",\"payload\":\"%.*s\",\"signature\":\"%.*s\"}",
                      SLICE_ARG(part(jws, 0)), SLICE_ARG(part(jws, 1)), SLICE_ARG(part(jws, 2)));
}

struct slice mangle_twice(struct rig *rig, struct slice jws) {
  return concat(rig, jws, jws);
}

static struct slice raw_signature(struct slice jws, unsigned char out[2048]) {
  size_t len = 0;
  assert_true(part(jws, 2).len < 2048);
  assert_true(base64_decode(BASE64_URL, part(jws, 2), out, &len));
  return slice_of(out, len);
}

struct slice mangle_signature_cut(struct rig *rig, struct slice jws) {
  unsigned char raw[2048];
  struct slice bytes = raw_signature(jws, raw);
  return with_signature(rig, jws, slice_of(bytes.ptr, bytes.len - 1));
}

struct slice mangle_signature_longer(struct rig *rig, struct slice jws) {
  unsigned char raw[2048];
  struct slice bytes = raw_signature(jws, raw);
  raw[bytes.len] = 0;
  return with_signature(rig, jws, slice_of(raw, bytes.len + 1));
}

struct slice mangle_signature_as_der(struct rig *rig, struct slice jws) {
  unsigned char raw[2048];
  unsigned char *der = NULL;
  raw_signature(jws, raw);
  ECDSA_SIG *sig = ECDSA_SIG_new();
  ECDSA_SIG_set0(sig, BN_bin2bn(raw, 32, NULL), BN_bin2bn(raw + 32, 32, NULL));
  int len = i2d_ECDSA_SIG(sig, &der);
  struct slice out = with_signature(rig, jws, slice_of(der, (size_t)len));
  OPENSSL_free(der);
  ECDSA_SIG_free(sig);
  return out;
}

struct slice mangle_signature_of_zeros(struct rig *rig, struct slice jws) {
  static const unsigned char zeros[64];
  return with_signature(rig, jws, slice_of(zeros, sizeof zeros));
}

struct slice mangle_signature_of_ones(struct rig *rig, struct slice jws) {
  unsigned char ones[64];
  memset(ones, 0xff, sizeof ones);
  return with_signature(rig, jws, slice_of(ones, sizeof ones));
}
/* r and s both the order of P-256, which is zero to whoever reduces first. */
struct slice mangle_signature_of_order(struct rig *rig, struct slice jws) {
  static const unsigned char n[32] = {0xff, 0xff, 0xff, 0xff, 0,    0,    0,    0,
                                      0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                      0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84,
                                      0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};
  unsigned char both[64];
  memcpy(both, n, 32);
  memcpy(both + 32, n, 32);
  return with_signature(rig, jws, slice_of(both, sizeof both));
}

struct slice mangle_signature_halves_swapped(struct rig *rig, struct slice jws) {
  unsigned char raw[2048];
  unsigned char swapped[64];
  raw_signature(jws, raw);
  memcpy(swapped, raw + 32, 32);
  memcpy(swapped + 32, raw, 32);
  return with_signature(rig, jws, slice_of(swapped, 64));
}

struct slice mangle_signature_of_another(struct rig *rig, struct slice jws) {
  struct slice other = rig_jws(rig, RIG_ES256, "{}", SLICE("{}"));
  return join(rig, part(jws, 0), part(jws, 1), part(other, 2));
}
