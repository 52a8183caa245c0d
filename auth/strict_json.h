/**
 * JSON as a JOSE header, a claims set and a JWK set must be: one object, UTF-8, no doubled member
 * at any depth (RFC 7515, section 4; RFC 7519, section 4). Inside auth/ only.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"

#include <jansson.h>

enum { STRICT_JSON_DEPTH_MAX = 32 }; /**< nested objects and arrays */

/**
 * Reads all of \p text: an object with nothing but white space around it. Also refused: `\u0000`,
 * lone surrogates, numbers that fit neither 64 bits nor a double.
 *
 * \return a new reference, or NULL and ERROR_DENIED; ERROR_FAILED when there is no memory.
 */
json_t *strict_json_object(struct slice text, struct error *e);

/**
 * Whether jansson found no memory, in this thread, since this was last asked: much of it answers
 * NULL or -1 to that and to bad input alike.
 */
bool strict_json_starved(void);

/** json_dumps(); NULL when there is no memory, or \p json is NULL. */
char *strict_json_dump(const json_t *json, size_t flags);

/** How a member of the wanted type was found. */
enum strict_json_found { STRICT_JSON_ABSENT, STRICT_JSON_FOUND, STRICT_JSON_WRONG };

/** A string's bytes; they belong to \p object. */
enum strict_json_found strict_json_text(const json_t *object, const char *name, struct slice *out);

/** Decrements the reference at the end of a scope: `CLEANUP_JSON json_t *j = …;`. */
static inline void strict_json_release(json_t **json) {
  json_decref(*json);
}
#define CLEANUP_JSON __attribute__((cleanup(strict_json_release)))
