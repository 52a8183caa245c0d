#include "base/arena.h"

#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>

enum { BLOCK_SIZE = 4096 };

struct arena_block {
  struct arena_block *next;
  size_t size; /* of bytes[] */
  alignas(max_align_t) unsigned char bytes[];
};

void *arena_alloc(struct arena *a, size_t size) {
  const size_t align = alignof(max_align_t);
  if (size > SIZE_MAX / 2) {
    return NULL;
  }
  size = (size + align - 1) / align * align;
  if (a->blocks == NULL || a->blocks->size - a->used < size) {
    size_t room = size > BLOCK_SIZE ? size : BLOCK_SIZE;
    struct arena_block *block = malloc(sizeof *block + room);
    if (block == NULL) {
      return NULL;
    }
    block->size = room;
    block->next = a->blocks;
    a->blocks = block;
    a->used = 0;
  }
  void *p = a->blocks->bytes + a->used;
  a->used += size;
  memset(p, 0, size);
  return p;
}

char *arena_copy(struct arena *a, struct slice s) {
  char *p = arena_alloc(a, s.len + 1);
  if (p != NULL && s.len > 0) {
    memcpy(p, s.ptr, s.len);
  }
  return p;
}

struct slice arena_printf(struct arena *a, const char *format, ...) {
  va_list args;
  va_start(args, format);
  int len = vsnprintf(NULL, 0, format, args);
  va_end(args);
  char *p = len < 0 ? NULL : arena_alloc(a, (size_t)len + 1);
  if (p == NULL) {
    return (struct slice){NULL, 0};
  }
  va_start(args, format);
  vsnprintf(p, (size_t)len + 1, format, args);
  va_end(args);
  return slice_of(p, (size_t)len);
}

static void free_blocks(struct arena_block *block) {
  while (block != NULL) {
    struct arena_block *next = block->next;
    free(block);
    block = next;
  }
}

void arena_reset(struct arena *a) {
  /* A block made for one large thing is not kept: the owner may live long. */
  if (a->blocks != NULL && a->blocks->size == BLOCK_SIZE) {
    free_blocks(a->blocks->next);
    a->blocks->next = NULL;
    a->used = 0;
  } else {
    arena_free(a);
  }
}

void arena_free(struct arena *a) {
  free_blocks(a->blocks);
  *a = (struct arena){0};
}
