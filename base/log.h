/** Log lines on standard error, one event a line, as text or JSON. Never a token, never a secret.
 */
#pragma once

#include <stdbool.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/** Passed to whoever logs; read-only after it is made, so that threads may share it. */
struct log {
  enum log_level level; /**< what is less urgent than this is left out */
  bool json; /**< a JSON object a line with `time`, `level`, `message`; else plain text */
};

/**
 * Writes one line with one write(2), so that lines of several threads do not mix. Control
 * characters are escaped (JSON) or become `?` (text). A line longer than 2 KiB is cut.
 */
void log_write(const struct log *log, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
