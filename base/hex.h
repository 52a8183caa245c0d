/** Hexadecimal, as digests and infohashes are written. */
#pragma once

#include "base/slice.h"

/** Writes 2 × \p len lowercase digits and a NUL to \p out. */
void hex_encode(const void *data, size_t len, char *out);

/**
 * Reads exactly 2 × \p len digits of either case.
 *
 * \return false when \p text has another length or anything but hexadecimal digits.
 */
bool hex_decode(struct slice text, void *out, size_t len);

/** The value of one digit of either case; -1 for anything else. */
int hex_digit(char c);
