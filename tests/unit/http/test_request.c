#include "http/memory.h"

#include "unit/cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>

/* Answers with what it understood: method, path, query, the field X and the body. */
static void echo(struct http_exchange *x, void *context) {
  (void)context;
  struct slice text = arena_printf(
      http_exchange_arena(x), "%.*s|%.*s|%.*s|%.*s|%.*s", SLICE_ARG(http_request_method(x)),
      SLICE_ARG(http_request_path(x)), SLICE_ARG(http_request_query(x)),
      SLICE_ARG(http_request_field(x, SLICE("x"))), SLICE_ARG(http_request_body(x)));
  http_answer(x, 200, NULL, 0, text);
}

static const struct http_route routes[] = {
    {"GET", "/", echo, NULL}, {"HEAD", "/", echo, NULL}, {"POST", "/", echo, NULL}};

static struct http_server_options options(void) {
  return (struct http_server_options){
      .routes = routes, .route_count = 3, .limits = {.head_max = 1024, .body_max = 100}};
}

static struct http_memory *connect_to_echo(void) {
  struct http_server_options o = options();
  struct http_memory *m = http_memory_new(NULL, &o, NULL);
  assert_non_null(m);
  return m;
}

/* What is answered to the bytes, fed in pieces of that size; the Date is masked. */
static char *answer_to(struct slice bytes, size_t piece, bool *closed) {
  struct http_memory *m = connect_to_echo();
  while (bytes.len > 0) {
    size_t n = piece < bytes.len ? piece : bytes.len;
    /* A copy of exactly that size: a sanitizer sees a read beyond it. */
    char *copy = malloc(n);
    memcpy(copy, bytes.ptr, n);
    http_memory_feed(m, slice_of(copy, n));
    free(copy);
    bytes = slice_from(bytes, n);
  }
  struct slice output = http_memory_output(m);
  char *text = malloc(output.len + 1);
  if (output.len > 0) {
    memcpy(text, output.ptr, output.len);
  }
  text[output.len] = '\0';
  for (char *date = strstr(text, "Date: "); date != NULL; date = strstr(date + 6, "Date: ")) {
    memset(date + 6, '-', 29);
  }
  *closed = http_memory_closed(m);
  http_memory_free(m);
  return text;
}

struct expected {
  const char *name;
  struct slice request;
  const char *status; /* of the first answer; NULL: none yet */
  bool closed;
  const char *body; /* the last bytes of all that is answered; NULL: any */
};

#define R(text) SLICE(text)
#define HOST    "Host: a\r\n"
#define GET     "GET / HTTP/1.1\r\n" HOST
#define POST    "POST / HTTP/1.1\r\n" HOST
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"
#define TEN     "0123456789"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

