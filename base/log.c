#include "base/log.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/rfc3339.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

enum { LOG_MESSAGE_MAX = 2048 }; /* bytes with the NUL; the rest is cut off */

static void append_text(struct buf *line, struct slice message) {
  while (message.len > 0) {
    size_t control = slice_control(message);
    buf_append(line, control > 0 ? "?" : message.ptr, 1);
    message = slice_from(message, control > 0 ? control : 1);
  }
}

static void append_json(struct buf *line, const char *message) {
  for (const char *p = message; *p != '\0'; p++) {
    if (*p == '"' || *p == '\\') {
      buf_printf(line, "\\%c", *p);
    } else if ((unsigned char)*p < 0x20 || (unsigned char)*p >= 0x7f) {
      /* Bytes beyond ASCII may be no UTF-8; as Latin-1 they stay valid JSON whatever they are. */
      buf_printf(line, "\\u%04x", (unsigned)(unsigned char)*p);
    } else {
      buf_append(line, p, 1);
    }
  }
}

void log_write(const struct log *log, enum log_level level, const char *format, ...) {
  static const char names[][6] = {"error", "warn", "info", "debug"};
  if (level > log->level) {
    return;
  }
  char message[LOG_MESSAGE_MAX];
  va_list args;
  va_start(args, format);
  vsnprintf(message, sizeof message, format, args);
  va_end(args);

  char when[RFC3339_TEXT_MAX];
  rfc3339_print(clock_now_ms(), when);

  struct buf line = {0};
  if (log->json) {
    buf_printf(&line, "{\"time\":\"%s\",\"level\":\"%s\",\"message\":\"", when, names[level]);
    append_json(&line, message);
    buf_str(&line, "\"}\n");
  } else {
    buf_printf(&line, "%s %s ", when, names[level]);
    append_text(&line, slice_str(message));
    buf_str(&line, "\n");
  }
  /* Nobody is left to be told when standard error is gone. */
  ssize_t ignored = line.failed ? 0 : write(STDERR_FILENO, line.ptr, line.len);
  (void)ignored;
  buf_free(&line);
}
