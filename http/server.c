#include "http/internal.h"

#include "base/clock.h"

#include <assert.h>
#include <stdlib.h>
#include <time.h>

enum {
  HEAD_MAX = 32 * 1024,
  BODY_MAX = 64 * 1024,
  SPARE_EXCHANGES_MAX = 64,
  OWN_HANDLES = 3, /* timer, accept_timer and idle */
};

static unsigned or_default(unsigned value, unsigned fallback) {
  return value == 0 ? fallback : value;
}

static struct http_limits with_defaults(struct http_limits l) {
  l.head_max = l.head_max == 0 ? HEAD_MAX : l.head_max;
  l.body_max = l.body_max == 0 ? BODY_MAX : l.body_max;
  l.connections_max = or_default(l.connections_max, HTTP_CONNECTIONS_MAX);
  l.per_address_max = or_default(l.per_address_max, 1024);
  l.head_timeout_ms = or_default(l.head_timeout_ms, 10 * 1000);
  l.idle_timeout_ms = or_default(l.idle_timeout_ms, 60 * 1000);
  l.send_timeout_ms = or_default(l.send_timeout_ms, 60 * 1000);
  return l;
}

/* --- time --- */

uint64_t server_now(const struct http_server *s) {
  return s->test_clock != 0 ? s->test_clock : uv_now(s->loop);
}

static void on_timer(uv_timer_t *timer) {
  server_sweep(timer->data);
}

static void arm(struct http_server *s, uint64_t due) {
  uint64_t now = server_now(s);
  s->timer_due = due;
  uv_timer_start(&s->timer, on_timer, due > now ? due - now : 0, 0);
}

void server_deadline(struct http_connection *c, enum deadline kind) {
  struct http_server *s = c->server;
  if (c->deadline != DEADLINE_NONE) {
    link_remove(&c->timed);
  }
  c->deadline = kind;
  if (kind != DEADLINE_NONE) {
    c->due = server_now(s) + s->durations[kind];
    link_append(&s->deadlines[kind], &c->timed);
    /* Mostly the timer is armed for an earlier one: then it fires for nothing and is armed anew,
     * which is cheaper than to move it with every request. */
    if (c->due < s->timer_due) {
      arm(s, c->due);
    }
  }
}

void server_sweep(struct http_server *s) {
  const uint64_t now = server_now(s);
  if (s->stopping && now >= s->stop_due) {
    struct link all;
    link_init(&all);
    while (!link_empty(&s->connections)) {
      struct link *first = s->connections.next;
      link_remove(first);
      link_append(&all, first);
    }
    while (!link_empty(&all)) {
      struct link *first = all.next;
      link_remove(first);
      link_append(&s->connections, first);
      connection_cut(LINK_OWNER(first, struct http_connection, all));
    }
    return;
  }
  uint64_t next = s->stopping ? s->stop_due : UINT64_MAX;
  for (enum deadline kind = DEADLINE_HEAD; kind < DEADLINES; kind++) {
    struct link *list = &s->deadlines[kind];
    while (!link_empty(list)) {
      struct http_connection *c = LINK_OWNER(list->next, struct http_connection, timed);
      if (c->due > now) {
        break;
      }
      server_deadline(c, DEADLINE_NONE);
      connection_timed_out(c, kind);
    }
  }
  for (enum deadline kind = DEADLINE_HEAD; kind < DEADLINES; kind++) {
    struct link *list = &s->deadlines[kind];
    if (!link_empty(list)) {
      struct http_connection *c = LINK_OWNER(list->next, struct http_connection, timed);
      next = c->due < next ? c->due : next;
    }
  }
  s->timer_due = UINT64_MAX;
  if (next != UINT64_MAX) {
    arm(s, next);
  }
}

uint64_t server_waited(const struct http_connection *c) {
  return server_now(c->server) - (c->due - c->server->durations[c->deadline]);
}

struct http_connection *server_oldest_idle(struct http_server *s) {
  static const enum deadline kinds[] = {DEADLINE_IDLE, DEADLINE_HEAD};
  struct http_connection *oldest = NULL;
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    const struct link *list = &s->deadlines[kinds[i]];
    struct link *l = list->next;
    while (l != list && LINK_OWNER(l, struct http_connection, timed)->x != NULL) {
      l = l->next; /* sends a head */
    }
    struct http_connection *c = LINK_OWNER(l, struct http_connection, timed);
    if (l != list && (oldest == NULL || server_waited(c) > server_waited(oldest))) {
      oldest = c;
    }
  }
  return oldest;
}

