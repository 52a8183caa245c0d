#include "upstreams.h"

#include "base/file.h"
#include "image/certificates.h"

#include <stdlib.h>
#include <string.h>

enum { SECRET_MAX = 4096 }; /* bytes of a password or secret */

/* Of a file that a registry's row names. */
static int registry_error(const struct config *c, const struct config_registry *r, const char *key,
                          const struct config_text *file, struct error *e) {
  error_context(e, "registries[%zu].%s", (size_t)(r - c->registries), key);
  return config_error_at(c, file->line, e);
}

/* Reads the one line of a file that `key` names; the caller frees it. */
static int read_secret(const struct config *c, const struct config_registry *r, const char *key,
                       const struct config_text *file, char **out, struct error *e) {
  struct buf bytes = {0};
  if (file_read(file->text, SECRET_MAX, &bytes, e) != 0) {
    return registry_error(c, r, key, file, e);
  }
  /* The line's end that an editor leaves is no part of it. */
  while (bytes.len > 0 && (bytes.ptr[bytes.len - 1] == '\n' || bytes.ptr[bytes.len - 1] == '\r')) {
    bytes.len--;
  }
  *out = strndup(bytes.ptr == NULL ? "" : bytes.ptr, bytes.len);
  if (bytes.ptr != NULL) {
    explicit_bzero(bytes.ptr, bytes.cap);
  }
  buf_free(&bytes);
  return *out == NULL ? error_set(e, ERROR_FAILED, "cannot read %s: out of memory", file->text) : 0;
}

static int read_password(const struct config *c, const struct config_registry *r,
                         struct image_credentials *out, struct error *e) {
  if (r->username.text == NULL) {
    return 0;
  }
  if (read_secret(c, r, "credentials.password_file", &r->password_file, &out->password, e) != 0) {
    return -1;
  }
  out->username = strdup(r->username.text);
  return out->username == NULL
             ? error_set(e, ERROR_FAILED, "cannot read %s: out of memory", c->file)
             : 0;
}

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
    return registry_error(c, r, key, file, e);
  }
  if (read_secret(c, r, key, file, &secrets[i], e) != 0) {
    return -1;
  }
  const char *wrong = check_secret(secrets, i);
  if (wrong != NULL) {
    error_set(e, ERROR_USAGE, "%s %s", file->text, wrong);
    return registry_error(c, r, key, file, e);
  }
  return 0;
}

static int check_certificates(const struct config *c, const struct config_registry *r,
                              struct error *e) {
  if (r->ca_file.text != NULL && image_certificates_check(r->ca_file.text, e) != 0) {
    return registry_error(c, r, "ca_file", &r->ca_file, e);
  }
  if (r->key.text != NULL && file_check_private(r->key.text, e) != 0) {
    return registry_error(c, r, "key", &r->key, e);
  }
  if (r->certificate.text != NULL &&
      image_certificates_check_pair(r->certificate.text, r->key.text, e) != 0) {
    return registry_error(c, r, "certificate", &r->certificate, e);
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
    if (read_password(c, r, &out->credentials[i], e) != 0 ||
        read_notification_secret(c, r, out->secrets, e) != 0 || check_certificates(c, r, e) != 0) {
      return -1;
    }
    out->registries[i] = (struct gateway_registry){
        .name = r->name.text,
        .authorise = strcmp(r->authorise.text, "token") == 0 ? GATEWAY_TOKEN : GATEWAY_DELEGATE,
        .storage = r->storage.text,
        .notification_secret = out->secrets[i],
        .upstream = {.url = r->url.text,
                     .tls = {.ca_file = r->ca_file.text,
                             .cert_file = r->certificate.text,
                             .key_file = r->key.text,
                             .given_by = "the registry's row in the configuration"},
                     .credentials = r->username.text == NULL ? NULL : &out->credentials[i]}};
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
