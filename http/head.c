/*
 * The lines of a head. llhttp 8.1.0 takes a bare CR for a line end (CVE-2023-30589) and joins
 * folded lines; behind a proxy that reads them otherwise, either smuggles a request. It also takes
 * RTSP and ICE for HTTP. So the lines are looked at first, in whatever cuts they come.
 */
#include "http/internal.h"

/* Keeps the last bytes of the request line, which may come in any cuts. */
static void keep_tail(struct http_exchange *x, const char *bytes, size_t len) {
  const size_t room = sizeof x->line_tail;
  if (len >= room) {
    memcpy(x->line_tail, bytes + len - room, room);
  } else {
    memmove(x->line_tail, x->line_tail + len, room - len);
    memcpy(x->line_tail + room - len, bytes, len);
  }
}

static int check_version(struct http_exchange *x) {
  struct slice version = slice_of(x->line_tail, sizeof x->line_tail);
  if (slice_equal(version, SLICE("HTTP/1.1")) || slice_equal(version, SLICE("HTTP/1.0"))) {
    return 0;
  }
  return slice_starts(version, SLICE("HTTP/"))
             ? request_refuse(x, 505, "only HTTP/1.1 and HTTP/1.0 are spoken")
             : request_refuse(x, 400, "the request line does not end in an HTTP version");
}

/* The first byte that is a CR or one of the control characters below it, or the end. Eight at a
 * time, for every byte of every head goes through here. */
static const char *skip_plain(const char *p, const char *end) {
  const uint64_t ones = UINT64_C(0x0101010101010101);
  for (; end - p >= 8; p += 8) {
    uint64_t word;
    memcpy(&word, p, sizeof word);
    /* Below 14 it borrows its own high bit; a byte that has that bit set anyway does not count. */
    if (((word - ones * ('\r' + 1)) & ~word & ones * 0x80) != 0) {
      break;
    }
  }
  while (p < end && (unsigned char)*p > '\r') {
    p++;
  }
  return p;
}

size_t head_scan(struct http_exchange *x, struct slice bytes, bool *ended) {
  const size_t max = x->connection->server->limits.head_max;
  const char *p = bytes.ptr;
  const char *end = bytes.ptr + bytes.len;
  bool cut = bytes.len > max - x->head_size;
  if (cut) {
    end = bytes.ptr + (max - x->head_size);
  }
  while (p < end) {
    const char *run = p;
    p = skip_plain(p, end);
    if (p > run) {
      if (x->carriage_return) {
        p = run;
        request_refuse(x, 400, "a CR without LF");
        break;
      }
      if (x->line_size == 0 && *run == ' ') {
        p = run;
        request_refuse(x, 400, "a line begins with white space");
        break;
      }
      if (x->lines == 0) {
        keep_tail(x, run, (size_t)(p - run));
      }
      x->line_size += (size_t)(p - run);
      continue;
    }
    if (x->carriage_return) {
      if (*p != '\n') {
        request_refuse(x, 400, "a CR without LF");
        break;
      }
      p++;
      x->carriage_return = false;
      if (x->line_size > 0) {
        x->lines++;
        x->line_size = 0;
      } else if (x->lines > 0) {
        *ended = true;
        break;
      }
    } else if (*p == '\r') {
      if (x->lines == 0 && x->line_size > 0 && check_version(x) != 0) {
        break;
      }
      x->carriage_return = true;
      p++;
    } else if (*p == '\t' && x->line_size > 0) {
      x->line_size++;
      p++;
    } else {
      request_refuse(x, 400,
                     *p == '\n'   ? "an LF without CR"
                     : *p == '\t' ? "a line begins with white space"
                                  : "a control character in the head");
      break;
    }
  }
  size_t used = (size_t)(p - bytes.ptr);
  if (cut && p == end && !*ended && x->refusal == 0) {
    request_refuse(x, 431, "the head is larger than is taken");
  }
  x->head_size += used;
  return used;
}
