#include "http/url.h"

#include "unit/cmocka_all.h"

#include <stdlib.h>

static void leads(const char *base, const char *reference, const char *expected) {
  struct error e = {0};
  char *url = http_url_redirect(base, slice_str(reference), &e);
  assert_string_equal(e.text, "");
  assert_non_null(url);
  assert_string_equal(url, expected);
  free(url);
}

static void refused(const char *base, const char *reference, const char *why) {
  struct error e = {0};
  assert_null(http_url_redirect(base, slice_str(reference), &e));
  assert_int_equal(e.kind, ERROR_FAILED);
  assert_non_null(strstr(e.text, why));
}

static void redirects_are_resolved(void **state) {
  (void)state;
  const char *base = "https://reg.example/v2/a/blobs/x?y=1";
  leads(base, "https://cdn.example/b?sig=%2B1&x=a+b", "https://cdn.example/b?sig=%2B1&x=a+b");
  leads(base, "//cdn.example:444/b", "https://cdn.example:444/b");
  leads(base, "/other#top", "https://reg.example/other");
  leads(base, "z", "https://reg.example/v2/a/blobs/z");
  leads(base, "../../z", "https://reg.example/v2/z");
  leads("http://reg.example/", "https://reg.example/", "https://reg.example/");
  leads("http://[::1]:5000/v2/", "/x", "http://[::1]:5000/x");
}

static void redirects_that_must_not_be_followed(void **state) {
  (void)state;
  refused("https://reg.example/", "http://reg.example/", "from https to plain http");
  refused("https://reg.example/", "HTTP://reg.example/", "from https to plain http");
  refused("https://reg.example/", "ftp://reg.example/", "neither http nor https");
  refused("https://reg.example/", "file:///etc/passwd", "neither http nor https");
  refused("https://reg.example/", "https://user:secret@reg.example/", "user name");
  refused("https://reg.example/", "https://reg.example:99999/", "cannot be read");
  refused("https://reg.example/", "https://", "cannot be read");
  refused("https://reg.example/", "https://%39/", "two ways");
  refused("https://reg.example/", "https:/%31%32%37.1/x", "two ways");
  char *huge = malloc(HTTP_URL_MAX + 10);
  assert_non_null(huge);
  memset(huge, 'a', HTTP_URL_MAX + 9);
  huge[HTTP_URL_MAX + 9] = '\0';
  refused("https://reg.example/", huge, "longer than");
  free(huge);
}

static void origins(void **state) {
  (void)state;
  assert_true(http_url_same_origin("https://a.example/x?y", "HTTPS://A.example:443/z"));
  assert_true(http_url_same_origin("http://127.0.0.1:5000/", "http://127.0.0.1:5000"));
  assert_false(http_url_same_origin("https://a.example/", "http://a.example/"));
  assert_false(http_url_same_origin("https://a.example/", "https://a.example:444/"));
  assert_false(http_url_same_origin("https://a.example/", "https://b.example/"));
  assert_false(http_url_same_origin("https://a.example/", "https://a.example.evil/"));
  assert_false(http_url_same_origin("https://a.example/", "https://a.example@evil/"));
  assert_false(http_url_same_origin("", ""));
}

static void what_may_be_shown(void **state) {
  (void)state;
  struct error e = {0};
  char *shown = http_url_public("https://a.example:5000/v2/x?token=secret#f", &e);
  assert_string_equal(shown, "https://a.example:5000/v2/x");
  free(shown);
  shown = http_url_origin("https://a.example:5000/secret/x?token=secret#f", &e);
  assert_string_equal(shown, "https://a.example:5000/");
  free(shown);
  assert_null(http_url_public("http:/%39", &e));
  assert_null(http_url_public("https://user:secret@a.example/", &e));
  assert_int_equal(e.kind, ERROR_USAGE);
  assert_null(strstr(e.text, "secret"));
  assert_null(http_url_public("a.example:5000", &e));
  assert_null(http_url_public("", &e));
}

static void forms(void **state) {
  (void)state;
  struct buf form = {0};
  http_form_append(&form, "scope", SLICE("repository:a/b:pull,push"));
  http_form_append(&form, "account", SLICE("J\xc3\xb6 &=+%\0"));
  buf_append(&form, "", 1);
  assert_string_equal(form.ptr, "scope=repository%3Aa%2Fb%3Apull%2Cpush&"
                                "account=J%C3%B6%20%26%3D%2B%25%00");
  buf_free(&form);
  buf_str(&form, "http://a/?");
  http_form_append(&form, "x", SLICE(""));
  buf_append(&form, "", 1);
  assert_string_equal(form.ptr, "http://a/?x=");
  buf_free(&form);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(redirects_are_resolved),
      cmocka_unit_test(redirects_that_must_not_be_followed),
      cmocka_unit_test(origins),
      cmocka_unit_test(what_may_be_shown),
      cmocka_unit_test(forms),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
