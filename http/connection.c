#include "http/internal.h"

/*
 * A connection is looked after in one place, settle(): every function that something comes in by
 * does its part with `busy` set, so that what handlers call only takes note, and settles at its
 * end. Only there, and in connection_cut(), a connection is dropped; nothing touches it after.
 */

size_t connection_waiting(struct http_connection *c) {
  const struct http_exchange *x = c->x;
  return x == NULL ? 0 : x->out.len + x->file.left + (c->writing ? channel_unsent(c) : 0);
}

static bool is_answering(const struct http_connection *c) {
  return c->x != NULL && c->x->stage == STAGE_ANSWER;
}

static void give_back(struct http_connection *c) {
  if (c->x != NULL) {
    server_take_back(c->server, c->x);
    c->x = NULL;
    channel_rest(c);
  }
}

static void set_reading(struct http_connection *c, bool on) {
  if (c->reading != on) {
    c->reading = on;
    c->channel.transport->read(c, on);
  }
}

static void drop(struct http_connection *c) {
  c->state = CONNECTION_CLOSED;
  server_deadline(c, DEADLINE_NONE);
  link_remove(&c->ready);
  /* A write under way still reads from the exchange's buffer: then connection_closed() gives it
   * back. */
  if (!c->writing) {
    give_back(c);
  }
  channel_close(c);
}

void connection_cut(struct http_connection *c) {
  if (c->state == CONNECTION_CLOSED) {
    return;
  }
  c->broken = true;
  if (is_answering(c) && c->x->abandoned != NULL) {
    c->busy = true;
    c->x->abandoned(c->x->abandoned_arg);
  }
  drop(c);
}

/* Everything has been answered and sent. */
static void finish(struct http_connection *c) {
  if (!c->linger || c->ended) {
    drop(c);
    return;
  }
  /* A close with unread bytes makes a reset, which may take the answer away from the other end
   * before it has read it (RFC 9112, section 9.6). */
  c->state = CONNECTION_LINGERS;
  give_back(c);
  link_remove(&c->ready);
  server_deadline(c, DEADLINE_LINGER);
  channel_end(c);
  set_reading(c, true);
}

static bool may_begin(struct http_connection *c) {
  return !c->last && !c->broken && !is_answering(c) && connection_waiting(c) < HTTP_OUTPUT_MAX;
}

/* What is to be waited for now, and how long. */
static void settle_deadline(struct http_connection *c) {
  struct http_exchange *x = c->x;
  if (c->writing) {
    if (c->deadline != DEADLINE_SEND) {
      server_deadline(c, DEADLINE_SEND);
    }
  } else if (is_answering(c)) {
    server_deadline(c, DEADLINE_NONE);
  } else if (x == NULL) {
    server_deadline(c, DEADLINE_IDLE);
  } else if (!x->timed) {
    server_deadline(c, DEADLINE_HEAD);
    x->timed = true;
  }
}

static void settle(struct http_connection *c) {
  c->busy = false;
  if (c->state != CONNECTION_OPEN) {
    return;
  }
  struct http_exchange *x = c->x;
  if (x != NULL) {
    if (c->ended && !is_answering(c) && x->in.len == 0 && request_begun(x)) {
      c->busy = true;
      exchange_refuse(x, 400, "the request ends before its end");
      c->busy = false;
    }
    output_flush(c);
    if (c->broken) {
      server_ready(c); /* Whoever answers is told from the loop. */
      return;
    }
    bool begun = is_answering(c) || request_begun(x);
    /* A write may have no byte left to send and still be under way: its end comes from the loop. */
    if (!begun && x->in.len > 0 && may_begin(c)) {
      server_ready(c);
    } else if (!begun && (x->in.len == 0 || c->last) && !c->writing) {
      if (c->last || c->ended || c->server->stopping) {
        c->linger = c->linger || x->in.len > 0;
        finish(c);
        return;
      }
      give_back(c);
    }
  } else if (c->ended) {
    drop(c);
    return;
  }
  settle_deadline(c);
  set_reading(c, !c->ended && (c->x == NULL || c->x->in.len < HTTP_INPUT_MAX));
}

/* Reads and answers requests until one is not answered at once. \return how many bytes it read. */
static size_t serve(struct http_connection *c, struct slice bytes) {
  size_t done = 0;
  while (done < bytes.len && may_begin(c)) {
    struct http_exchange *x = c->x;
    size_t used = 0;
    switch (request_read(x, slice_from(bytes, done), &used)) {
    case REQUEST_MORE:
      break;
    case REQUEST_WHOLE:
      exchange_route(x);
      break;
    case REQUEST_REFUSED:
      exchange_refuse(x, x->refusal, x->refusal_why);
      break;
    }
    done += used;
  }
  return done;
}

