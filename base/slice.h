/** Bytes with a length, owned by somebody else. Nothing here allocates. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
  const char *ptr; /**< may be NULL when len is 0; not terminated by NUL */
  size_t len;      /**< bytes */
};

/** A slice of a string literal. */
#define SLICE(literal) ((struct slice){(literal), sizeof(literal) - 1})

/** printf arguments for `%.*s`. */
#define SLICE_ARG(s) (int)(s).len, (s).ptr

static inline struct slice slice_of(const void *ptr, size_t len) {
  return (struct slice){(const char *)ptr, len};
}

/** A slice of a NUL-terminated string; NULL gives the empty slice. */
static inline struct slice slice_str(const char *text) {
  return (struct slice){text, text == NULL ? 0 : strlen(text)};
}

bool slice_equal(struct slice a, struct slice b);

/** Equal but for the case of ASCII letters, as HTTP field names are compared (RFC 9110, 5.1). */
bool slice_equal_nocase(struct slice a, struct slice b);

/** Memory order, shorter first among equals: <0, 0 or >0. */
int slice_compare(struct slice a, struct slice b);

bool slice_starts(struct slice s, struct slice prefix);
bool slice_ends(struct slice s, struct slice suffix);

/** What is left of \p s after its first \p n bytes; empty when there are fewer. */
struct slice slice_from(struct slice s, size_t n);

/** Spaces and tabs taken off both ends (the OWS of RFC 9110, 5.6.3). */
struct slice slice_trim(struct slice s);

/**
 * Bytes of the control character that \p s begins with, 0 when it begins with none: one of C0 and
 * DEL, two of C1 in UTF-8 (U+0080 to U+009F, of which U+009B does to a terminal what ESC [ does).
 */
size_t slice_control(struct slice s);

/** Whether all of \p s is UTF-8 (RFC 3629): no surrogates, nothing written longer than need be. */
bool slice_utf8(struct slice s);

/**
 * Cuts \p s at the first \p separator: returns what is before it and leaves in \p s what is behind.
 * Without a separator the whole is returned and \p s is left with a NULL pointer, which ends a loop
 * `while (rest.ptr != NULL)`.
 */
struct slice slice_cut(struct slice *s, char separator);

/**
 * Reads all of \p s as an unsigned decimal: digits only, no sign, no blanks, at least one digit.
 *
 * \return false when it is anything else or does not fit 64 bits; \p out is untouched then.
 */
bool slice_u64(struct slice s, uint64_t *out);
