#include "http/internal.h"

int request_refuse(struct http_exchange *x, int status, const char *why) {
  x->refusal = status;
  x->refusal_why = why;
  return -1;
}

void request_reset(struct http_exchange *x) {
  x->stage = STAGE_HEAD;
  arena_reset(&x->arena);
  if (x->large) {
    buf_free(&x->body);
  }
  x->large = x->body_cut = false;
  x->head.len = x->body.len = 0;
  x->target = x->path = x->query = (struct span){0, 0};
  x->field_count = 0;
  x->head_size = x->body_size = x->lines = x->line_size = 0;
  memset(x->line_tail, 0, sizeof x->line_tail);
  x->carriage_return = x->name_open = x->timed = x->http_1_0 = false;
  x->keep_alive = false;
  x->refusal = 0;
  x->refusal_why = NULL;
  x->client.any.sa_family = AF_UNSPEC;
  x->answer_start = x->out.len;
  x->body_left = 0;
  x->file.left = 0;
  x->started = x->sent_some = x->head_only = x->waits = false;
  x->proceed = NULL;
  x->abandoned = NULL;
}

bool request_begun(const struct http_exchange *x) {
  return x->head_size > 0;
}

/* --- llhttp's callbacks --- */

static int append(struct http_exchange *x, struct span *span, const char *at, size_t len) {
  buf_append(&x->head, at, len);
  if (x->head.failed) {
    return request_refuse(x, 503, "out of memory");
  }
  /* No overflow: the whole head is bounded by head_max. */
  span->len += (uint32_t)len;
  return 0;
}

static int on_url(llhttp_t *parser, const char *at, size_t len) {
  struct http_exchange *x = parser->data;
  return append(x, &x->target, at, len);
}

static int on_field(llhttp_t *parser, const char *at, size_t len) {
  struct http_exchange *x = parser->data;
  if (x->stage == STAGE_BODY) {
    return 0; /* Trailers may not change what was decided by the head; they are thrown away. */
  }
  if (!x->name_open) {
    if (x->field_count == HTTP_FIELDS_MAX) {
      return request_refuse(x, 431, "more fields than are taken");
    }
    x->names[x->field_count++] = (struct span){(uint32_t)x->head.len, 0};
    x->name_open = true;
  }
  return append(x, &x->names[x->field_count - 1], at, len);
}

static int on_field_complete(llhttp_t *parser) {
  struct http_exchange *x = parser->data;
  if (x->stage == STAGE_HEAD) {
    x->name_open = false;
    x->values[x->field_count - 1] = (struct span){(uint32_t)x->head.len, 0};
  }
  return 0;
}

static int on_value(llhttp_t *parser, const char *at, size_t len) {
  struct http_exchange *x = parser->data;
  return x->stage == STAGE_BODY ? 0 : append(x, &x->values[x->field_count - 1], at, len);
}

/* Looks at what of a body is no data: chunk sizes, line ends and trailers. Its lines end as those
 * of a head do; llhttp would take an LF alone for the end of the trailers. */
static int check_framing(struct http_exchange *x, const char *end) {
  for (const char *p = x->framing; p < end; p++) {
    if (x->carriage_return != (*p == '\n')) {
      return request_refuse(x, 400, *p == '\n' ? "an LF without CR" : "a CR without LF");
    }
    x->carriage_return = *p == '\r';
  }
  return 0;
}

static int on_body(llhttp_t *parser, const char *at, size_t len) {
  struct http_exchange *x = parser->data;
  const size_t room = x->body_max - x->body.len;
  int framing = check_framing(x, at);
  x->framing = at + len;
  if (framing != 0) {
    return framing;
  }
  if (len > room) {
    if (!x->large) {
      return request_refuse(x, 413, "the body is larger than is taken");
    }
    x->body_cut = true;
    len = room;
  }
  buf_append(&x->body, at, len);
  return x->body.failed ? request_refuse(x, 503, "out of memory") : 0;
}

static int on_message_complete(llhttp_t *parser) {
  (void)parser;
  return HPE_PAUSED; /* The next request is not read before this one is answered. */
}

/* --- what is asked of a head that could be parsed --- */

static struct slice text(const struct http_exchange *x, struct span span) {
  return slice_of(x->head.ptr + span.at, span.len);
}

/* Whether a list has that member (RFC 9110, section 5.6.1), case ignored. */
static bool has_member(struct slice list, struct slice member) {
  while (list.ptr != NULL) {
    if (slice_equal_nocase(slice_trim(slice_cut(&list, ',')), member)) {
      return true;
    }
  }
  return false;
}

