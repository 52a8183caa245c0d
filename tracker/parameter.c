#include "tracker/parameter.h"

#include "http/query.h"

bool parameter_bytes(struct slice value, unsigned char *out, size_t len) {
  size_t decoded;
  return query_decode(value, (char *)out, len, &decoded) && decoded == len;
}

bool parameter_u64(struct slice value, uint64_t *out) {
  char digits[20];
  size_t len;
  return query_decode(value, digits, sizeof digits, &len) && slice_u64(slice_of(digits, len), out);
}

void parameter_jwt(struct parameter_bearer *b, struct slice value) {
  size_t len;
  b->jwt = value;
  /* A token is written in characters that need no escape; some clients escape `.` all the same. */
  if (value.len > 0 && memchr(value.ptr, '%', value.len) != NULL &&
      query_decode(value, b->jwt_text, sizeof b->jwt_text, &len)) {
    b->jwt = slice_of(b->jwt_text, len);
  }
}

void parameter_trackerid(struct parameter_bearer *b, struct slice value) {
  size_t len = 0;
  b->trackerid = query_decode(value, b->trackerid_text, sizeof b->trackerid_text, &len)
                     ? slice_of(b->trackerid_text, len)
                     : slice_of(NULL, 0);
}
