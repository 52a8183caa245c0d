/**
 * What the files of the server share; not for other rooms. Four layers: a transport moves bytes
 * (tcp.c, memory.c), a channel takes a proxy's header and TLS off them (channel.c), a connection
 * cuts them into requests (connection.c, request.c), an exchange is one request and its answer
 * (exchange.c). server.c holds what all connections of a loop share.
 */
#pragma once

#include "base/address.h"
#include "base/buf.h"
#include "http/addresses.h"
#include "http/server.h"
#include "http/tls_stream.h"

#include <llhttp.h>
#include <netinet/in.h>

enum {
  HTTP_FIELDS_MAX = 100,           /**< fields of a request; beyond: 431 */
  HTTP_READ_SIZE = 64 * 1024,      /**< bytes read from a socket at once */
  HTTP_PLAIN_SIZE = 16 * 1024,     /**< bytes decrypted at once: a record (RFC 8446, 5.1) */
  HTTP_INPUT_MAX = 16 * 1024,      /**< pipelined bytes kept before reading stops */
  HTTP_OUTPUT_MAX = 64 * 1024,     /**< unsent bytes at which no further request is begun */
  HTTP_KEEP_MAX = 64 * 1024,       /**< a buffer larger than this is not kept for reuse */
  HTTP_LINGER_BYTES = 1024 * 1024, /**< read and thrown away after a last answer */
  HTTP_LINGER_MS = 2000,           /**< and for how long */
  HTTP_SEND_MIN = 4096,            /**< bytes of an answer to be taken within each send_timeout */
  HTTP_SEALED_MAX = 256 * 1024,    /**< bytes of TLS's own that wait for the other end; then cut */
  HTTP_BATCH = 32 * 1024,          /**< bytes of plaintext encrypted at once: what the fastest cache
                                        holds */
  HTTP_TURN_MAX = 1024 * 1024,     /**< bytes of a file sent before other connections have a turn */
};

/* --- intrusive lists: circular, with a sentinel --- */

struct link {
  struct link *prev, *next;
};

static inline void link_init(struct link *l) {
  l->prev = l->next = l;
}

static inline bool link_empty(const struct link *l) {
  return l->next == l;
}

static inline void link_remove(struct link *l) {
  l->prev->next = l->next;
  l->next->prev = l->prev;
  link_init(l);
}

static inline void link_append(struct link *list, struct link *l) {
  l->prev = list->prev;
  l->next = list;
  list->prev->next = l;
  list->prev = l;
}

#define LINK_OWNER(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

/* --- the bytes --- */

struct http_connection;
struct socket;

/** What is still to be sent of a file. */
struct file_part {
  int fd; /**< whose answer it is keeps it open while something is left */
  uint64_t offset, left;
};

/** What a channel asks of its transport, which tells it by the functions channel_received() to
 * channel_closed(). */
struct transport {
  /** Hands over what the other end takes without waiting: 0 or more bytes; -1 when it is gone. Not
   * called while a write() is under way. */
  ssize_t (*try_write)(struct http_connection *c, const struct slice *pieces, size_t count);
  /** The same of \p head and behind it the first \p length bytes that are left of the file. When it
   * cannot be read, that is as if they were not taken. */
  ssize_t (*try_send_file)(struct http_connection *c, struct slice head,
                           const struct file_part *file, size_t length);
  /** Sends all of \p bytes, which stay where they are until it ends in channel_sent(). */
  void (*write)(struct http_connection *c, struct slice bytes);
  /** Bytes of the write() under way that the other end has not taken yet. */
  size_t (*unsent)(struct http_connection *c);
  /** Starts or stops calling channel_received(). */
  void (*read)(struct http_connection *c, bool on);
  /** Ends our half; everything has been sent before. */
  void (*end)(struct http_connection *c);
  /** Drops it. channel_closed() follows, at once or from the loop. */
  void (*close)(struct http_connection *c);
};

/** What lies between a connection and its transport: nothing, or a proxy's header, or TLS. */
struct channel {
  const struct transport *transport;
  struct buf header;      /**< what may be the beginning of a proxy's header */
  struct tls_stream *tls; /**< NULL: plain */
  struct buf sealed;      /**< what the transport's write() is sending for TLS */
  struct slice plain;     /**< of a channel_write(), what has not been encrypted yet */
  size_t repeated; /**< bytes encrypted in vain for a channel_try_write(), which the next call has
                        again at its beginning */
  bool expects_header; /**< the other end is a proxy that is believed, and nothing came yet */
  bool writing;        /**< a channel_write() is under way */
  bool sending;        /**< the transport's write() is, for TLS */
};

