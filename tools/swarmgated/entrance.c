#include "entrance.h"

#include "base/clock.h"

#include <stdlib.h>

static const char *fault_of(int64_t from, int64_t until) {
  const int64_t now = clock_now();
  return now > until ? "has run out" : now < from ? "does not hold yet" : NULL;
}

static void warn_of_dates(const struct config *c, const struct config_tls *tls,
                          struct http_tls *loaded) {
  const struct http_tls_validity v = http_tls_validity(loaded);
  const char *own = fault_of(v.from, v.until);
  const char *chain = fault_of(v.chain_from, v.chain_until);
  if (own != NULL) {
    log_write(&c->log, LOG_LEVEL_WARN, "%s: the certificate %s, so that clients will refuse it",
              tls->certificate.text, own);
  }
  if (chain != NULL) {
    log_write(&c->log, LOG_LEVEL_WARN,
              "%s: a certificate of its chain %s; clients refuse it that know no other way to a CA",
              tls->certificate.text, chain);
  }
}

int entrance_load(const struct config *config, const char *role, const struct config_tls *tls,
                  const struct config_texts *trusted, struct entrance *out, struct error *e) {
  if (tls->line != 0) {
    out->tls = http_tls_new(tls->certificate.text, tls->key.text, e);
    if (out->tls == NULL) {
      error_context(e, "%s.tls", role);
      return config_error_at(config, tls->line, e);
    }
    warn_of_dates(config, tls, out->tls);
  }
  out->trusted = calloc(trusted->count + 1, sizeof *out->trusted);
  if (out->trusted == NULL) {
    return error_set(e, ERROR_FAILED, "cannot start: out of memory");
  }
  for (size_t i = 0; i < trusted->count; i++) {
    address_range_parse(slice_str(trusted->items[i].text), &out->trusted[i]); /* checked before */
  }
  out->trusted_count = trusted->count;
  return 0;
}

int entrance_open(const struct config *config, const char *role, const struct config_texts *listen,
                  struct entrance *entrance, struct error *e) {
  for (size_t i = 0; i < listen->count; i++) {
    const size_t before = entrance->places.count;
    if (http_listen(listen->items[i].text, &entrance->places, e) != 0) {
      const enum error_kind kind = e->kind;
      error_context(e, "%s.listen", role);
      config_error_at(config, listen->items[i].line, e);
      e->kind = kind; /* an address in use is no fault of the file */
      return -1;
    }
    for (size_t j = before; j < entrance->places.count; j++) {
      log_write(&config->log, LOG_LEVEL_INFO, "%s listens on %s%s", role,
                entrance->places.items[j].name, entrance->tls == NULL ? "" : ", TLS");
    }
  }
  return 0;
}

void entrance_close(struct entrance *entrance) {
  http_places_close(&entrance->places);
}

void entrance_free(struct entrance *entrance) {
  http_places_free(&entrance->places);
  http_tls_free(entrance->tls);
  free(entrance->trusted);
}
