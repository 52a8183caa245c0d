/*
 * What comes from a registry comes in small pieces, off the page by the length of a head. Written
 * like that, the page cache keeps the file in single pages from all over the memory, and to send it
 * from there costs half as much again as from pages that lie side by side (docs/performance.md).
 */
#include "cache/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STEP = 256 * 1024 }; /* bytes: larger ones gain little, and who writes holds one */

struct steps {
  int fd;
  uint64_t at; /* where the first of the bytes that wait belongs */
  size_t len;
  char waiting[];
};

struct steps *steps_new(int fd, uint64_t at, uint64_t length) {
  struct steps *s = malloc(sizeof *s + (length < STEP ? (size_t)length : STEP));
  if (s != NULL) {
    s->fd = fd;
    s->at = at;
    s->len = 0;
  }
  return s;
}

int steps_flush(struct steps *s) {
  size_t done = 0;
  while (done < s->len) {
    ssize_t n = pwrite(s->fd, s->waiting + done, s->len - done, (off_t)(s->at + done));
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n <= 0) {
      return n < 0 ? errno : ENOSPC;
    }
    done += (size_t)n;
  }
  s->at += done;
  s->len = 0;
  return 0;
}

int steps_add(struct steps *s, struct slice bytes) {
  int failed = 0;
  while (bytes.len > 0 && failed == 0) {
    size_t room = STEP - (size_t)((s->at + s->len) % STEP);
    size_t n = bytes.len < room ? bytes.len : room;
    memcpy(s->waiting + s->len, bytes.ptr, n);
    s->len += n;
    bytes = slice_from(bytes, n);
    failed = n == room ? steps_flush(s) : 0;
  }
  return failed;
}
