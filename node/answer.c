#include "node/answer.h"

#include "http/range.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

/* --- errors --- */

static void answer_error(struct http_exchange *x, int status, const char *code,
                         const struct http_field *more) {
  struct http_field fields[3] = {
      {SLICE("Content-Type"), SLICE("application/json")},
      {SLICE("Cache-Control"), SLICE("no-store")},
  };
  char body[160];
  int len = snprintf(body, sizeof body,
                     "{\"errors\":[{\"code\":\"%s\",\"message\":\"not from the agent; its log "
                     "says why\"}]}",
                     code);
  if (more != NULL) {
    fields[2] = *more;
  }
  http_answer(x, status, fields, more == NULL ? 2 : 3, slice_of(body, (size_t)len));
}

void answer_problem(struct http_exchange *x, int status, const char *code) {
  answer_error(x, status, code, NULL);
}

void answer_challenge(struct http_exchange *x) {
  const struct http_field challenge = {SLICE("WWW-Authenticate"),
                                       SLICE("Basic realm=\"swarmgate\"")};
  answer_error(x, 401, "UNAUTHORIZED", &challenge);
}

/* --- a blob --- */

/* In the exchange's arena. */
struct sending {
  struct http_exchange *x;
  struct stock *stock;
  const struct log *log;
  struct image *image; /* held */
  const struct offer_blob *blob;
  struct range range;
  uint64_t left; /* bytes that have not been given to the connection */
  bool started;
  struct stock_reader reader;
  int fd; /* -1 until there is something to send */
};

static void go_on(struct sending *s);

static void close_all(struct sending *s) {
  stock_end(s->stock, &s->reader);
  image_release(s->image);
  if (s->fd >= 0) {
    close(s->fd);
  }
}

static void on_abandoned(void *arg) {
  close_all(arg);
}

static void fail(struct sending *s, const char *why) {
  struct http_exchange *x = s->x;
  bool started = s->started;
  log_write(s->log, LOG_LEVEL_WARN, "%s/%s %s: %s: %s", s->image->asked.key.host->name,
            s->image->asked.key.repository, s->blob->digest,
            started ? "cut off" : "left to the registry", why);
  http_exchange_on_abandoned(x, NULL, NULL);
  close_all(s);
  if (started) {
    http_answer_abort(x);
  } else {
    answer_problem(x, 404, "BLOB_UNKNOWN");
  }
}

static void start(struct sending *s) {
  char content_range[RANGE_CONTENT_MAX];
  bool part = s->range.kind == RANGE_PART;
  const struct http_field fields[] = {
      {SLICE("Content-Type"), SLICE("application/octet-stream")},
      {SLICE("Accept-Ranges"), SLICE("bytes")},
      {SLICE("Docker-Content-Digest"), slice_str(s->blob->digest)},
      {SLICE("Content-Range"),
       part ? range_content(&s->range, s->blob->size, content_range) : SLICE("")},
  };
  if (!s->started) {
    s->started = true;
    http_answer_start(s->x, part ? 206 : 200, fields, part ? 4 : 3, s->range.length);
  }
}

static void on_proceed(void *arg) {
  go_on(arg);
}

/* The kernel sends it: nothing of a blob is in memory, however slowly it is taken. The file is the
 * same before and after the blob has landed, and what is in it of pieces that are there stays. */
static void send_part(struct sending *s, uint64_t at, uint64_t length) {
  struct error e = {0};
  if (s->fd < 0) {
    s->fd = stock_open_file(s->stock, &s->reader, &e);
  }
  if (s->fd < 0) {
    fail(s, e.text);
    return;
  }
  s->left -= length;
  start(s);
  http_answer_send_file(s->x, s->fd, at, length, on_proceed, s);
}

static uint64_t position(const struct sending *s) {
  return s->range.offset + s->range.length - s->left;
}

static void send_piece(struct sending *s) {
  uint64_t at = position(s);
  uint64_t rest = s->reader.piece_length - at % s->reader.piece_length;
  send_part(s, at, rest < s->left ? rest : s->left);
}

static void on_told(void *arg, enum stock_news news, const struct error *e) {
  struct sending *s = arg;
  if (news == STOCK_FAILED) {
    fail(s, e->text);
  } else if (news == STOCK_PIECE) {
    send_piece(s);
  } else {
    go_on(s);
  }
}

/* Sends what is there, then waits: for who asked to take it, or for the piece behind it. */
static void go_on(struct sending *s) {
  uint64_t at = position(s);
  if (s->left == 0) {
    struct http_exchange *x = s->x;
    close_all(s);
    http_answer_end(x);
  } else if (stock_is_there(&s->reader)) {
    send_part(s, at, s->left);
  } else {
    int there = stock_want(&s->reader, (uint32_t)(at / s->reader.piece_length));
    if (there < 0) {
      fail(s, "it does not come");
    } else if (there > 0) {
      send_piece(s);
    }
  }
}

static void answer_head(struct http_exchange *x, const struct offer_blob *blob) {
  const struct http_field fields[] = {
      {SLICE("Content-Type"), SLICE("application/octet-stream")},
      {SLICE("Accept-Ranges"), SLICE("bytes")},
      {SLICE("Docker-Content-Digest"), slice_str(blob->digest)},
  };
  http_answer_start(x, 200, fields, 3, blob->size);
  http_answer_end(x);
}

static void answer_unsatisfiable(struct http_exchange *x, const struct range *range,
                                 uint64_t size) {
  char content_range[RANGE_CONTENT_MAX];
  const struct http_field field = {SLICE("Content-Range"),
                                   range_content(range, size, content_range)};
  http_answer(x, 416, &field, 1, SLICE(""));
}

static void begin(struct sending *s) {
  struct error e = {0};
  s->reader = (struct stock_reader){.told = on_told, .arg = s};
  if (stock_begin(s->stock, s->image, s->blob, &s->reader, &e) != 0) {
    log_write(s->log, LOG_LEVEL_WARN, "%s/%s %s: left to the registry: %s",
              s->image->asked.key.host->name, s->image->asked.key.repository, s->blob->digest,
              e.text);
    answer_problem(s->x, 404, "BLOB_UNKNOWN");
    return;
  }
  image_hold(s->image);
  http_exchange_on_abandoned(s->x, on_abandoned, s);
  go_on(s);
}

void answer_blob(struct http_exchange *x, struct stock *stock, struct image *image,
                 const struct offer_blob *blob, const struct log *log) {
  struct range range = range_parse(http_request_field(x, SLICE("Range")), blob->size);
  if (slice_equal(http_request_method(x), SLICE("HEAD")) || blob->size == 0) {
    answer_head(x, blob);
    return;
  }
  if (range.kind == RANGE_UNSATISFIABLE) {
    answer_unsatisfiable(x, &range, blob->size);
    return;
  }
  struct sending *s = arena_alloc(http_exchange_arena(x), sizeof *s);
  if (s == NULL) {
    http_answer_abort(x);
    return;
  }
  *s = (struct sending){.x = x,
                        .stock = stock,
                        .log = log,
                        .image = image,
                        .blob = blob,
                        .range = range,
                        .left = range.length,
                        .fd = -1};
  begin(s);
}
