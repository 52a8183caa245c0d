#include "http/forwarded.h"
#include "http/internal.h"

#include <assert.h>

/* --- composing --- */

enum { DECIMAL_MAX = 20 };

/* Writes the digits and returns how many. */
static size_t put_decimal(char *out, uint64_t value) {
  char digits[DECIMAL_MAX];
  size_t n = 0;
  do {
    digits[DECIMAL_MAX - ++n] = (char)('0' + value % 10);
    value /= 10;
  } while (value > 0);
  memcpy(out, digits + DECIMAL_MAX - n, n);
  return n;
}

static char *put(char *p, struct slice s) {
  if (s.len > 0) {
    memcpy(p, s.ptr, s.len);
  }
  return p + s.len;
}

/* A line end within a value would begin a field of somebody else's choosing. */
static bool is_value(struct slice value) {
  for (size_t i = 0; i < value.len; i++) {
    if (value.ptr[i] == '\r' || value.ptr[i] == '\n' || value.ptr[i] == '\0') {
      return false;
    }
  }
  return true;
}

/* RFC 9110, sections 8.6 and 15.4.5: such an answer has no body, and no length of one is told. */
static bool has_no_body(int status) {
  return status == 204 || status == 304;
}

static void compose_head(struct http_exchange *x, int status, const struct http_field *fields,
                         size_t field_count, uint64_t length) {
  static const size_t fixed = 256; /* status line, Date, Content-Length, Connection */
  const struct slice date = server_date(x->connection->server);
  size_t size = fixed;
  for (size_t i = 0; i < field_count; i++) {
    size += fields[i].name.len + fields[i].value.len + 4;
  }
  char *const start = buf_reserve(&x->out, size);
  if (start == NULL) {
    return;
  }
  assert(status >= 200 && status <= 599);
  char *p = put(start, SLICE("HTTP/1.1 "));
  p += put_decimal(p, (uint64_t)status);
  *p++ = ' ';
  p = put(p, status_phrase(status));
  p = put(p, SLICE("\r\n"));
  p = put(p, date);
  for (size_t i = 0; i < field_count; i++) {
    bool fits = is_value(fields[i].value);
    assert(fits);
    if (fits) {
      p = put(p, fields[i].name);
      p = put(p, SLICE(": "));
      p = put(p, fields[i].value);
      p = put(p, SLICE("\r\n"));
    }
  }
  if (!has_no_body(status)) {
    p = put(p, SLICE("Content-Length: "));
    p += put_decimal(p, length);
    p = put(p, SLICE("\r\n"));
  }
  if (!x->keep_alive) {
    p = put(p, SLICE("Connection: close\r\n"));
  } else if (x->http_1_0) {
    p = put(p, SLICE("Connection: keep-alive\r\n"));
  }
  p = put(p, SLICE("\r\n"));
  x->out.len += (size_t)(p - start);
}

/* --- the answer --- */

/* Nobody is left to answer, or it has been given up. */
static bool is_over(const struct http_exchange *x) {
  return x->connection->broken || x->connection->state != CONNECTION_OPEN;
}

void http_answer_start(struct http_exchange *x, int status, const struct http_field *fields,
                       size_t field_count, uint64_t length) {
  assert(x->stage == STAGE_ANSWER && !x->started);
  x->started = true;
  x->head_only = x->head_only || has_no_body(status);
  x->body_left = x->head_only ? 0 : length;
  if (x->connection->server->stopping) {
    x->keep_alive = false;
  }
  compose_head(x, status, fields, field_count, length);
}

void http_exchange_on_abandoned(struct http_exchange *x, http_abandoned *abandoned, void *arg) {
  x->abandoned = abandoned;
  x->abandoned_arg = arg;
}

void http_answer_send(struct http_exchange *x, struct slice piece, http_proceed *proceed,
                      void *arg) {
  struct http_connection *c = x->connection;
  assert(x->started && piece.len <= x->body_left && x->file.left == 0);
  if (is_over(x)) {
    return; /* `abandoned` is on its way. */
  }
  x->body_left -= piece.len;
  x->proceed = proceed;
  x->proceed_arg = arg;
  x->sent_some = true;
  size_t taken = 0;
  if (!c->writing) {
    const struct slice pieces[] = {buf_view(&x->out), piece};
    ssize_t n = channel_try_write(c, pieces, 2);
    if (n < 0) {
      c->broken = true;
    } else {
      size_t of_out = (size_t)n < x->out.len ? (size_t)n : x->out.len;
      buf_consume(&x->out, of_out);
      taken = (size_t)n - of_out;
    }
  }
  buf_slice(&x->out, slice_from(piece, taken));
  assert(connection_waiting(c) <= HTTP_PIECE_MAX + 2 * HTTP_OUTPUT_MAX); /* with what was before */
  if (proceed != NULL) {
    server_ready(c);
  }
  connection_answered(c);
}

void http_answer_send_file(struct http_exchange *x, int fd, uint64_t offset, uint64_t length,
                           http_proceed *proceed, void *arg) {
  struct http_connection *c = x->connection;
  assert(x->started && length <= x->body_left && x->file.left == 0);
  if (is_over(x)) {
    return; /* `abandoned` is on its way. */
  }
  x->body_left -= length;
  x->file = (struct file_part){.fd = fd, .offset = offset, .left = length};
  x->proceed = proceed;
  x->proceed_arg = arg;
  x->sent_some = true;
  output_flush(c);
  if (length == 0 && proceed != NULL) {
    server_ready(c);
  }
  connection_answered(c);
}

