/* What is asked for: whether it can be, where, and what is sent along at first. */
#include "base/clock.h"
#include "image/reference.h"
#include "image/registry_internal.h"
#include "image/registry_list.h"

const char *registry_get_method(const struct registry_get *get) {
  static const char *const methods[] = {"GET", "HEAD"};
  for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
    if (get->action == NULL && strcmp(get->method, methods[i]) == 0) {
      return methods[i];
    }
  }
  return get->action != NULL && strcmp(get->method, "POST") == 0 ? "POST" : NULL;
}

int registry_get_check(const struct registry_get *get, struct error *e) {
  if (registry_get_method(get) == NULL) {
    return error_set(e, ERROR_USAGE, "a registry is asked by GET or HEAD alone");
  }
  bool catalog = get->list && get->repository == NULL;
  if (!catalog && !image_name_valid(slice_str(get->repository))) {
    return error_set(e, ERROR_USAGE, "not a repository's name: %.255s", get->repository);
  }
  if (get->list || get->action != NULL) {
    return 0;
  }
  const char *what = get->manifest != NULL ? get->manifest : get->blob;
  struct slice name = slice_str(what);
  if (!image_digest_valid(name) && (get->manifest == NULL || !image_tag_valid(name))) {
    return error_set(e, ERROR_USAGE, "not a %s: %.255s",
                     get->manifest != NULL ? "tag or digest" : "digest", what);
  }
  return 0;
}

const char *registry_get_scope(const struct registry_get *get) {
  return get->repository == NULL ? "" : get->repository;
}

char *registry_get_url(const struct registry *registry, const struct registry_get *get) {
  char *url = NULL;
  int len;
  bool asks = get->query != NULL && get->query[0] != '\0';
  if (get->list && get->page != NULL) {
    return strdup(get->page);
  }
  if (get->list) {
    len = asprintf(&url, "%s/%s/%s%s?n=%d", registry->url, registry->api,
                   get->repository == NULL ? "_catalog" : get->repository,
                   get->repository == NULL ? "" : "/tags/list", REGISTRY_LIST_PAGE);
  } else if (get->action != NULL) {
    len = asprintf(&url, "%s/%s/%s/%s%s%s", registry->url, registry->api, get->repository,
                   get->action, asks ? "?" : "", asks ? get->query : "");
  } else {
    len = asprintf(&url, "%s/%s/%s/%s/%s%s%s", registry->url, registry->api, get->repository,
                   get->manifest != NULL ? "manifests" : "blobs",
                   get->manifest != NULL ? get->manifest : get->blob, asks ? "?" : "",
                   asks ? get->query : "");
  }
  return len < 0 ? NULL : url;
}

char *registry_get_authorization(const struct registry *registry, const struct registry_get *get,
                                 bool *ok) {
  char *value = NULL;
  *ok = true;
  const char *token =
      registry_tokens_find(&registry->tokens, registry_get_scope(get), clock_monotonic_ms());
  if (get->authorization.ptr != NULL) {
    if (get->authorization.len > 0) {
      value = strndup(get->authorization.ptr, get->authorization.len);
      *ok = value != NULL;
    }
  } else if (token != NULL) {
    *ok = asprintf(&value, "Bearer %s", token) >= 0;
  } else if (registry->basic) {
    value = image_credentials_basic(&registry->credentials);
    *ok = value != NULL;
  }
  return *ok ? value : NULL;
}
