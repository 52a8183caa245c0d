/**
 * Progress of a long command on standard error: a bar with bytes, rate and time left on a terminal,
 * no wider than it is, with a row for each part above it; a plain line now and then elsewhere.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** A part of what is worked on, such as a layer. */
struct progress_row {
  const char *label;
  uint64_t done, total; /**< bytes */
};

/** What makes a word one of several: `s`, but for a single one nothing. */
static inline const char *progress_plural(uint64_t count) {
  return count == 1 ? "" : "s";
}

/** Embedded by its owner; made by progress_start(). */
struct progress {
  const char *label;
  uint64_t total, done; /**< bytes */
  uint64_t found;       /**< of these, what was there before: neither rate nor time left is of it */
  uint64_t shown;       /**< monotonic milliseconds, as is: */
  uint64_t measured_at; /**< when \ref measured bytes had come */
  uint64_t measured, rate;
  bool terminal;
  size_t drawn;     /**< rows that are on the terminal now */
  const char *note; /**< shown behind the figures, such as of peers; NULL: nothing */
  /** Shown on a terminal, those that are not done where there is no room for all. */
  const struct progress_row *rows;
  size_t row_count;
};

/** \param label names what is worked on; outlives the progress. */
void progress_start(struct progress *p, const char *label, uint64_t total);
/** \p bytes more are done. Cheap: it draws ten times a second at most. */
void progress_add(struct progress *p, uint64_t bytes);
/** \p done bytes are done in all, of which \ref found were there before; as cheap. */
void progress_set(struct progress *p, uint64_t done);
/** Says what is done before there is anything to measure: in the place of the bar on a terminal, on
 *  a line of its own elsewhere. */
void progress_say(struct progress *p, const char *what);
/** Leaves a terminal's lines clean again; call it before anything else is printed. */
void progress_end(struct progress *p);
