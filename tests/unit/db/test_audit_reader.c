#include "audit_rig.h"

#include <sys/file.h>

#define EVENT(second, more)                                                                        \
  "{\"time\":\"2024-01-01T00:00:" second ".000Z\",\"event\":\"token\"" more "}\n"
#define JTI(number) ",\"jti\":\"" number "\""

static void make_log(const char *folder) {
  audit_close(must_open_audit(folder));
}

static void put(const char *folder, const char *name, const char *text) {
  append_raw(folder, name, slice_str(text));
}

static void there_must_be_a_log(void **state) {
  const struct audit_query all = {0};
  struct error e = {0};
  uint64_t torn;
  assert_int_equal(audit_read(*state, &all, NULL, NULL, &torn, &e), -1);
  assert_int_equal(e.kind, ERROR_NOT_FOUND);
  assert_non_null(strstr(e.text, *state));
  assert_int_equal(audit_read("/dev/null", &all, NULL, NULL, &torn, &e), -1);
  assert_int_equal(e.kind, ERROR_FAILED);
  make_log(*state);
  assert_numbers(*state, NULL, 0, 0);
}

static void files_are_read_by_their_names(void **state) {
  static const uint64_t numbers[] = {1, 2, 3, 4, 5};
  make_log(*state);
  put(*state, "audit.jsonl", EVENT("00", JTI("5")));
  put(*state, "audit-20240101T000000.001Z.jsonl", EVENT("30", JTI("3")));
  put(*state, "audit-20231231T235959.999Z.jsonl", EVENT("40", JTI("1")) EVENT("20", JTI("2")));
  put(*state, "audit-20240101T000000.002Z.jsonl", EVENT("10", JTI("4")));
  put(*state, "audit-20240101T000000.002Z.jsonl~", EVENT("10", JTI("9")));
  put(*state, "audit-20240101t000000.002z.jsonl", EVENT("10", JTI("9")));
  put(*state, "other.jsonl", EVENT("10", JTI("9")));
  assert_numbers(*state, numbers, 5, 0);
}

static void a_log_without_a_current_file_is_read(void **state) {
  static const uint64_t numbers[] = {1};
  char path[512];
  make_log(*state);
  snprintf(path, sizeof path, "%s/audit/audit.jsonl", (char *)*state);
  assert_int_equal(unlink(path), 0);
  put(*state, "audit-20240101T000000.001Z.jsonl", EVENT("30", JTI("1")));
  assert_numbers(*state, numbers, 1, 0);
}

static void lines_that_are_no_events_are_passed_over(void **state) {
  static const uint64_t numbers[] = {1, 2, 3, 4};
  static char filler[3 * AUDIT_LINE_MAX];
  make_log(*state);
  put(*state, "audit-20240101T000000.001Z.jsonl",
      EVENT("00", JTI("1")) "{\"time\":\"2024-01-01T00:00:00.000Z\",\"ev\n" EVENT("00",
                                                                                  JTI("2")) "torn");
  put(*state, "audit.jsonl", "\n" EVENT("00", JTI("3")));
  /* One that is too long by a byte, one by much, and one of NULs, as a power cut may leave it. */
  memset(filler, 'x', sizeof filler);
  append_raw(*state, "audit.jsonl", slice_of(filler, AUDIT_LINE_MAX));
  put(*state, "audit.jsonl", "\n");
  append_raw(*state, "audit.jsonl", slice_of(filler, sizeof filler));
  put(*state, "audit.jsonl", "\n");
  memset(filler, 0, sizeof filler);
  append_raw(*state, "audit.jsonl", slice_of(filler, 5000));
  put(*state, "audit.jsonl", "\n" EVENT("00", JTI("4")));
  append_raw(*state, "audit.jsonl", slice_of(filler, sizeof filler));
  /* The end of one that is too long looks like an event. */
  append_raw(*state, "audit-20240101T000000.000Z.jsonl", slice_of(filler, AUDIT_LINE_MAX));
  put(*state, "audit-20240101T000000.000Z.jsonl", EVENT("00", JTI("9")));
  assert_numbers(*state, numbers, 4, 8);
}

static void the_longest_line_is_read(void **state) {
  static const uint64_t numbers[] = {1, 2, 3};
  struct numbered_event n;
  static char text[AUDIT_LINE_MAX];
  struct buf line = {0};
  memset(text, 'a', sizeof text);
  struct audit *audit = must_open_audit(*state);
  must_write(audit, 1);
  struct audit_event event = *numbered_event(&n, 2);
  event.sub = slice_of(text, 1);
  assert_int_equal(audit_event_append(&event, 0, &line, NULL), 0);
  event.sub.len = AUDIT_LINE_MAX - line.len + 1;
  assert_int_equal(audit_write_now(audit, &event, NULL), 0);
  must_write(audit, 3);
  audit_close(audit);
  buf_free(&line);
  assert_numbers(*state, numbers, 3, 0);
}

struct found {
  char text[16];
  size_t count, stop_after;
};

