#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

char *buf_reserve(struct buf *b, size_t more) {
  size_t need;
  if (b->failed || __builtin_add_overflow(b->len, more, &need) ||
      (b->limit != 0 && need > b->limit)) {
    b->failed = true;
    return NULL;
  }
  if (need > b->cap) {
    size_t cap = b->cap < 128 ? 256 : b->cap * 2;
    cap = cap < need ? need : cap;
    char *grown = realloc(b->ptr, cap);
    if (grown == NULL) {
      b->failed = true;
      return NULL;
    }
    b->ptr = grown;
    b->cap = cap;
  }
  return b->ptr + b->len;
}

void buf_append(struct buf *b, const void *data, size_t len) {
  char *at = len == 0 ? NULL : buf_reserve(b, len);
  if (at != NULL) {
    memcpy(at, data, len);
    b->len += len;
  }
}

void buf_slice(struct buf *b, struct slice s) {
  buf_append(b, s.ptr, s.len);
}

void buf_str(struct buf *b, const char *text) {
  buf_append(b, text, strlen(text));
}

void buf_printf(struct buf *b, const char *format, ...) {
  va_list args;
  va_start(args, format);
  int len = vsnprintf(NULL, 0, format, args);
  va_end(args);
  char *at = len < 0 ? NULL : buf_reserve(b, (size_t)len + 1);
  if (at != NULL) {
    va_start(args, format);
    vsnprintf(at, (size_t)len + 1, format, args);
    va_end(args);
    b->len += (size_t)len;
  }
}

void buf_consume(struct buf *b, size_t n) {
  if (n >= b->len) {
    b->len = 0;
  } else {
    memmove(b->ptr, b->ptr + n, b->len - n);
    b->len -= n;
  }
}

void buf_free(struct buf *b) {
  free(b->ptr);
  *b = (struct buf){.limit = b->limit};
}
