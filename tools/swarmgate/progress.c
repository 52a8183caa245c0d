#include "progress.h"

#include "base/clock.h"
#include "base/units.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum {
  TERMINAL_EVERY_MS = 100,
  PLAIN_EVERY_MS = 5000,
  LINE_MAX_LEN = 160, /* bytes; a wider terminal gets no longer line */
  COLUMNS_USUAL = 80,
  LABEL_MAX_LEN = 16,
  BAR_MIN = 4, /* a shorter one is left out */
  BAR_MAX = 24,
};

void progress_start(struct progress *p, const char *label, uint64_t total) {
  uint64_t now = clock_monotonic_ms();
  *p = (struct progress){.label = label,
                         .total = total,
                         .started = now,
                         .shown = now,
                         .terminal = isatty(STDERR_FILENO) == 1};
}

/* The last column stays free: some terminals wrap as soon as it is written. */
static int columns(void) {
  struct winsize size;
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1
                                                                         : COLUMNS_USUAL - 1;
}

/* As much of a label as fits, never half a character. */
static int label_length(const char *label) {
  size_t n = strnlen(label, LABEL_MAX_LEN);
  while (n > 0 && ((unsigned char)label[n] >> 6) == 2) {
    n--;
  }
  return (int)n;
}

/* The bar takes what the figures leave of the line; on a narrow terminal the line is cut. */
static void draw_bar(const char *label, double share, const char *figures) {
  char bar[BAR_MAX + 1] = "";
  char line[LINE_MAX_LEN];
  int width = columns();
  int label_len = label_length(label);
  int room = width - label_len - (int)strlen(figures) - (int)sizeof " []  100%  " + 1;
  if (room >= BAR_MIN) {
    int len = room < BAR_MAX ? room : BAR_MAX;
    int filled = (int)(share * len);
    memset(bar, '.', (size_t)len);
    memset(bar, '#', (size_t)(filled < len ? filled : len));
  }
  snprintf(line, sizeof line, bar[0] == '\0' ? "%.*s%s  %3.0f%%  %s" : "%.*s [%s]  %3.0f%%  %s",
           label_len, label, bar, 100 * share, figures);
  fprintf(stderr, "\r\x1b[K%.*s", width, line);
}

static void draw(const struct progress *p, uint64_t now) {
  char done[UNITS_TEXT_MAX];
  char total[UNITS_TEXT_MAX];
  char rate_text[UNITS_TEXT_MAX];
  char left[UNITS_TEXT_MAX];
  char figures[LINE_MAX_LEN];
  const char *note = p->note == NULL ? "" : p->note;
  const char *gap = p->note == NULL ? "" : "  ";
  uint64_t elapsed = now > p->started ? now - p->started : 1;
  uint64_t rate = p->done * 1000 / elapsed;
  units_print_size(p->done, done);
  units_print_size(p->total, total);
  units_print_size(rate, rate_text);
  if (rate == 0) {
    snprintf(left, sizeof left, "?");
  } else {
    units_print_duration((p->total - p->done) / rate, left);
  }
  if (p->terminal) {
    /* Padded to the usual lengths, so that the bar keeps its own. */
    snprintf(figures, sizeof figures, "%8s of %s  %8s/s  %s left%*s%s%s", done, total, rate_text,
             left, strlen(left) < 6 ? 6 - (int)strlen(left) : 0, "", gap, note);
    draw_bar(p->label, p->total == 0 ? 1 : (double)p->done / (double)p->total, figures);
  } else {
    fprintf(stderr, "%s: %s of %s, %s/s, %s left%s%s\n", p->label, done, total, rate_text, left,
            p->note == NULL ? "" : ", ", note);
  }
}

void progress_add(struct progress *p, uint64_t bytes) {
  progress_set(p, p->done + bytes);
}

void progress_set(struct progress *p, uint64_t done) {
  uint64_t now = clock_monotonic_ms();
  p->done = done;
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
