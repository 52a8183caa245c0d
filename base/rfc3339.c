#include "base/rfc3339.h"

#include <stdio.h>
#include <time.h>

static const int64_t year_0 = -62167219200000, year_9999_end = 253402300799999;

void rfc3339_print(int64_t ms, char out[RFC3339_TEXT_MAX]) {
  ms = ms < year_0 ? year_0 : ms > year_9999_end ? year_9999_end : ms;
  unsigned fraction = (unsigned)((ms % 1000 + 1000) % 1000);
  time_t seconds = (ms - fraction) / 1000;
  struct tm utc;
  gmtime_r(&seconds, &utc);
  snprintf(out, RFC3339_TEXT_MAX, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ",
           (unsigned)(utc.tm_year + 1900) % 10000, (unsigned)(utc.tm_mon + 1) % 100,
           (unsigned)utc.tm_mday % 100, (unsigned)utc.tm_hour % 100, (unsigned)utc.tm_min % 100,
           (unsigned)utc.tm_sec % 100, fraction);
}

/* Takes exactly `digits` digits, whose number is at most `max`, off the front. */
static bool number(struct slice *rest, size_t digits, int max, int *out) {
  uint64_t value;
  if (rest->len < digits || !slice_u64(slice_of(rest->ptr, digits), &value) ||
      value > (uint64_t)max) {
    return false;
  }
  *out = (int)value;
  *rest = slice_from(*rest, digits);
  return true;
}

/* Takes one of these characters off the front. */
static bool one_of(struct slice *rest, const char *characters) {
  if (rest->len == 0 || rest->ptr[0] == '\0' || strchr(characters, rest->ptr[0]) == NULL) {
    return false;
  }
  *rest = slice_from(*rest, 1);
  return true;
}

static bool read_date(struct slice *rest, struct tm *t) {
  static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  if (!number(rest, 4, 9999, &t->tm_year) || !one_of(rest, "-") ||
      !number(rest, 2, 12, &t->tm_mon) || !one_of(rest, "-") || !number(rest, 2, 31, &t->tm_mday) ||
      t->tm_mon == 0 || t->tm_mday == 0) {
    return false;
  }
  bool leap = t->tm_year % 4 == 0 && (t->tm_year % 100 != 0 || t->tm_year % 400 == 0);
  t->tm_mon--;
  if (t->tm_mday > days[t->tm_mon] + (t->tm_mon == 1 && leap ? 1 : 0)) {
    return false;
  }
  t->tm_year -= 1900;
  return true;
}

/* `.` and digits, or nothing; one digit at least behind the dot. */
static bool read_fraction(struct slice *rest, int *ms) {
  *ms = 0;
  if (!one_of(rest, ".")) {
    return true;
  }
  int digit;
  int unit = 100;
  if (!number(rest, 1, 9, &digit)) {
    return false;
  }
  do {
    *ms += digit * unit;
    unit /= 10;
  } while (number(rest, 1, 9, &digit));
  return true;
}

static bool read_offset(struct slice *rest, int64_t *ms) {
  int hours;
  int minutes;
  *ms = 0;
  if (one_of(rest, "Zz")) {
    return true;
  }
  bool behind = rest->len > 0 && rest->ptr[0] == '-';
  if (!one_of(rest, "+-") || !number(rest, 2, 23, &hours) || !one_of(rest, ":") ||
      !number(rest, 2, 59, &minutes)) {
    return false;
  }
  *ms = INT64_C(60000) * (hours * 60 + minutes) * (behind ? -1 : 1);
  return true;
}

bool rfc3339_parse(struct slice text, int64_t *ms) {
  struct tm t = {0};
  int fraction;
  int64_t offset;
  if (!read_date(&text, &t) || !one_of(&text, "Tt") || !number(&text, 2, 23, &t.tm_hour) ||
      !one_of(&text, ":") || !number(&text, 2, 59, &t.tm_min) || !one_of(&text, ":") ||
      !number(&text, 2, 60, &t.tm_sec) || !read_fraction(&text, &fraction) ||
      !read_offset(&text, &offset) || text.len > 0) {
    return false;
  }
  *ms = (int64_t)timegm(&t) * 1000 + fraction - offset; /* a leap second is the next one */
  return true;
}
