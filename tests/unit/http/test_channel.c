/* What lies between a transport and a connection: a proxy's header, X-Forwarded-For, TLS. */
#include "http/memory.h"

#include "base/buf.h"
#include "unit/http/tls_client.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { LARGE = 300 * 1024, SEALED_MAX = 256 * 1024 }; /* the latter as HTTP_SEALED_MAX */

/* --- handlers --- */

static void who(struct http_exchange *x, void *context) {
  (void)context;
  char text[ADDRESS_TEXT_MAX];
  address_print(http_request_peer(x), text);
  http_answer(x, 200, NULL, 0, slice_str(text));
}

static char *large_body(void) {
  char *body = malloc(LARGE);
  for (size_t i = 0; i < LARGE; i++) {
    body[i] = (char)('a' + i * 7 % 23);
  }
  return body;
}

static void large(struct http_exchange *x, void *context) {
  (void)context;
  char *body = large_body();
  http_answer(x, 200, NULL, 0, slice_of(body, LARGE));
  free(body);
}

/* The same in pieces. */
struct sending {
  struct http_exchange *x;
  size_t at;
};

static void go_on(void *arg) {
  struct sending *s = arg;
  char piece[10000];
  while (s->at < LARGE) {
    size_t n = LARGE - s->at < sizeof piece ? LARGE - s->at : sizeof piece;
    for (size_t i = 0; i < n; i++) {
      piece[i] = (char)('a' + (s->at + i) * 7 % 23);
    }
    s->at += n;
    http_answer_send(s->x, slice_of(piece, n), go_on, s);
    if (http_answer_waiting(s->x) > 0) {
      return;
    }
  }
  http_answer_end(s->x);
  free(s);
}

static void give_up(void *arg) {
  free(arg);
}

static void pieces(struct http_exchange *x, void *context) {
  (void)context;
  struct sending *s = malloc(sizeof *s);
  *s = (struct sending){.x = x};
  http_answer_start(x, 200, NULL, 0, LARGE);
  http_exchange_on_abandoned(x, give_up, s);
  go_on(s);
}

/* The same from a file. */
static void file_done(void *arg) {
  struct sending *s = arg;
  http_answer_end(s->x);
  free(s);
}

static void file(struct http_exchange *x, void *context) {
  const int *fd = context;
  struct sending *s = malloc(sizeof *s);
  *s = (struct sending){.x = x};
  http_answer_start(x, 200, NULL, 0, LARGE);
  http_exchange_on_abandoned(x, give_up, s);
  http_answer_send_file(x, *fd, 0, LARGE, file_done, s);
}

static int large_file;

static const struct http_route routes[] = {
    {"GET", "/file", file, &large_file},
    {"GET", "/who", who, NULL},
    {"GET", "/large", large, NULL},
    {"GET", "/pieces", pieces, NULL},
};

/* --- proxies --- */

static struct address_range trusted[2];

static struct sockaddr_in v4(const char *address) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(1)};
  assert_int_equal(inet_pton(AF_INET, address, &a.sin_addr), 1);
  return a;
}

static struct http_server_options behind_proxies(void) {
  assert_null(address_range_parse(SLICE("10.0.0.0/8"), &trusted[0]));
  return (struct http_server_options){.routes = routes,
                                      .route_count = sizeof routes / sizeof *routes,
                                      .trusted = trusted,
                                      .trusted_count = 1};
}

/* What `/who` answers to that, fed at once and byte by byte; NULL: the connection is closed. */
static void assert_who(const char *from, const char *request, const char *body) {
  const struct http_server_options options = behind_proxies();
  const struct sockaddr_in peer = v4(from);
  for (unsigned bytewise = 0; bytewise < 2; bytewise++) {
    struct http_memory *m = http_memory_new(NULL, &options, (const struct sockaddr *)&peer);
    const size_t len = strlen(request), step = bytewise ? 1 : len;
    for (size_t i = 0; i < len; i += step) {
      http_memory_feed(m, slice_of(request + i, step));
    }
    const struct slice output = http_memory_output(m);
    if (body == NULL) {
      assert_true(http_memory_closed(m));
      assert_false(slice_starts(output, SLICE("HTTP/1.1 200")));
    } else {
      assert_true(slice_ends(output, slice_str(body)));
    }
    http_memory_free(m);
  }
}

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define ADDRESSES "\xc0\0\x02\x01\xc6\x33\x64\x02\x12\x67\x01\xbb" /* of TCP or UDP over IPv4 */
#define WHO       "GET /who HTTP/1.1\r\nHost: a\r\n"

