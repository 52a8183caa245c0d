#include "tools/upstream.h"

#include "base/file.h"
#include "image/certificates.h"

#include <stdlib.h>
#include <string.h>

enum { SECRET_MAX = 4096 }; /* bytes of a password or secret */

int upstream_error(const struct config *c, const struct config_registry *r, const char *key,
                   const struct config_text *file, struct error *e) {
  error_context(e, "registries[%zu].%s", (size_t)(r - c->registries), key);
  return config_error_at(c, file->line, e);
}

int upstream_read_secret(const struct config *c, const struct config_registry *r, const char *key,
                         const struct config_text *file, char **out, struct error *e) {
  struct buf bytes = {0};
  if (file_read(file->text, SECRET_MAX, &bytes, e) != 0) {
    return upstream_error(c, r, key, file, e);
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
  if (upstream_read_secret(c, r, "credentials.password_file", &r->password_file, &out->password,
                           e) != 0) {
    return -1;
  }
  out->username = strdup(r->username.text);
  return out->username == NULL
             ? error_set(e, ERROR_FAILED, "cannot read %s: out of memory", c->file)
             : 0;
}

static int check_certificates(const struct config *c, const struct config_registry *r,
                              struct error *e) {
  if (r->ca_file.text != NULL && image_certificates_check(r->ca_file.text, e) != 0) {
    return upstream_error(c, r, "ca_file", &r->ca_file, e);
  }
  if (r->key.text != NULL && file_check_private(r->key.text, e) != 0) {
    return upstream_error(c, r, "key", &r->key, e);
  }
  if (r->certificate.text != NULL &&
      image_certificates_check_pair(r->certificate.text, r->key.text, e) != 0) {
    return upstream_error(c, r, "certificate", &r->certificate, e);
  }
  return 0;
}

int upstream_read(const struct config *config, const struct config_registry *row,
                  struct image_credentials *credentials, struct registry_options *out,
                  struct error *e) {
  *out = (struct registry_options){.url = row->url.text,
                                   .tls = {.ca_file = row->ca_file.text,
                                           .cert_file = row->certificate.text,
                                           .key_file = row->key.text,
                                           .given_by = "the registry's row in the "
                                                       "configuration (ca_file, certificate, key)"},
                                   .credentials = row->username.text == NULL ? NULL : credentials};
  return read_password(config, row, credentials, e) != 0 || check_certificates(config, row, e) != 0
             ? -1
             : 0;
}
