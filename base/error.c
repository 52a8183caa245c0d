#include "base/error.h"

#include "base/slice.h"

#include <stdarg.h>
#include <stdio.h>

static void one_line(char *text) {
  size_t len = strlen(text);
  for (size_t i = 0; i < len; i++) {
    memset(text + i, '?', slice_control(slice_of(text + i, len - i)));
  }
}

int error_set(struct error *e, enum error_kind kind, const char *format, ...) {
  if (e != NULL) {
    va_list args;
    va_start(args, format);
    vsnprintf(e->text, sizeof e->text, format, args);
    va_end(args);
    one_line(e->text);
    e->kind = kind;
  }
  return -1;
}

int error_errno(struct error *e, int number, const char *format, ...) {
  if (e != NULL) {
    char why[128];
    va_list args;
    va_start(args, format);
    vsnprintf(e->text, sizeof e->text, format, args);
    va_end(args);
    size_t used = strlen(e->text);
    snprintf(e->text + used, sizeof e->text - used, ": %s", strerror_r(number, why, sizeof why));
    one_line(e->text);
    e->kind = ERROR_FAILED;
  }
  return -1;
}

int error_context(struct error *e, const char *format, ...) {
  if (e != NULL) {
    char old[ERROR_TEXT_MAX];
    memcpy(old, e->text, sizeof old);
    va_list args;
    va_start(args, format);
    vsnprintf(e->text, sizeof e->text, format, args);
    va_end(args);
    size_t used = strlen(e->text);
    snprintf(e->text + used, sizeof e->text - used, ": %s", old);
    one_line(e->text);
  }
  return -1;
}
