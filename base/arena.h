/** Memory that is freed all at once: a request's, or that of one thing read. */
#pragma once

#include "base/slice.h"

#include <stdarg.h>

struct arena_block;

/** Embedded by its owner; `struct arena a = {0};` is an empty one. Not shared between threads. */
struct arena {
  struct arena_block *blocks; /**< newest first */
  size_t used;                /**< bytes taken of the newest block */
};

/**
 * \return \p size bytes aligned for any type, zeroed, valid until arena_reset() or arena_free();
 * NULL when there is no memory.
 */
void *arena_alloc(struct arena *a, size_t size);

/** A NUL-terminated copy of \p s; NULL when there is no memory. */
char *arena_copy(struct arena *a, struct slice s);

/** printf into the arena; a slice with a NULL pointer when there is no memory. */
struct slice arena_printf(struct arena *a, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** Frees everything but one block, which the next use takes up again. */
void arena_reset(struct arena *a);

/** Frees everything; the arena is empty and can be used again. */
void arena_free(struct arena *a);
