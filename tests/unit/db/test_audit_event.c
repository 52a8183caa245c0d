#include "db/audit_event.h"

#include "support/heap.h"

#include "unit/cmocka_all.h"

#include <stdlib.h>

static const struct slice infohashes[] = {{"aa", 2}, {"bb", 2}};
static const struct slice scope = {"repository:team/app:pull", 24};
static const struct slice name = {"sha256-00", 9};
static const struct audit_event everything = {
    .event = {"token", 5},
    .action = {"issue", 5},
    .kind = {"swarm", 5},
    .jti = {"0123", 4},
    .sub = {"registry.example/alice", 22},
    .registry = {"registry.example", 16},
    .repository = {"team/app", 8},
    .digest = {"sha256:00", 9},
    .infohashes = infohashes,
    .infohash_count = 2,
    .access = &scope,
    .access_count = 1,
    .names = &name,
    .name_count = 1,
    .exp = 1700000600,
    .session = 1700086400,
    .until = 1700000001,
    .kid = {"k1", 2},
    .user = {"bob", 3},
    .pattern = {"team/*", 6},
    .from = {"192.0.2.1:5", 11},
    .who = {"root", 4},
};

/* Fails the test unless the event's line is that text and a newline. */
static void assert_line(const struct audit_event *event, const char *text) {
  struct buf out = {0};
  struct error e = {0};
  buf_str(&out, "before\n");
  if (audit_event_append(event, 1700000000123, &out, &e) != 0) {
    fail_msg("%s", e.text);
  }
  buf_append(&out, "", 1);
  char *newline = strrchr(out.ptr, '\n');
  assert_non_null(newline);
  assert_int_equal(newline[1], 0);
  *newline = '\0';
  assert_string_equal(out.ptr + strlen("before\n"), text);
  buf_free(&out);
}

static void writes_what_is_there(void **state) {
  (void)state;
  assert_line(&(struct audit_event){.event = SLICE("key")},
              "{\"time\":\"2023-11-14T22:13:20.123Z\",\"event\":\"key\"}");
  assert_line(
      &everything,
      "{\"time\":\"2023-11-14T22:13:20.123Z\",\"event\":\"token\",\"action\":\"issue\","
      "\"kind\":\"swarm\",\"jti\":\"0123\",\"sub\":\"registry.example/alice\","
      "\"registry\":\"registry.example\",\"repository\":\"team/app\","
      "\"digest\":\"sha256:00\",\"infohashes\":[\"aa\",\"bb\"],"
      "\"access\":[\"repository:team/app:pull\"],\"names\":[\"sha256-00\"],\"exp\":1700000600,"
      "\"session\":1700086400,\"until\":1700000001,\"kid\":\"k1\",\"user\":\"bob\","
      "\"pattern\":\"team/*\",\"from\":\"192.0.2.1:5\",\"who\":\"root\"}");
}

/* A terminal, and whoever cuts the log into lines, is shown nothing but text. */
static void writes_ascii(void **state) {
  (void)state;
  assert_line(
      &(struct audit_event){.event = SLICE("e"), .sub = SLICE("a\"\\\n\t\x1b[31m\xc2\x9b\xc3\xa9")},
      "{\"time\":\"2023-11-14T22:13:20.123Z\",\"event\":\"e\","
      "\"sub\":\"a\\\"\\\\\\n\\t\\u001B[31m\\u009B\\u00E9\"}");
  assert_line(&(struct audit_event){.event = SLICE("e"), .who = slice_of("\0", 1)},
              "{\"time\":\"2023-11-14T22:13:20.123Z\",\"event\":\"e\",\"who\":\"\\u0000\"}");
}

static void assert_refused(const struct audit_event *event, const char *says) {
  struct buf out = {0};
  struct error e = {0};
  buf_str(&out, "before\n");
  assert_int_equal(audit_event_append(event, 0, &out, &e), -1);
  assert_int_equal(e.kind, ERROR_FAILED);
  assert_non_null(strstr(e.text, says));
  assert_int_equal(out.len, strlen("before\n"));
  buf_free(&out);
}

static void refuses_what_is_no_utf8(void **state) {
  (void)state;
  static const struct slice bad = {"a\xff", 2};
  assert_refused(&(struct audit_event){.event = SLICE("e"), .sub = bad}, "UTF-8");
  assert_refused(&(struct audit_event){.event = bad}, "UTF-8");
  assert_refused(&(struct audit_event){.event = SLICE("e"), .access = &bad, .access_count = 1},
                 "UTF-8");
}

static void lines_are_bounded(void **state) {
  (void)state;
  static char text[AUDIT_LINE_MAX];
  struct buf out = {0};
  struct error e = {0};
  memset(text, 'a', sizeof text);
  struct audit_event event = {.event = SLICE("e"), .sub = slice_of(text, 1)};
  assert_int_equal(audit_event_append(&event, 0, &out, &e), 0);
  event.sub.len = AUDIT_LINE_MAX - out.len + 1;
  out.len = 0;
  assert_int_equal(audit_event_append(&event, 0, &out, &e), 0);
  assert_int_equal(out.len, AUDIT_LINE_MAX);
  buf_free(&out);
  event.sub.len++;
  assert_refused(&event, "65537 bytes");
}

static int append_and_read(void *arg, struct error *e) {
  (void)arg;
  struct buf out = {0};
  int result = audit_event_append(&everything, 1, &out, e);
  if (result == 0) {
    json_t *event = audit_event_read(slice_of(out.ptr, out.len - 1));
    struct buf text = {0};
    if (event != NULL) {
      audit_event_print(event, &text);
    }
    if (event == NULL || text.failed) {
      result = error_set(e, ERROR_FAILED, "out of memory, to the reader a torn line");
    }
    buf_free(&text);
    json_decref(event);
  }
  buf_free(&out);
  return result;
}

