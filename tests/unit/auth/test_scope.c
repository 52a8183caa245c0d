#include "auth/scope.h"
#include "unit/cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>

enum { PULL = SCOPE_PULL, PUSH = SCOPE_PUSH, OTHER = SCOPE_OTHER };

struct expected {
  const char *type, *name;
  unsigned actions;
};

static void assert_list(const struct scope_list *list, const struct expected *expected) {
  size_t i = 0;
  for (; expected[i].type != NULL; i++) {
    assert_true(i < list->count);
    const struct scope *s = &list->items[i];
    if (!slice_equal(s->type, slice_str(expected[i].type)) ||
        !slice_equal(s->name, slice_str(expected[i].name)) || s->actions != expected[i].actions) {
      fail_msg("%.*s:%.*s:%u instead of %s:%s:%u", SLICE_ARG(s->type), SLICE_ARG(s->name),
               s->actions, expected[i].type, expected[i].name, expected[i].actions);
    }
  }
  assert_int_equal(list->count, i);
}

static void scopes_are_read(void **state) {
  (void)state;
  static const struct {
    const char *value;
    struct expected expected[4];
  } cases[] = {
      {"", {{0}}},
      {"  ", {{0}}},
      {"repository:team/app:pull", {{"repository", "team/app", PULL}}},
      {"repository:team/app:pull,push", {{"repository", "team/app", PULL | PUSH}}},
      {"repository:team/app:push,pull", {{"repository", "team/app", PULL | PUSH}}},
      {"repository:app:push", {{"repository", "app", PUSH}}},
      {"repository(plugin):team/app:pull", {{"repository", "team/app", PULL}}},
      {"repository:localhost:5000/team/app:pull",
       {{"repository", "localhost:5000/team/app", PULL}}},
      {"repository(plugin):Host.example:443/a:push", {{"repository", "Host.example:443/a", PUSH}}},
      {"registry:catalog:*", {{"registry", "catalog", OTHER}}},
      {"repository:a:*", {{"repository", "a", OTHER}}},
      {"repository:a:pull,delete,push,*", {{"repository", "a", PULL | PUSH | OTHER}}},
      {"repository:a:pulll", {{"repository", "a", OTHER}}},
      {"repository:a:pul", {{"repository", "a", OTHER}}},
      {"repository:a:", {{"repository", "a", 0}}},
      {"repository:a:pull,", {{"repository", "a", PULL}}},
      {"repository:a:,,push", {{"repository", "a", PUSH}}},
      {"artifact9:a/b:read", {{"artifact9", "a/b", OTHER}}},
      {"repository:a:pull repository:b:pull,push",
       {{"repository", "a", PULL}, {"repository", "b", PULL | PUSH}}},
      {" repository:b:pull   registry:catalog:*  ",
       {{"repository", "b", PULL}, {"registry", "catalog", OTHER}}},
      {"repository:a:pull registry:a:pull repository(plugin):a:push repository:a:delete",
       {{"repository", "a", PULL | PUSH | OTHER}, {"registry", "a", PULL}}},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct scope_list list = {0};
    struct error e = {0};
    if (scope_list_add(&list, slice_str(cases[i].value), &e) != 0) {
      fail_msg("%s", e.text);
    }
    assert_list(&list, cases[i].expected);
  }
}

static void several_values_are_one_list(void **state) {
  (void)state;
  struct scope_list list = {0};
  assert_int_equal(scope_list_add(&list, SLICE("repository:a:pull"), NULL), 0);
  assert_int_equal(scope_list_add(&list, (struct slice){0}, NULL), 0);
  assert_int_equal(scope_list_add(&list, SLICE("repository:b:pull repository:a:push"), NULL), 0);
  static const struct expected expected[] = {
      {"repository", "a", PULL | PUSH}, {"repository", "b", PULL}, {0}};
  assert_list(&list, expected);
}

