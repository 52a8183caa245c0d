/*
 * POST /v1/notifications. The happy path: the secret says which registry it is; what was pushed or
 * deleted is read, and written down; then it is answered, and who sees to it is woken. The secret
 * is compared by its hash, so that neither where it differs nor its length is told by the time that
 * takes.
 */
#include "base/clock.h"
#include "db/torrent_store.h"
#include "db/wanted_store.h"
#include "gateway/internal.h"
#include "gateway/notification.h"
#include "gateway/preparing.h"
#include "gateway/problem.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>

enum { RETRY_S = 30 }; /* when there is no room for more */

/** A notification on its way to the disk; it may outlive its exchange. */
struct notice {
  const struct gateway *gateway;
  struct http_exchange *x; /* NULL when nobody waits any more */
  struct slice registry;
  const struct notification_event *events;
  size_t count;
  int64_t now;
  struct arena arena; /* of the events */
};

static void notice_free(struct notice *n) {
  arena_free(&n->arena);
  free(n);
}

/* --- who it is --- */

static bool hash(struct slice text, unsigned char out[EVP_MAX_MD_SIZE]) {
  return EVP_Digest(text.ptr == NULL ? "" : text.ptr, text.len, out, NULL, EVP_sha256(), NULL) == 1;
}

/* All are compared, whichever it is. \return NULL when it is none of them. */
static const struct gateway_registry *find_registry(const struct gateway_options *o,
                                                    struct slice secret) {
  const struct gateway_registry *found = NULL;
  unsigned char given[EVP_MAX_MD_SIZE], right[EVP_MAX_MD_SIZE];
  bool good = hash(secret, given);
  for (size_t i = 0; good && i < o->registry_count; i++) {
    const char *text = o->registries[i].notification_secret;
    if (text != NULL && hash(slice_str(text), right) && CRYPTO_memcmp(given, right, 32) == 0) {
      found = &o->registries[i];
    }
  }
  return found;
}

static bool has_secrets(const struct gateway_options *o) {
  for (size_t i = 0; i < o->registry_count; i++) {
    if (o->registries[i].notification_secret != NULL) {
      return true;
    }
  }
  return false;
}

static bool takes_any(const struct gateway *g) {
  return has_secrets(g->options) && g->options->preparing != NULL;
}

bool notifications_are_from(const struct http_exchange *x, void *context) {
  const struct gateway *g = context;
  struct slice secret = http_request_field(x, SLICE("Authorization"));
  struct slice scheme = slice_cut(&secret, ' ');
  return takes_any(g) && slice_equal(http_request_path(x), SLICE("/v1/notifications")) &&
         secret.ptr != NULL && slice_equal_nocase(scheme, SLICE("Bearer")) &&
         find_registry(g->options, slice_trim(secret)) != NULL;
}

/* \return NULL when it was answered. */
static const struct gateway_registry *identify(const struct gateway *g, struct http_exchange *x) {
  struct slice secret = http_request_field(x, SLICE("Authorization"));
  struct slice scheme = slice_cut(&secret, ' ');
  if (!takes_any(g)) {
    problem_answer(x, 404, "UNSUPPORTED",
                   "no notifications are taken here: no registry has a `notification_secret_file`");
    return NULL;
  }
  if (secret.ptr == NULL || !slice_equal_nocase(scheme, SLICE("Bearer"))) {
    problem_unauthorized(x, SLICE("Bearer"), "a notification comes with `Bearer` and a secret");
    return NULL;
  }
  const struct gateway_registry *registry = find_registry(g->options, slice_trim(secret));
  if (registry == NULL) {
    refusals_log(g->refusals, http_request_peer(x), "no notification is taken",
                 ": its secret is no registry's");
    problem_answer(x, 403, "DENIED", "the secret is no registry's `notification_secret_file`");
  }
  return registry;
}

/* --- writing it down --- */

/* A deleted manifest says nothing of its layers, which are there until they are collected; and what
 * has no torrent is no business of ours. */
static bool is_of_use(struct db_txn *txn, const struct notice *n,
                      const struct notification_event *event) {
  return !event->deleted ||
         torrent_store_allowed_blob(txn, event->digest, n->registry, event->repository);
}

static int write_all(struct db_txn *txn, void *arg, struct error *e) {
  const struct notice *n = arg;
  for (size_t i = 0; i < n->count; i++) {
    const struct wanted_record record = {.registry = n->registry,
                                         .repository = n->events[i].repository,
                                         .digest = n->events[i].digest,
                                         .due = n->now};
    if (is_of_use(txn, n, &n->events[i]) && wanted_store_put(txn, &record, e) != 0) {
      return -1;
    }
  }
  return 0;
}

/* The registry sends it again. */
static void refuse(const struct notice *n, const struct error *e) {
  log_write(n->gateway->options->log, LOG_LEVEL_WARN,
            "cannot write down what %.*s says has changed: %s", SLICE_ARG(n->registry), e->text);
  if (n->x != NULL) {
    http_exchange_on_abandoned(n->x, NULL, NULL);
    problem_later(n->x, 503, "UNAVAILABLE",
                  "the gateway cannot write this down now; its log says why", RETRY_S);
  }
}

static void on_written(void *arg, const struct error *e) {
  struct notice *n = arg;
  if (e != NULL) {
    refuse(n, e);
  } else {
    preparing_wake(n->gateway->options->preparing);
    if (n->x != NULL) {
      http_exchange_on_abandoned(n->x, NULL, NULL);
      http_answer(n->x, 202, NULL, 0, SLICE(""));
    }
  }
  notice_free(n);
}

static void on_abandoned(void *arg) {
  struct notice *n = arg;
  n->x = NULL;
}

static void write_down(struct notice *n) {
  struct error e = {0};
  http_exchange_on_abandoned(n->x, on_abandoned, n);
  if (db_write(n->gateway->options->db, http_exchange_loop(n->x), write_all, n, on_written, &e) !=
      0) {
    refuse(n, &e);
    notice_free(n);
  }
}

void notifications_handle(struct http_exchange *x, void *context) {
  const struct gateway *g = context;
  const struct gateway_registry *registry = identify(g, x);
  struct notice *n = registry == NULL ? NULL : calloc(1, sizeof *n);
  struct error e = {0};
  if (registry == NULL) {
    return;
  }
  if (http_request_body_cut(x)) {
    /* What is refused comes again for ever, and holds up all behind it. */
    log_write(g->options->log, LOG_LEVEL_WARN,
              "passed over a notification of %s: it has more than %d bytes; `swarmgate torrent "
              "sync` finds what it told",
              registry->name, NOTIFICATION_BODY_MAX);
    http_answer(x, 202, NULL, 0, SLICE(""));
    free(n);
    return;
  }
  if (n == NULL) {
    problem_answer(x, 500, "UNKNOWN", "the gateway is out of memory");
    return;
  }
  n->gateway = g;
  n->x = x;
  n->registry = slice_str(registry->name);
  n->now = clock_now();
  n->events = notification_read(http_request_body(x), &n->arena, &n->count, &e);
  if (n->events != NULL && n->count > 0) {
    write_down(n);
    return;
  }
  if (n->events == NULL) {
    log_write(g->options->log, LOG_LEVEL_WARN, "cannot read a notification of %s: %s",
              registry->name, e.text);
    problem_answer(x, 400, "UNSUPPORTED", "this is no notification of a registry that can be read");
  } else {
    http_answer(x, 202, NULL, 0, SLICE("")); /* of what is of no use */
  }
  notice_free(n);
}