/* How much of a body of that length, or of chunks, is kept. */
static int bound_body(struct http_exchange *x, uint64_t length, bool chunked) {
  const struct http_server *s = x->connection->server;
  x->body_max = s->limits.body_max;
  if ((length > x->body_max || chunked) && s->large != NULL &&
      s->large->are_from(x, s->large->context)) {
    x->large = true;
    x->body_max = s->large->body_max;
  }
  return x->large || length <= x->body_max
             ? 0
             : request_refuse(x, 413, "the body is larger than is taken");
}

static int on_headers_complete(llhttp_t *parser) {
  struct http_exchange *x = parser->data;
  size_t hosts = 0;
  size_t codings = 0;
  uint64_t length = 0;
  bool wants_continue = false;
  bool closes = false;
  bool keeps = false;
  /* Only 1.0 and 1.1 come so far, but for a target that itself ends like a version: to llhttp that
   * is HTTP/0.9, which has no version. */
  if (parser->http_major != 1) {
    return request_refuse(x, 400, "the request line does not end in an HTTP version");
  }
  x->http_1_0 = parser->http_minor == 0;
  for (size_t i = 0; i < x->field_count; i++) {
    struct slice name = text(x, x->names[i]);
    struct slice value = slice_trim(text(x, x->values[i]));
    x->values[i] = (struct span){(uint32_t)(value.ptr - x->head.ptr), (uint32_t)value.len};
    if (name.len == 0) {
      return request_refuse(x, 400, "a field has no name");
    }
    if (slice_equal_nocase(name, SLICE("host"))) {
      hosts++;
      if (!target_is_host(value)) {
        return request_refuse(x, 400, "Host is not a host");
      }
    } else if (slice_equal_nocase(name, SLICE("content-length"))) {
      if (!slice_u64(value, &length)) {
        return request_refuse(x, 400, "Content-Length is not a length");
      }
    } else if (slice_equal_nocase(name, SLICE("transfer-encoding"))) {
      codings++;
      if (!slice_equal_nocase(value, SLICE("chunked"))) {
        return request_refuse(x, 400, "only chunked is taken as Transfer-Encoding");
      }
    } else if (slice_equal_nocase(name, SLICE("expect"))) {
      if (!slice_equal_nocase(value, SLICE("100-continue"))) {
        return request_refuse(x, 417, "only 100-continue can be expected");
      }
      wants_continue = true;
    } else if (slice_equal_nocase(name, SLICE("connection"))) {
      closes = closes || has_member(value, SLICE("close"));
      keeps = keeps || has_member(value, SLICE("keep-alive"));
    }
  }
  if (hosts > 1 || (hosts == 0 && !x->http_1_0)) {
    return request_refuse(x, 400, "one Host is needed");
  }
  /* RFC 9112, section 6.1: such framing is faulty. */
  if (codings > 1 || (codings == 1 && x->http_1_0)) {
    return request_refuse(x, 400, "Transfer-Encoding is given twice, or with HTTP/1.0");
  }
  if (parser->method == HTTP_CONNECT) {
    return request_refuse(x, 400, "no tunnel is made here");
  }
  if (target_split(x) != 0) {
    return -1;
  }
  if (bound_body(x, length, codings > 0) != 0) {
    return -1;
  }
  /* RFC 9112, section 9.3. llhttp knows no tab around an option, and keeps what says both. */
  x->keep_alive = !closes && (keeps || !x->http_1_0);
  /* Nothing is upgraded to: what follows is a request. */
  parser->upgrade = 0;
  if (wants_continue && !x->http_1_0 && (length > 0 || codings > 0)) {
    buf_slice(&x->out, SLICE("HTTP/1.1 100 Continue\r\n\r\n"));
  }
  x->stage = STAGE_BODY;
  x->timed = false;
  return 0;
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_header_field = on_field,
    .on_header_field_complete = on_field_complete,
    .on_header_value = on_value,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

/* --- reading --- */

static int malformed(struct http_exchange *x, llhttp_errno_t code) {
  if (x->refusal != 0) {
    return -1; /* a callback's */
  }
  const char *reason = llhttp_get_error_reason(&x->parser);
  /* Otherwise it is no version at all, and then the request is malformed. */
  if (code == HPE_INVALID_VERSION && strcmp(reason, "Invalid HTTP version") == 0) {
    return request_refuse(x, 505, "only HTTP/1.1 and HTTP/1.0 are spoken");
  }
  return request_refuse(x, 400, reason);
}

/* Gives bytes to llhttp. \return whether the request is whole; refusal is set when it is not one.
 */
static bool execute(struct http_exchange *x, struct slice bytes, size_t *used) {
  *used = bytes.len;
  if (bytes.len == 0) {
    return false;
  }
  llhttp_errno_t code = llhttp_execute(&x->parser, bytes.ptr, bytes.len);
  if (code == HPE_OK) {
    return false;
  }
  *used = (size_t)(llhttp_get_error_pos(&x->parser) - bytes.ptr);
  if (code == HPE_PAUSED) {
    return true;
  }
  malformed(x, code);
  return false;
}

/* The first byte from p on that ends a target, or may not be in one. (A fragment may not either,
 * but target_split() sees to that.) */
static const char *skip_query(const char *p, const char *end) {
  while (p<end && * p> ' ' && *p < '\x7f') {
    p++;
  }
  return p;
}

/* Gives a head to llhttp, but for the bytes of a query. They are most of an announce, llhttp looks
 * each of them up in a table, and none changes where it is. Only for a query that begins in these
 * bytes; the others go the long way. */
static bool execute_head(struct http_exchange *x, struct slice bytes, size_t *used) {
  const char *mark = x->target.len > 0 ? NULL : memchr(bytes.ptr, '?', bytes.len);
  if (mark == NULL) {
    return execute(x, bytes, used);
  }
  const char *end = bytes.ptr + bytes.len;
  size_t first = (size_t)(mark + 1 - bytes.ptr);
  bool whole = execute(x, slice_of(bytes.ptr, first), used);
  if (x->refusal != 0 || *used < first) {
    return whole;
  }
  const char *query = mark + 1;
  /* Unless it is the mark of a field, the target ends with it by now. */
  if (x->field_count == 0) {
    query = skip_query(query, end);
    if (append(x, &x->target, mark + 1, (size_t)(query - mark - 1)) != 0) {
      return false;
    }
  }
  whole = execute(x, slice_of(query, (size_t)(end - query)), used);
  *used += (size_t)(query - bytes.ptr);
  return whole;
}

enum request_state request_read(struct http_exchange *x, struct slice bytes, size_t *used) {
  size_t done = 0;
  *used = 0;
  if (x->stage == STAGE_HEAD) {
    if (!request_begun(x)) {
      llhttp_init(&x->parser, HTTP_REQUEST, &settings);
      x->parser.data = x;
    }
    bool ended = false;
    size_t head = head_scan(x, bytes, &ended);
    int found = x->refusal;
    const char *why = x->refusal_why;
    /* llhttp's error comes first when it lies before what the scan found, in whatever cuts the
     * bytes come. */
    x->refusal = 0;
    bool whole = execute_head(x, slice_of(bytes.ptr, head), used);
    if (x->refusal == 0 && found != 0) {
      request_refuse(x, found, why);
    }
    if (x->refusal != 0) {
      return REQUEST_REFUSED;
    }
    if (whole) {
      return REQUEST_WHOLE;
    }
    if (!ended) {
      return REQUEST_MORE;
    }
    if (x->stage == STAGE_HEAD) {
      request_refuse(x, 400, "the head does not end where its lines do");
      return REQUEST_REFUSED;
    }
    done = head;
  }
  /* Chunks of one byte are fine, but not a stream of chunk extensions or trailers. */
  const struct http_limits *limits = &x->connection->server->limits;
  const size_t size_max = x->large ? SIZE_MAX : limits->head_max + 8 * limits->body_max;
  struct slice rest = slice_from(bytes, done);
  size_t left = size_max - x->body_size;
  x->framing = rest.ptr;
  bool whole = execute(x, slice_of(rest.ptr, rest.len < left ? rest.len : left), used);
  check_framing(x, rest.ptr + *used);
  x->body_size += *used;
  *used += done;
  if (x->refusal == 0 && !whole && rest.len > left) {
    request_refuse(x, 413, "the body's chunks take more than is taken");
  }
  return x->refusal != 0 ? REQUEST_REFUSED : whole ? REQUEST_WHOLE : REQUEST_MORE;
}

/* --- the request as handlers see it --- */

struct slice http_request_method(const struct http_exchange *x) {
  return slice_str(llhttp_method_name((llhttp_method_t)x->parser.method));
}

struct slice http_request_path(const struct http_exchange *x) {
  return text(x, x->path);
}

struct slice http_request_query(const struct http_exchange *x) {
  return text(x, x->query);
}

struct slice http_request_field(const struct http_exchange *x, struct slice name) {
  return http_request_field_at(x, name, 0);
}

struct slice http_request_field_at(const struct http_exchange *x, struct slice name, size_t index) {
  for (size_t i = 0; i < x->field_count; i++) {
    if (slice_equal_nocase(text(x, x->names[i]), name) && index-- == 0) {
      return text(x, x->values[i]);
    }
  }
  return (struct slice){NULL, 0};
}

size_t http_request_field_count(const struct http_exchange *x, struct slice name) {
  size_t count = 0;
  for (size_t i = 0; i < x->field_count; i++) {
    count += slice_equal_nocase(text(x, x->names[i]), name);
  }
  return count;
}

struct slice http_request_body(const struct http_exchange *x) {
  return buf_view(&x->body);
}

bool http_request_body_cut(const struct http_exchange *x) {
  return x->body_cut;
}