static void anything_else_is_refused(void **state) {
  (void)state;
  static const char *const values[] = {":",
                                       "::",
                                       ":::",
                                       "a",
                                       "repository",
                                       "repository:",
                                       "repository:a",
                                       "repository::pull",
                                       ":a:pull",
                                       "repository:a:b:pull",
                                       "repository:a:b:c/d:pull",
                                       "repository:localhost:5000:pull",
                                       "repository:team/App:pull",
                                       "repository:/a:pull",
                                       "repository:a/:pull",
                                       "repository:a//b:pull",
                                       "repository:../a:pull",
                                       "repository:a*:pull",
                                       "repository:*:pull",
                                       "repository:team/*:pull",
                                       "Repository:a:pull",
                                       "repository{:a:pull",
                                       "repo-sitory:a:pull",
                                       "repository():a:pull",
                                       "repository(:a:pull",
                                       "repository(plugin:a:pull",
                                       "repository(plugin)x:a:pull",
                                       "repository(Plugin):a:pull",
                                       "repository(a)(b):a:pull",
                                       "(plugin):a:pull",
                                       "repository):a:pull",
                                       "repository(plugin)):a:pull",
                                       "repository:a:Pull",
                                       "repository:a:pull;push",
                                       "repository:a:pull, push",
                                       "repository:a:pull push",
                                       "repository:a:pull\tregistry:catalog:*",
                                       "repository:a:pull\n",
                                       "repository:a:pull\r\nX: y",
                                       "repository:a:pu_ll",
                                       "repository:a:1",
                                       "repository: a:pull",
                                       "repository:a :pull",
                                       "repository:\xc3\xa4:pull",
                                       "repository:\xff:pull",
                                       "repository:a%2fb:pull",
                                       "repository:a@sha256:pull",
                                       "repository:a:pull nonsense"};
  for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
    struct scope_list list = {0};
    struct error e = {0};
    if (scope_list_add(&list, slice_str(values[i]), &e) == 0) {
      fail_msg("%s is taken", values[i]);
    }
    assert_int_equal(e.kind, ERROR_USAGE);
    assert_memory_equal(e.text, "scope: ", 7);
    assert_true(slice_utf8(slice_str(e.text)) && strchr(e.text, '\n') == NULL);
  }
  struct scope_list list = {0};
  assert_int_equal(scope_list_add(&list, slice_of("repository:a:pull\0", 18), NULL), -1);
  assert_int_equal(scope_list_add(&list, slice_of("repository:a\0b:pull", 19), NULL), -1);
}

/* `head`, `len` times `x`, `tail`. */
static int add_long(const char *head, size_t len, const char *tail, struct error *e) {
  struct scope_list list = {0};
  size_t size = strlen(head) + len + strlen(tail);
  char *text = malloc(size + 1);
  snprintf(text, size + 1, "%s%*s%s", head, (int)len, "", tail);
  memset(text + strlen(head), 'x', len);
  int rc = scope_list_add(&list, slice_of(text, size), e);
  free(text);
  return rc;
}

static void all_is_bounded(void **state) {
  (void)state;
  struct error e = {0};
  assert_int_equal(add_long("repository:", 255, ":pull", NULL), 0);
  assert_int_equal(add_long("repository:", 256, ":pull", NULL), -1);
  assert_int_equal(add_long("", SCOPE_TYPE_MAX, ":a:pull", NULL), 0);
  assert_int_equal(add_long("", SCOPE_TYPE_MAX + 1, ":a:pull", NULL), -1);
  assert_int_equal(add_long("a(", SCOPE_TYPE_MAX, "):a:pull", NULL), 0);
  assert_int_equal(add_long("a(", SCOPE_TYPE_MAX + 1, "):a:pull", NULL), -1);
  assert_int_equal(add_long("a:a:", SCOPE_VALUE_MAX - 4, "", NULL), 0);
  assert_int_equal(add_long("a:a:", SCOPE_VALUE_MAX - 3, "", &e), -1);
  assert_non_null(strstr(e.text, "longer than 8192 bytes"));
  struct scope_list list = {0};
  char texts[SCOPES_MAX + 1][32];
  for (size_t i = 0; i < SCOPES_MAX; i++) {
    snprintf(texts[i], sizeof texts[i], "repository:a%zu:pull", i);
    assert_int_equal(scope_list_add(&list, slice_str(texts[i]), NULL), 0);
  }
  assert_int_equal(scope_list_add(&list, SLICE("repository:a63:push"), NULL), 0);
  assert_int_equal(list.items[63].actions, PULL | PUSH);
  assert_int_equal(scope_list_add(&list, SLICE("repository:b:pull"), &e), -1);
  assert_non_null(strstr(e.text, "more than 64"));
}

