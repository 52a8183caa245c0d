/*
 * Between a transport and a connection. A plain channel hands on what it gets. Where a proxy may be
 * in front, the first bytes are held until it is clear whether they are its header; behind that,
 * TLS begins.
 *
 * With TLS what the connection writes is encrypted a batch at a time, so that a slow reader holds
 * one batch of ciphertext and no more. A batch that the transport does not take whole is not
 * reported as taken: the connection comes again with the same bytes, which are skipped then.
 */
#include "http/internal.h"
#include "http/proxy_header.h"

bool channel_open(struct http_connection *c, struct http_server *server,
                  const struct transport *transport, const struct sockaddr *peer) {
  *c = (struct http_connection){.channel = {.transport = transport}, .server = server};
  if (!connection_admit(c, address_of(peer))) {
    return false;
  }
  if (server->tls != NULL) {
    c->channel.tls = tls_stream_new(server->tls);
    if (c->channel.tls == NULL) {
      connection_dismiss(c);
      return false;
    }
  }
  c->channel.expects_header = c->forwards;
  connection_open(c);
  return true;
}

void channel_closed(struct http_connection *c) {
  connection_closed(c);
  tls_stream_free(c->channel.tls);
  buf_free(&c->channel.sealed);
  buf_free(&c->channel.header);
}

void channel_rest(struct http_connection *c) {
  struct channel *channel = &c->channel;
  if (channel->tls != NULL && !channel->sending && tls_stream_output(channel->tls)->len == 0) {
    buf_free(tls_stream_output(channel->tls));
    buf_free(&channel->sealed);
  }
}

/* --- TLS, outwards --- */

/* Hands the transport what it takes without waiting. \return whether that was all. */
static bool drain(struct http_connection *c) {
  struct buf *output = tls_stream_output(c->channel.tls);
  if (c->channel.sending) {
    return false;
  }
  if (output->len > 0) {
    const struct slice all = buf_view(output);
    ssize_t n = c->channel.transport->try_write(c, &all, 1);
    if (n < 0) {
      c->broken = true;
      return false;
    }
    buf_consume(output, (size_t)n);
  }
  return output->len == 0;
}

/* Has the transport send the rest of the output. */
static void send_rest(struct http_connection *c) {
  struct channel *channel = &c->channel;
  struct buf *output = tls_stream_output(channel->tls);
  if (!channel->sending && !c->broken && output->len > 0) {
    const struct buf sealed = *output;
    *output = channel->sealed;
    output->len = 0;
    channel->sealed = sealed;
    channel->sending = true;
    channel->transport->write(c, buf_view(&channel->sealed));
  }
}

static bool encrypt(struct http_connection *c, struct slice bytes) {
  if (tls_stream_write(c->channel.tls, bytes) != 0) {
    c->broken = true;
    return false;
  }
  return true;
}

ssize_t channel_try_write(struct http_connection *c, const struct slice *pieces, size_t count) {
  struct channel *channel = &c->channel;
  if (channel->tls == NULL) {
    return channel->transport->try_write(c, pieces, count);
  }
  size_t taken = 0;
  for (size_t i = 0; i < count; i++) {
    struct slice rest = pieces[i];
    for (;;) {
      if (!drain(c)) {
        return c->broken ? -1 : (ssize_t)taken;
      }
      /* The last batch is out now. It may have been of several pieces. */
      const size_t out = channel->repeated < rest.len ? channel->repeated : rest.len;
      channel->repeated -= out;
      taken += out;
      rest = slice_from(rest, out);
      if (rest.len == 0) {
        break;
      }
      const size_t batch = rest.len < HTTP_BATCH ? rest.len : HTTP_BATCH;
      if (!encrypt(c, slice_of(rest.ptr, batch))) {
        return -1;
      }
      channel->repeated = batch;
    }
  }
  return (ssize_t)taken;
}

/* Encrypts the next batch of a channel_write() and sends it. */
static void write_on(struct http_connection *c) {
  struct slice *plain = &c->channel.plain;
  const size_t batch = plain->len < HTTP_BATCH ? plain->len : HTTP_BATCH;
  if (batch > 0 && encrypt(c, slice_of(plain->ptr, batch))) {
    *plain = slice_from(*plain, batch);
  }
  send_rest(c);
}

