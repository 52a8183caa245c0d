#include "upstreams.h"

#include "base/file.h"
#include "image/certificates.h"

#include <stdlib.h>
#include <string.h>

enum { PASSWORD_MAX = 4096 }; /* bytes */

/* Of a file that a registry's row names. */
static int registry_error(const struct config *c, const struct config_registry *r, const char *key,
                          const struct config_text *file, struct error *e) {
  error_context(e, "registries[%zu].%s", (size_t)(r - c->registries), key);
  return config_error_at(c, file->line, e);
}

static int read_password(const struct config *c, const struct config_registry *r,
                         struct image_credentials *out, struct error *e) {
  struct buf bytes = {0};
  if (r->username.text == NULL) {
    return 0;
  }
  if (file_read(r->password_file.text, PASSWORD_MAX, &bytes, e) != 0) {
    return registry_error(c, r, "credentials.password_file", &r->password_file, e);
  }
  /* The line's end that an editor leaves is no part of the password. */
  while (bytes.len > 0 && (bytes.ptr[bytes.len - 1] == '\n' || bytes.ptr[bytes.len - 1] == '\r')) {
    bytes.len--;
  }
  out->username = strdup(r->username.text);
  out->password = strndup(bytes.ptr == NULL ? "" : bytes.ptr, bytes.len);
  if (bytes.ptr != NULL) {
    explicit_bzero(bytes.ptr, bytes.cap);
  }
  buf_free(&bytes);
  return out->username == NULL || out->password == NULL
             ? error_set(e, ERROR_FAILED, "cannot read %s: out of memory", r->password_file.text)
             : 0;
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
  if (out->registries == NULL || out->credentials == NULL) {
    return error_set(e, ERROR_FAILED, "cannot start: out of memory");
  }
  for (size_t i = 0; i < c->registry_count; i++) {
    const struct config_registry *r = &c->registries[i];
    if (read_password(c, r, &out->credentials[i], e) != 0 || check_certificates(c, r, e) != 0) {
      return -1;
    }
    out->registries[i] = (struct gateway_registry){
        .name = r->name.text,
        .authorise = strcmp(r->authorise.text, "token") == 0 ? GATEWAY_TOKEN : GATEWAY_DELEGATE,
        .storage = r->storage.text,
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
  free(upstreams->credentials);
  free(upstreams->registries);
}
