/*
 * What a connection sends: what is in its exchange's out, and behind it what is left of a file.
 *
 * Where there is no TLS the kernel sends the file. When the other end takes no more, the file's
 * next few bytes are read and written like any others, and the end of that write tells when there
 * is room again. With TLS all of the file is read and written, a batch at a time.
 */
#include "http/internal.h"

#include <errno.h>
#include <unistd.h>

/* Has the transport send what it did not take at once. */
static void write_rest(struct http_connection *c, size_t taken) {
  struct http_exchange *x = c->x;
  const struct buf sending = x->out;
  x->out = x->sending;
  x->out.len = 0;
  x->answer_start = 0;
  x->sending = sending;
  x->unsent = sending.len - taken;
  c->writing = true;
  channel_write(c, slice_from(buf_view(&x->sending), taken));
}

static void flush_bytes(struct http_connection *c) {
  struct http_exchange *x = c->x;
  if (x->out.len == 0) {
    return;
  }
  const struct slice all = buf_view(&x->out);
  ssize_t n = channel_try_write(c, &all, 1);
  if (n < 0) {
    c->broken = true;
    return;
  }
  x->sent_some = x->sent_some || x->started;
  if ((size_t)n < all.len) {
    write_rest(c, (size_t)n);
    return;
  }
  x->out.len = 0;
  x->answer_start = 0;
}

/* --- files --- */

static size_t at_most(uint64_t length, size_t most) {
  return length < most ? (size_t)length : most;
}

static void advance(struct file_part *file, size_t bytes) {
  file->offset += bytes;
  file->left -= bytes;
}

static void log_failure(const struct http_connection *c, const char *why) {
  if (c->server->log != NULL) {
    char peer[ADDRESS_TEXT_MAX];
    address_print(&c->peer.any, peer);
    log_write(c->server->log, LOG_LEVEL_ERROR,
              "http: an answer to %s is cut, for the file that it comes from cannot be read: %s",
              peer, why);
  }
}

/* Reads the file's next bytes to the end of out. */
static void read_on(struct http_connection *c, size_t most) {
  struct http_exchange *x = c->x;
  const size_t wanted = at_most(x->file.left, most);
  char *to = buf_reserve(&x->out, wanted);
  if (to == NULL) {
    c->broken = true;
    return;
  }
  ssize_t n;
  do {
    n = pread(x->file.fd, to, wanted, (off_t)x->file.offset);
  } while (n < 0 && errno == EINTR);
  if (n <= 0) {
    log_failure(c, n == 0 ? "it has become shorter" : strerror(errno));
    c->broken = true;
    return;
  }
  x->out.len += (size_t)n;
  advance(&x->file, (size_t)n);
}

/* Has the kernel send it. */
static void send_file(struct http_connection *c) {
  struct http_exchange *x = c->x;
  const size_t head = x->out.len;
  const size_t part = at_most(x->file.left, HTTP_TURN_MAX);
  ssize_t n = c->channel.transport->try_send_file(c, buf_view(&x->out), &x->file, part);
  if (n < 0) {
    c->broken = true;
    return;
  }
  const size_t of_head = at_most((uint64_t)n, head);
  buf_consume(&x->out, of_head);
  x->answer_start = 0;
  advance(&x->file, (size_t)n - of_head);
  if ((size_t)n == head + part) {
    return;
  }
  if (x->out.len == 0) {
    read_on(c, HTTP_SEND_MIN);
  }
  if (!c->broken) {
    write_rest(c, 0);
  }
}

static void read_and_write_file(struct http_connection *c) {
  struct http_exchange *x = c->x;
  for (size_t turn = 0; turn < HTTP_TURN_MAX && x->file.left > 0; turn += HTTP_BATCH) {
    if (x->out.len < HTTP_BATCH) {
      read_on(c, HTTP_BATCH - x->out.len);
    }
    if (!c->broken) {
      flush_bytes(c);
    }
    if (c->broken || c->writing) {
      return;
    }
  }
}

void output_flush(struct http_connection *c) {
  struct http_exchange *x = c->x;
  if (c->writing || c->broken) {
    return;
  }
  if (x->out.failed) {
    c->broken = true;
    return;
  }
  if (x->file.left == 0) {
    flush_bytes(c);
    return;
  }
  if (!link_empty(&c->ready)) {
    return; /* It waits for its turn. */
  }
  if (c->channel.tls == NULL) {
    send_file(c);
  } else {
    read_and_write_file(c);
  }
  if (!c->writing) {
    server_ready(c); /* for its next turn, or `proceed`, or to be cut */
  }
}
