#include "base/units.h"

#include <stdio.h>

struct unit {
  struct slice name;
  uint64_t factor;
};

/* Splits `64KiB` into number and unit and multiplies; the result is at most `max`. */
static bool scaled(struct slice text, const struct unit *units, size_t count, uint64_t max,
                   uint64_t *out) {
  size_t digits = 0;
  while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9') {
    digits++;
  }
  uint64_t value;
  if (!slice_u64(slice_of(text.ptr, digits), &value)) {
    return false;
  }
  struct slice suffix = slice_from(text, digits);
  for (size_t i = 0; i < count; i++) {
    if (slice_equal(suffix, units[i].name)) {
      if (__builtin_mul_overflow(value, units[i].factor, &value) || value > max) {
        return false;
      }
      *out = value;
      return true;
    }
  }
  return false;
}

bool units_size(struct slice text, uint64_t *bytes) {
  static const struct unit units[] = {
      {{"", 0}, 1},
      {{"B", 1}, 1},
      {{"KiB", 3}, 1ULL << 10},
      {{"MiB", 3}, 1ULL << 20},
      {{"GiB", 3}, 1ULL << 30},
      {{"TiB", 3}, 1ULL << 40},
  };
  return scaled(text, units, sizeof units / sizeof *units, INT64_MAX, bytes);
}

bool units_duration(struct slice text, uint64_t *milliseconds) {
  static const struct unit units[] = {
      {{"ms", 2}, 1},      {{"s", 1}, 1000},     {{"m", 1}, 60000},
      {{"h", 1}, 3600000}, {{"d", 1}, 86400000},
  };
  if (slice_equal(text, SLICE("0"))) {
    *milliseconds = 0;
    return true;
  }
  const uint64_t century = 36525ULL * 24 * 3600000;
  return scaled(text, units, sizeof units / sizeof *units, century, milliseconds);
}

void units_print_size(uint64_t bytes, char out[UNITS_TEXT_MAX]) {
  static const char names[][4] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  size_t unit = 0;
  double value = (double)bytes;
  while (value >= 1024 && unit + 1 < sizeof names / sizeof *names) {
    value /= 1024;
    unit++;
  }
  snprintf(out, UNITS_TEXT_MAX, unit == 0 || value >= 100 ? "%.0f %s" : "%.1f %s", value,
           names[unit]);
}

void units_print_duration(uint64_t seconds, char out[UNITS_TEXT_MAX]) {
  unsigned long long s = seconds;
  if (s < 60) {
    snprintf(out, UNITS_TEXT_MAX, "%llus", s);
  } else if (s < 3600) {
    snprintf(out, UNITS_TEXT_MAX, "%llum%02llus", s / 60, s % 60);
  } else {
    snprintf(out, UNITS_TEXT_MAX, "%lluh%02llum", s / 3600, s / 60 % 60);
  }
}
