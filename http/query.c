#include "http/query.h"

#include "base/hex.h"

bool query_next(struct slice *rest, struct slice *name, struct slice *value) {
  while (rest->ptr != NULL) {
    struct slice pair = slice_cut(rest, '&');
    if (pair.len > 0) {
      *name = slice_cut(&pair, '=');
      *value = pair;
      return true;
    }
  }
  return false;
}

bool query_decode(struct slice text, char *out, size_t room, size_t *len) {
  size_t n = 0;
  for (size_t i = 0; i < text.len; i++) {
    char c = text.ptr[i];
    if (c == '%') {
      if (text.len - i < 3) {
        return false;
      }
      int high = hex_digit(text.ptr[i + 1]);
      int low = hex_digit(text.ptr[i + 2]);
      if (high < 0 || low < 0) {
        return false;
      }
      c = (char)(unsigned char)(high << 4 | low);
      i += 2;
    }
    if (n == room) {
      return false;
    }
    out[n++] = c;
  }
  *len = n;
  return true;
}
