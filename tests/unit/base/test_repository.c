#include "base/repository.h"

#include "unit/cmocka_all.h"

static const char *const names[] = {
    "a",     "0",          "team/app", "team/app/base", "a.b",           "a_b",
    "a__b",  "a-b",        "a---b",    "a.b_c__d--e/f", "localhost/app", "0/1/2/3/4/5/6/7/8/9",
    "a1/b2", "r.example/a"};

/* Of these only those with a host before the name are valid somewhere. */
static const char *const hosted[] = {
    "localhost:5000/app", "r.example:443/team/app",  "Registry.Example/team/app", "my--host:1/a",
    "UPPER/case",         "127.0.0.1:5000/team/app", "a:00000000000000001/b"};

static const char *const bad[] = {
    "",         "/",       "a/",      "/a",        "a//b",   ".a",     "a.",         "_a",
    "a_",       "-a",      "a-",      "a..b",      "a._b",   "a___b",  "a.-b",       "A",
    "team/App", "a b",     "a\tb",    "a:b",       "a:",     "a:5000", ":5000/a",    "a:/b",
    "a:5000/",  "a:5x/b",  "a:b/c",   "a:1:2/b",   "-h:1/a", "h-:1/a", "h..e:1/a",   ".h:1/a",
    "h.:1/a",   "h_t:1/a", "a/b:1/c", "[::1]:1/a", "a@b",    "a/b@c",  "a/\xc3\xa4", "*",
    "a/*",      "a*",      "a/../b",  "a/./b",     "a%2fb"};

static void which_names_are_valid(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    assert_true(repository_name_valid(slice_str(names[i])));
    assert_true(repository_hosted_name_valid(slice_str(names[i])));
  }
  for (size_t i = 0; i < sizeof hosted / sizeof *hosted; i++) {
    assert_false(repository_name_valid(slice_str(hosted[i])));
    assert_true(repository_hosted_name_valid(slice_str(hosted[i])));
  }
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    if (repository_name_valid(slice_str(bad[i])) ||
        repository_hosted_name_valid(slice_str(bad[i]))) {
      fail_msg("%s is valid", bad[i]);
    }
  }
  assert_false(repository_name_valid(slice_of("a\0b", 3)));
  assert_false(repository_hosted_name_valid(slice_of("a\0b/c", 5)));
  assert_false(repository_hosted_name_valid((struct slice){0}));
}

static void names_and_patterns_are_bounded(void **state) {
  (void)state;
  char text[REPOSITORY_NAME_MAX + 2];
  memset(text, 'a', sizeof text);
  assert_true(repository_name_valid(slice_of(text, 255)));
  assert_false(repository_name_valid(slice_of(text, 256)));
  assert_null(repository_pattern_check(slice_of(text, 255)));
  assert_non_null(strstr(repository_pattern_check(slice_of(text, 256)), "255 bytes"));
  text[1] = ':';
  text[3] = '/';
  text[2] = '1';
  assert_true(repository_hosted_name_valid(slice_of(text, 255)));
  assert_false(repository_hosted_name_valid(slice_of(text, 256)));
  text[253] = '/';
  text[254] = '*';
  assert_null(repository_pattern_check(slice_of(text, 255)));
  text[254] = '/';
  text[255] = '*';
  assert_non_null(repository_pattern_check(slice_of(text, 256)));
}

static void which_patterns_there_are(void **state) {
  (void)state;
  static const char *const good[] = {"*",           "team/*",           "team/app/*",
                                     "r.example/*", "localhost:5000/*", "localhost:5000/team/*"};
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    assert_null(repository_pattern_check(slice_str(good[i])));
  }
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    assert_null(repository_pattern_check(slice_str(names[i])));
  }
  static const char *const wrong[] = {
      "",     "/",      "/*",    "**",      "*/*",   "*/a",   "a*",   "a/*/b",  "a/b*",
      "a/**", "a/*/*",  "team/", "team//*", "te?m",  "a/* ",  " *",   "-/*",    "a_/*",
      "a:/*", "h:5x/*", "a/B/*", "a,b",     "a/[b]", "{a,b}", "a\\*", "team*/*"};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    if (repository_pattern_check(slice_str(wrong[i])) == NULL) {
      fail_msg("%s is a pattern", wrong[i]);
    }
  }
  assert_non_null(repository_pattern_check((struct slice){0}));
  assert_non_null(repository_pattern_check(slice_of("a\0", 2)));
}

static void what_a_pattern_matches(void **state) {
  (void)state;
  static const struct {
    const char *pattern, *yes[5], *no[9];
  } cases[] = {
      {"*", {"a", "team/app", "team/app/base", "localhost:5000/a"}, {NULL}},
      {"team/app",
       {"team/app"},
       {"team/ap", "team/app2", "team/app/base", "team", "app", "x/team/app", "r.example/team/app",
        "localhost:5000/team/app"}},
      {"team/*",
       {"team/app", "team/app/base", "team/a"},
       {"team", "team2", "team2/app", "tea/app", "x/team/app", "localhost:5000/team/app"}},
      {"team/app/*", {"team/app/base", "team/app/base/x"}, {"team/app", "team/app2/x", "team/x"}},
      {"h:1/*", {"h:1/a", "h:1/a/b"}, {"h:11/a", "h/a", "a"}},
      {"R.example/a", {"R.example/a"}, {"r.example/a", "a"}},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct slice pattern = slice_str(cases[i].pattern);
    assert_null(repository_pattern_check(pattern));
    for (size_t j = 0; cases[i].yes[j] != NULL; j++) {
      assert_true(repository_pattern_matches(pattern, slice_str(cases[i].yes[j])));
    }
    for (size_t j = 0; cases[i].no[j] != NULL; j++) {
      assert_false(repository_pattern_matches(pattern, slice_str(cases[i].no[j])));
    }
  }
  /* What is left of a name behind the folder is never empty, valid name or not. */
  assert_false(repository_pattern_matches(SLICE("team/*"), SLICE("team/")));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(which_names_are_valid),
      cmocka_unit_test(names_and_patterns_are_bounded),
      cmocka_unit_test(which_patterns_there_are),
      cmocka_unit_test(what_a_pattern_matches),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