/* What comes last of the answer to \p request behind a header. */
static void assert_answer(const struct sockaddr *from, struct slice header, const char *request,
                          const char *end) {
  const struct http_server_options options = behind_proxies();
  struct http_memory *m = http_memory_new(NULL, &options, from);
  http_memory_feed(m, header);
  http_memory_feed(m, slice_str(request));
  assert_true(slice_ends(http_memory_output(m), slice_str(end)));
  http_memory_free(m);
}

static void test_a_trusted_proxy_says_for_whom(void **state) {
  (void)state;
  assert_who("10.0.0.1", WHO "\r\n", "\r\n10.0.0.1:1");
  assert_who("10.0.0.1", "PROXY TCP4 192.0.2.1 192.0.2.2 4711 80\r\n" WHO "\r\n",
             "\r\n192.0.2.1:4711");
  assert_who("10.0.0.1", WHO "X-Forwarded-For: 192.0.2.1\r\n\r\n", "\r\n192.0.2.1:0");
  /* Several fields are one list. */
  assert_who("10.0.0.1",
             WHO "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-For: 192.0.2.1\r\n"
                 "x-forwarded-for: 10.0.0.2\r\n\r\n",
             "\r\n192.0.2.1:0");
  /* From one request to the next it may be somebody else. */
  assert_who("10.0.0.1", WHO "X-Forwarded-For: 192.0.2.1\r\n\r\n" WHO "\r\n", "\r\n10.0.0.1:1");
  assert_who("10.0.0.1", WHO "X-Forwarded-For: somebody\r\n\r\n", NULL);
}

static void test_others_do_not(void **state) {
  (void)state;
  assert_who("192.0.2.7", WHO "X-Forwarded-For: 192.0.2.1\r\n\r\n", "\r\n192.0.2.7:1");
  assert_who("192.0.2.7", "PROXY TCP4 192.0.2.1 192.0.2.2 4711 80\r\n" WHO "\r\n", NULL);
  /* Behind a PROXY header it is the client who writes the fields. */
  assert_who("10.0.0.1",
             "PROXY TCP4 192.0.2.7 192.0.2.2 1 80\r\n" WHO "X-Forwarded-For: 192.0.2.1\r\n\r\n",
             "\r\n192.0.2.7:1");
  /* Unless that is a proxy, too. */
  assert_who("10.0.0.1",
             "PROXY TCP4 10.0.0.2 192.0.2.2 1 80\r\n" WHO "X-Forwarded-For: 192.0.2.1\r\n\r\n",
             "\r\n192.0.2.1:0");
  /* Only the first bytes of a connection are a header. */
  assert_who("10.0.0.1", "PROXY UNKNOWN\r\nPROXY TCP4 192.0.2.1 192.0.2.2 4711 80\r\n" WHO "\r\n",
             NULL);
  assert_who("10.0.0.1", "PROXY nonsense\r\n" WHO "\r\n", NULL);
}

/* Where a header names nobody, the client is not known, and is not the proxy: whatever it says of
 * itself is not believed. Only LOCAL is the proxy's own. */
static void test_who_is_not_named_is_nobody(void **state) {
  (void)state;
  static const struct slice nameless[] = {
      {"PROXY UNKNOWN\r\n", 15},
      {SIGNATURE "\x21\0\0\0", 16},               /* of no family */
      {SIGNATURE "\x21\x12\0\x0c" ADDRESSES, 28}, /* datagrams */
      {SIGNATURE "\x21\x31\0\0", 16},             /* a Unix socket's */
  };
  const struct slice local = {SIGNATURE "\x20\0\0\0", 16};
  const struct sockaddr_in proxy = v4("10.0.0.1");
  const struct sockaddr none = {.sa_family = AF_UNIX};
  const struct sockaddr *from[] = {(const struct sockaddr *)&proxy, &none};
  for (size_t i = 0; i < 2; i++) {
    for (size_t j = 0; j < sizeof nameless / sizeof *nameless; j++) {
      assert_answer(from[i], nameless[j], WHO "\r\n", "\r\n?");
      assert_answer(from[i], nameless[j], WHO "X-Forwarded-For: 192.0.2.1\r\n\r\n", "\r\n?");
    }
    assert_answer(from[i], local, WHO "X-Forwarded-For: 192.0.2.1\r\n\r\n", "\r\n192.0.2.1:0");
  }
  assert_answer(from[0], local, WHO "\r\n", "\r\n10.0.0.1:1");
}