/** A connection is there: channel_closed() follows later. \return false when a limit of the server
 *  keeps it out or there is no memory; nothing is held then. */
bool channel_open(struct http_connection *c, struct http_server *server,
                  const struct transport *transport, const struct sockaddr *peer);
void channel_received(struct http_connection *c, struct slice bytes);
/** The other end sends no more. */
void channel_received_end(struct http_connection *c);
/** The transport's write() is done; \p ok is false when the other end is gone. */
void channel_sent(struct http_connection *c, bool ok);
/** The transport has dropped it; the caller frees the memory of \p c. */
void channel_closed(struct http_connection *c);

/** The connection waits for a request: what is not needed for that is let go. */
void channel_rest(struct http_connection *c);

/** As those of the transport, for the connection, of what is inside. */
ssize_t channel_try_write(struct http_connection *c, const struct slice *pieces, size_t count);
void channel_write(struct http_connection *c, struct slice bytes);
size_t channel_unsent(struct http_connection *c);
void channel_end(struct http_connection *c);
void channel_close(struct http_connection *c);

/* --- the connection --- */

/** A connection waits in one list of its server a kind; each kind has one duration, so that a list
 * is in order of the moments and setting one costs a few stores. */
enum deadline {
  DEADLINE_NONE,
  DEADLINE_HEAD,
  DEADLINE_IDLE,
  DEADLINE_SEND,
  DEADLINE_LINGER,
  DEADLINES, /**< how many kinds there are */
};

/** Embedded by what a transport keeps for a connection. */
struct http_connection {
  struct channel channel;
  struct http_server *server;
  struct http_exchange *x; /**< lent by the server while there is something to do; else NULL */
  struct link all;         /**< of the server's connections */
  struct link ready;       /**< of those to be looked at from the loop */
  struct link timed;       /**< of those with the same kind of deadline */
  enum deadline deadline;
  uint64_t due; /**< when, by server_now() */
  size_t discarded;
  union address peer; /**< the other end, or whom a proxy's header says it speaks for; AF_UNSPEC
                           when that is a Unix socket, or nobody known */
  bool forwards;      /**< that one is a proxy whose X-Forwarded-For is believed */
  bool counted;       /**< among the connections of its address */
  enum { CONNECTION_OPEN, CONNECTION_LINGERS, CONNECTION_CLOSED } state;
  bool reading;  /**< the transport delivers bytes */
  bool ended;    /**< the other end sends no more */
  bool busy;     /**< a function of the connection is running and settles before it returns */
  bool writing;  /**< a write() is under way */
  bool broken;   /**< the other end is gone */
  bool last;     /**< no request is read any more */
  bool recalled; /**< what the transport has taken is not to be sent any more, either */
  bool linger;   /**< the other end may still be sending when the last answer is out */
};

/** The first, by channel_open(), which has set channel and server.
 * \return false when a limit of the server keeps it out; nothing is held then. */
bool connection_admit(struct http_connection *c, union address peer);
/** It cannot be opened after all. */
void connection_dismiss(struct http_connection *c);
/** From now on it reads. */
void connection_open(struct http_connection *c);
/** A proxy's header says whom it speaks for; AF_UNSPEC: for somebody who is not known. \return
 * false when a limit keeps that one out. */
bool connection_speaks_for(struct http_connection *c, union address client);
void connection_received(struct http_connection *c, struct slice bytes);
/** The other end sends no more. */
void connection_received_end(struct http_connection *c);
/** The channel_write() is done; \p ok is false when the other end is gone. */
void connection_sent(struct http_connection *c, bool ok);
/** Drops it from the loop, telling who answers. */
void connection_cut(struct http_connection *c);
/** The last. */
void connection_closed(struct http_connection *c);
/** The loop's call for a connection that server_ready() was called for. */
void connection_ready(struct http_connection *c);
void connection_timed_out(struct http_connection *c, enum deadline kind);
/** The server stops: closed when idle, else closed after the answer under way. */
void connection_wind_up(struct http_connection *c);
/** Something was put into c->x->out, or the answer has ended. */
void connection_answered(struct http_connection *c);
/** Bytes of answers that the other end has not taken yet. */
size_t connection_waiting(struct http_connection *c);

