#include "gateway/refusals.h"

#include "base/address.h"
#include "base/clock.h"
#include "gateway/guesses.h"
#include "gateway/memo.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
  PLACES = 1024,  /* addresses that are counted; then the one that came in first goes */
  LINE_MAX = 2048 /* bytes, as many as the log takes; `what` and an address are far less */
};

struct refusals {
  const struct log *log;
  struct memo *places; /* lines of the window, by address */
  pthread_mutex_t lock;
  uint64_t window; /* its number */
  unsigned written;
  uint64_t left_out;
};

struct refusals *refusals_new(const struct log *log, struct error *e) {
  struct refusals *r = calloc(1, sizeof *r);
  if (r == NULL) {
    error_set(e, ERROR_FAILED, "cannot log refusals: out of memory");
    return NULL;
  }
  r->log = log;
  r->places = memo_new(PLACES, e);
  if (r->places == NULL) {
    free(r);
    return NULL;
  }
  pthread_mutex_init(&r->lock, NULL);
  return r;
}

void refusals_free(struct refusals *r) {
  if (r != NULL) {
    pthread_mutex_destroy(&r->lock);
    memo_free(r->places);
    free(r);
  }
}

/* Under the lock. */
static bool has_room(struct refusals *r, const struct sockaddr *from, uint64_t now) {
  struct guesses_place place = guesses_place(from);
  const struct slice bytes = slice_of(place.bytes, sizeof place.bytes);
  struct memo_key key;
  uint64_t count = 0;
  if (r->window != now / REFUSALS_WINDOW_MS) {
    r->window = now / REFUSALS_WINDOW_MS;
    r->written = 0;
  }
  memo_about(r->places, &bytes, 1, &key);
  if (r->written == REFUSALS_MAX ||
      (memo_find(r->places, &key, now, &count) && count == REFUSALS_PLACE_MAX)) {
    return false;
  }
  r->written++;
  memo_keep(r->places, &key, (r->window + 1) * REFUSALS_WINDOW_MS, count + 1);
  return true;
}

bool refusals_due(struct refusals *r, const struct sockaddr *from, uint64_t now,
                  uint64_t *left_out) {
  pthread_mutex_lock(&r->lock);
  bool due = has_room(r, from, now);
  *left_out = r->left_out;
  r->left_out = due ? 0 : r->left_out + 1;
  pthread_mutex_unlock(&r->lock);
  return due;
}

static void write_line(struct refusals *r, enum log_level level, const struct sockaddr *from,
                       const char *text) {
  char others[64] = "";
  uint64_t left_out;
  bool due = refusals_due(r, from, clock_monotonic_ms(), &left_out);
  if (due && left_out > 0) {
    snprintf(others, sizeof others, "; before it %" PRIu64 " such lines were not logged", left_out);
  }
  log_write(r->log, due ? level : LOG_LEVEL_DEBUG, "%s%s", text, others);
}

void refusals_log(struct refusals *r, const struct sockaddr *from, const char *what,
                  const char *more, ...) {
  char address[ADDRESS_TEXT_MAX];
  char text[LINE_MAX];
  va_list args;
  address_print(from, address);
  int len = snprintf(text, sizeof text, "%s for %s", what, address);
  va_start(args, more);
  vsnprintf(text + len, sizeof text - (size_t)len, more, args);
  va_end(args);
  write_line(r, LOG_LEVEL_INFO, from, text);
}

void refusals_warn(struct refusals *r, const struct sockaddr *from, const char *format, ...) {
  char text[LINE_MAX];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  write_line(r, LOG_LEVEL_WARN, from, text);
}