static void test_a_unix_socket_is_trusted(void **state) {
  (void)state;
  const struct http_server_options options = behind_proxies();
  const struct sockaddr none = {.sa_family = AF_UNIX};
  struct http_memory *m = http_memory_new(NULL, &options, &none);
  http_memory_feed(m, SLICE(WHO "\r\n"));
  assert_true(slice_ends(http_memory_output(m), SLICE("\r\n?")));
  http_memory_feed(m, SLICE(WHO "X-Forwarded-For: 192.0.2.1\r\n\r\n"));
  assert_true(slice_ends(http_memory_output(m), SLICE("\r\n192.0.2.1:0")));
  http_memory_free(m);
}

static void feed_text(struct http_memory *m, const char *text) {
  http_memory_feed(m, slice_str(text));
}

/* Connections are those of whom a proxy speaks for, not its own. */
static void test_connections_are_counted_for_the_client(void **state) {
  (void)state;
  uv_loop_t loop;
  struct http_server_options options = behind_proxies();
  options.limits.per_address_max = 2;
  const struct sockaddr_in proxy = v4("10.0.0.1");
  const struct sockaddr *from = (const struct sockaddr *)&proxy;
  struct http_memory *m[5];
  assert_int_equal(uv_loop_init(&loop), 0);
  struct http_server *server = http_server_new(&loop, &options);
  for (size_t i = 0; i < 5; i++) {
    m[i] = http_memory_connect(server, from);
    assert_non_null(m[i]);
  }
  feed_text(m[0], "PROXY TCP4 192.0.2.1 192.0.2.2 1 80\r\n" WHO "\r\n");
  feed_text(m[1], "PROXY TCP4 192.0.2.1 192.0.2.2 2 80\r\n" WHO "\r\n");
  feed_text(m[2], "PROXY TCP4 192.0.2.1 192.0.2.2 3 80\r\n" WHO "\r\n");
  assert_true(slice_ends(http_memory_output(m[1]), SLICE("192.0.2.1:2")));
  assert_true(http_memory_released(m[2]));
  assert_int_equal(http_memory_output(m[2]).len, 0);
  http_memory_free(m[0]);
  feed_text(m[3], "PROXY TCP4 192.0.2.1 192.0.2.2 4 80\r\n" WHO "\r\n");
  assert_true(slice_ends(http_memory_output(m[3]), SLICE("192.0.2.1:4")));
  for (size_t i = 1; i < 5; i++) {
    http_memory_free(m[i]);
  }
  http_server_stop(server, 0, NULL, NULL);
  uv_run(&loop, UV_RUN_DEFAULT);
  assert_int_equal(uv_loop_close(&loop), 0);
}

/* A header that does not end is closed as a head that does not begin. */
static void test_a_header_has_its_time(void **state) {
  (void)state;
  struct http_server_options options = behind_proxies();
  options.limits.head_timeout_ms = 1000;
  const struct sockaddr_in proxy = v4("10.0.0.1");
  struct http_memory *m = http_memory_new(NULL, &options, (const struct sockaddr *)&proxy);
  http_memory_feed(m, SLICE("PROXY TCP4 "));
  http_memory_advance(m, 999);
  assert_false(http_memory_closed(m));
  http_memory_advance(m, 1);
  assert_true(http_memory_released(m));
  http_memory_free(m);
}

/* --- TLS --- */

struct client {
  struct http_memory *m;
  SSL_CTX *ctx;
  SSL *ssl;
  BIO *in, *out;
  struct buf got; /* what the server has answered */
};

static struct files files;
static struct http_tls *tls;

static int make_tls(void **state) {
  (void)state;
  files_new(&files);
  files_issue(&files, "a", 0, -60, 3600);
  tls = files_load(&files, "a");
  char path[] = "/tmp/test_channel.XXXXXX";
  large_file = mkstemp(path);
  assert_int_equal(unlink(path), 0);
  char *body = large_body();
  assert_int_equal(write(large_file, body, LARGE), LARGE);
  free(body);
  return 0;
}

static int free_tls(void **state) {
  (void)state;
  http_tls_free(tls);
  files_free(&files);
  close(large_file);
  return 0;
}

static void client_open(struct client *c, const struct http_limits *limits) {
  struct http_server_options options = behind_proxies();
  options.tls = tls;
  if (limits != NULL) {
    options.limits = *limits;
  }
  const struct sockaddr_in proxy = v4("10.0.0.1");
  *c = (struct client){.m = http_memory_new(NULL, &options, (const struct sockaddr *)&proxy),
                       .ctx = SSL_CTX_new(TLS_client_method())};
  assert_non_null(c->m);
  c->ssl = SSL_new(c->ctx);
  c->in = BIO_new(BIO_s_mem());
  c->out = BIO_new(BIO_s_mem());
  SSL_set_bio(c->ssl, c->in, c->out);
  SSL_set_connect_state(c->ssl);
}

