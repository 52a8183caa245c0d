/** Passwords from standard input: from a person at a terminal, or from a pipe or file. */
#pragma once

#include "base/error.h"
#include "base/slice.h"

enum { PROMPT_SPACE = 1024 + 3 }; /**< bytes of the longest password, a line's end, and one more */

/**
 * Reads a password. A terminal is asked twice, without echo; of anything else all is read, and the
 * end of a last line taken off.
 *
 * \param out room for it, PROMPT_SPACE bytes, which the caller wipes, also after a failure.
 * \return its length, or -1: ERROR_USAGE when password_check() does not take it or the two differ.
 */
int prompt_password(char *out, struct error *e);