void channel_write(struct http_connection *c, struct slice bytes) {
  struct channel *channel = &c->channel;
  if (channel->tls == NULL) {
    channel->transport->write(c, bytes);
    return;
  }
  channel->writing = true;
  channel->plain = slice_from(bytes, channel->repeated);
  channel->repeated = 0;
  if (!channel->sending) {
    write_on(c);
  }
  if (c->broken) {
    server_ready(c); /* Nothing is under way whose end would tell. */
  }
}

size_t channel_unsent(struct http_connection *c) {
  const struct channel *channel = &c->channel;
  if (channel->tls == NULL) {
    return channel->transport->unsent(c);
  }
  return channel->plain.len + (channel->sending ? channel->transport->unsent(c) : 0);
}

void channel_sent(struct http_connection *c, bool ok) {
  struct channel *channel = &c->channel;
  if (channel->tls == NULL) {
    connection_sent(c, ok);
    return;
  }
  channel->sending = false;
  channel->sealed.len = 0;
  if (ok && c->state != CONNECTION_CLOSED) {
    write_on(c);
  }
  if (channel->sending) {
    return;
  }
  if (channel->writing) {
    channel->writing = false;
    connection_sent(c, ok && !c->broken);
  } else if (!ok) {
    connection_cut(c);
  }
}

/* Says that no more follows, when that can be said at once. */
static void say_end(struct http_connection *c) {
  if (c->channel.tls != NULL && !c->broken && !c->channel.sending) {
    tls_stream_end(c->channel.tls);
    drain(c);
  }
}

void channel_end(struct http_connection *c) {
  say_end(c);
  c->channel.transport->end(c);
}

void channel_close(struct http_connection *c) {
  say_end(c);
  c->channel.transport->close(c);
}

/* --- TLS, inwards --- */

static void log_failure(const struct http_connection *c) {
  const struct http_server *s = c->server;
  if (s->log != NULL) {
    char peer[ADDRESS_TEXT_MAX];
    address_print(&c->peer.any, peer);
    log_write(s->log, LOG_LEVEL_DEBUG, "http: TLS with %s failed: %s", peer,
              tls_stream_why(c->channel.tls));
  }
}

static void decrypt(struct http_connection *c, struct slice bytes) {
  struct tls_stream *tls = c->channel.tls;
  char *plain = c->server->plain_buffer;
  ssize_t n;
  tls_stream_feed(tls, bytes);
  while ((n = tls_stream_read(tls, plain, HTTP_PLAIN_SIZE)) > 0) {
    connection_received(c, slice_of(plain, (size_t)n));
    if (c->state == CONNECTION_CLOSED) {
      return; /* the stream may be gone */
    }
  }
  /* Handshakes and alerts; an answer's bytes are the connection's to send. */
  if (!drain(c) && !c->channel.writing && c->channel.repeated == 0) {
    send_rest(c);
  }
  if (n == TLS_FAILED) {
    log_failure(c);
  }
  if (n == TLS_FAILED || c->broken || tls_stream_output(tls)->len > HTTP_SEALED_MAX) {
    connection_cut(c);
  } else if (n == TLS_ENDED) {
    connection_received_end(c);
  }
}

/* --- what comes first --- */

static void received(struct http_connection *c, struct slice bytes) {
  if (c->channel.tls != NULL) {
    decrypt(c, bytes);
  } else {
    connection_received(c, bytes);
  }
}

/* All that has come so far is in channel->header. */
static void read_header(struct http_connection *c) {
  struct channel *channel = &c->channel;
  size_t size = 0;
  union address client = {0};
  enum proxy_header found = channel->header.failed
                                ? PROXY_FAULTY
                                : proxy_header_read(buf_view(&channel->header), &size, &client);
  if (found == PROXY_MORE) {
    return;
  }
  const bool others = found == PROXY_CLIENT || found == PROXY_UNKNOWN;
  if (found == PROXY_FAULTY || (others && !connection_speaks_for(c, client))) {
    connection_cut(c);
    return;
  }
  struct buf header = channel->header;
  const struct slice behind = slice_from(buf_view(&header), size);
  channel->header = (struct buf){0};
  channel->expects_header = false;
  if (behind.len > 0) {
    received(c, behind);
  }
  buf_free(&header);
}

void channel_received(struct http_connection *c, struct slice bytes) {
  if (c->channel.expects_header) {
    buf_slice(&c->channel.header, bytes);
    read_header(c);
  } else {
    received(c, bytes);
  }
}

void channel_received_end(struct http_connection *c) {
  connection_received_end(c);
}