static void client_free(struct client *c) {
  SSL_free(c->ssl);
  SSL_CTX_free(c->ctx);
  buf_free(&c->got);
  http_memory_free(c->m);
}

/* Takes what the server has sent, reads, and sends what that gave rise to. */
static void client_run(struct client *c) {
  char bytes[16384];
  bool more = true;
  while (more) {
    const struct slice output = http_memory_output(c->m);
    more = output.len > 0;
    if (more) {
      assert_int_equal(BIO_write(c->in, output.ptr, (int)output.len), output.len);
      http_memory_clear(c->m);
    }
    int n;
    while ((n = SSL_read(c->ssl, bytes, sizeof bytes)) > 0) {
      buf_append(&c->got, bytes, (size_t)n);
    }
    while ((n = BIO_read(c->out, bytes, sizeof bytes)) > 0) {
      http_memory_feed(c->m, slice_of(bytes, (size_t)n));
      more = true;
    }
  }
}

static void client_ask(struct client *c, const char *request) {
  assert_int_equal(SSL_write(c->ssl, request, (int)strlen(request)), strlen(request));
  client_run(c);
}

static void assert_large(const struct client *c) {
  const char *body = memmem(c->got.ptr, c->got.len, "\r\n\r\n", 4);
  assert_non_null(body);
  body += 4;
  assert_int_equal(c->got.len - (size_t)(body - c->got.ptr), LARGE);
  for (size_t i = 0; i < LARGE; i++) {
    assert_int_equal(body[i], 'a' + i * 7 % 23);
  }
}

static void test_requests_over_tls(void **state) {
  (void)state;
  struct client c;
  client_open(&c, NULL);
  /* The proxy's header comes before TLS. */
  http_memory_feed(c.m, SLICE("PROXY TCP4 192.0.2.1 192.0.2.2 4711 80\r\n"));
  client_run(&c);
  assert_true(SSL_is_init_finished(c.ssl));
  client_ask(&c, WHO "\r\n" WHO "\r\n");
  assert_true(slice_ends(buf_view(&c.got), SLICE("\r\n192.0.2.1:4711")));
  client_ask(&c, WHO "Connection: close\r\n\r\n");
  assert_true(http_memory_closed(c.m));
  assert_int_equal(SSL_get_shutdown(c.ssl) & SSL_RECEIVED_SHUTDOWN, SSL_RECEIVED_SHUTDOWN);
  client_free(&c);
}

/* The peer takes the bytes of an answer a few at a time: each arrives, once and in order. */
static void slow_reader(const char *request, size_t step) {
  struct client c;
  client_open(&c, NULL);
  client_run(&c);
  http_memory_take(c.m, step);
  client_ask(&c, request);
  for (size_t i = 0; i < 4 * (size_t)LARGE / step; i++) {
    http_memory_take(c.m, step);
    client_run(&c);
  }
  assert_large(&c);
  c.got.len = 0;
  http_memory_take(c.m, SIZE_MAX);
  client_ask(&c, WHO "\r\n");
  assert_true(slice_ends(buf_view(&c.got), SLICE("\r\n10.0.0.1:1")));
  client_free(&c);
}

static void test_slow_readers_over_tls(void **state) {
  (void)state;
  static const size_t steps[] = {257, 16384, 70000, 1000000};
  for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
    slow_reader("GET /large HTTP/1.1\r\nHost: a\r\n\r\n", steps[i]);
    slow_reader("GET /pieces HTTP/1.1\r\nHost: a\r\n\r\n", steps[i]);
    slow_reader("GET /file HTTP/1.1\r\nHost: a\r\n\r\n", steps[i]);
  }
}

