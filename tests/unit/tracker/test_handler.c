/* The tracker behind the HTTP server, over a connection without a socket. */
#include "rig.h"

#include "base/clock.h"
#include "http/memory.h"
#include "unit/cmocka_all.h"

#include <arpa/inet.h>
#include <stdlib.h>

struct served {
  struct rig *rig;
  struct http_route routes[2];
  struct http_server_options options;
  struct http_memory *m;
  const char *token;
};

static int set_up(void **state) {
  struct served *s = calloc(1, sizeof *s);
  assert_non_null(s);
  s->rig = rig_new(NULL);
  /* The handlers look at the clock. */
  struct token claims = rig_claims();
  claims.issued = clock_now() - 10;
  claims.expires = claims.issued + 600;
  claims.session = claims.issued + 86400;
  s->token = rig_sign(s->rig, &claims);
  s->routes[0] = (struct http_route){"GET", "/announce", tracker_announce_handle, s->rig->tracker};
  s->routes[1] = (struct http_route){"GET", "/scrape", tracker_scrape_handle, s->rig->tracker};
  s->options = (struct http_server_options){.routes = s->routes, .route_count = 2};
  s->m = http_memory_new(NULL, &s->options, NULL);
  assert_non_null(s->m);
  *state = s;
  return 0;
}

static int tear_down(void **state) {
  struct served *s = *state;
  http_memory_free(s->m);
  rig_free(s->rig);
  free(s);
  return 0;
}

/* Sends a request with further fields, and expects that status line. \return the body. */
static struct slice ask(struct served *s, const char *target, const char *version,
                        const char *fields, const char *status) {
  http_memory_clear(s->m);
  struct slice request = arena_printf(&s->rig->arena, "GET %s HTTP/%s\r\nHost: tracker\r\n%s\r\n",
                                      target, version, fields);
  http_memory_feed(s->m, request);
  struct slice output = http_memory_output(s->m);
  struct slice line = output;
  line = slice_cut(&line, '\r');
  if (slice_from(line, 9).len == 0 || !slice_starts(slice_from(line, 9), slice_str(status))) {
    fail_msg("expected %s, got %.*s", status, SLICE_ARG(line));
  }
  const char *end = memmem(output.ptr, output.len, "\r\n\r\n", 4);
  assert_non_null(end);
  return slice_from(output, (size_t)(end + 4 - output.ptr));
}

static const char *target(struct served *s, const char *path, const char *query) {
  return arena_printf(&s->rig->arena, "%s?jwt=%s&%s", path, s->token, query).ptr;
}

static bool output_holds(struct served *s, const char *text) {
  struct slice output = http_memory_output(s->m);
  return memmem(output.ptr, output.len, text, strlen(text)) != NULL;
}

static void answers_200_and_text_plain_whatever_it_says(void **state) {
  struct served *s = *state;
  struct slice body = ask(s, target(s, "/announce", RIG_QUERY), "1.1", "", "200");
  assert_non_null(rig_get(body, "peers").ptr);
  assert_true(output_holds(s, "Content-Type: text/plain\r\n"));
  body = ask(s, target(s, "/scrape", "info_hash=" RIG_HASH), "1.1", "", "200");
  assert_non_null(rig_get(body, "files").ptr);
  assert_true(output_holds(s, "Content-Type: text/plain\r\n"));
  body = ask(s, "/announce", "1.1", "", "200");
  assert_true(slice_equal(body, SLICE("d14:failure reason14:token requirede")));
  assert_true(output_holds(s, "Content-Type: text/plain\r\n"));
  assert_true(output_holds(s, "Content-Length: 36\r\n"));
  body = ask(s, "/scrape?", "1.1", "", "200");
  assert_true(slice_equal(body, SLICE("d14:failure reason14:token requirede")));
  /* By the clock of the handlers it has just announced. */
  tracker_expire(s->rig->tracker);
  assert_int_equal(tracker_peers(s->rig->tracker), 1);
}

static void other_paths_are_not_found(void **state) {
  struct served *s = *state;
  ask(s, "/", "1.1", "", "404");
  ask(s, target(s, "/announce/", RIG_QUERY), "1.1", "", "404");
  ask(s, target(s, "/announcement", RIG_QUERY), "1.1", "", "404");
  ask(s, target(s, "/scrap", ""), "1.1", "", "404");
}

