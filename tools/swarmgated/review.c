#include "review.h"

#include "base/file.h"
#include "session_key.h"

#include <string.h>

/* What this release does not do yet is refused, never silently left out. */
static int check_roles(const struct config *c, struct error *e) {
  if (!c->tracker.present && !c->gateway.present) {
    return error_set(e, ERROR_USAGE,
                     "%s: tracker and gateway are both left out: there is nothing "
                     "to run",
                     c->file);
  }
  if (c->token_service.present && !c->gateway.present) {
    return config_error(c, c->token_service.line, e,
                        "token_service: is served by the gateway's listener, and there is no "
                        "gateway; a file without one is for `swarmgate token issue` alone");
  }
  return 0;
}

/* The key is made at start; one that is there must be good. */
static int check_session_key(const struct config *c, struct error *e) {
  unsigned char key[SESSION_KEY];
  struct error why = {0};
  if (!c->tracker.present || session_key_read(c->tracker.session_key.text, key, &why) == 0 ||
      why.kind == ERROR_NOT_FOUND) {
    explicit_bzero(key, sizeof key);
    return 0;
  }
  return config_error(c, c->tracker.session_key.line, e, "%s", why.text);
}

/* A default URL is made of the address that is listened on; of a wildcard nobody can reach that. */
static void warn_of_wildcard(const struct config *c, const char *key, const struct config_text *url,
                             const char *listen) {
  size_t host = (size_t)(strrchr(listen, ':') - listen);
  if (url->line == 0 && strspn(listen, "[:0.]") >= host) {
    log_write(&c->log, LOG_LEVEL_WARN,
              "torrents will send nodes to %s: set %s in %s to a URL they can reach", url->text,
              key, c->file);
  }
}

static void warn_of_wildcards(const struct config *c) {
  if (c->gateway.present) {
    warn_of_wildcard(c, "tracker.url", &c->tracker.url, c->tracker.listen.items[0].text);
    warn_of_wildcard(c, "gateway.url", &c->gateway.url, c->gateway.listen.items[0].text);
  }
}

static bool is_on_loopback(struct slice host) {
  return slice_starts(host, SLICE("127.")) || slice_starts(host, SLICE("[::1]")) ||
         slice_starts(host, SLICE("localhost:")) || slice_starts(host, SLICE("localhost/"));
}

/* Whoever can answer in the place of the issuer is the issuer. */
static void warn_of_plain_keys(const struct config *c) {
  for (size_t i = 0; i < c->auth.trust_count; i++) {
    struct slice url = slice_str(c->auth.trust[i].keys.text);
    if (slice_starts(url, SLICE("http://")) &&
        !is_on_loopback(slice_from(url, strlen("http://")))) {
      log_write(&c->log, LOG_LEVEL_WARN,
                "%s:%u: auth.trust[%zu].keys: whoever is between here and %.*s can put in keys of "
                "his own: use https",
                c->file, c->auth.trust[i].keys.line, i, SLICE_ARG(url));
    }
  }
}

/* Whether a listener is for other machines too; who passes a socket knows where it listens. */
static bool is_for_others(struct slice listen) {
  return !slice_starts(listen, SLICE("unix:")) && !slice_starts(listen, SLICE("fd:")) &&
         !is_on_loopback(listen);
}

static void warn_of_plain_passwords(const struct config *c) {
  const struct config_texts *listen = &c->gateway.listen;
  if (!c->token_service.present || c->gateway.tls.line != 0) {
    return;
  }
  for (size_t i = 0; i < listen->count; i++) {
    if (is_for_others(slice_str(listen->items[i].text))) {
      log_write(&c->log, LOG_LEVEL_WARN,
                "%s:%u: gateway.listen[%zu]: passwords for the token service come to %s in the "
                "clear: set gateway.tls, or listen on loopback behind a proxy that has TLS",
                c->file, listen->items[i].line, i, listen->items[i].text);
    }
  }
}

static void warn_of_read_passwords(const struct config *c) {
  for (size_t i = 0; i < c->registry_count; i++) {
    const struct config_text *file = &c->registries[i].password_file;
    if (file->text != NULL && file_check_private(file->text, NULL) != 0) {
      log_write(&c->log, LOG_LEVEL_WARN,
                "%s:%u: registries[%zu].credentials.password_file: others than its owner may use "
                "this password: chmod 600 %s",
                c->file, file->line, i, file->text);
    }
  }
}

void review_warn(const struct config *c) {
  warn_of_wildcards(c);
  warn_of_plain_keys(c);
  warn_of_plain_passwords(c);
  warn_of_read_passwords(c);
}

int review_config(const struct config *c, struct error *e) {
  return check_roles(c, e) != 0 || check_session_key(c, e) != 0 ? -1 : 0;
}
