#include "progress.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/units.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum {
  TERMINAL_EVERY_MS = 100,
  PLAIN_EVERY_MS = 5000,
  MEASURE_EVERY_MS = 500,
  SMOOTH_MS = 3000,   /* what came so long ago hardly counts any more for the rate */
  LINE_MAX_LEN = 160, /* bytes; a wider terminal gets no longer line */
  COLUMNS_USUAL = 80,
  LINES_USUAL = 24,
  LABEL_MAX_LEN = 16,
  BAR_MIN = 4, /* a shorter one is left out */
  BAR_MAX = 24,
};

/* How the lines of one picture are laid out, so that they stand below each other. */
struct look {
  int width;
  int label; /* columns of it */
  int bar;   /* columns in its brackets; 0: there is none */
};

void progress_start(struct progress *p, const char *label, uint64_t total) {
  uint64_t now = clock_monotonic_ms();
  *p = (struct progress){.label = label,
                         .total = total,
                         .shown = now,
                         .measured_at = now,
                         .terminal = isatty(STDERR_FILENO) == 1};
}

/* --- how fast it is --- */

static void measure(struct progress *p, uint64_t now) {
  uint64_t came = p->done > p->found ? p->done - p->found : 0;
  uint64_t elapsed = now - p->measured_at;
  if (came < p->measured) { /* more was found than was known */
    p->measured = came;
  }
  if (elapsed < MEASURE_EVERY_MS) {
    return;
  }
  double rate = (double)(came - p->measured) * 1000 / (double)elapsed;
  double weight = p->rate == 0 ? 1 : (double)elapsed / (double)(elapsed + SMOOTH_MS);
  p->rate = (uint64_t)((double)p->rate + weight * (rate - (double)p->rate));
  p->measured = came;
  p->measured_at = now;
}

/* --- lines --- */

static struct winsize window(void) {
  struct winsize size = {0};
  bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0;
  size.ws_col = known && size.ws_col > 1 ? size.ws_col : COLUMNS_USUAL;
  size.ws_row = known && size.ws_row > 1 ? size.ws_row : LINES_USUAL;
  return size;
}

/* As much of a label as fits, never half a character. */
static int label_length(const char *label) {
  size_t n = strnlen(label, LABEL_MAX_LEN);
  while (n > 0 && ((unsigned char)label[n] >> 6) == 2) {
    n--;
  }
  return (int)n;
}

/* The bar takes what the figures leave of the line. */
static int bar_length(int width, int label, const char *figures) {
  int room = width - label - (int)strlen(figures) - (int)sizeof " []  100%  " + 1;
  return room < BAR_MIN ? 0 : room < BAR_MAX ? room : BAR_MAX;
}

/* On a narrow terminal the line is cut. */
static void add_line(struct buf *out, const struct look *look, const char *label, uint64_t done,
                     uint64_t total, const char *figures) {
  char bar[BAR_MAX + sizeof " []"] = "";
  char line[LINE_MAX_LEN];
  double share = total == 0 ? 1 : (double)done / (double)total;
  int filled = (int)(share * look->bar);
  if (look->bar > 0) {
    memset(bar, '.', (size_t)look->bar + 3);
    memset(bar + 2, '#', (size_t)(filled < look->bar ? filled : look->bar));
    bar[0] = ' ';
    bar[1] = '[';
    bar[look->bar + 2] = ']';
  }
  /* Rounded down: nothing is all there before it is. */
  snprintf(line, sizeof line, "%-*.*s%s  %3d%%  %s", look->label, label_length(label), label, bar,
           (int)(100 * share), figures);
  buf_printf(out, "%.*s", look->width, line);
}

/* Padded to the usual lengths, so that the lines keep theirs. \param note NULL: on a terminal that
 * has no room for more. */
