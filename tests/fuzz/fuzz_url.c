// LINKS http base
/* A base and, behind a newline, what a Location says: where it leads is http or https without user
 * info or fragment, never from https to http, and leads to itself; what may be shown of it holds no
 * query. */
#include "http/url.h"

#include "base/cleanup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
  if (!holds) {
    abort();
  }
}

static bool is_https(const char *url) {
  return strncasecmp(url, "https:", 6) == 0;
}

static void check_public(const char *url) {
  struct error e = {0};
  CLEANUP_FREE char *shown = http_url_public(url, &e);
  check((shown == NULL) == (e.kind != ERROR_NONE));
  if (shown != NULL) {
    CLEANUP_FREE char *again = http_url_public(shown, &e);
    check(strpbrk(shown, "?#@ \r\n") == NULL || strchr(shown, '@') > strchr(shown + 8, '/'));
    check(again != NULL && strcmp(again, shown) == 0);
    check(http_url_same_origin(url, shown));
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct slice reference = slice_of(data, size), first = slice_cut(&reference, '\n');
  struct error e = {0};
  CLEANUP_FREE char *base = strndup(first.ptr == NULL ? "" : first.ptr, first.len);
  check_public(base);
  CLEANUP_FREE char *to = http_url_redirect(base, reference, &e);
  check((to == NULL) == (e.kind != ERROR_NONE));
  if (to == NULL) {
    return 0;
  }
  check(strlen(to) <= HTTP_URL_MAX && strchr(to, '#') == NULL);
  check(is_https(to) || (strncasecmp(to, "http:", 5) == 0 && !is_https(base)));
  check_public(to);
  CLEANUP_FREE char *again = http_url_redirect(to, slice_str(to), &e);
  check(again != NULL && strcmp(again, to) == 0);
  check(http_url_same_origin(to, again));
  check(http_url_same_origin(base, to) == http_url_same_origin(to, base));
  return 0;
}
