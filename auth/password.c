#include "auth/password.h"

#include "base/base64.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>

enum { SALT_SIZE = 16, HASH_SIZE = 32, LN_MAX = 63 };

/* What a PHC string says. */
struct scrypt {
  uint64_t ln, r, p; /* N = 2^ln */
  unsigned char salt[SALT_SIZE], hash[HASH_SIZE];
};

static const struct scrypt usual = {.ln = 15, .r = 8, .p = 1};

static int wrong(struct error *e) {
  return error_set(e, ERROR_DENIED, "the user name or the password is wrong");
}

const char *password_check(struct slice password) {
  if (password.len == 0) {
    return "is empty";
  }
  if (password.len > PASSWORD_BYTES_MAX) {
    return "is longer than 1024 bytes";
  }
  for (struct slice rest = password; rest.len > 0; rest = slice_from(rest, 1)) {
    if (slice_control(rest) > 0) {
      return "holds a line break or another control character";
    }
  }
  return NULL;
}

/* OpenSSL wipes what it has worked in. */
static int derive(struct slice password, const struct scrypt *s, unsigned char out[HASH_SIZE],
                  struct error *e) {
  /* Of the memory it counts some more than the vector that the bound is about. */
  const uint64_t memory = PASSWORD_MEMORY_MAX + 1024 * 1024;
  if (EVP_PBE_scrypt(password.ptr, password.len, s->salt, SALT_SIZE, UINT64_C(1) << s->ln, s->r,
                     s->p, memory, out, HASH_SIZE) != 1) {
    ERR_clear_error();
    return error_set(e, ERROR_FAILED, "cannot hash a password: out of memory");
  }
  return 0;
}

/* Base64 without the padding that base64_encode() writes. */
static void print_bytes(const unsigned char *bytes, size_t len, char *out) {
  size_t n = base64_encode(BASE64_STANDARD, bytes, len, out);
  while (n > 0 && out[n - 1] == '=') {
    out[--n] = '\0';
  }
}

static bool read_bytes(struct slice text, unsigned char *out, size_t len) {
  char padded[BASE64_SPACE(HASH_SIZE)];
  unsigned char bytes[HASH_SIZE + 2];
  size_t n = 0;
  if (text.len != (4 * len + 2) / 3) {
    return false;
  }
  memcpy(padded, text.ptr, text.len);
  padded[text.len] = padded[text.len + 1] = '=';
  struct slice whole = slice_of(padded, (text.len + 3) / 4 * 4);
  if (!base64_decode(BASE64_STANDARD, whole, bytes, &n) || n != len) {
    return false;
  }
  memcpy(out, bytes, len);
  return true;
}

/* `NAME=NUMBER`, without needless zeros. */
static bool read_number(struct slice *rest, struct slice name, uint64_t max, uint64_t *out) {
  struct slice text = slice_cut(rest, ',');
  struct slice digits = slice_from(text, name.len);
  return slice_starts(text, name) && slice_u64(digits, out) && digits.ptr[0] != '0' && *out <= max;
}

/* Within what OpenSSL, and RFC 7914, section 6, take. */
static bool in_bounds(const struct scrypt *s) {
  return s->r <= ((uint64_t)PASSWORD_MEMORY_MAX / 128) >> s->ln && s->ln < 16 * s->r;
}

static bool read_text(struct slice text, struct scrypt *out) {
  struct slice rest = text;
  struct slice before = slice_cut(&rest, '$');
  struct slice id = slice_cut(&rest, '$');
  struct slice numbers = slice_cut(&rest, '$');
  struct slice salt = slice_cut(&rest, '$');
  return before.len == 0 && slice_equal(id, SLICE("scrypt")) &&
         read_number(&numbers, SLICE("ln="), LN_MAX, &out->ln) &&
         read_number(&numbers, SLICE("r="), PASSWORD_MEMORY_MAX, &out->r) &&
         read_number(&numbers, SLICE("p="), PASSWORD_PARALLEL_MAX, &out->p) &&
         numbers.ptr == NULL && in_bounds(out) && read_bytes(salt, out->salt, SALT_SIZE) &&
         read_bytes(rest, out->hash, HASH_SIZE);
}

static int compare(struct slice password, const struct scrypt *s, struct error *e) {
  unsigned char got[HASH_SIZE];
  /* Nobody has such a password, and who asks knows it: that it takes no time tells nothing. */
  if (password_check(password) != NULL) {
    return wrong(e);
  }
  if (derive(password, s, got, e) != 0) {
    return -1;
  }
  int differs = CRYPTO_memcmp(got, s->hash, HASH_SIZE);
  OPENSSL_cleanse(got, sizeof got);
  return differs == 0 ? 0 : wrong(e);
}

int password_hash(struct slice password, char out[PASSWORD_HASH_SPACE], struct error *e) {
  struct scrypt s = usual;
  char salt[BASE64_SPACE(SALT_SIZE)], hash[BASE64_SPACE(HASH_SIZE)];
  const char *wanting = password_check(password);
  if (wanting != NULL) {
    return error_set(e, ERROR_USAGE, "the password %s", wanting);
  }
  if (RAND_bytes(s.salt, SALT_SIZE) != 1) {
    ERR_clear_error();
    return error_set(e, ERROR_FAILED, "cannot hash a password: no randomness");
  }
  if (derive(password, &s, s.hash, e) != 0) {
    return -1;
  }
  print_bytes(s.salt, SALT_SIZE, salt);
  print_bytes(s.hash, HASH_SIZE, hash);
  snprintf(out, PASSWORD_HASH_SPACE, "$scrypt$ln=%d,r=%d,p=%d$%s$%s", (int)s.ln, (int)s.r, (int)s.p,
           salt, hash);
  return 0;
}

int password_verify(struct slice password, struct slice hash, struct error *e) {
  struct scrypt s;
  if (!read_text(hash, &s)) {
    return error_set(e, ERROR_FAILED,
                     "a stored password cannot be read: set it anew with `swarmgate user passwd`");
  }
  return compare(password, &s, e);
}

int password_verify_nobody(struct slice password, struct error *e) {
  return compare(password, &usual, e) == 0 ? wrong(e) : -1;
}
