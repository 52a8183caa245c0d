/** A growing byte buffer whose failures stick until somebody asks. */
#pragma once

#include "base/slice.h"

/**
 * Embedded by its owner; `struct buf b = {0};` is empty. After a failed allocation, or growth
 * beyond \ref limit, `failed` is set and every further append does nothing: check once at the end.
 */
struct buf {
  char *ptr;    /**< owned, by malloc; not terminated */
  size_t len;   /**< bytes used */
  size_t cap;   /**< bytes allocated */
  size_t limit; /**< the most bytes it may hold; 0 means no bound */
  bool failed;
};

/** Room for \p more bytes at ptr + len; the caller adds to len what it wrote. NULL on failure. */
char *buf_reserve(struct buf *b, size_t more);

void buf_append(struct buf *b, const void *data, size_t len);
void buf_slice(struct buf *b, struct slice s);
void buf_str(struct buf *b, const char *text);
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** Takes \p n bytes off the front. */
void buf_consume(struct buf *b, size_t n);

static inline struct slice buf_view(const struct buf *b) {
  return slice_of(b->ptr, b->len);
}

/** Frees the bytes; the buffer is empty and can be used again. The limit stays. */
void buf_free(struct buf *b);