/* --- what it sends --- */

/** Sends what there is to send, as far as the other end takes it and its turn lasts. Whoever calls
 * looks at c->broken then. */
void output_flush(struct http_connection *c);

/* --- the exchange --- */

struct span {
  uint32_t at, len; /**< in the exchange's head */
};

enum stage {
  STAGE_HEAD, /**< of a request, or nothing of it yet */
  STAGE_BODY,
  STAGE_ANSWER, /**< the handler has it */
};

/**
 * One request and its answer, and the memory that both need. Lent to a connection while it has
 * something to do and then kept for the next: a connection that waits holds none of it, and one
 * that works allocates nothing once the buffers have grown.
 */
struct http_exchange {
  struct http_connection *connection;
  struct http_exchange *next_spare; /**< of the server's exchanges that nobody uses */
  enum stage stage;
  struct arena arena;

  /* the request */
  llhttp_t parser;
  struct buf head; /**< target, names and values, one after the other */
  struct span target, path, query;
  struct span names[HTTP_FIELDS_MAX], values[HTTP_FIELDS_MAX];
  size_t field_count;
  struct buf body;
  size_t body_max;      /**< bytes of it that are kept */
  bool large;           /**< what is beyond is thrown away, not refused */
  bool body_cut;        /**< as it was */
  struct buf in;        /**< what came while an answer was under way */
  size_t head_size;     /**< bytes of the head so far, line ends included */
  size_t body_size;     /**< bytes of the body so far, as sent: chunk sizes included */
  const char *framing;  /**< of a body's bytes at hand, what follows the data seen so far */
  size_t lines;         /**< ended lines of the head that were not empty */
  size_t line_size;     /**< bytes of the line so far */
  char line_tail[8];    /**< the request line's last bytes: its version */
  bool carriage_return; /**< the last byte of the head so far is a CR */
  bool name_open;       /**< a field's name is being read */
  bool timed;           /**< the deadline is that of this head or body */
  bool http_1_0;
  bool keep_alive;
  int refusal;             /**< the status that refuses the request; 0: none */
  const char *refusal_why; /**< a static text */
  union address client; /**< whom X-Forwarded-For names; AF_UNSPEC: it is the connection's peer */

  /* the answer */
  struct buf out;        /**< what is to be sent */
  struct file_part file; /**< and what behind it */
  struct buf sending;    /**< what a write() of the transport is sending */
  size_t answer_start;   /**< where in out this answer, or its 100, begins */
  size_t unsent;         /**< of sending, when the deadline for it was set */
  uint64_t body_left;    /**< bytes announced and not sent yet */
  bool started;          /**< an answer has been composed */
  bool waits;            /**< for something that takes longer than one may who is gone */
  bool sent_some;        /**< and its first bytes may have left */
  bool head_only;        /**< an answer to HEAD */
  http_proceed *proceed;
  void *proceed_arg;
  http_abandoned *abandoned;
  void *abandoned_arg;
};

enum request_state { REQUEST_MORE, REQUEST_WHOLE, REQUEST_REFUSED };

/** Makes the exchange ready for the next request; what is still to be sent stays. */
void request_reset(struct http_exchange *x);
/** Whether a byte of a request has been read since request_reset(). */
bool request_begun(const struct http_exchange *x);
/** Refuses the request. \return -1, for llhttp. */
int request_refuse(struct http_exchange *x, int status, const char *why);
/**
 * Looks at the lines of a head before llhttp does.
 *
 * \param ended set when the head ends with the bytes that are returned.
 * \return how many of the bytes may be given to llhttp: all, or up to the end of the head, or up to
 * what is refused.
 */
size_t head_scan(struct http_exchange *x, struct slice bytes, bool *ended);
/** Whether it is a uri-host and perhaps a port (RFC 9110, section 7.2), without percent-encodings.
 * It is not used, but what else it holds is an attempt to mean different things to different
 * readers (RFC 9112, section 3.2). */
bool target_is_host(struct slice host);
/** Splits the target of a head, origin-form or absolute-form of RFC 9112, section 3.2, into path
 * and query. \return 0, or -1: refused. */
int target_split(struct http_exchange *x);
/**
 * Reads on.
 *
 * \param used set to the bytes that belong to this request: all of them with REQUEST_MORE.
 * \return REQUEST_REFUSED with refusal and refusal_why set: answer so and close.
 */