static bool note(void *arg, struct slice line, json_t *event) {
  struct found *f = arg;
  assert_int_equal(line.ptr[line.len], '\n');
  assert_true(f->count < sizeof f->text - 1);
  f->text[f->count++] = json_string_value(json_object_get(event, "jti"))[0];
  return f->count != f->stop_after;
}

static void assert_found(const char *folder, struct audit_query query, size_t stop_after,
                         const char *want) {
  struct found f = {.stop_after = stop_after};
  uint64_t torn;
  assert_int_equal(audit_read(folder, &query, note, &f, &torn, NULL), 0);
  assert_string_equal(f.text, want);
  assert_int_equal(torn, 0);
}

static void asks_for_some(void **state) {
  const int64_t begin = 1704067200000; /* 2024-01-01 */
  make_log(*state);
  put(*state, "audit-20240101T000000.001Z.jsonl",
      EVENT("01", JTI("1") ",\"sub\":\"alice\"") EVENT("02", JTI("2") ",\"sub\":\"bob\""));
  put(*state, "audit.jsonl",
      EVENT("03", JTI("3") ",\"sub\":\"alice\"") EVENT("02", JTI("4") ",\"sub\":\"alicee\"")
          EVENT("05", JTI("5")));
  assert_found(*state, (struct audit_query){0}, 0, "12345");
  assert_found(*state, (struct audit_query){.since = begin + 2000}, 0, "2345");
  assert_found(*state, (struct audit_query){.since = begin + 2001}, 0, "35");
  assert_found(*state, (struct audit_query){.since = begin + 6000}, 0, "");
  assert_found(*state, (struct audit_query){.name = SLICE("alice")}, 0, "13");
  assert_found(*state, (struct audit_query){.name = SLICE("alice"), .since = begin + 2000}, 0, "3");
  assert_found(*state, (struct audit_query){.name = SLICE("carol")}, 0, "");
  assert_found(*state, (struct audit_query){0}, 1, "1");
  assert_found(*state, (struct audit_query){0}, 2, "12");
  assert_found(*state, (struct audit_query){0}, 3, "123");
}

static void finds_whom_it_is_about(void **state) {
  make_log(*state);
  put(*state, "audit.jsonl",
      EVENT("01", JTI("1") ",\"sub\":\"bob\"") EVENT("02", JTI("2") ",\"sub\":\"one/bob\"") EVENT(
          "03", JTI("3") ",\"user\":\"bob\"") EVENT("04", JTI("4") ",\"sub\":\"one/a/bob\"")
          EVENT("05", JTI("5") ",\"sub\":\"two/bob\"") EVENT("06", JTI("6") ",\"sub\":\"onebob\"")
              EVENT("07", JTI("7") ",\"sub\":\"bob/one\"") EVENT("08", JTI("8") ",\"sub\":\"one/\"")
                  EVENT("09", JTI("9") ",\"user\":\"one/bob\",\"who\":\"bob\""));
  assert_found(*state, (struct audit_query){.name = SLICE("bob")}, 0, "1235");
  assert_found(*state, (struct audit_query){.name = SLICE("one/bob")}, 0, "29");
  assert_found(*state, (struct audit_query){.name = SLICE("a/bob")}, 0, "4");
  assert_found(*state, (struct audit_query){.name = SLICE("one/")}, 0, "8");
  assert_found(*state, (struct audit_query){.name = SLICE("one")}, 0, "7");
}

/* Written to, rotated and thinned out while it is read. */
static bool write_more(void *arg, struct slice line, json_t *event) {
  (void)line;
  (void)event;
  for (uint64_t i = 0; i < 5; i++) {
    must_write(arg, 100 + i);
  }
  return true;
}

static void reads_what_was_there_when_it_began(void **state) {
  struct audit *audit = NULL;
  const struct audit_query all = {0};
  uint64_t torn, numbers[8];
  assert_int_equal(audit_open_sized(*state, 1, 4, &audit, NULL), 0);
  for (uint64_t i = 1; i <= 6; i++) {
    must_write(audit, i);
  }
  assert_int_equal(audit_disk.reads, 0);
  assert_int_equal(read_numbers(*state, numbers, 8, NULL), 4);
  assert_int_equal(numbers[0], 3);
  assert_int_equal(audit_disk.reads, 1);
  assert_int_equal(audit_disk.lock, LOCK_UN);
  assert_int_equal(audit_read(*state, &all, write_more, audit, &torn, NULL), 0);
  assert_int_equal(torn, 0);
  audit_close(audit);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      AUDIT_TEST(there_must_be_a_log),
      AUDIT_TEST(files_are_read_by_their_names),
      AUDIT_TEST(a_log_without_a_current_file_is_read),
      AUDIT_TEST(lines_that_are_no_events_are_passed_over),
      AUDIT_TEST(the_longest_line_is_read),
      AUDIT_TEST(asks_for_some),
      AUDIT_TEST(finds_whom_it_is_about),
      AUDIT_TEST(reads_what_was_there_when_it_began),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