/* A proxy's connections are not counted as its own: they are other people's. */
static bool count_in(struct http_connection *c) {
  const struct http_server *s = c->server;
  /* Who may reach a Unix socket, which has no address, is up to its permissions. */
  c->forwards = c->peer.any.sa_family == AF_UNSPEC ||
                address_range_has(s->trusted, s->trusted_count, &c->peer.any);
  c->counted = !c->forwards;
  return !c->counted ||
         addresses_add(&c->server->addresses, &c->peer.any, s->limits.per_address_max);
}

bool connection_admit(struct http_connection *c, union address peer) {
  struct http_server *server = c->server;
  c->peer = peer;
  if (server->stopping || server->connection_count >= server->limits.connections_max ||
      !count_in(c)) {
    return false;
  }
  server->connection_count++;
  return true;
}

void connection_dismiss(struct http_connection *c) {
  if (c->counted) {
    addresses_remove(&c->server->addresses, &c->peer.any);
  }
  c->server->connection_count--;
}

void connection_open(struct http_connection *c) {
  link_append(&c->server->connections, &c->all);
  link_init(&c->ready);
  link_init(&c->timed);
  server_deadline(c, DEADLINE_HEAD);
  set_reading(c, true);
}

bool connection_speaks_for(struct http_connection *c, union address client) {
  c->peer = client;
  if (client.any.sa_family == AF_UNSPEC) {
    c->forwards = false; /* It is not the proxy that speaks. */
    return true;
  }
  if (!count_in(c)) {
    c->counted = false;
    return false;
  }
  return true;
}

void connection_closed(struct http_connection *c) {
  give_back(c);
  link_remove(&c->all);
  connection_dismiss(c);
}

void connection_received(struct http_connection *c, struct slice bytes) {
  if (c->state == CONNECTION_LINGERS) {
    c->discarded += bytes.len;
    if (c->discarded > HTTP_LINGER_BYTES) {
      drop(c);
    }
    return;
  }
  if (c->state != CONNECTION_OPEN) {
    return;
  }
  if (c->x == NULL) {
    c->x = server_lend(c->server);
    if (c->x == NULL) {
      connection_cut(c);
      return;
    }
    c->x->connection = c;
  }
  c->busy = true;
  size_t used = c->x->in.len == 0 ? serve(c, bytes) : 0;
  if (c->last) {
    c->linger = c->linger || used < bytes.len;
  } else {
    buf_slice(&c->x->in, slice_from(bytes, used));
    c->broken = c->broken || c->x->in.failed;
  }
  settle(c);
}

void connection_received_end(struct http_connection *c) {
  c->ended = true;
  if (c->state == CONNECTION_LINGERS) {
    drop(c);
    return;
  }
  if (is_answering(c) && c->x->waits) {
    connection_cut(c);
    return;
  }
  settle(c);
}

void connection_answered(struct http_connection *c) {
  if (!c->busy) {
    settle(c);
  }
}

void connection_ready(struct http_connection *c) {
  if (c->broken) {
    connection_cut(c);
    return;
  }
  if (c->state != CONNECTION_OPEN) {
    return;
  }
  c->busy = true;
  struct http_exchange *x = c->x;
  if (is_answering(c) && x->proceed != NULL && connection_waiting(c) == 0) {
    http_proceed *proceed = x->proceed;
    x->proceed = NULL;
    proceed(x->proceed_arg);
  }
  if (x != NULL && x->in.len > 0) {
    buf_consume(&x->in, serve(c, buf_view(&x->in)));
  }
  settle(c);
}

void connection_sent(struct http_connection *c, bool ok) {
  c->writing = false;
  if (c->state == CONNECTION_CLOSED) {
    return; /* connection_closed() comes next. */
  }
  c->x->sending.len = 0;
  c->x->timed = false;
  server_deadline(c, DEADLINE_NONE);
  if (ok) {
    output_flush(c);
  } else {
    c->broken = true;
  }
  connection_ready(c);
}

void connection_timed_out(struct http_connection *c, enum deadline kind) {
  if (kind == DEADLINE_SEND) {
    size_t unsent = channel_unsent(c);
    if (unsent + HTTP_SEND_MIN <= c->x->unsent) {
      c->x->unsent = unsent;
      server_deadline(c, DEADLINE_SEND);
      return;
    }
  }
  if (kind == DEADLINE_HEAD && c->x != NULL) {
    c->busy = true;
    exchange_refuse(c->x, 408, "the request did not come whole in time");
    settle(c);
    return;
  }
  connection_cut(c);
}

void connection_wind_up(struct http_connection *c) {
  if (c->state == CONNECTION_OPEN && c->x == NULL) {
    drop(c);
  }
}