void http_answer_waits(struct http_exchange *x, bool waits) {
  struct http_connection *c = x->connection;
  x->waits = waits;
  if (waits && c->ended) {
    c->broken = true;
    connection_answered(c);
  }
}

size_t http_answer_waiting(const struct http_exchange *x) {
  return connection_waiting(x->connection);
}

void http_answer_end(struct http_exchange *x) {
  assert(x->started && x->body_left == 0 && x->file.left == 0);
  struct http_connection *c = x->connection;
  if (!x->keep_alive) {
    c->last = true;
  }
  request_reset(x);
  connection_answered(c);
}

void http_answer(struct http_exchange *x, int status, const struct http_field *fields,
                 size_t field_count, struct slice body) {
  http_answer_start(x, status, fields, field_count, body.len);
  if (!x->head_only) {
    buf_slice(&x->out, body);
  }
  x->body_left = 0;
  http_answer_end(x);
}

void http_answer_abort(struct http_exchange *x) {
  struct http_connection *c = x->connection;
  if (x->sent_some) {
    c->broken = true;
    x->abandoned = NULL; /* who gives it up knows */
    x->body_left = 0;
    connection_answered(c);
    return;
  }
  x->out.len = x->answer_start;
  x->started = false;
  http_answer(x, 502, NULL, 0, SLICE("the answer could not be got\n"));
}

void http_answer_recall(struct http_exchange *x) {
  x->connection->recalled = x->sent_some;
  http_answer_abort(x);
}

void exchange_refuse(struct http_exchange *x, int status, const char *why) {
  const struct http_field fields[] = {{SLICE("Content-Type"), SLICE("text/plain")}};
  struct slice body = arena_printf(&x->arena, "%s\n", why);
  x->stage = STAGE_ANSWER;
  x->keep_alive = false;
  x->connection->linger = true;
  http_answer(x, status, fields, 1, body);
}

/* --- the router --- */

static bool fits(const struct http_route *route, struct slice path) {
  struct slice own = slice_str(route->path);
  return slice_ends(own, SLICE("/")) ? slice_starts(path, own) : slice_equal(path, own);
}

/* Whether an earlier route of the same path has said that method. */
static bool is_repeated(const struct http_server *s, size_t index, struct slice path) {
  for (size_t i = 0; i < index; i++) {
    if (fits(&s->routes[i], path) && strcmp(s->routes[i].method, s->routes[index].method) == 0) {
      return true;
    }
  }
  return false;
}

static void answer_unrouted(struct http_exchange *x, struct slice path) {
  const struct http_server *s = x->connection->server;
  struct http_field fields[] = {{SLICE("Content-Type"), SLICE("text/plain")},
                                {SLICE("Allow"), {NULL, 0}}};
  struct slice *allow = &fields[1].value;
  for (size_t i = 0; i < s->route_count; i++) {
    if (fits(&s->routes[i], path) && !is_repeated(s, i, path)) {
      *allow = arena_printf(&x->arena, "%.*s%s%s", SLICE_ARG(*allow), allow->len > 0 ? ", " : "",
                            s->routes[i].method);
    }
  }
  if (allow->len > 0) {
    http_answer(x, 405, fields, 2, SLICE("the method is not one of those in Allow\n"));
  } else {
    http_answer(x, 404, fields, 1, SLICE("there is nothing at this path\n"));
  }
}

/* Fields of the same name are one list (RFC 9110, section 5.3): the last is the nearest. */
static bool find_client(struct http_exchange *x) {
  const struct http_server *s = x->connection->server;
  const struct slice name = SLICE("X-Forwarded-For");
  enum forwarded found = FORWARDED_ON;
  x->client = x->connection->peer;
  for (size_t i = http_request_field_count(x, name); i > 0 && found == FORWARDED_ON; i--) {
    found = forwarded_walk(http_request_field_at(x, name, i - 1), s->trusted, s->trusted_count,
                           &x->client);
  }
  return found != FORWARDED_FAULTY;
}

void exchange_route(struct http_exchange *x) {
  const struct http_server *s = x->connection->server;
  struct slice method = http_request_method(x);
  struct slice path = http_request_path(x);
  x->stage = STAGE_ANSWER;
  x->head_only = slice_equal(method, SLICE("HEAD"));
  if (x->connection->forwards && !find_client(x)) {
    exchange_refuse(x, 400, "the proxy's X-Forwarded-For holds what is no address");
    return;
  }
  for (size_t i = 0; i < s->route_count; i++) {
    if (fits(&s->routes[i], path) && slice_equal(slice_str(s->routes[i].method), method)) {
      s->routes[i].handle(x, s->routes[i].context);
      return;
    }
  }
  answer_unrouted(x, path);
}

/* --- what belongs to both --- */

const struct sockaddr *http_request_peer(const struct http_exchange *x) {
  return x->client.any.sa_family != AF_UNSPEC ? &x->client.any : &x->connection->peer.any;
}

struct arena *http_exchange_arena(struct http_exchange *x) {
  return &x->arena;
}

uv_loop_t *http_exchange_loop(const struct http_exchange *x) {
  return x->connection->server->loop;
}
