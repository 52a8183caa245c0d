/** Cleanup attributes for what lives in one scope; gcc and clang have them. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(function) __attribute__((cleanup(function)))

static inline void cleanup_free(void *pointer) {
  free(*(void **)pointer);
}

static inline void cleanup_fd(const int *fd) {
  if (*fd >= 0) {
    close(*fd);
  }
}

static inline void cleanup_file(FILE **file) {
  if (*file != NULL) {
    fclose(*file);
  }
}

/** `CLEANUP_FREE char *p = …;` frees at the end of the scope. */
#define CLEANUP_FREE CLEANUP(cleanup_free)
/** `CLEANUP_FD int fd = …;` closes unless it is negative. */
#define CLEANUP_FD CLEANUP(cleanup_fd)
/** `CLEANUP_FILE FILE *f = …;` closes unless it is NULL. */
#define CLEANUP_FILE CLEANUP(cleanup_file)
