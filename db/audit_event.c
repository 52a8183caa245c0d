#include "db/audit_event.h"

#include "base/rfc3339.h"

#define BEGIN "{\"time\":\""

enum { TIME_LENGTH = RFC3339_TEXT_MAX - 1 };

/* What cannot be added becomes NULL, and so does all. */
static json_t *add(json_t *object, const char *name, json_t *value) {
  if (object == NULL) {
    json_decref(value);
    return NULL;
  }
  if (json_object_set_new(object, name, value) != 0) {
    json_decref(object);
    return NULL;
  }
  return object;
}

static json_t *text_of(struct slice s) {
  return json_stringn(s.len == 0 ? "" : s.ptr, s.len);
}

static json_t *add_text(json_t *object, const char *name, struct slice text) {
  return text.len == 0 ? object : add(object, name, text_of(text));
}

static json_t *add_number(json_t *object, const char *name, int64_t number) {
  return number == 0 ? object : add(object, name, json_integer(number));
}

static json_t *add_list(json_t *object, const char *name, const struct slice *texts, size_t count) {
  if (count == 0) {
    return object;
  }
  json_t *list = json_array();
  for (size_t i = 0; i < count; i++) {
    if (json_array_append_new(list, text_of(texts[i])) != 0) {
      json_decref(list);
      json_decref(object);
      return NULL;
    }
  }
  return add(object, name, list);
}

static json_t *object_of(const struct audit_event *event, const char *time) {
  json_t *o = add(json_object(), "time", json_string(time));
  o = add(o, "event", text_of(event->event));
  o = add_text(o, "action", event->action);
  o = add_text(o, "kind", event->kind);
  o = add_text(o, "jti", event->jti);
  o = add_text(o, "sub", event->sub);
  o = add_text(o, "registry", event->registry);
  o = add_text(o, "repository", event->repository);
  o = add_text(o, "digest", event->digest);
  o = add_list(o, "infohashes", event->infohashes, event->infohash_count);
  o = add_list(o, "access", event->access, event->access_count);
  o = add_list(o, "names", event->names, event->name_count);
  o = add_number(o, "exp", event->exp);
  o = add_number(o, "session", event->session);
  o = add_number(o, "until", event->until);
  o = add_text(o, "kid", event->kid);
  o = add_text(o, "user", event->user);
  o = add_text(o, "pattern", event->pattern);
  o = add_text(o, "from", event->from);
  return add_text(o, "who", event->who);
}

static int append_piece(const char *piece, size_t len, void *out) {
  buf_append(out, piece, len);
  return 0;
}

int audit_event_append(const struct audit_event *event, int64_t now_ms, struct buf *out,
                       struct error *e) {
  char time[RFC3339_TEXT_MAX];
  size_t before = out->len;
  rfc3339_print(now_ms, time);
  json_t *object = object_of(event, time);
  int failed = object == NULL ? -1
                              : json_dump_callback(object, append_piece, out,
                                                   JSON_COMPACT | JSON_ENSURE_ASCII);
  json_decref(object);
  buf_str(out, "\n");
  if (failed == 0 && !out->failed && out->len - before <= AUDIT_LINE_MAX) {
    return 0;
  }
  bool memory = out->failed;
  size_t len = out->len - before;
  out->len = before;
  return memory        ? error_set(e, ERROR_FAILED, "cannot record an event: out of memory")
         : failed != 0 ? error_set(e, ERROR_FAILED,
                                   "cannot record an event: its text is not UTF-8, or there is no "
                                   "memory")
                       : error_set(e, ERROR_FAILED,
                                   "cannot record an event: it has %zu bytes, and may have %d", len,
                                   AUDIT_LINE_MAX);
}

bool audit_event_time(struct slice line, int64_t *ms) {
  struct slice rest = slice_from(line, sizeof BEGIN - 1);
  return slice_starts(line, SLICE(BEGIN)) && rest.len > TIME_LENGTH &&
         rest.ptr[TIME_LENGTH] == '"' && rfc3339_parse(slice_of(rest.ptr, TIME_LENGTH), ms);
}

json_t *audit_event_read(struct slice line) {
  int64_t ignored;
  /* jansson passes over a NUL behind a number. */
  if (!audit_event_time(line, &ignored) || memchr(line.ptr, '\0', line.len) != NULL) {
    return NULL;
  }
  json_t *object = json_loadb(line.ptr, line.len, JSON_REJECT_DUPLICATES, NULL);
  if (!json_is_string(json_object_get(object, "event"))) {
    json_decref(object);
    return NULL;
  }
  return object;
}

/* What needs no quotes: no control character, and nothing that would end it. */
static bool is_plain(struct slice text) {
  for (struct slice rest = text; rest.len > 0; rest = slice_from(rest, 1)) {
    if (slice_control(rest) > 0 || strchr(" \"\\,=", rest.ptr[0]) != NULL) {
      return false;
    }
  }
  return text.len > 0;
}

/* As JSON, with what jansson leaves of control characters escaped too. */
static void print_json(const json_t *value, struct buf *out) {
  size_t before = out->len;
  if (json_dump_callback(value, append_piece, out,
                         JSON_COMPACT | JSON_ENSURE_ASCII | JSON_ENCODE_ANY) != 0) {
    out->failed = true;
  }
  for (size_t i = before; i < out->len; i++) {
    out->ptr[i] = out->ptr[i] == 0x7f ? '?' : out->ptr[i];
  }
}

static void print_value(const json_t *value, struct buf *out) {
  struct slice text = slice_of(json_string_value(value), json_string_length(value));
  if (json_is_string(value) && is_plain(text)) {
    buf_slice(out, text);
  } else {
    print_json(value, out);
  }
}

static void print_list(const json_t *list, struct buf *out) {
  for (size_t i = 0; i < json_array_size(list); i++) {
    buf_str(out, i == 0 ? "" : ",");
    print_value(json_array_get(list, i), out);
  }
}

static void print_member(const char *name, const json_t *value, struct buf *out) {
  char time[RFC3339_TEXT_MAX];
  json_int_t number = json_integer_value(value);
  bool is_time =
      strcmp(name, "exp") == 0 || strcmp(name, "session") == 0 || strcmp(name, "until") == 0;
  buf_str(out, " ");
  json_t *text = json_string(name);
  print_value(text, out);
  json_decref(text);
  buf_str(out, "=");
  if (is_time && number > 0 && number <= INT64_MAX / 1000) {
    rfc3339_print(number * 1000, time);
    buf_append(out, time, sizeof "2026-02-03T04:05:06" - 1);
    buf_str(out, "Z");
  } else if (json_is_array(value)) {
    print_list(value, out);
  } else {
    print_value(value, out);
  }
}

void audit_event_print(json_t *event, struct buf *out) {
  const char *name;
  json_t *value;
  print_value(json_object_get(event, "time"), out);
  buf_str(out, " ");
  print_value(json_object_get(event, "event"), out);
  json_object_foreach(event, name, value) {
    if (strcmp(name, "time") != 0 && strcmp(name, "event") != 0) {
      print_member(name, value, out);
    }
  }
  buf_str(out, "\n");
}
