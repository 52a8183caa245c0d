/**
 * Progress of a long command on standard error: a bar with bytes, rate and time left on a terminal,
 * no wider than it is; a plain line now and then elsewhere.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/** Embedded by its owner; made by progress_start(). */
struct progress {
  const char *label;
  uint64_t total, done;    /**< bytes */
  uint64_t started, shown; /**< monotonic milliseconds */
  bool terminal;
  const char *note; /**< shown behind the figures, such as of peers; NULL: nothing */
};

/** \param label names what is worked on; outlives the progress. */
void progress_start(struct progress *p, const char *label, uint64_t total);
/** \p bytes more are done. Cheap: it draws ten times a second at most. */
void progress_add(struct progress *p, uint64_t bytes);
/** \p done bytes are done in all; as cheap. */
void progress_set(struct progress *p, uint64_t done);
/** Leaves a terminal's line clean again; call it before anything else is printed. */
void progress_end(struct progress *p);
