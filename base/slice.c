#include "base/slice.h"

static char lower(char c) {
  return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool slice_equal(struct slice a, struct slice b) {
  return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool slice_equal_nocase(struct slice a, struct slice b) {
  if (a.len != b.len) {
    return false;
  }
  for (size_t i = 0; i < a.len; i++) {
    if (lower(a.ptr[i]) != lower(b.ptr[i])) {
      return false;
    }
  }
  return true;
}

int slice_compare(struct slice a, struct slice b) {
  size_t shared = a.len < b.len ? a.len : b.len;
  int order = shared == 0 ? 0 : memcmp(a.ptr, b.ptr, shared);
  if (order != 0) {
    return order;
  }
  return (a.len > b.len) - (a.len < b.len);
}

bool slice_starts(struct slice s, struct slice prefix) {
  return s.len >= prefix.len && slice_equal(slice_of(s.ptr, prefix.len), prefix);
}

bool slice_ends(struct slice s, struct slice suffix) {
  return s.len >= suffix.len && slice_equal(slice_from(s, s.len - suffix.len), suffix);
}

struct slice slice_from(struct slice s, size_t n) {
  return n >= s.len ? (struct slice){s.ptr, 0} : slice_of(s.ptr + n, s.len - n);
}

struct slice slice_trim(struct slice s) {
  while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t')) {
    s = slice_from(s, 1);
  }
  while (s.len > 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t')) {
    s.len--;
  }
  return s;
}

struct slice slice_cut(struct slice *s, char separator) {
  const char *at = s->len == 0 ? NULL : memchr(s->ptr, separator, s->len);
  if (at == NULL) {
    struct slice all = *s;
    *s = (struct slice){NULL, 0};
    return all;
  }
  struct slice head = slice_of(s->ptr, (size_t)(at - s->ptr));
  *s = slice_of(at + 1, s->len - head.len - 1);
  return head;
}

size_t slice_control(struct slice s) {
  const unsigned char *c = (const unsigned char *)s.ptr;
  if (s.len > 0 && (c[0] < 0x20 || c[0] == 0x7f)) {
    return 1;
  }
  return s.len > 1 && c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0 ? 2 : 0;
}

/* Bytes of the character that \p s begins with; 0 when it begins with none. */
static size_t utf8_character(struct slice s) {
  static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  unsigned char first = (unsigned char)s.ptr[0];
  size_t len = first < 0x80 ? 1 : first < 0xc0 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  uint32_t character = len <= 1 ? first : first & (0x7fU >> len);
  if (len > s.len || first > 0xf4) {
    return 0;
  }
  for (size_t i = 1; i < len; i++) {
    unsigned char next = (unsigned char)s.ptr[i];
    if ((next & 0xc0) != 0x80) {
      return 0;
    }
    character = character << 6 | (next & 0x3f);
  }
  bool surrogate = character >= 0xd800 && character < 0xe000;
  return character < least[len] || surrogate || character > 0x10ffff ? 0 : len;
}

bool slice_utf8(struct slice s) {
  while (s.len > 0) {
    size_t len = utf8_character(s);
    if (len == 0) {
      return false;
    }
    s = slice_from(s, len);
  }
  return true;
}

bool slice_u64(struct slice s, uint64_t *out) {
  uint64_t value = 0;
  if (s.len == 0) {
    return false;
  }
  for (size_t i = 0; i < s.len; i++) {
    if (s.ptr[i] < '0' || s.ptr[i] > '9') {
      return false;
    }
    if (__builtin_mul_overflow(value, 10, &value) ||
        __builtin_add_overflow(value, (uint64_t)(s.ptr[i] - '0'), &value)) {
      return false;
    }
  }
  *out = value;
  return true;
}