static const struct expected good[] = {
    {"plain", R(GET "\r\n"), "200", false, "GET|/|||"},
    {"1.0", R("GET / HTTP/1.0\r\n\r\n"), "200", true, "GET|/|||"},
    {"1.0 kept", R("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), "200", false, "GET|/|||"},
    {"close", R(GET "Connection: foo, Close\r\n\r\n"), "200", true, "GET|/|||"},
    {"close between tabs", R(GET "Connection: foo,\tclose\t\r\n\r\n"), "200", true, "GET|/|||"},
    {"close in a second field", R(GET "Connection: x\r\nConnection: close\r\n\r\n"), "200", true,
     "GET|/|||"},
    {"close and keep", R("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n"), "200", true,
     "GET|/|||"},
    {"no option is close",
     R(GET "Connection: closed, , \"close\"\r\nProxy-Connection: close\r\n\r\n"), "200", false,
     "GET|/|||"},
    {"two in one", R(GET "\r\n" GET "X: 2\r\n\r\n"), "200", false, "GET|/||2|"},
    {"after close", R(GET "Connection: close\r\n\r\n" GET "X: 2\r\n\r\n"), "200", true, "GET|/|||"},
    {"query", R("GET /a/b?c=%20d?e HTTP/1.1\r\n" HOST "\r\n"), "200", false, "GET|/a/b|c=%20d?e||"},
    {"empty query", R("GET /? HTTP/1.1\r\n" HOST "\r\n"), "200", false, "GET|/|||"},
    {"absolute", R("GET http://h:1/p?q HTTP/1.1\r\n" HOST "\r\n"), "200", false, "GET|/p|q||"},
    {"absolute, no path", R("GET HTTPS://h HTTP/1.1\r\n" HOST "\r\n"), "200", false, "GET|/|||"},
    {"absolute, query", R("GET http://h?q HTTP/1.1\r\n" HOST "\r\n"), "200", false, "GET|/|q||"},
    {"value trimmed", R(GET "x: \t b c \t \r\n\r\n"), "200", false, "GET|/||b c|"},
    {"empty value", R(GET "X:\r\nY: 1\r\n\r\n"), "200", false, "GET|/|||"},
    {"first of two", R(GET "X: 1\r\nx: 2\r\n\r\n"), "200", false, "GET|/||1|"},
    {"high bytes", R(GET "X: \xc3\xa4\r\n\r\n"), "200", false, "GET|/||\xc3\xa4|"},
    {"empty host", R("GET / HTTP/1.1\r\nHost:\r\n\r\n"), "200", false, "GET|/|||"},
    {"v6 host", R("GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n"), "200", false, "GET|/|||"},
    {"v6 host as libtorrent writes it", R("GET / HTTP/1.1\r\nHost: ::1:80\r\n\r\n"), "200", false,
     "GET|/|||"},
    {"host of every mark", R("GET / HTTP/1.1\r\nHost: a-._~!$&'()*+,;=Z9:65535\r\n\r\n"), "200",
     false, "GET|/|||"},
    {"host, empty port", R("GET / HTTP/1.1\r\nHost: a:\r\n\r\n"), "200", false, "GET|/|||"},
    {"empty lines first", R("\r\n\r\n" GET "\r\n"), "200", false, "GET|/|||"},
    {"body", R(POST "Content-Length: 3\r\n\r\nabc"), "200", false, "POST|/|||abc"},
    {"body of 0", R(POST "Content-Length: 0\r\n\r\n" GET "\r\n"), "200", false, "GET|/|||"},
    {"body of GET", R(GET "Content-Length: 3\r\n\r\na\rb" GET "\r\n"), "200", false, "GET|/|||"},
    {"body short", R(POST "Content-Length: 3\r\n\r\nab"), NULL, false, NULL},
    {"body, largest", R(POST "Content-Length: 100\r\n\r\n" TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN),
     "200", false, "0123456789"},
    {"chunked", R(CHUNKED "3\r\nabc\r\nA;x=y\r\n" TEN "\r\n0\r\n\r\n" GET "\r\n"), "200", false,
     "GET|/|||"},
    {"chunks joined", R(CHUNKED "1\r\na\r\n02\r\nbc\r\n0\r\n\r\n"), "200", false, "POST|/|||abc"},
    {"CR and LF as data", R(CHUNKED "4\r\n\n\r\r\n\r\n0\r\n\r\n" GET "\r\n"), "200", false,
     "GET|/|||"},
    {"trailers", R(CHUNKED "1\r\na\r\n0\r\nX: 9\r\nHost: b\r\n\r\n"), "200", false, "POST|/|||a"},
    {"continue", R(POST "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\na"), "100", false,
     "POST|/|||a"},
    {"continue without a body", R(POST "Expect: 100-continue\r\n\r\n"), "200", false, "POST|/|||"},
    {"continue in 1.0", R("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na"),
     "200", true, "POST|/|||a"},
    {"upgrade", R(GET "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n" GET "X: 2\r\n\r\n"), "200",
     false, "GET|/||2|"},
    {"upgrade with a body",
     R(POST "Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 1\r\n\r\na" GET "X: 2\r\n\r\n"),
     "200", false, "GET|/||2|"},
    {"WebDAV", R("PROPFIND / HTTP/1.1\r\n" HOST "\r\n"), "405", false, NULL},
    {"DELETE", R("DELETE / HTTP/1.1\r\n" HOST "\r\n"), "405", false, NULL},
    {"two spaces", R("GET  / HTTP/1.1\r\n" HOST "\r\n"), "200", false, "GET|/|||"},
};

static const struct expected bad[] = {
    {"garbage", R("\x16\x03\x01\x02garbage"), "400", true, NULL},
    {"no method", R("/ HTTP/1.1\r\n\r\n"), "400", true, NULL},
    {"lower case", R("get / HTTP/1.1\r\n" HOST "\r\n"), "400", true, NULL},
    {"unknown method", R("FROB / HTTP/1.1\r\n" HOST "\r\n"), "400", true, NULL},
    {"0.9", R("GET /\r\n\r\n"), "400", true, NULL},
    {"0.9, a target like a version", R("GET /HTTP/1.1\r\n" HOST "\r\n"), "400", true, NULL},
    {"0.9 spelt", R("GET / HTTP/0.9\r\n" HOST "\r\n"), "505", true, NULL},
    {"1.2", R("GET / HTTP/1.2\r\n" HOST "\r\n"), "505", true, NULL},
    {"2.0", R("GET / HTTP/2.0\r\n" HOST "\r\n"), "505", true, NULL},
    {"9.9", R("GET / HTTP/9.9\r\n" HOST "\r\n"), "505", true, NULL},
    {"1.10", R("GET / HTTP/1.10\r\n" HOST "\r\n"), "400", true, NULL},
    {"a.b", R("GET / HTTP/a.b\r\n" HOST "\r\n"), "400", true, NULL},
    {"1x", R("GET / HTTP/1x1\r\n" HOST "\r\n"), "400", true, NULL},
    {"RTSP", R("GET / RTSP/1.0\r\n" HOST "\r\n"), "400", true, NULL},
    {"ICE", R("SOURCE / ICE/1.0\r\n" HOST "\r\n"), "400", true, NULL},
    {"HTTP/2 preface", R("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "505", true, NULL},
    {"RTSP's method", R("ANNOUNCE / HTTP/1.1\r\n" HOST "\r\n"), "400", true, NULL},
    {"tab for a space", R("GET\t/ HTTP/1.1\r\n" HOST "\r\n"), "400", true, NULL},
    {"space at the end", R("GET / HTTP/1.1 \r\n" HOST "\r\n"), "400", true, NULL},
    {"space in the target", R("GET /a b HTTP/1.1\r\n" HOST "\r\n"), "400", true, NULL},
    {"asterisk", R("OPTIONS * HTTP/1.1\r\n" HOST "\r\n"), "400", true, NULL},
    {"CONNECT, a path", R("CONNECT /x HTTP/1.1\r\n" HOST "\r\n" GET "\r\n"), "400", true, NULL},
    {"authority", R("CONNECT a:1 HTTP/1.1\r\n" HOST "\r\n"), "400", true, NULL},
    {"ftp", R("GET ftp://a/ HTTP/1.1\r\n" HOST "\r\n"), "400", true, NULL},
    {"no authority", R("GET http:///x HTTP/1.1\r\n" HOST "\r\n"), "400", true, NULL},
    {"user info", R("GET http://u@h/x HTTP/1.1\r\n" HOST "\r\n"), "400", true, NULL},
    {"fragment", R("GET /a#b HTTP/1.1\r\n" HOST "\r\n"), "400", true, NULL},
    {"high byte in target", R("GET /\xff HTTP/1.1\r\n" HOST "\r\n"), "400", true, NULL},
    {"control in target", R("GET /\x01 HTTP/1.1\r\n" HOST "\r\n"), "400", true, NULL},
    {"NUL in target", R("GET /\0 HTTP/1.1\r\n" HOST "\r\n"), "400", true, NULL},
    {"no host", R("GET / HTTP/1.1\r\n\r\n"), "400", true, NULL},
    {"two hosts", R(GET "Host: a\r\n\r\n"), "400", true, NULL},
    {"two hosts in 1.0", R("GET / HTTP/1.0\r\n" HOST HOST "\r\n"), "400", true, NULL},
    {"no host at all", R("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), "400", true, NULL},
    {"host with user", R("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n"), "400", true, NULL},
    {"host with a port that is none", R("GET / HTTP/1.1\r\nHost: a:b\r\n\r\n"), "400", true, NULL},
    {"host with two ports", R("GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n"), "400", true, NULL},
    {"host with too high a port", R("GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n"), "400", true, NULL},
    {"host with a percent", R("GET / HTTP/1.1\r\nHost: a%2eb\r\n\r\n"), "400", true, NULL},
    {"v6 host without end", R("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"), "400", true, NULL},
    {"v6 host with more behind", R("GET / HTTP/1.1\r\nHost: [::1]1\r\n\r\n"), "400", true, NULL},
    {"v6 host without brackets, not hex", R("GET / HTTP/1.1\r\nHost: ::g\r\n\r\n"), "400", true,
     NULL},
    {"name in brackets", R("GET / HTTP/1.1\r\nHost: [a_b]\r\n\r\n"), "400", true, NULL},
    {"v6 target without end", R("GET http://[::1/ HTTP/1.1\r\n" HOST "\r\n"), "400", true, NULL},
    {"port of a target", R("GET http://a:b/ HTTP/1.1\r\n" HOST "\r\n"), "400", true, NULL},
    {"bare CR in a value", R(GET "X: a\rY: b\r\n\r\n"), "400", true, NULL},
    {"bare CR ends a line", R(GET "X: a\r\rY: b\r\n\r\n"), "400", true, NULL},
    {"bare CR in the request line", R("GET /\r HTTP/1.1\r\n" HOST "\r\n"), "400", true, NULL},
    {"bare CR at the end", R(GET "\rX"), "400", true, NULL},
    {"bare LF", R("GET / HTTP/1.1\nHost: a\n\n"), "400", true, NULL},
    {"bare LF after a value", R(GET "X: a\n\r\n"), "400", true, NULL},
    {"bare LF at first", R("\nGET / HTTP/1.1\r\n" HOST "\r\n"), "400", true, NULL},
    {"NUL in a value", R(GET "X: a\0b\r\n\r\n"), "400", true, NULL},
    {"control in a value", R(GET "X: a\x07\r\n\r\n"), "400", true, NULL},
    {"DEL in a value", R(GET "X: a\x7f\r\n\r\n"), "400", true, NULL},
    {"folded", R(GET "X: a\r\n b\r\n\r\n"), "400", true, NULL},
    {"folded by a tab", R(GET "X: a\r\n\tb\r\n\r\n"), "400", true, NULL},
    {"space before the first field", R("GET / HTTP/1.1\r\n Host: a\r\n\r\n"), "400", true, NULL},
    {"space before the colon", R(GET "X : a\r\n\r\n"), "400", true, NULL},
    {"no colon", R(GET "X\r\n\r\n"), "400", true, NULL},
    {"no name", R(GET ": a\r\n\r\n"), "400", true, NULL},
    {"no name at first", R("GET / HTTP/1.1\r\n: a\r\n\r\n"), "400", true, NULL},
    {"no name in a trailer, no colon", R(CHUNKED "0\r\nX\r\n\r\n"), "400", true, NULL},
    {"two lengths", R(POST "Content-Length: 1\r\nContent-Length: 1\r\n\r\na"), "400", true, NULL},
    {"list of lengths", R(POST "Content-Length: 1, 1\r\n\r\na"), "400", true, NULL},
    {"empty length", R(POST "Content-Length:\r\n\r\n"), "400", true, NULL},
    {"length +1", R(POST "Content-Length: +1\r\n\r\na"), "400", true, NULL},
    {"length -1", R(POST "Content-Length: -1\r\n\r\na"), "400", true, NULL},
    {"length 0x1", R(POST "Content-Length: 0x1\r\n\r\na"), "400", true, NULL},
    {"length 1 1", R(POST "Content-Length: 1 1\r\n\r\na"), "400", true, NULL},
    {"length beyond 64 bits", R(POST "Content-Length: 18446744073709551617\r\n\r\na"), "400", true,
     NULL},
    {"length and chunked", R(POST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\na"),
     "400", true, NULL},
    {"chunked and length",
     R(POST "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n"), "400", true, NULL},
    {"gzip", R(POST "Transfer-Encoding: gzip\r\n\r\n"), "400", true, NULL},
    {"gzip, chunked", R(POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), "400", true,
     NULL},
    {"chunked, gzip", R(POST "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"), "400", true,
     NULL},
    {"chunked twice",
     R(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), "400",
     true, NULL},
    {"xchunked", R(POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"), "400", true, NULL},
    {"empty coding", R(POST "Transfer-Encoding:\r\n\r\n0\r\n\r\n"), "400", true, NULL},
    {"chunked in 1.0", R("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), "400",
     true, NULL},
    {"chunk size bad", R(CHUNKED "g\r\n"), "400", true, NULL},
    {"chunk size empty", R(CHUNKED "\r\n"), "400", true, NULL},
    {"chunk size negative", R(CHUNKED "-1\r\n"), "400", true, NULL},
    {"chunk size 0x1", R(CHUNKED "0x1\r\na\r\n0\r\n\r\n"), "400", true, NULL},
    {"chunk size of 17 digits", R(CHUNKED "10000000000000001\r\n"), "400", true, NULL},
    {"chunk longer than said", R(CHUNKED "1\r\nab\r\n0\r\n\r\n"), "400", true, NULL},
    {"chunk line ends in LF", R(CHUNKED "1\na\r\n0\r\n\r\n"), "400", true, NULL},
    {"chunk ends in LF", R(CHUNKED "1\r\na\n0\r\n\r\n"), "400", true, NULL},
    {"bare CR behind a chunk size", R(CHUNKED "1\ra\r\n0\r\n\r\n"), "400", true, NULL},
    {"bare LF behind the last chunk size", R(CHUNKED "1\r\na\r\n0\n\r\n"), "400", true, NULL},
    {"bare LF behind an extension", R(CHUNKED "1;x\na\r\n0\r\n\r\n"), "400", true, NULL},
    {"bare LF at the end of chunks", R(CHUNKED "1\r\na\r\n0\r\n\n"), "400", true, NULL},
    {"bare LF behind a trailer", R(CHUNKED "0\r\nX: 1\n\r\n"), "400", true, NULL},
    {"bare LF after trailers", R(CHUNKED "0\r\nX: 1\r\n\n"), "400", true, NULL},
    {"bare CR in a trailer", R(CHUNKED "0\r\nX: 1\rY: 2\r\n\r\n"), "400", true, NULL},
    {"body too large", R(POST "Content-Length: 101\r\n\r\n"), "413", true, NULL},
    {"expected, too large", R(POST "Expect: 100-continue\r\nContent-Length: 101\r\n\r\n"), "413",
     true, NULL},
    {"chunks too large", R(CHUNKED "65\r\n" TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN "1\r\n"), "413",
     true, NULL},
    {"chunk extension without end",
     R(CHUNKED "1;" HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED
           HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED),
     "413", true, NULL},
    {"trailers without end",
     R(CHUNKED "0\r\nX: " HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED
           HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED),
     "413", true, NULL},
    {"other expectation", R(GET "Expect: tea\r\n\r\n"), "417", true, NULL},
};

/* Whatever the cuts, the answer is the same. */
static void check_cuts(const char *name, struct slice request, const char *whole, bool closed) {
  for (size_t piece = 1; piece <= 7; piece += 3) {
    bool closed_too = false;
    char *cut = answer_to(request, piece, &closed_too);
    if (strcmp(cut, whole) != 0 || closed != closed_too) {
      fail_msg("%s: in pieces of %zu, %s, got:\n%s\ninstead of:\n%s", name, piece,
               closed_too ? "closed" : "open", cut, whole);
    }
    free(cut);
  }
}

static void check(const struct expected *t) {
  bool closed = false;
  char *whole = answer_to(t->request, t->request.len, &closed);
  char begin[32];
  snprintf(begin, sizeof begin, "HTTP/1.1 %s ", t->status == NULL ? "" : t->status);
  size_t body = t->body == NULL ? 0 : strlen(t->body);
  size_t len = strlen(whole);
  if ((t->status == NULL ? len > 0 : strncmp(whole, begin, strlen(begin)) != 0) ||
      closed != t->closed || len < body ||
      (t->body != NULL && strcmp(whole + len - body, t->body) != 0)) {
    fail_msg("%s: %s, got:\n%s\n", t->name, closed ? "closed" : "open", whole);
  }
  check_cuts(t->name, t->request, whole, closed);
  free(whole);
}

static void test_good(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
    check(&good[i]);
  }
}

static void test_bad(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    check(&bad[i]);
  }
}

/* A query that comes at once is not given to llhttp; byte by byte it is. */
static void any_byte_in_a_query_is_taken_as_llhttp_takes_it(void **state) {
  (void)state;
  static const struct slice requests[] = {R("GET /p?* HTTP/1.1\r\n" HOST "\r\n"),
                                          R("GET /p?a*b?c HTTP/1.1\r\n" HOST "\r\n"),
                                          R("GET /p#?a*b HTTP/1.1\r\n" HOST "\r\n"),
                                          R("G?* / HTTP/1.1\r\n" HOST "\r\n"),
                                          R("GET / HTTP/1.1?*\r\n" HOST "\r\n"),
                                          R("GET / HTTP/1.1\r\n?*: a\r\n" HOST "\r\n"),
                                          R(GET "X: ?*b\r\n\r\n"),
                                          R(POST "Content-Length: 2\r\n\r\n?*")};
  for (size_t r = 0; r < sizeof requests / sizeof *requests; r++) {
    for (int byte = 0; byte < 256; byte++) {
      char request[128], name[64];
      size_t len = requests[r].len;
      memcpy(request, requests[r].ptr, len);
      *(char *)memchr(request, '*', len) = (char)byte;
      snprintf(name, sizeof name, "byte %d in request %zu", byte, r);
      bool closed = false;
      char *whole = answer_to(slice_of(request, len), sizeof request, &closed);
      check_cuts(name, slice_of(request, len), whole, closed);
      free(whole);
    }
  }
}

/* --- large bodies --- */

/* From who says so in X. */
static bool are_from(const struct http_exchange *x, void *context) {
  ++*(unsigned *)context;
  return slice_equal(http_request_field(x, SLICE("x")), SLICE("large"));
}

static void length_of(struct http_exchange *x, void *context) {
  (void)context;
  struct slice text = arena_printf(http_exchange_arena(x), "%zu%s", http_request_body(x).len,
                                   http_request_body_cut(x) ? ", cut" : "");
  http_answer(x, 200, NULL, 0, text);
}

static void feed_many(struct http_memory *m, size_t count) {
  for (size_t i = 0; i < count; i++) {
    http_memory_feed(m, SLICE(HUNDRED));
  }
}

static void large_bodies_are_for_some(void **state) {
  static const struct http_route route = {"POST", "/", length_of, NULL};
  static const struct {
    const char *head;
    size_t hundreds;
    const char *end, *answer;
    unsigned asked;
  } rows[] = {
      {POST "X: large\r\nContent-Length: 100\r\n\r\n", 1, "", "\r\n\r\n100", 0},
      {POST "X: large\r\nContent-Length: 500\r\n\r\n", 5, "", "\r\n\r\n500", 1},
      {POST "X: large\r\nContent-Length: 501\r\n\r\n", 5, "x", "\r\n\r\n500, cut", 1},
      {POST "X: large\r\nContent-Length: 100000\r\n\r\n", 1000, "", "\r\n\r\n500, cut", 1},
      {POST "X: large\r\nTransfer-Encoding: chunked\r\n\r\n186A0\r\n", 1000, "\r\n0\r\n\r\n",
       "\r\n\r\n500, cut", 1},
      {POST "X: other\r\nContent-Length: 101\r\n\r\n", 0, "", "HTTP/1.1 413 ", 1},
      {POST "X: other\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n", 1, "x", "HTTP/1.1 413 ", 1},
  };
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    unsigned asked = 0;
    const struct http_large_bodies large = {are_from, &asked, 500};
    struct http_server_options o = options();
    o.routes = &route;
    o.route_count = 1;
    o.large = &large;
    struct http_memory *m = http_memory_new(NULL, &o, NULL);
    assert_non_null(m);
    http_memory_feed(m, slice_str(rows[i].head));
    feed_many(m, rows[i].hundreds);
    http_memory_feed(m, slice_str(rows[i].end));
    char text[1024];
    snprintf(text, sizeof text, "%.*s", SLICE_ARG(http_memory_output(m)));
    if (strstr(text, rows[i].answer) == NULL || asked != rows[i].asked) {
      fail_msg("%zu, asked %u: %s", i, asked, text);
    }
    /* The next request is none of them. */
    if (!http_memory_closed(m)) {
      http_memory_feed(m, SLICE(POST "Content-Length: 101\r\n\r\n"));
      snprintf(text, sizeof text, "%.*s", SLICE_ARG(http_memory_output(m)));
      assert_non_null(strstr(text, "HTTP/1.1 413 "));
    }
    http_memory_free(m);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(large_bodies_are_for_some), cmocka_unit_test(test_good),
      cmocka_unit_test(test_bad),
      cmocka_unit_test(any_byte_in_a_query_is_taken_as_llhttp_takes_it)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