static void takes_the_token_from_authorization(void **state) {
  struct served *s = *state;
  const char *field = arena_printf(&s->rig->arena, "Authorization: Bearer %s\r\n", s->token).ptr;
  struct slice body = ask(s, "/announce?" RIG_QUERY, "1.1", field, "200");
  assert_non_null(rig_get(body, "peers").ptr);
  body = ask(s, target(s, "/announce", RIG_QUERY), "1.1", "authorization: BEARER other\r\n", "200");
  assert_true(slice_equal(body, SLICE("d14:failure reason13:token invalide")));
  /* Twice, even if the same. */
  const char *twice = arena_printf(&s->rig->arena, "%s%s", field, field).ptr;
  body = ask(s, "/announce?" RIG_QUERY, "1.1", twice, "200");
  assert_true(slice_equal(body, SLICE("d14:failure reason13:token invalide")));
}

static void keeps_or_closes_as_asked(void **state) {
  struct served *s = *state;
  ask(s, target(s, "/announce", RIG_QUERY), "1.1", "", "200");
  assert_false(http_memory_closed(s->m));
  ask(s, "/announce", "1.1", "", "200");
  assert_false(http_memory_closed(s->m));
  ask(s, target(s, "/announce", RIG_QUERY), "1.1", "Connection: close\r\n", "200");
  assert_true(http_memory_closed(s->m));
}

static void speaks_http_1_0(void **state) {
  struct served *s = *state;
  ask(s, target(s, "/announce", RIG_QUERY), "1.0", "Connection: keep-alive\r\n", "200");
  assert_false(http_memory_closed(s->m));
  ask(s, target(s, "/announce", RIG_QUERY), "1.0", "", "200");
  assert_true(http_memory_closed(s->m));
}

static void answers_pipelined_requests_in_order(void **state) {
  struct served *s = *state;
  struct slice two =
      arena_printf(&s->rig->arena,
                   "GET %s HTTP/1.1\r\nHost: a\r\n\r\nGET %s HTTP/1.1\r\nHost: "
                   "a\r\n\r\n",
                   target(s, "/announce", RIG_QUERY), target(s, "/scrape", "info_hash=" RIG_HASH));
  http_memory_feed(s->m, two);
  struct slice output = http_memory_output(s->m);
  const char *first = memmem(output.ptr, output.len, "5:peers", 7);
  const char *second = memmem(output.ptr, output.len, "5:files", 7);
  assert_non_null(first);
  assert_non_null(second);
  assert_true(first < second);
}

static void takes_a_request_byte_by_byte(void **state) {
  struct served *s = *state;
  struct slice request = arena_printf(&s->rig->arena, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n",
                                      target(s, "/announce", RIG_QUERY));
  for (size_t i = 0; i < request.len; i++) {
    assert_int_equal(http_memory_output(s->m).len, 0);
    http_memory_feed(s->m, slice_of(request.ptr + i, 1));
  }
  assert_true(output_holds(s, "5:peers0:"));
}

static void malformed_http_gets_a_4xx_and_the_door(void **state) {
  struct served *s = *state;
  http_memory_feed(s->m, SLICE("GET /announce?info_hash=\x80 HTTP/1.1\r\nHost: a\r\n\r\n"));
  assert_true(slice_starts(http_memory_output(s->m), SLICE("HTTP/1.1 4")));
  assert_true(http_memory_closed(s->m));
}

static void sees_the_address_of_the_connection(void **state) {
  struct served *s = *state;
  struct sockaddr_in6 peer = {.sin6_family = AF_INET6, .sin6_port = htons(4000)};
  assert_int_equal(inet_pton(AF_INET6, "2001:db8::5", &peer.sin6_addr), 1);
  struct http_memory *v4 = s->m;
  s->m = http_memory_new(NULL, &s->options, (struct sockaddr *)&peer);
  assert_non_null(s->m);
  struct slice body =
      ask(s, target(s, "/announce", RIG_QUERY), "1.1", "X-Forwarded-For: 9.9.9.9\r\n", "200");
  assert_true(slice_equal(rig_get(body, "external ip"), slice_of(&peer.sin6_addr, 16)));
  http_memory_free(s->m);
  s->m = v4;
  body = ask(s,
             target(s, "/announce",
                    "info_hash=" RIG_HASH "&peer_id=-XX0001-another-one!&port=7000&uploaded=0"
                    "&downloaded=0&left=1"),
             "1.1", "", "200");
  assert_true(slice_equal(rig_get(body, "external ip"), SLICE("\x7f\0\0\1")));
  assert_int_equal(rig_get(body, "peers6").len, 18);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(answers_200_and_text_plain_whatever_it_says),
      TEST(other_paths_are_not_found),
      TEST(takes_the_token_from_authorization),
      TEST(keeps_or_closes_as_asked),
      TEST(speaks_http_1_0),
      TEST(answers_pipelined_requests_in_order),
      TEST(takes_a_request_byte_by_byte),
      TEST(malformed_http_gets_a_4xx_and_the_door),
      TEST(sees_the_address_of_the_connection),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
