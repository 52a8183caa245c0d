#include "base/hex.h"

int hex_digit(char c) {
  if (c >= '0' && c <= '9') {
    return c - '0';
  }
  if (c >= 'a' && c <= 'f') {
    return c - 'a' + 10;
  }
  if (c >= 'A' && c <= 'F') {
    return c - 'A' + 10;
  }
  return -1;
}

void hex_encode(const void *data, size_t len, char *out) {
  static const char digits[] = "0123456789abcdef";
  const unsigned char *bytes = data;
  for (size_t i = 0; i < len; i++) {
    out[2 * i] = digits[bytes[i] >> 4];
    out[2 * i + 1] = digits[bytes[i] & 15];
  }
  out[2 * len] = '\0';
}

bool hex_decode(struct slice text, void *out, size_t len) {
  unsigned char *bytes = out;
  if (text.len != 2 * len) {
    return false;
  }
  for (size_t i = 0; i < len; i++) {
    int high = hex_digit(text.ptr[2 * i]);
    int low = hex_digit(text.ptr[2 * i + 1]);
    if (high < 0 || low < 0) {
      return false;
    }
    bytes[i] = (unsigned char)(high << 4 | low);
  }
  return true;
}
