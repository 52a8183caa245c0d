/* What is read of a registry's notification; the request is integration/test_notifications.py. */
#include "gateway/notification.h"

#include "base/buf.h"

#include "unit/cmocka_all.h"

#include <stdio.h>
#include <string.h>

#define DIGEST   "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define MANIFEST "application/vnd.oci.image.manifest.v1+json"

#define EVENT(action, type, repository, digest)                                                    \
  "{\"action\":" action ",\"target\":{\"mediaType\":" type ",\"repository\":" repository           \
  ",\"digest\":" digest ",\"tag\":\"1\",\"url\":\"http://elsewhere.example/\"}}"
#define PUSH(repository)                                                                           \
  EVENT("\"push\"", "\"" MANIFEST "\"", "\"" repository "\"", "\"" DIGEST "\"")

static size_t count(const char *json) {
  struct arena arena = {0};
  struct error e = {0};
  size_t count = 77;
  const struct notification_event *all = notification_read(slice_str(json), &arena, &count, &e);
  if (all == NULL) {
    fail_msg("%s: %s", json, e.text);
  }
  for (size_t i = 0; all != NULL && i < count; i++) {
    assert_true(slice_equal(all[i].digest, SLICE(DIGEST)));
  }
  arena_free(&arena);
  return count;
}

static void pushed_manifests_are_read(void **state) {
  static const char json[] = "{\"events\":[" PUSH("team/app") "," PUSH("b") "]}";
  struct arena arena = {0};
  size_t two = 0;
  (void)state;
  const struct notification_event *all = notification_read(SLICE(json), &arena, &two, NULL);
  assert_non_null(all);
  assert_int_equal(two, 2);
  assert_true(slice_equal(all[0].repository, SLICE("team/app")));
  assert_true(slice_equal(all[1].repository, SLICE("b")));
  assert_true(slice_equal(all[1].digest, SLICE(DIGEST)));
  assert_int_equal(all[0].repository.ptr[8], '\0');
  arena_free(&arena);
}

/* As docker-registry 2.8 says it: of a blob or a manifest alike. */
static void what_was_deleted_is_read(void **state) {
  static const char json[] =
      "{\"events\":[" PUSH("team/app") ",{\"action\":\"delete\",\"target\":{\"digest\":\"" DIGEST
                                       "\",\"repository\":\"b\"}},"
                                       "{\"action\":\"delete\",\"target\":{\"repository\":\"b\","
                                       "\"tag\":\"1\"}}]}";
  struct arena arena = {0};
  size_t two = 0;
  (void)state;
  const struct notification_event *all = notification_read(SLICE(json), &arena, &two, NULL);
  assert_non_null(all);
  assert_int_equal(two, 2);
  assert_false(all[0].deleted);
  assert_true(all[1].deleted);
  assert_true(slice_equal(all[1].repository, SLICE("b")));
  assert_true(slice_equal(all[1].digest, SLICE(DIGEST)));
  arena_free(&arena);
}

static void all_kinds_of_manifests_are(void **state) {
  static const char *const types[] = {
      MANIFEST,
      "application/vnd.oci.image.index.v1+json",
      "application/vnd.docker.distribution.manifest.v2+json",
      "application/vnd.docker.distribution.manifest.list.v2+json",
  };
  (void)state;
  for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
    char json[1024];
    snprintf(json, sizeof json,
             "{\"events\":[" EVENT("\"push\"", "\"%s\"", "\"a\"", "\"" DIGEST "\"") "]}", types[i]);
    assert_int_equal(count(json), 1);
  }
}

static void all_else_is_passed_over(void **state) {
  static const char *const events[] = {
      EVENT("\"pull\"", "\"" MANIFEST "\"", "\"a\"", "\"" DIGEST "\""),
      EVENT("\"Push\"", "\"" MANIFEST "\"", "\"a\"", "\"" DIGEST "\""),
      EVENT("7", "\"" MANIFEST "\"", "\"a\"", "\"" DIGEST "\""),
      EVENT("\"push\"", "\"application/octet-stream\"", "\"a\"", "\"" DIGEST "\""),
      EVENT("\"push\"", "null", "\"a\"", "\"" DIGEST "\""),
      EVENT("\"push\"", "\"" MANIFEST "\"", "\"A\"", "\"" DIGEST "\""),
      EVENT("\"push\"", "\"" MANIFEST "\"", "\"a/../b\"", "\"" DIGEST "\""),
      EVENT("\"push\"", "\"" MANIFEST "\"", "\"\"", "\"" DIGEST "\""),
      EVENT("\"push\"", "\"" MANIFEST "\"", "[\"a\"]", "\"" DIGEST "\""),
      EVENT("\"push\"", "\"" MANIFEST "\"", "\"a\"", "\"latest\""),
      EVENT("\"push\"", "\"" MANIFEST "\"", "\"a\"", "\"" DIGEST "0\""),
      EVENT("\"push\"", "\"" MANIFEST "\"", "\"a\"", "null"),
      "{\"action\":\"push\",\"target\":[]}",
      "{\"action\":\"push\"}",
      "\"push\"",
      "null",
      "[]",
      "{}",
  };
  (void)state;
  for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
    char json[1024];
    snprintf(json, sizeof json, "{\"events\":[%s,%s]}", events[i], PUSH("b"));
    if (count(json) != 1) {
      fail_msg("%s", events[i]);
    }
  }
  assert_int_equal(count("{\"events\":[]}"), 0);
}

static void refused(struct slice json) {
  struct arena arena = {0};
  struct error e = {0};
  size_t count = 77;
  assert_null(notification_read(json, &arena, &count, &e));
  assert_int_equal(e.kind, ERROR_FAILED);
  assert_string_not_equal(e.text, "");
  arena_free(&arena);
}

static void what_is_no_notification_is_refused(void **state) {
  static const char *const texts[] = {
      "",
      "{",
      "[]",
      "7",
      "{}",
      "{\"events\":{}}",
      "{\"events\":null}",
      "{\"events\":[],\"events\":[]}",
      "{\"events\":[]} x",
      "{\"events\":[\"\xff\"]}",
  };
  (void)state;
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    refused(slice_str(texts[i]));
  }
}

/* Whatever is in between. */
static struct buf many(size_t count) {
  struct buf json = {0};
  buf_slice(&json, SLICE("{\"events\":[null"));
  for (size_t i = 0; i < count; i++) {
    buf_slice(&json, SLICE("," PUSH("a")));
    buf_slice(&json, SLICE(",7"));
  }
  buf_append(&json, "]}", 3);
  assert_false(json.failed);
  return json;
}

static void what_is_too_much_is_refused(void **state) {
  struct buf most = many(NOTIFICATION_EVENTS_MAX), more = many(NOTIFICATION_EVENTS_MAX + 1);
  (void)state;
  assert_int_equal(count(most.ptr), NOTIFICATION_EVENTS_MAX);
  refused(slice_str(more.ptr));
  buf_free(&most);
  buf_free(&more);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(pushed_manifests_are_read),
      cmocka_unit_test(what_was_deleted_is_read),
      cmocka_unit_test(all_kinds_of_manifests_are),
      cmocka_unit_test(all_else_is_passed_over),
      cmocka_unit_test(what_is_no_notification_is_refused),
      cmocka_unit_test(what_is_too_much_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