struct slice server_date(struct http_server *s) {
  uint64_t second = server_now(s) / 1000;
  if (second != s->date_second) {
    time_t now = (time_t)clock_now();
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(s->date, sizeof s->date, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
    s->date_second = second;
  }
  return slice_str(s->date);
}

/* --- what is called from the loop --- */

static void on_idle(uv_idle_t *idle) {
  struct http_server *s = idle->data;
  struct link batch;
  link_init(&batch);
  /* One turn for each: who is ready again waits for the next turn of the loop. */
  while (!link_empty(&s->ready)) {
    struct link *first = s->ready.next;
    link_remove(first);
    link_append(&batch, first);
  }
  while (!link_empty(&batch)) {
    struct http_connection *c = LINK_OWNER(batch.next, struct http_connection, ready);
    link_remove(&c->ready);
    connection_ready(c);
  }
  if (link_empty(&s->ready)) {
    uv_idle_stop(idle);
  }
}

void server_ready(struct http_connection *c) {
  if (link_empty(&c->ready)) {
    link_append(&c->server->ready, &c->ready);
    uv_idle_start(&c->server->idle, on_idle);
  }
}

/* --- memory that connections share --- */

static void free_exchange(struct http_exchange *x) {
  arena_free(&x->arena);
  buf_free(&x->head);
  buf_free(&x->body);
  buf_free(&x->in);
  buf_free(&x->out);
  buf_free(&x->sending);
  free(x);
}

struct http_exchange *server_lend(struct http_server *s) {
  struct http_exchange *x = s->spare_exchanges;
  if (x != NULL) {
    s->spare_exchanges = x->next_spare;
    s->spare_exchange_count--;
    return x;
  }
  x = calloc(1, sizeof *x);
  if (x != NULL) {
    request_reset(x);
  }
  return x;
}

static void empty(struct buf *b) {
  b->len = 0;
  if (b->failed || b->cap > HTTP_KEEP_MAX) {
    buf_free(b);
  }
}

void server_take_back(struct http_server *s, struct http_exchange *x) {
  if (s->spare_exchange_count == SPARE_EXCHANGES_MAX) {
    free_exchange(x);
    return;
  }
  empty(&x->head);
  empty(&x->body);
  empty(&x->in);
  empty(&x->out);
  empty(&x->sending);
  request_reset(x);
  /* The last comes first: its memory is still in the processor's cache. */
  x->next_spare = s->spare_exchanges;
  s->spare_exchanges = x;
  s->spare_exchange_count++;
}

/* --- its life --- */

struct http_server *http_server_new(uv_loop_t *loop, const struct http_server_options *options) {
  struct http_server *s = calloc(1, sizeof *s);
  if (s == NULL) {
    return NULL;
  }
  s->loop = loop;
  s->routes = options->routes;
  s->route_count = options->route_count;
  s->limits = with_defaults(options->limits);
  s->large = options->large;
  s->tls = options->tls;
  s->trusted = options->trusted;
  s->trusted_count = options->trusted_count;
  s->log = options->log;
  s->timer_due = UINT64_MAX;
  s->date_second = UINT64_MAX;
  s->durations[DEADLINE_HEAD] = s->limits.head_timeout_ms;
  s->durations[DEADLINE_IDLE] = s->limits.idle_timeout_ms;
  s->durations[DEADLINE_SEND] = s->limits.send_timeout_ms;
  s->durations[DEADLINE_LINGER] = HTTP_LINGER_MS;
  for (size_t i = 0; i < DEADLINES; i++) {
    link_init(&s->deadlines[i]);
  }
  link_init(&s->connections);
  link_init(&s->ready);
  link_init(&s->listeners);
  addresses_init(&s->addresses);
  uv_timer_init(loop, &s->timer);
  uv_timer_init(loop, &s->accept_timer);
  uv_idle_init(loop, &s->idle);
  uv_unref((uv_handle_t *)&s->timer); /* Sockets keep a loop alive, not what watches them. */
  s->timer.data = s;
  s->accept_timer.data = s;
  s->idle.data = s;
  s->open_handles = OWN_HANDLES;
  return s;
}

static void on_closed(uv_handle_t *handle) {
  server_handle_closed(handle->data);
}

void server_handle_closed(struct http_server *s) {
  s->open_handles--;
  if (!s->stopping || s->connection_count > 0) {
    return;
  }
  if (s->open_handles == OWN_HANDLES && !uv_is_closing((uv_handle_t *)&s->timer)) {
    uv_close((uv_handle_t *)&s->timer, on_closed);
    uv_close((uv_handle_t *)&s->accept_timer, on_closed);
    uv_close((uv_handle_t *)&s->idle, on_closed);
  }
  if (s->open_handles > 0) {
    return;
  }
  for (struct http_exchange *x = s->spare_exchanges; x != NULL;) {
    struct http_exchange *next = x->next_spare;
    free_exchange(x);
    x = next;
  }
  tcp_free_spares(s);
  addresses_free(&s->addresses);
  void (*closed)(void *arg) = s->closed;
  void *arg = s->closed_arg;
  free(s);
  if (closed != NULL) {
    closed(arg);
  }
}

void http_server_stop(struct http_server *server, unsigned grace_ms, void (*closed)(void *arg),
                      void *arg) {
  assert(!server->stopping);
  server->stopping = true;
  server->closed = closed;
  server->closed_arg = arg;
  server->stop_due = server_now(server) + grace_ms;
  listeners_close(server);
  arm(server, server->stop_due < server->timer_due ? server->stop_due : server->timer_due);
  struct link *l = server->connections.next;
  while (l != &server->connections) {
    struct http_connection *c = LINK_OWNER(l, struct http_connection, all);
    l = l->next;
    connection_wind_up(c);
  }
  /* One handle that counts for this call, so that a server without anything open ends, too. */
  server->open_handles++;
  server_handle_closed(server);
}
