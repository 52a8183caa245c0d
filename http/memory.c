#include "http/memory.h"

#include "http/internal.h"

#include <stdlib.h>
#include <unistd.h>

struct http_memory {
  struct http_connection connection;
  struct http_server *server;
  uv_loop_t *loop;
  bool own_loop;
  bool own_server;
  struct buf output;
  size_t room;       /* bytes the peer still takes; SIZE_MAX: any */
  struct slice rest; /* of the write under way */
  bool catches_up;
  bool writing, reading, ended, released;
};

static struct http_memory *memory_of(struct http_connection *c) {
  return LINK_OWNER(c, struct http_memory, connection);
}

/* --- the transport --- */

static size_t take(struct http_memory *m, struct slice bytes) {
  size_t n = bytes.len < m->room ? bytes.len : m->room;
  buf_append(&m->output, bytes.ptr, n);
  m->room -= m->room == SIZE_MAX ? 0 : n;
  return n;
}

static ssize_t try_write(struct http_connection *c, const struct slice *pieces, size_t count) {
  size_t all = 0;
  for (size_t i = 0; i < count; i++) {
    all += take(memory_of(c), pieces[i]);
  }
  return (ssize_t)all;
}

static ssize_t try_send_file(struct http_connection *c, struct slice head,
                             const struct file_part *file, size_t length) {
  struct http_memory *m = memory_of(c);
  char bytes[4096];
  size_t sent = take(m, head);
  while (m->room > 0 && sent >= head.len && sent < head.len + length) {
    const size_t at = sent - head.len, left = length - at;
    const ssize_t n = pread(file->fd, bytes, left < sizeof bytes ? left : sizeof bytes,
                            (off_t)(file->offset + at));
    if (n <= 0) {
      break;
    }
    sent += take(m, slice_of(bytes, (size_t)n));
  }
  return (ssize_t)sent;
}

static void write_all(struct http_connection *c, struct slice bytes) {
  struct http_memory *m = memory_of(c);
  m->rest = bytes;
  m->writing = true;
  if (m->catches_up) {
    buf_slice(&m->output, bytes);
    m->rest = slice_from(bytes, bytes.len);
  }
}

static size_t unsent(struct http_connection *c) {
  return memory_of(c)->rest.len;
}

static void set_read(struct http_connection *c, bool on) {
  memory_of(c)->reading = on;
}

static void end(struct http_connection *c) {
  memory_of(c)->ended = true;
}

static void release(struct http_connection *c) {
  struct http_memory *m = memory_of(c);
  m->ended = m->released = true;
  m->reading = m->writing = false;
  channel_closed(c);
  server_handle_closed(m->server);
}

static const struct transport memory_transport = {
    .try_write = try_write,
    .try_send_file = try_send_file,
    .write = write_all,
    .unsent = unsent,
    .read = set_read,
    .end = end,
    .close = release,
};

/* What a real loop would do next. */
static void run(struct http_memory *m) {
  if (m->own_loop) {
    do {
      uv_run(m->loop, UV_RUN_NOWAIT);
    } while (uv_is_active((uv_handle_t *)&m->server->idle));
  }
}

/* --- the peer --- */

struct http_memory *http_memory_connect(struct http_server *server, const struct sockaddr *peer) {
  struct sockaddr_in local = {.sin_family = AF_INET,
                              .sin_port = htons(40000),
                              .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
  struct http_memory *m = calloc(1, sizeof *m);
  if (m == NULL) {
    return NULL;
  }
  m->server = server;
  m->loop = server->loop;
  m->room = SIZE_MAX;
  if (!channel_open(&m->connection, server, &memory_transport,
                    peer == NULL ? (const struct sockaddr *)&local : peer)) {
    free(m);
    return NULL;
  }
  server->open_handles++;
  return m;
}

static void stop_server(struct http_server *server, uv_loop_t *loop);

static void free_loop(uv_loop_t *loop) {
  if (loop != NULL) {
    uv_loop_close(loop);
    free(loop);
  }
}

struct http_memory *http_memory_new(uv_loop_t *loop, const struct http_server_options *options,
                                    const struct sockaddr *peer) {
  uv_loop_t *own = NULL;
  if (loop == NULL) {
    own = malloc(sizeof *own);
    if (own == NULL || uv_loop_init(own) != 0) {
      free(own);
      return NULL;
    }
  }
  struct http_server *server = http_server_new(own == NULL ? loop : own, options);
  struct http_memory *m = server == NULL ? NULL : http_memory_connect(server, peer);
  if (m == NULL) {
    if (server != NULL) {
      stop_server(server, own == NULL ? loop : own);
    }
    free_loop(own);
    return NULL;
  }
  m->own_loop = own != NULL;
  m->own_server = true;
  http_memory_advance(m, 0); /* from now on the clock stands */
  return m;
}

static void on_stopped(void *arg) {
  *(bool *)arg = true;
}

static void stop_server(struct http_server *server, uv_loop_t *loop) {
  bool stopped = false;
  http_server_stop(server, 0, on_stopped, &stopped);
  while (!stopped) {
    uv_run(loop, UV_RUN_NOWAIT);
  }
}

void http_memory_free(struct http_memory *m) {
  if (!m->released) {
    connection_cut(&m->connection);
  }
  if (m->own_server) {
    stop_server(m->server, m->loop);
  }
  if (m->own_loop) {
    free_loop(m->loop);
  }
  buf_free(&m->output);
  free(m);
}

size_t http_memory_feed(struct http_memory *m, struct slice bytes) {
  if (!m->reading) {
    return 0;
  }
  if (bytes.len > 0) {
    channel_received(&m->connection, bytes);
  }
  run(m);
  return bytes.len;
}

void http_memory_feed_end(struct http_memory *m) {
  if (!m->released) {
    channel_received_end(&m->connection);
    run(m);
  }
}

struct slice http_memory_output(struct http_memory *m) {
  return buf_view(&m->output);
}

void http_memory_clear(struct http_memory *m) {
  m->output.len = 0;
}

bool http_memory_closed(struct http_memory *m) {
  return m->ended;
}

bool http_memory_released(struct http_memory *m) {
  return m->released;
}

void http_memory_take(struct http_memory *m, size_t bytes) {
  m->room = bytes;
  while (m->writing && m->room > 0) {
    m->rest = slice_from(m->rest, take(m, m->rest));
    if (m->rest.len > 0) {
      break;
    }
    m->writing = false;
    channel_sent(&m->connection, true);
  }
  run(m);
}

void http_memory_catch_up(struct http_memory *m) {
  m->catches_up = true;
}

void http_memory_advance(struct http_memory *m, uint64_t milliseconds) {
  if (!m->released) {
    m->server->test_clock = server_now(m->server) + milliseconds;
    server_sweep(m->server);
    run(m);
  }
}
