/** SipHash-2-4 (Aumasson and Bernstein, 2012): a keyed hash of short inputs that nobody without the
 *  key can aim or forge. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { SIPHASH_KEY = 16 }; /**< bytes of a key */

/** The hash of \p len bytes, as a number whose little-endian bytes are the paper's output. */
uint64_t siphash(const unsigned char key[SIPHASH_KEY], const void *data, size_t len);
