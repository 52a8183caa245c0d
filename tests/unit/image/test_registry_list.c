/* Pages of names, the links between them, and errors. */
#include "image/registry_list.h"

#include "base/buf.h"
#include "unit/cmocka_all.h"

#include <stdio.h>

static void pages_are_added(void **state) {
  struct registry_list list = {0};
  (void)state;
  assert_int_equal(registry_list_add(&list, SLICE("{\"repositories\":[\"a\",\"team/b\"]}"),
                                     "repositories", NULL),
                   0);
  assert_int_equal(registry_list_add(&list, SLICE("{\"repositories\":null}"), "repositories", NULL),
                   0);
  assert_int_equal(registry_list_add(&list, SLICE("{\"repositories\":[]}"), "repositories", NULL),
                   0);
  assert_int_equal(
      registry_list_add(&list, SLICE("{\"name\":\"a\",\"tags\":[\"1\"]}"), "tags", NULL), 0);
  assert_int_equal(list.count, 3);
  assert_string_equal(list.names[0], "a");
  assert_string_equal(list.names[1], "team/b");
  assert_string_equal(list.names[2], "1");
  registry_list_free(&list);
  assert_int_equal(list.count, 0);
}

static void what_is_no_page_is_refused(void **state) {
  static const char *const pages[] = {
      "",
      "{",
      "[]",
      "{}",
      "{\"repositories\":[\"a\"]}",
      "<html>",
      "{\"tags\":7}",
      "{\"tags\":{}}",
      "{\"tags\":[7]}",
      "{\"tags\":[\"a\",null]}",
  };
  struct registry_list list = {0};
  (void)state;
  for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
    struct error e = {0};
    if (registry_list_add(&list, slice_str(pages[i]), "tags", &e) == 0) {
      fail_msg("%s", pages[i]);
    }
    assert_int_equal(e.kind, ERROR_FAILED);
    assert_string_not_equal(e.text, "");
  }
  registry_list_free(&list);
}

static void a_list_is_bounded(void **state) {
  struct registry_list list = {0};
  struct buf page = {0};
  struct error e = {0};
  const size_t names = REGISTRY_LIST_MAX / 4;
  (void)state;
  buf_str(&page, "{\"tags\":[\"a\"");
  for (size_t i = 1; i < names; i++) {
    buf_str(&page, ",\"a\"");
  }
  buf_str(&page, "]}");
  for (int i = 0; i < 4; i++) {
    assert_int_equal(registry_list_add(&list, buf_view(&page), "tags", &e), 0);
  }
  assert_int_equal(list.count, REGISTRY_LIST_MAX);
  assert_int_equal(registry_list_add(&list, SLICE("{\"tags\":[\"a\"]}"), "tags", &e), -1);
  assert_int_equal(e.kind, ERROR_FAILED);
  assert_int_equal(registry_list_add(&list, SLICE("{\"tags\":[]}"), "tags", &e), 0);
  registry_list_free(&list);
  buf_free(&page);
}

static void the_next_page_is_found(void **state) {
  static const struct {
    const char *field, *target;
  } rows[] = {
      {"</v2/_catalog?last=a&n=1>; rel=\"next\"", "/v2/_catalog?last=a&n=1"},
      {"<x>;rel=next", "x"},
      {"<x> ; REL = Next ", "x"},
      {" <x>; rel=\"prev next\"", "x"},
      {"<x>; title=\"a, b; rel=next\"; rel=next", "x"},
      {"<x>; title=\"a\\\"; rel=prev\"; rel=next", "x"},
      {"<p>; rel=prev, <x>; rel=next", "x"},
      {"<p>, , <x>; rel=next, <y>; rel=next", "x"},
      {"<a,b>; rel=next", "a,b"},
      {"<>; rel=next", ""},
      {"<x>; a; rel=next", "x"},
      {"<x>; rel=next; rel=prev", "x"},
      {"<x>; rel=prev; rel=next", NULL},
      {"<x>; rel=\"next", "x"},
      {"", NULL},
      {"<x>", NULL},
      {"<x", NULL},
      {"x; rel=next", NULL},
      {"<x>; rel=nextish", NULL},
      {"<x>; xrel=next", NULL},
      {"<x>; rel", NULL},
      {"<x>; rel=", NULL},
      {"<x>; rel=\"", NULL},
      {"<x>; rel=\"next\\", NULL},
      {"<x> rel=next", NULL},
      {"<p> y, <x>; rel=next", NULL},
      {";;;", NULL},
  };
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct slice target = registry_list_next(slice_str(rows[i].field));
    if ((target.ptr == NULL) != (rows[i].target == NULL) ||
        !slice_equal(target, slice_str(rows[i].target))) {
      fail_msg("%s: %.*s", rows[i].field, SLICE_ARG(target));
    }
  }
}

static void errors_of_registries_are_known(void **state) {
  static const char *const others[] = {"",
                                       "<html>404</html>",
                                       "{}",
                                       "[]",
                                       "{\"errors\":[]}",
                                       "{\"errors\":[{}]}",
                                       "{\"errors\":\"NAME_UNKNOWN\"}",
                                       "{\"errors\":[{\"code\":7}]}"};
  (void)state;
  assert_true(registry_list_is_error(
      SLICE("{\"errors\":[{\"code\":\"NAME_UNKNOWN\",\"message\":\"no\",\"detail\":{}}]}\n")));
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    assert_false(registry_list_is_error(slice_str(others[i])));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(pages_are_added),
      cmocka_unit_test(what_is_no_page_is_refused),
      cmocka_unit_test(a_list_is_bounded),
      cmocka_unit_test(the_next_page_is_found),
      cmocka_unit_test(errors_of_registries_are_known),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