static void test_a_reader_over_tls_must_go_on(void **state) {
  (void)state;
  const struct http_limits limits = {.send_timeout_ms = 1000};
  struct client c;
  client_open(&c, &limits);
  client_run(&c);
  http_memory_take(c.m, 100);
  client_ask(&c, "GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
  for (unsigned i = 0; i < 5; i++) {
    http_memory_advance(c.m, 900);
    assert_false(http_memory_released(c.m));
    http_memory_take(c.m, 8192);
  }
  http_memory_advance(c.m, 900);
  http_memory_advance(c.m, 1000);
  assert_true(http_memory_released(c.m));
  client_free(&c);
}

static void test_a_file_over_tls_that_has_become_shorter(void **state) {
  (void)state;
  const int whole = large_file;
  struct client c;
  FILE *shorter = tmpfile();
  assert_int_equal(ftruncate(fileno(shorter), LARGE / 2), 0);
  large_file = fileno(shorter);
  client_open(&c, NULL);
  client_run(&c);
  client_ask(&c, "GET /file HTTP/1.1\r\nHost: a\r\n\r\n");
  assert_true(http_memory_released(c.m));
  assert_in_range(c.got.len, LARGE / 2, LARGE / 2 + 300);
  client_free(&c);
  fclose(shorter);
  large_file = whole;
}

/* TLS 1.3 has a peer ask for answers that no request is behind: each wants a key update back. */
static void test_what_tls_itself_answers_is_bounded(void **state) {
  (void)state;
  struct client c;
  char bytes[1024];
  size_t fed = 0;
  client_open(&c, NULL);
  client_run(&c);
  client_ask(&c, WHO "\r\n");
  http_memory_take(c.m, 0);
  while (!http_memory_released(c.m) && fed < 4 * (size_t)SEALED_MAX) {
    assert_int_equal(SSL_key_update(c.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
    assert_int_equal(SSL_do_handshake(c.ssl), 1);
    int n = BIO_read(c.out, bytes, sizeof bytes);
    assert_true(n > 0);
    http_memory_feed(c.m, slice_of(bytes, (size_t)n));
    fed += (size_t)n;
  }
  assert_true(http_memory_released(c.m));
  assert_in_range(fed, SEALED_MAX / 2, 2 * (size_t)SEALED_MAX);
  client_free(&c);
}

/* A handshake whose answer is not taken, and one that does not go on. */
static void test_a_handshake_has_its_time(void **state) {
  (void)state;
  const struct http_limits limits = {.head_timeout_ms = 1000};
  for (unsigned i = 0; i < 2; i++) {
    struct client c;
    client_open(&c, &limits);
    http_memory_take(c.m, i == 0 ? 10 : SIZE_MAX);
    char hello[2048];
    SSL_do_handshake(c.ssl);
    int n = BIO_read(c.out, hello, sizeof hello);
    assert_true(n > 100);
    http_memory_feed(c.m, slice_of(hello, (size_t)n));
    assert_int_equal(http_memory_output(c.m).len > 10, i);
    http_memory_advance(c.m, 999);
    assert_false(http_memory_closed(c.m));
    http_memory_advance(c.m, 1);
    assert_true(http_memory_released(c.m));
    client_free(&c);
  }
}

static void test_what_is_no_tls_is_closed(void **state) {
  (void)state;
  struct client c;
  client_open(&c, NULL);
  http_memory_feed(c.m, SLICE(WHO "\r\n"));
  assert_true(http_memory_released(c.m));
  client_free(&c);
}

/* The client's end, said by TLS, ends a connection that waits. */
static void test_the_clients_end(void **state) {
  (void)state;
  struct client c;
  client_open(&c, NULL);
  client_run(&c);
  client_ask(&c, WHO "\r\n");
  SSL_shutdown(c.ssl);
  client_run(&c);
  assert_true(http_memory_released(c.m));
  client_free(&c);
}

/* The transport fails while TLS still has bytes of its own, or of an answer, to send. */
static void test_a_peer_that_goes_away(void **state) {
  (void)state;
  struct client c;
  client_open(&c, NULL);
  client_run(&c);
  http_memory_take(c.m, 1000);
  client_ask(&c, "GET /pieces HTTP/1.1\r\nHost: a\r\n\r\n");
  client_free(&c);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_a_trusted_proxy_says_for_whom),
      cmocka_unit_test(test_others_do_not),
      cmocka_unit_test(test_who_is_not_named_is_nobody),
      cmocka_unit_test(test_a_unix_socket_is_trusted),
      cmocka_unit_test(test_connections_are_counted_for_the_client),
      cmocka_unit_test(test_a_header_has_its_time),
      cmocka_unit_test(test_requests_over_tls),
      cmocka_unit_test(test_slow_readers_over_tls),
      cmocka_unit_test(test_a_reader_over_tls_must_go_on),
      cmocka_unit_test(test_a_file_over_tls_that_has_become_shorter),
      cmocka_unit_test(test_what_tls_itself_answers_is_bounded),
      cmocka_unit_test(test_a_handshake_has_its_time),
      cmocka_unit_test(test_what_is_no_tls_is_closed),
      cmocka_unit_test(test_the_clients_end),
      cmocka_unit_test(test_a_peer_that_goes_away),
  };
  return cmocka_run_group_tests(tests, make_tls, free_tls);
}