static void says_that_there_is_no_memory(void **state) {
  (void)state;
  heap_exhaust(append_and_read, NULL);
}

static void reads_what_was_written(void **state) {
  (void)state;
  struct buf out = {0};
  int64_t ms = 0;
  assert_int_equal(audit_event_append(&everything, 1700000000123, &out, NULL), 0);
  struct slice line = slice_of(out.ptr, out.len - 1);
  assert_true(audit_event_time(line, &ms));
  assert_int_equal(ms, 1700000000123);
  json_t *event = audit_event_read(line);
  assert_non_null(event);
  assert_string_equal(json_string_value(json_object_get(event, "jti")), "0123");
  assert_int_equal(json_object_size(event), 20);
  json_decref(event);
  /* Torn anywhere, it is none. */
  for (line.len = 0; line.len < out.len - 1; line.len++) {
    assert_null(audit_event_read(line));
  }
  buf_free(&out);
}

#define TIME "{\"time\":\"2023-11-14T22:13:20.123Z\""

static void reads_nothing_else(void **state) {
  (void)state;
  static const struct slice rows[] = {
      {"", 0},
      SLICE("{}"),
      SLICE("null"),
      SLICE(TIME),
      SLICE(TIME "}"),
      SLICE(TIME ",\"event\":1}"),
      SLICE(TIME ",\"event\":null}"),
      SLICE(TIME ",\"event\":\"e\"} "
                 "{}"),
      SLICE(TIME ",\"event\":\"e\"}" TIME ",\"event\":\"e\"}"),
      SLICE(TIME ",\"event\":\"e\",\"event\":\"f\"}"),
      SLICE(TIME ",\"event\":\"e\",\"n\":1\0}"),
      SLICE(TIME ",\"event\":\"e\",\"n\":\"\xff\"}"),
      SLICE(" " TIME ",\"event\":\"e\"}"),
      SLICE("{\"event\":\"e\",\"time\":\"2023-11-14T22:13:20.123Z\"}"),
      SLICE("{\"time\":\"2023-11-14T22:13:20Z\",\"event\":\"e\"}"),
      SLICE("{\"time\":\"2023-13-14T22:13:20.123Z\",\"event\":\"e\"}"),
      SLICE("{\"time\":\"2023-11-14T22:13:20.1234Z\",\"event\":\"e\"}"),
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    json_t *event = audit_event_read(rows[i]);
    if (event != NULL) {
      fail_msg("row %zu was read", i);
    }
  }
  json_t *event = audit_event_read(SLICE(TIME ",\"event\":\"e\",\"new\":[{}]}"));
  assert_non_null(event); /* of a later version */
  json_decref(event);
}

static void assert_prints(const char *more, const char *text) {
  char line[512];
  struct buf out = {0};
  snprintf(line, sizeof line, TIME ",%s}", more);
  json_t *event = audit_event_read(slice_str(line));
  assert_non_null(event);
  audit_event_print(event, &out);
  buf_append(&out, "", 1);
  assert_false(out.failed);
  assert_string_equal(out.ptr, text);
  json_decref(event);
  buf_free(&out);
}

static void prints_a_line_for_people(void **state) {
  (void)state;
#define PRINTED "2023-11-14T22:13:20.123Z "
  assert_prints("\"event\":\"key\"", PRINTED "key\n");
  assert_prints(
      "\"event\":\"token\",\"sub\":\"registry.example/jos\xc3\xa9\",\"infohashes\":[\"aa\","
      "\"bb\"],\"exp\":1700000600,\"until\":1,\"session\":253402300799,\"n\":1700000600",
      PRINTED "token sub=registry.example/jos\xc3\xa9 infohashes=aa,bb "
              "exp=2023-11-14T22:23:20Z until=1970-01-01T00:00:01Z "
              "session=9999-12-31T23:59:59Z n=1700000600\n");
  /* Nothing that a name holds is taken for a member of its own, or by a terminal. */
  assert_prints(
      "\"event\":\"a b\",\"sub\":\"x who=root\",\"c\\n\":\"\",\"d\":\"=\",\"e\":[\"f,g\"]",
      PRINTED "\"a b\" sub=\"x who=root\" \"c\\n\"=\"\" d=\"=\" e=\"f,g\"\n");
  assert_prints(
      "\"event\":\"e\",\"a\":\"\\u001b[31m\",\"b\":\"\x7f\",\"c\":\"\xc2\x9b\",\"d\":\"\\\\\"",
      PRINTED "e a=\"\\u001B[31m\" b=\"?\" c=\"\\u009B\" d=\"\\\\\"\n");
  assert_prints(
      "\"event\":\"e\",\"a\":{\"b\":[]},\"c\":[],\"d\":null,\"exp\":\"soon\",\"until\":-5,"
      "\"session\":9223372036854775807,\"f\":true,\"g\":[[1]]",
      PRINTED "e a={\"b\":[]} c= d=null exp=soon until=-5 session=9223372036854775807 "
              "f=true g=[1]\n");
}

int main(void) {
  /* So that its allocations fail too. */
  json_set_alloc_funcs(malloc, free);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(writes_what_is_there),         cmocka_unit_test(writes_ascii),
      cmocka_unit_test(refuses_what_is_no_utf8),      cmocka_unit_test(lines_are_bounded),
      cmocka_unit_test(says_that_there_is_no_memory), cmocka_unit_test(reads_what_was_written),
      cmocka_unit_test(reads_nothing_else),           cmocka_unit_test(prints_a_line_for_people),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