static void print_figures(const struct progress *p, const char *note, char out[LINE_MAX_LEN]) {
  char done[UNITS_TEXT_MAX];
  char total[UNITS_TEXT_MAX];
  char rate[UNITS_TEXT_MAX];
  char left[UNITS_TEXT_MAX] = "?";
  units_print_size(p->done, done);
  units_print_size(p->total, total);
  units_print_size(p->rate, rate);
  uint64_t rest = p->total > p->done ? p->total - p->done : 0;
  if (p->rate > 0 || rest == 0) {
    units_print_duration(rest == 0 ? 0 : rest / p->rate, left);
  }
  if (note == NULL) {
    snprintf(out, LINE_MAX_LEN, "%8s of %s %s/s %s", done, total, rate, left);
  } else if (p->terminal) {
    snprintf(out, LINE_MAX_LEN, "%8s of %s  %8s/s  %s left%*s%s%s", done, total, rate, left,
             strlen(left) < 6 ? 6 - (int)strlen(left) : 0, "", note[0] == '\0' ? "" : "  ", note);
  } else {
    snprintf(out, LINE_MAX_LEN, "%s of %s, %s/s, %s left%s%s", done, total, rate, left,
             note[0] == '\0' ? "" : ", ", note);
  }
}

/* --- the terminal --- */

static void add_row(struct buf *out, const struct look *look, const struct progress_row *row) {
  char figures[LINE_MAX_LEN];
  char done[UNITS_TEXT_MAX];
  char total[UNITS_TEXT_MAX];
  units_print_size(row->done, done);
  units_print_size(row->total, total);
  snprintf(figures, sizeof figures, "%8s of %s", done, total);
  add_line(out, look, row->label, row->done, row->total, figures);
  buf_str(out, "\n");
}

/* What leaves the line of the sum, and one for the cursor. */
static size_t add_rows(struct buf *out, const struct look *look, const struct progress *p,
                       size_t room) {
  size_t added = 0;
  for (size_t i = 0; i < p->row_count && added < room; i++) {
    const struct progress_row *row = &p->rows[i];
    if (p->row_count <= room || row->done < row->total) {
      add_row(out, look, row);
      added++;
    }
  }
  return added;
}

/* To where the first line begins, with nothing behind it. */
static void add_home(struct buf *out, const struct progress *p) {
  buf_str(out, "\r");
  if (p->drawn > 0) {
    buf_printf(out, "\x1b[%zuA", p->drawn);
  }
  buf_str(out, "\x1b[J");
}

/* In one piece, so that nothing flickers. */
static void send(struct buf *out) {
  if (!out->failed) {
    fwrite(out->ptr, 1, out->len, stderr);
  }
  buf_free(out);
}

static const char *note_of(const struct progress *p) {
  return p->note == NULL ? "" : p->note;
}

static void draw_terminal(struct progress *p) {
  struct buf out = {0};
  char figures[LINE_MAX_LEN];
  struct winsize size = window();
  /* The last column stays free: some terminals wrap as soon as it is written. */
  struct look look = {.width = size.ws_col - 1, .label = label_length(p->label)};
  for (size_t i = 0; i < p->row_count; i++) {
    int len = label_length(p->rows[i].label);
    look.label = len > look.label ? len : look.label;
  }
  print_figures(p, note_of(p), figures);
  if (look.label + (int)sizeof "  100%  " - 1 + (int)strlen(figures) > look.width) {
    print_figures(p, NULL, figures);
  }
  look.bar = bar_length(look.width, look.label, figures);
  add_home(&out, p);
  p->drawn = add_rows(&out, &look, p, size.ws_row - 2);
  add_line(&out, &look, p->label, p->done, p->total, figures);
  send(&out);
}

static void draw(struct progress *p) {
  char figures[LINE_MAX_LEN];
  if (p->terminal) {
    draw_terminal(p);
  } else {
    print_figures(p, note_of(p), figures);
    fprintf(stderr, "%s: %s\n", p->label, figures);
  }
}

/* --- what is told --- */

void progress_add(struct progress *p, uint64_t bytes) {
  progress_set(p, p->done + bytes);
}

void progress_set(struct progress *p, uint64_t done) {
  uint64_t now = clock_monotonic_ms();
  p->done = done;
  measure(p, now);
  if (now - p->shown >= (p->terminal ? TERMINAL_EVERY_MS : PLAIN_EVERY_MS)) {
    p->shown = now;
    draw(p);
  }
}

void progress_say(struct progress *p, const char *what) {
  struct buf out = {0};
  if (!p->terminal) {
    fprintf(stderr, "%s\n", what);
    return;
  }
  add_home(&out, p);
  buf_printf(&out, "%.*s", window().ws_col - 1, what);
  send(&out);
  p->drawn = 0;
}

void progress_end(struct progress *p) {
  struct buf out = {0};
  if (p->terminal) {
    add_home(&out, p);
    send(&out);
    p->drawn = 0;
  }
}
