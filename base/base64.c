#include "base/base64.h"

static const char digits[2][65] = {
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
};

size_t base64_encode(enum base64_alphabet alphabet, const void *data, size_t len, char *out) {
  const unsigned char *in = data;
  const char *digit = digits[alphabet];
  size_t n = 0;
  size_t i = 0;
  for (; i + 2 < len; i += 3) {
    out[n++] = digit[in[i] >> 2];
    out[n++] = digit[(in[i] & 3) << 4 | in[i + 1] >> 4];
    out[n++] = digit[(in[i + 1] & 15) << 2 | in[i + 2] >> 6];
    out[n++] = digit[in[i + 2] & 63];
  }
  if (i < len) {
    unsigned second = i + 1 < len ? in[i + 1] : 0;
    out[n++] = digit[in[i] >> 2];
    out[n++] = digit[(in[i] & 3u) << 4 | second >> 4];
    if (i + 1 < len) {
      out[n++] = digit[(second & 15) << 2];
    }
    while (alphabet == BASE64_STANDARD && n % 4 != 0) {
      out[n++] = '=';
    }
  }
  out[n] = '\0';
  return n;
}

static int value_of(enum base64_alphabet alphabet, char c) {
  if (c >= 'A' && c <= 'Z') {
    return c - 'A';
  }
  if (c >= 'a' && c <= 'z') {
    return c - 'a' + 26;
  }
  if (c >= '0' && c <= '9') {
    return c - '0' + 52;
  }
  if (c == digits[alphabet][62]) {
    return 62;
  }
  if (c == digits[alphabet][63]) {
    return 63;
  }
  return -1;
}

bool base64_decode(enum base64_alphabet alphabet, struct slice text, void *out, size_t *len) {
  unsigned char *bytes = out;
  if (alphabet == BASE64_STANDARD) {
    if (text.len % 4 != 0) {
      return false;
    }
    for (int pad = 0; pad < 2 && text.len > 0 && text.ptr[text.len - 1] == '='; pad++) {
      text.len--;
    }
  }
  if (text.len % 4 == 1) {
    return false;
  }
  uint32_t bits = 0;
  size_t n = 0;
  for (size_t i = 0; i < text.len; i++) {
    int value = value_of(alphabet, text.ptr[i]);
    if (value < 0) {
      return false;
    }
    bits = bits << 6 | (uint32_t)value;
    switch (i % 4) {
    case 1:
      bytes[n++] = (unsigned char)(bits >> 4);
      break;
    case 2:
      bytes[n++] = (unsigned char)(bits >> 2);
      break;
    case 3:
      bytes[n++] = (unsigned char)bits;
      break;
    default:
      break;
    }
  }
  if ((text.len % 4 == 2 && (bits & 15) != 0) || (text.len % 4 == 3 && (bits & 3) != 0)) {
    return false;
  }
  *len = n;
  return true;
}
