#include "admin/health.h"

#include "http/memory.h"
#include "unit/cmocka_all.h"

struct rig {
  bool well[2];
  struct health_check checks[2];
  struct health health;
  struct http_route routes[HEALTH_ROUTES];
  struct log log;
};

static bool is_well(const void *arg, int64_t now, struct buf *why) {
  const bool *well = arg;
  assert_true(now > 1700000000);
  if (!*well) {
    buf_printf(why, "it is %d s old", 301);
  }
  return *well;
}

static void rig_make(struct rig *rig, size_t count) {
  *rig = (struct rig){.well = {true, true}};
  rig->checks[0] = (struct health_check){"revocations", is_well, &rig->well[0]};
  rig->checks[1] = (struct health_check){"keys", is_well, &rig->well[1]};
  rig->health = (struct health){rig->checks, count};
  health_routes(&rig->health, rig->routes);
}

/* Asserts what a request for \p path is answered. */
static void answers(struct rig *rig, const char *path, const char *status, const char *body) {
  const struct http_server_options options = {
      .routes = rig->routes, .route_count = HEALTH_ROUTES, .log = &rig->log};
  struct http_memory *m = http_memory_new(NULL, &options, NULL);
  struct buf request = {0};
  buf_printf(&request, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path);
  http_memory_feed(m, buf_view(&request));
  buf_free(&request);
  struct buf output = {0};
  buf_slice(&output, http_memory_output(m));
  buf_append(&output, "", 1);
  assert_memory_equal(output.ptr, status, strlen(status));
  const char *end = strstr(output.ptr, "\r\n\r\n");
  assert_non_null(end);
  if (body != NULL) {
    assert_string_equal(end + 4, body);
    assert_non_null(strstr(output.ptr, "Content-Type: text/plain\r\n"));
    assert_non_null(strstr(output.ptr, "Cache-Control: no-store\r\n"));
  }
  buf_free(&output);
  http_memory_free(m);
}

static void is_ready_when_all_is_well(void **state) {
  (void)state;
  struct rig rig;
  rig_make(&rig, 0);
  answers(&rig, "/readyz", "HTTP/1.1 200 ", "ready\n");
  rig_make(&rig, 2);
  answers(&rig, "/readyz", "HTTP/1.1 200 ", "ready\n");
}

static void says_all_that_is_not(void **state) {
  (void)state;
  struct rig rig;
  rig_make(&rig, 2);
  rig.well[1] = false;
  answers(&rig, "/readyz", "HTTP/1.1 503 ", "keys: it is 301 s old\n");
  rig.well[0] = false;
  answers(&rig, "/readyz", "HTTP/1.1 503 ",
          "revocations: it is 301 s old\nkeys: it is 301 s old\n");
  rig.well[1] = true;
  answers(&rig, "/readyz", "HTTP/1.1 503 ", "revocations: it is 301 s old\n");
}

static void lives_whatever_is_not_well(void **state) {
  (void)state;
  struct rig rig;
  rig_make(&rig, 2);
  rig.well[0] = false;
  answers(&rig, "/livez", "HTTP/1.1 200 ", "live\n");
}

static void has_nothing_else(void **state) {
  (void)state;
  struct rig rig;
  rig_make(&rig, 1);
  answers(&rig, "/", "HTTP/1.1 404 ", NULL);
  answers(&rig, "/metrics", "HTTP/1.1 404 ", NULL);
  answers(&rig, "/readyz/", "HTTP/1.1 404 ", NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(is_ready_when_all_is_well),
      cmocka_unit_test(says_all_that_is_not),
      cmocka_unit_test(lives_whatever_is_not_well),
      cmocka_unit_test(has_nothing_else),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
