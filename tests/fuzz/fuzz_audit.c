// LINKS db base PkgConfig::JANSSON
/* A line of the audit log, of any bytes: one that is an event has a time, and is printed as one
 * line that does nothing to a terminal; what the writer makes of its members is read again. */
#include "base/rfc3339.h"
#include "db/audit_event.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
  if (!holds) {
    abort();
  }
}

static void print(json_t *event) {
  struct buf out = {0};
  audit_event_print(event, &out);
  check(!out.failed && out.len > RFC3339_TEXT_MAX && out.ptr[out.len - 1] == '\n');
  for (struct slice rest = slice_of(out.ptr, out.len - 1); rest.len > 0;
       rest = slice_from(rest, 1)) {
    check(slice_control(rest) == 0);
  }
  buf_free(&out);
}

static struct slice text_of(const json_t *event, const char *name) {
  const json_t *value = json_object_get(event, name);
  return slice_of(json_string_value(value), json_string_length(value));
}

static void write_again(const json_t *read, int64_t ms) {
  struct slice list[] = {text_of(read, "jti"), text_of(read, "sub")};
  const struct audit_event event = {
      .event = text_of(read, "event"),
      .sub = text_of(read, "sub"),
      .who = text_of(read, "who"),
      .access = list,
      .access_count = 2,
      .exp = json_integer_value(json_object_get(read, "exp")),
  };
  struct buf out = {0};
  int64_t again;
  check(audit_event_append(&event, ms, &out, NULL) == 0);
  struct slice line = slice_of(out.ptr, out.len - 1);
  check(out.ptr[line.len] == '\n' && memchr(line.ptr, '\n', line.len) == NULL);
  check(audit_event_time(line, &again) && again == ms);
  json_t *back = audit_event_read(line);
  check(back != NULL && slice_equal(text_of(back, "event"), event.event) &&
        slice_equal(text_of(back, "sub"), event.sub) &&
        slice_equal(text_of(back, "who"), event.who) &&
        json_integer_value(json_object_get(back, "exp")) == event.exp);
  json_decref(back);
  buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct slice line = slice_of(data, size);
  int64_t ms;
  json_t *event = size >= AUDIT_LINE_MAX / 8 ? NULL : audit_event_read(line);
  if (event != NULL) {
    check(audit_event_time(line, &ms));
    print(event);
    write_again(event, ms);
    json_decref(event);
  }
  if (rfc3339_parse(line, &ms)) {
    char text[RFC3339_TEXT_MAX];
    int64_t again;
    rfc3339_print(ms, text);
    check(rfc3339_parse(slice_str(text), &again));
  }
  return 0;
}