static void a_grant_gives_what_is_wanted_and_no_more(void **state) {
  (void)state;
  static const struct {
    const char *wanted, *pattern;
    unsigned actions, given;
  } cases[] = {
      {"repository:team/app:pull", "team/app", PULL, PULL},
      {"repository:team/app:pull", "team/app", PULL | PUSH, PULL},
      {"repository:team/app:pull,push", "team/app", PULL, PULL},
      {"repository:team/app:pull,push", "team/app", PULL | PUSH, PULL | PUSH},
      {"repository:team/app:push", "team/app", PULL, 0},
      {"repository:team/app:", "team/app", PULL | PUSH, 0},
      {"repository:team/app:*", "team/app", PULL | PUSH | OTHER, 0},
      {"repository:team/app:delete,pull", "*", PULL | PUSH | OTHER, PULL},
      {"repository:team/app:pull", "team/*", PULL, PULL},
      {"repository:team/app/base:pull", "team/*", PULL, PULL},
      {"repository:team:pull", "team/*", PULL, 0},
      {"repository:team2/app:pull", "team/*", PULL, 0},
      {"repository:team/app2:pull", "team/app", PULL, 0},
      {"repository:localhost:5000/team/app:pull", "team/*", PULL, 0},
      {"repository:localhost:5000/team/app:pull", "localhost:5000/team/*", PULL, PULL},
      {"repository:localhost:5000/team/app:pull", "*", PULL, PULL},
      {"repository(plugin):team/app:pull", "*", PULL, PULL},
      {"registry:catalog:*", "*", PULL | PUSH, 0},
      {"registry:catalog:pull", "catalog", PULL | PUSH, 0},
      {"repositor:team/app:pull", "*", PULL, 0},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct scope_list list = {0};
    assert_int_equal(scope_list_add(&list, slice_str(cases[i].wanted), NULL), 0);
    unsigned given = scope_granted(&list.items[0], slice_str(cases[i].pattern), cases[i].actions);
    if (given != cases[i].given) {
      fail_msg("%s for %s gives %u", cases[i].pattern, cases[i].wanted, given);
    }
  }
}

static void actions_are_read(void **state) {
  (void)state;
  unsigned actions = 77;
  assert_true(scope_actions(SLICE("pull"), &actions) && actions == PULL);
  assert_true(scope_actions(SLICE("pull,push"), &actions) && actions == (PULL | PUSH));
  assert_true(scope_actions(SLICE("push,*"), &actions) && actions == (PUSH | OTHER));
  assert_true(scope_actions(SLICE(""), &actions) && actions == 0);
  assert_true(scope_actions((struct slice){0}, &actions) && actions == 0);
  static const char *const bad[] = {"Pull", "pull push", "pull\n", "`", "{", "pull;push"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    assert_false(scope_actions(slice_str(bad[i]), &actions));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(scopes_are_read),
      cmocka_unit_test(several_values_are_one_list),
      cmocka_unit_test(anything_else_is_refused),
      cmocka_unit_test(all_is_bounded),
      cmocka_unit_test(a_grant_gives_what_is_wanted_and_no_more),
      cmocka_unit_test(actions_are_read),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
