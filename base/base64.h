/** Base64 of RFC 4648: section 4 with padding, section 5 (base64url) without, as JWS wants it. */
#pragma once

#include "base/slice.h"

enum base64_alphabet {
  BASE64_STANDARD, /**< `+/`, padded with `=` */
  BASE64_URL,      /**< `-_`, never padded (RFC 7515, section 2) */
};

/** Bytes that the encoding of \p len bytes takes, at most, with the final NUL. */
#define BASE64_SPACE(len) (((len) + 2) / 3 * 4 + 1)

/** Writes the encoding and a NUL to \p out. \return its length without the NUL. */
size_t base64_encode(enum base64_alphabet alphabet, const void *data, size_t len, char *out);

/**
 * Reads the canonical encoding alone: anything outside the alphabet, white space, missing or
 * needless padding and trailing bits that are not zero are refused.
 *
 * \param out has room for \p text.len / 4 * 3 + 2 bytes.
 * \return false when refused; otherwise \p len is set to the bytes written.
 */
bool base64_decode(enum base64_alphabet alphabet, struct slice text, void *out, size_t *len);
