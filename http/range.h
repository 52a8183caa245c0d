/** The Range field of a request for a representation of known size (RFC 9110, section 14). */
#pragma once

#include "base/slice.h"

enum range_kind {
  RANGE_WHOLE,         /**< no range asked for, or one to be ignored: answer 200 with all */
  RANGE_PART,          /**< answer 206 with offset and length */
  RANGE_UNSATISFIABLE, /**< answer 416 */
};

struct range {
  enum range_kind kind;
  uint64_t offset; /**< 0 unless RANGE_PART */
  uint64_t length; /**< at least 1 for RANGE_PART; the whole size for RANGE_WHOLE; else 0 */
};

/**
 * What part \p field asks for.
 *
 * One range in the unit `bytes`, `first-last`, `first-` or `-suffix`, is cut to the size. Several
 * ranges, another unit and anything that is not a Range are ignored, as section 14.2 allows, and
 * give the whole. A number beyond 64 bits is one larger than any size.
 *
 * \param field the field's value; a NULL pointer when there is none.
 * \param size bytes of the whole representation.
 */
struct range range_parse(struct slice field, uint64_t size);

/** Bytes that range_content() needs. */
enum { RANGE_CONTENT_MAX = 72 };

/** Whether the Content-Range \p field of a 206 is of the very RANGE_PART \p r; `*` will do for its
 * size. */
bool range_is(const struct range *r, uint64_t size, struct slice field);

/** Writes the value of Content-Range (section 14.4) for RANGE_PART and RANGE_UNSATISFIABLE. */
struct slice range_content(const struct range *r, uint64_t size, char out[RANGE_CONTENT_MAX]);
