#include "bencode/writer.h"

struct bencode_writer bencode_writer(void *out, size_t cap) {
  return (struct bencode_writer){.out = out, .cap = cap};
}

void bencode_write_raw(struct bencode_writer *w, struct slice bytes) {
  if (w->full || bytes.len > w->cap - w->len) {
    w->full = true;
  } else if (bytes.len > 0) {
    memcpy(w->out + w->len, bytes.ptr, bytes.len);
  }
  w->len += bytes.len;
}

/* `before`, unless NUL, the decimal, and `after`, in one piece. */
static void number(struct bencode_writer *w, char before, uint64_t value, char after) {
  char text[24];
  char *p = text + sizeof text;
  *--p = after;
  do {
    *--p = (char)('0' + value % 10);
    value /= 10;
  } while (value != 0);
  if (before != '\0') {
    *--p = before;
  }
  bencode_write_raw(w, slice_of(p, (size_t)(text + sizeof text - p)));
}

void bencode_write_integer(struct bencode_writer *w, int64_t value) {
  if (value < 0) {
    bencode_write_raw(w, SLICE("i"));
    number(w, '-', 0 - (uint64_t)value, 'e');
  } else {
    number(w, 'i', (uint64_t)value, 'e');
  }
}

void bencode_write_string_head(struct bencode_writer *w, size_t len) {
  number(w, '\0', len, ':');
}

void bencode_write_string(struct bencode_writer *w, struct slice s) {
  bencode_write_string_head(w, s.len);
  bencode_write_raw(w, s);
}

void bencode_write_dict(struct bencode_writer *w) {
  bencode_write_raw(w, SLICE("d"));
}

void bencode_write_list(struct bencode_writer *w) {
  bencode_write_raw(w, SLICE("l"));
}

void bencode_write_end(struct bencode_writer *w) {
  bencode_write_raw(w, SLICE("e"));
}
