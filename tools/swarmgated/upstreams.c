#include "upstreams.h"

#include "base/file.h"
#include "tools/upstream.h"

#include <stdlib.h>
#include <string.h>

/* What a header can carry: a bearer's token is visible ASCII (RFC 6750, 2.1), and so is this. */
static bool is_sendable(const char *secret) {
  const char *p = secret;
  while (*p > ' ' && *p < 0x7f) {
    p++;
  }
  return *secret != '\0' && *p == '\0';
}

/* \return NULL, or what is wrong with the last of so many. */
static const char *check_secret(char *const *secrets, size_t i) {
  if (secrets[i] == NULL || !is_sendable(secrets[i])) {
    return "is not one line of visible ASCII characters without spaces, such as `openssl rand -hex "
           "32` makes";
  }
  for (size_t k = 0; k < i; k++) {
    if (secrets[k] != NULL && strcmp(secrets[k], secrets[i]) == 0) {
      return "holds another registry's secret, which would not tell the two apart";
    }
  }
  return NULL;
}

static int read_notification_secret(const struct config *c, const struct config_registry *r,
                                    char **secrets, struct error *e) {
  static const char key[] = "notification_secret_file";
  const struct config_text *file = &r->notification_secret;
  size_t i = (size_t)(r - c->registries);
  if (file->text == NULL) {
    return 0;
  }
  if (file_check_private(file->text, NULL) != 0) {
    error_set(e, ERROR_USAGE, "%s: others than its owner may use this secret: chmod 600 %s",
              file->text, file->text);
    return upstream_error(c, r, key, file, e);
  }
  if (upstream_read_secret(c, r, key, file, &secrets[i], e) != 0) {
    return -1;
  }
  const char *wrong = check_secret(secrets, i);
  if (wrong != NULL) {
    error_set(e, ERROR_USAGE, "%s %s", file->text, wrong);
    return upstream_error(c, r, key, file, e);
  }
  return 0;
}

int upstreams_load(const struct config *c, struct upstreams *out, struct error *e) {
  out->count = c->registry_count;
  out->registries = calloc(c->registry_count + 1, sizeof *out->registries);
  out->credentials = calloc(c->registry_count + 1, sizeof *out->credentials);
  out->secrets = calloc(c->registry_count + 1, sizeof *out->secrets);
  if (out->registries == NULL || out->credentials == NULL || out->secrets == NULL) {
    return error_set(e, ERROR_FAILED, "cannot start: out of memory");
  }
  for (size_t i = 0; i < c->registry_count; i++) {
    const struct config_registry *r = &c->registries[i];
    struct gateway_registry *registry = &out->registries[i];
    if (upstream_read(c, r, &out->credentials[i], &registry->upstream, e) != 0 ||
        read_notification_secret(c, r, out->secrets, e) != 0) {
      return -1;
    }
    registry->name = r->name.text;
    registry->authorise =
        strcmp(r->authorise.text, "token") == 0 ? GATEWAY_TOKEN : GATEWAY_DELEGATE;
    registry->storage = r->storage.text;
    registry->notification_secret = out->secrets[i];
  }
  return 0;
}

void upstreams_free(struct upstreams *upstreams) {
  for (size_t i = 0; upstreams->credentials != NULL && i < upstreams->count; i++) {
    image_credentials_free(&upstreams->credentials[i]);
  }
  for (size_t i = 0; upstreams->secrets != NULL && i < upstreams->count; i++) {
    if (upstreams->secrets[i] != NULL) {
      explicit_bzero(upstreams->secrets[i], strlen(upstreams->secrets[i]));
      free(upstreams->secrets[i]);
    }
  }
  free(upstreams->secrets);
  free(upstreams->credentials);
  free(upstreams->registries);
}
