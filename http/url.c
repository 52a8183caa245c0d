#include "http/url.h"

#include "base/cleanup.h"

#include <curl/curl.h>
#include <strings.h>

static void cleanup_url(CURLU **url) {
  curl_url_cleanup(*url);
}
#define CLEANUP_URL CLEANUP(cleanup_url)

static void cleanup_part(char **part) {
  curl_free(*part);
}
#define CLEANUP_PART CLEANUP(cleanup_part)

/** NULL when there is none. */
static char *part_of(CURLU *url, CURLUPart what, unsigned flags) {
  char *part = NULL;
  return curl_url_get(url, what, &part, flags) == CURLUE_OK ? part : NULL;
}

static bool has(CURLU *url, CURLUPart what) {
  CLEANUP_PART char *part = part_of(url, what, 0);
  return part != NULL;
}

static bool scheme_is(CURLU *url, const char *scheme) {
  CLEANUP_PART char *part = part_of(url, CURLUPART_SCHEME, 0);
  return part != NULL && strcasecmp(part, scheme) == 0;
}

/** Sets or, when \p url holds one already, resolves. */
static int read_url(CURLU *url, const char *text, struct error *e) {
  if (strlen(text) > HTTP_URL_MAX) {
    return error_set(e, ERROR_FAILED, "a URL is longer than %d bytes", HTTP_URL_MAX);
  }
  CURLUcode code = curl_url_set(url, CURLUPART_URL, text, CURLU_URLENCODE);
  if (code != CURLUE_OK) {
    return error_set(e, ERROR_FAILED, "a URL cannot be read: %s", curl_url_strerror(code));
  }
  if (!scheme_is(url, "http") && !scheme_is(url, "https")) {
    return error_set(e, ERROR_FAILED, "a URL is neither http nor https");
  }
  if (has(url, CURLUPART_USER) || has(url, CURLUPART_PASSWORD)) {
    return error_set(e, ERROR_FAILED, "a URL holds a user name or password");
  }
  return 0;
}

/* The whole as text, or NULL. A host such as `%39` is `9` to libcurl when it reads it, and 0.0.0.9
 * when it reads what it has written: who is asked must not depend on how often a URL was looked at.
 */
static char *text_of(CURLU *url, struct error *e) {
  CLEANUP_URL CURLU *second = curl_url();
  CLEANUP_PART char *once = part_of(url, CURLUPART_URL, 0);
  if (once != NULL && second != NULL && read_url(second, once, e) != 0) {
    return NULL;
  }
  CLEANUP_PART char *twice =
      once == NULL || second == NULL ? NULL : part_of(second, CURLUPART_URL, 0);
  if (twice != NULL && strcmp(once, twice) != 0) {
    error_set(e, ERROR_FAILED, "a URL has a host that can be read in two ways");
    return NULL;
  }
  char *copy = twice == NULL ? NULL : strdup(twice);
  if (copy == NULL) {
    error_set(e, ERROR_FAILED, "no memory for a URL");
  }
  return copy;
}

char *http_url_redirect(const char *base, struct slice reference, struct error *e) {
  CLEANUP(buf_free) struct buf text = {.limit = HTTP_URL_MAX + 1};
  CLEANUP_URL CURLU *url = curl_url();
  buf_slice(&text, reference);
  buf_append(&text, "", 1);
  if (url == NULL) {
    error_set(e, ERROR_FAILED, "no memory for a URL");
    return NULL;
  }
  if (text.failed) {
    error_set(e, ERROR_FAILED, "a URL is longer than %d bytes", HTTP_URL_MAX);
    return NULL;
  }
  if (read_url(url, base, e) != 0) {
    return NULL;
  }
  bool secure = scheme_is(url, "https");
  if (read_url(url, text.ptr, e) != 0) {
    return NULL;
  }
  if (secure && !scheme_is(url, "https")) {
    error_set(e, ERROR_FAILED, "it leads from https to plain http");
    return NULL;
  }
  curl_url_set(url, CURLUPART_FRAGMENT, NULL, 0);
  return text_of(url, e);
}

bool http_url_same_origin(const char *a, const char *b) {
  CLEANUP_URL CURLU *first = curl_url();
  CLEANUP_URL CURLU *second = curl_url();
  if (first == NULL || second == NULL || read_url(first, a, NULL) != 0 ||
      read_url(second, b, NULL) != 0) {
    return false;
  }
  static const CURLUPart parts[] = {CURLUPART_SCHEME, CURLUPART_HOST, CURLUPART_PORT};
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
    CLEANUP_PART char *left = part_of(first, parts[i], CURLU_DEFAULT_PORT);
    CLEANUP_PART char *right = part_of(second, parts[i], CURLU_DEFAULT_PORT);
    if (left == NULL || right == NULL || strcasecmp(left, right) != 0) {
      return false;
    }
  }
  return true;
}

static char *shown(const char *url, bool path, struct error *e) {
  CLEANUP_URL CURLU *parsed = curl_url();
  if (parsed == NULL) {
    error_set(e, ERROR_FAILED, "no memory for a URL");
    return NULL;
  }
  if (read_url(parsed, url, e) != 0) {
    if (e != NULL) {
      e->kind = ERROR_USAGE;
    }
    return NULL;
  }
  curl_url_set(parsed, CURLUPART_QUERY, NULL, 0);
  curl_url_set(parsed, CURLUPART_FRAGMENT, NULL, 0);
  if (!path) {
    curl_url_set(parsed, CURLUPART_PATH, NULL, 0);
  }
  return text_of(parsed, e);
}

char *http_url_public(const char *url, struct error *e) {
  return shown(url, true, e);
}

char *http_url_origin(const char *url, struct error *e) {
  return shown(url, false, e);
}

void http_form_append(struct buf *form, const char *name, struct slice value) {
  static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
  if (form->len > 0 && form->ptr[form->len - 1] != '?') {
    buf_str(form, "&");
  }
  buf_printf(form, "%s=", name);
  for (size_t i = 0; i < value.len; i++) {
    unsigned char c = (unsigned char)value.ptr[i];
    if (c != 0 && strchr(plain, c) != NULL) {
      buf_append(form, &c, 1);
    } else {
      buf_printf(form, "%%%02X", c);
    }
  }
}