enum request_state request_read(struct http_exchange *x, struct slice bytes, size_t *used);

/** Answers with a line of text and closes the connection after it. */
void exchange_refuse(struct http_exchange *x, int status, const char *why);
/** Gives a whole request to the handler of its route, or answers 404 or 405. */
void exchange_route(struct http_exchange *x);

/** The reason phrase of RFC 9110, section 15; a general one for a status not named there. */
struct slice status_phrase(int status);

/* --- the server --- */

struct http_server {
  uv_loop_t *loop;
  uv_timer_t timer;        /**< armed for the earliest deadline known */
  uv_timer_t accept_timer; /**< for listeners that rest */
  uv_idle_t idle;          /**< runs while a connection is ready */
  const struct http_route *routes;
  size_t route_count;
  struct http_limits limits;
  const struct http_large_bodies *large; /**< or NULL */
  struct http_tls *tls;                  /**< NULL: plain */
  const struct address_range *trusted;
  size_t trusted_count;
  const struct log *log;
  uint64_t timer_due;
  uint64_t test_clock; /**< instead of the loop's clock when not 0: moved by hand */
  unsigned durations[DEADLINES];
  struct link deadlines[DEADLINES];
  struct link connections, ready, listeners;
  struct http_exchange *spare_exchanges; /**< the last that came back first */
  struct socket *spare_sockets;          /**< of closed connections, kept by tcp.c */
  unsigned connection_count, spare_exchange_count, spare_socket_count;
  struct addresses addresses;
  uint64_t date_second;       /**< for which date is valid */
  char date[40];              /**< the field with its line end */
  uint64_t accept_complained; /**< when a failed accept was last logged */
  bool accept_rests;          /**< no listener is looked at until listeners_resume() */
  bool stopping;
  uint64_t stop_due;
  unsigned open_handles;
  void (*closed)(void *arg);
  void *closed_arg;
  char read_buffer[HTTP_READ_SIZE];   /**< what a read leaves here is taken out at once */
  char plain_buffer[HTTP_PLAIN_SIZE]; /**< the same of what TLS has decrypted */
};

/** Milliseconds of the loop's clock. */
uint64_t server_now(const struct http_server *s);
/** Moves the connection to the end of that list; DEADLINE_NONE takes it out of any. */
void server_deadline(struct http_connection *c, enum deadline kind);
/** Of those that wait for a request and have sent nothing of it, the one that has done so longest;
 *  NULL when there is none. */
struct http_connection *server_oldest_idle(struct http_server *s);
/** Milliseconds that the connection has waited for what its deadline is about. */
uint64_t server_waited(const struct http_connection *c);
/** Fires what is due. */
void server_sweep(struct http_server *s);
/** Has connection_ready() called from the loop. */
void server_ready(struct http_connection *c);
/** NULL when there is no memory. */
struct http_exchange *server_lend(struct http_server *s);
void server_take_back(struct http_server *s, struct http_exchange *x);
/** The `Date` field of this second, with its line end (RFC 9110, section 6.6.1). */
struct slice server_date(struct http_server *s);
/** A handle of the server has been closed: frees the server after the last one. */
void server_handle_closed(struct http_server *s);

/* --- tcp.c --- */

/** Takes over an accepted socket, \p pipe a Unix one, for a connection that the server's limits may
 * close at once. \return false when there is no memory: the socket has been closed. */
bool tcp_open(struct http_server *s, int fd, bool pipe, const struct sockaddr *peer);
void tcp_free_spares(struct http_server *s);

/* --- listener.c --- */

void listeners_close(struct http_server *s);
/** There may be room again: takes the connections that wait, when the listeners rest. */
void listeners_resume(struct http_server *s);

/* --- listen.c --- */

enum {
  LISTEN_BACKLOG = 1024,
  HTTP_UNSENT_MAX = 256 * 1024, /**< bytes of an answer that the kernel takes ahead of what it may
                                     send to a slow reader */
  HTTP_PASSED_MAX = 64, /**< sockets that are passed to the program; beyond: none is taken */
};

/** A socket bound to the address; connections inherit TCP_NODELAY and HTTP_UNSENT_MAX, which saves
 * calls. \return -1 with errno set. */
int listen_bind(const union address *address, bool shared);
