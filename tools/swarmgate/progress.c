#include "progress.h"

#include "base/clock.h"
#include "base/units.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { TERMINAL_EVERY_MS = 100, PLAIN_EVERY_MS = 5000, BAR_WIDTH = 24 };

void progress_start(struct progress *p, const char *label, uint64_t total) {
  uint64_t now = clock_monotonic_ms();
  *p = (struct progress){.label = label,
                         .total = total,
                         .started = now,
                         .shown = now,
                         .terminal = isatty(STDERR_FILENO) == 1};
}

static void draw(const struct progress *p, uint64_t now) {
  char done[UNITS_TEXT_MAX];
  char total[UNITS_TEXT_MAX];
  char rate_text[UNITS_TEXT_MAX];
  char left[UNITS_TEXT_MAX];
  char bar[BAR_WIDTH + 1];
  uint64_t elapsed = now > p->started ? now - p->started : 1;
  uint64_t rate = p->done * 1000 / elapsed;
  double share = p->total == 0 ? 1 : (double)p->done / (double)p->total;
  size_t filled = (size_t)(share * BAR_WIDTH);
  memset(bar, '.', BAR_WIDTH);
  memset(bar, '#', filled > BAR_WIDTH ? BAR_WIDTH : filled);
  bar[BAR_WIDTH] = '\0';
  units_print_size(p->done, done);
  units_print_size(p->total, total);
  units_print_size(rate, rate_text);
  units_print_duration(rate == 0 ? 0 : (p->total - p->done) / rate, left);
  if (p->terminal) {
    fprintf(stderr, "\r\x1b[K%.28s [%s] %3.0f%%  %s of %s  %s/s  %s left", p->label, bar,
            100 * share, done, total, rate_text, left);
  } else {
    fprintf(stderr, "%s: %s of %s, %s/s, %s left\n", p->label, done, total, rate_text, left);
  }
}

void progress_add(struct progress *p, uint64_t bytes) {
  uint64_t now = clock_monotonic_ms();
  p->done += bytes;
  if (now - p->shown >= (p->terminal ? TERMINAL_EVERY_MS : PLAIN_EVERY_MS)) {
    p->shown = now;
    draw(p, now);
  }
}

void progress_end(struct progress *p) {
  if (p->terminal) {
    fputs("\r\x1b[K", stderr);
  }
}
