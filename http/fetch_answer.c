#include "http/fetch_answer.h"

static bool count_bytes(struct http_fetch_answer *a, struct slice line) {
  a->bytes += line.len;
  return a->bytes <= HTTP_ANSWER_HEAD_MAX;
}

static const char *take_field(struct http_fetch_answer *a, struct slice line) {
  if (a->fields == NULL) {
    return "the answer begins with no status line";
  }
  if (a->count == HTTP_ANSWER_FIELDS_MAX) {
    return "the answer has too many header fields";
  }
  struct slice value = line;
  struct slice name = slice_cut(&value, ':');
  /* A line that begins with a blank would be a folded value (RFC 9112, section 5.2). */
  if (value.ptr == NULL || name.len == 0 || name.ptr[0] == ' ' || name.ptr[0] == '\t') {
    return "the answer has a header line that is no field";
  }
  value = slice_trim(value);
  const char *name_copy = arena_copy(&a->arena, name);
  const char *value_copy = arena_copy(&a->arena, value);
  if (name_copy == NULL || value_copy == NULL) {
    return "no memory for the answer's head";
  }
  a->fields[a->count++] =
      (struct http_field){slice_of(name_copy, name.len), slice_of(value_copy, value.len)};
  return NULL;
}

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

/* RFC 9112, section 4; the blank behind the status is often left out with the reason. libcurl takes
 * what only begins with `HTTP/` for a 200, which would be a yes where nobody has said so. */
static bool is_status_line(struct slice line) {
  const char *p = line.ptr;
  return line.len >= sizeof "HTTP/1.1 200" - 1 && slice_starts(line, SLICE("HTTP/1.")) &&
         is_digit(p[7]) && p[8] == ' ' && is_digit(p[9]) && is_digit(p[10]) && is_digit(p[11]) &&
         (line.len == sizeof "HTTP/1.1 200" - 1 || p[12] == ' ');
}

const char *fetch_answer_line(struct http_fetch_answer *a, struct slice line) {
  if (!count_bytes(a, line)) {
    return "the head of the answer is too large";
  }
  while (line.len > 0 && (line.ptr[line.len - 1] == '\n' || line.ptr[line.len - 1] == '\r')) {
    line.len--;
  }
  if (line.len == 0) {
    return NULL;
  }
  if (!slice_starts(line, SLICE("HTTP/"))) {
    return take_field(a, line);
  }
  if (!is_status_line(line)) {
    return "the answer begins with no status line of HTTP/1";
  }
  arena_reset(&a->arena);
  a->count = 0;
  a->fields = arena_alloc(&a->arena, HTTP_ANSWER_FIELDS_MAX * sizeof *a->fields);
  return a->fields == NULL ? "no memory for the answer's head" : NULL;
}

const char *fetch_answer_trailer(struct http_fetch_answer *a, struct slice line) {
  return count_bytes(a, line) ? NULL : "the trailers of the answer are too large";
}

int http_fetch_status(const struct http_fetch_answer *a) {
  return a->status;
}

struct slice http_fetch_field_at(const struct http_fetch_answer *a, struct slice name,
                                 size_t index) {
  for (size_t i = 0; i < a->count; i++) {
    if (slice_equal_nocase(a->fields[i].name, name) && index-- == 0) {
      return a->fields[i].value;
    }
  }
  return (struct slice){0};
}

struct slice http_fetch_field(const struct http_fetch_answer *a, struct slice name) {
  return http_fetch_field_at(a, name, 0);
}

bool http_fetch_length(const struct http_fetch_answer *a, uint64_t *length) {
  return http_fetch_field(a, SLICE("Transfer-Encoding")).ptr == NULL &&
         http_fetch_field_at(a, SLICE("Content-Length"), 1).ptr == NULL &&
         slice_u64(http_fetch_field(a, SLICE("Content-Length")), length);
}
