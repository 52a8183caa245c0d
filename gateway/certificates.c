/*
 * POST /v1/<name>/certificates: a certificate by which a node's peers know it, for the torrents of
 * the blobs that it may read. The happy path: which these are (batch.h); the caller is held against
 * what was revoked until now, the request for a certificate is read, of which the key alone counts,
 * and the certificate is answered once the audit log has it. It cannot be revoked, and so it is
 * short-lived.
 */
#include "auth/swarm_certificate.h"
#include "base/clock.h"
#include "gateway/batch.h"
#include "gateway/problem.h"
#include "gateway/recording.h"
#include "gateway/standing.h"
#include "image/json.h"

#include <openssl/evp.h>
#include <stdlib.h>

/** One request; in the exchange's arena. */
struct certifying {
  const struct request *request;
  struct slice csr;
  struct slice ca; /**< the certificate of the CA that is to sign; empty: today's */
  struct batch *batch;
  int64_t now;
  struct standing *standing; /**< while it is asked for */
  struct swarm_certificate certificate;
  struct audit_event event;
  struct issued issued;
  struct recording *recording; /**< while the certificate is being recorded */
  char *answer;                /**< freed when it was sent or is not wanted */
};

static void fail(const struct certifying *c, const struct error *e) {
  request_fail(c->request, "cannot hand out a certificate for", batch_first(c->batch), e);
}

/* The one place where a certificate leaves. */
static void send_answer(struct certifying *c) {
  const struct request *r = c->request;
  const struct http_field fields[] = {
      {SLICE("Content-Type"), SLICE("application/json")},
      {SLICE("Cache-Control"), SLICE("no-store")},
  };
  char *answer = c->answer;
  log_write(r->gateway->options->log, LOG_LEVEL_INFO,
            "handed out the certificate %s for %zu torrents of %.*s/%.*s to %.*s",
            c->certificate.serial, c->event.name_count, SLICE_ARG(r->upstream->name),
            SLICE_ARG(r->repository), SLICE_ARG(r->caller.subject));
  http_answer(r->x, 200, fields, sizeof fields / sizeof fields[0], slice_str(answer));
  free(answer);
}

/* The torrents' names; NULL when there is no memory. */
static struct slice *name_all(const struct certifying *c, size_t *count) {
  struct arena *arena = http_exchange_arena(c->request->x);
  const struct batch_torrent *torrents = batch_torrents(c->batch, count);
  struct slice *names = arena_alloc(arena, *count * sizeof *names);
  for (size_t i = 0; names != NULL && i < *count; i++) {
    names[i] = issue_name(torrents[i].record.digest, arena);
    if (names[i].ptr == NULL) {
      return NULL;
    }
  }
  return names;
}

static void write_event(struct certifying *c, const struct slice *names, size_t count) {
  const struct issue_grant grant = request_grant(c->request);
  c->event = (struct audit_event){
      .event = SLICE("token"),
      .kind = SLICE("certificate"),
      .jti = slice_str(c->certificate.serial),
      .sub = grant.subject,
      .registry = grant.registry,
      .repository = grant.repository,
      .names = names,
      .name_count = count,
      .exp = c->certificate.expires,
      .from = grant.from,
  };
  c->issued = (struct issued){.events = &c->event, .count = 1, .room = 1};
}

static int render(struct certifying *c, struct slice pem, const char *ca, struct error *e) {
  json_t *json = json_pack("{s:s%, s:s, s:I}", "certificate", pem.ptr, pem.len, "ca", ca,
                           "expires_in", (json_int_t)(c->certificate.expires - c->now));
  c->answer = json_dumps(json, JSON_COMPACT);
  json_decref(json);
  return c->answer == NULL ? error_set(e, ERROR_FAILED, "out of memory") : 0;
}

static int sign(struct certifying *c, const struct swarm_ca *ca, const struct swarm_ca_pair *pair,
                EVP_PKEY *key, struct error *e) {
  size_t count;
  const struct slice *names = name_all(c, &count);
  struct buf pem = {0};
  if (names == NULL) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  const struct swarm_order order = {
      .ca = ca, .pair = pair, .key = key, .names = names, .count = count, .now = c->now};
  int result = swarm_certificate_make(&order, &pem, &c->certificate, e) != 0
                   ? -1
                   : render(c, buf_view(&pem), pair->pem, e);
  buf_free(&pem);
  if (result == 0) {
    write_event(c, names, count);
  }
  return result;
}

/* \return 0, or -1: ERROR_USAGE for what the caller has done wrong. */
static int make_by(struct certifying *c, const struct swarm_ca *ca, struct error *e) {
  const struct swarm_ca_pair *pair = ca == NULL ? NULL : swarm_ca_find(ca, c->ca);
  EVP_PKEY *key = NULL;
  if (pair == NULL) {
    return error_set(e, ERROR_USAGE,
                     "the gateway has no such CA any more: ask for the torrents anew");
  }
  int result = swarm_csr_read(c->csr, &key, e) != 0 ? -1 : sign(c, ca, pair, key, e);
  EVP_PKEY_free(key);
  return result;
}

static int make(struct certifying *c, struct error *e) {
  struct swarm_ca *ca = swarm_authority_hold(c->request->gateway->options->swarm_authority);
  int result = make_by(c, ca, e);
  swarm_ca_release(ca);
  return result;
}

static void refuse_unrecorded(struct certifying *c, const struct error *e) {
  free(c->answer);
  recording_refuse(c->request, batch_first(c->batch), e);
}

static void on_recorded(void *arg, const struct error *e) {
  struct certifying *c = arg;
  c->recording = NULL;
  if (e != NULL) {
    refuse_unrecorded(c, e);
  } else {
    send_answer(c);
  }
}

static void on_standing(void *arg, bool good, const struct error *no_telling) {
  struct certifying *c = arg;
  struct error e = {0};
  c->standing = NULL;
  if (!good) {
    standing_refuse(c->request, batch_first(c->batch), no_telling);
    return;
  }
  if (make(c, &e) != 0) {
    if (e.kind == ERROR_USAGE) {
      problem_answer(c->request->x, 400, "UNSUPPORTED", e.text);
    } else {
      fail(c, &e);
    }
    return;
  }
  c->recording = recording_start(c->request, &c->issued, on_recorded, c, &e);
  if (c->recording == NULL) {
    refuse_unrecorded(c, &e);
  }
}

/* The time comes first: what is revoked later is later than the certificate, too. */
static void on_known(void *arg, const struct batch *batch) {
  struct certifying *c = arg;
  struct error e = {0};
  bool good;
  (void)batch;
  c->now = clock_now();
  c->standing = standing_ask(c->request, on_standing, c, &good, &e);
  if (c->standing == NULL) {
    on_standing(c, good, e.kind == ERROR_NONE ? NULL : &e);
  }
}

static void on_abandoned(void *arg) {
  struct certifying *c = arg;
  batch_cancel(c->batch);
  standing_leave(c->standing);
  recording_leave(c->recording);
  free(c->answer);
}

/* A member of the body, copied. */
static bool copy_text(const struct request *r, const json_t *body, const char *name,
                      struct slice *out) {
  const json_t *text = json_object_get(body, name);
  struct slice bytes = slice_of(json_string_value(text), json_string_length(text));
  const char *copy = arena_copy(http_exchange_arena(r->x), bytes);
  *out = slice_of(copy, bytes.len);
  return copy != NULL;
}

static bool is_whole(const json_t *body) {
  const json_t *ca = json_object_get(body, "ca");
  return json_string_length(json_object_get(body, "csr")) > 0 &&
         json_array_size(json_object_get(body, "digests")) > 0 &&
         (ca == NULL || json_is_string(ca));
}

/* \return NULL when the request was answered, and is not to be touched any more. */
static struct batch *read_body(struct certifying *c, const struct request *r) {
  json_t *body = image_json_read(http_request_body(r->x), NULL);
  struct batch *batch = NULL;
  if (!is_whole(body)) {
    problem_answer(r->x, 400, "UNSUPPORTED",
                   "the body is not {\"csr\": PEM, \"digests\": […]} with a digest or more");
  } else if (!copy_text(r, body, "csr", &c->csr) || !copy_text(r, body, "ca", &c->ca)) {
    problem_answer(r->x, 500, "UNKNOWN", "the gateway is out of memory");
  } else {
    batch =
        batch_new(r, json_object_get(body, "digests"), SWARM_CERTIFICATE_NAMES_MAX, "certificate");
  }
  json_decref(body);
  return batch;
}

/* Nothing says that there could be certificates where swarms have none. */
static bool has_ca(const struct request *r) {
  struct swarm_ca *ca = swarm_authority_hold(r->gateway->options->swarm_authority);
  swarm_ca_release(ca);
  return ca != NULL;
}

void certificates_handle(struct request *r) {
  struct certifying *c = arena_alloc(http_exchange_arena(r->x), sizeof *c);
  if (c == NULL) {
    problem_answer(r->x, 500, "UNKNOWN", "the gateway is out of memory");
    return;
  }
  if (!has_ca(r)) {
    problem_answer(r->x, 404, "UNSUPPORTED",
                   "swarms have no certificates here: gateway.swarm_tls is not set");
    return;
  }
  struct batch *batch = read_body(c, r);
  if (batch != NULL) {
    c->request = r;
    c->batch = batch;
    http_exchange_on_abandoned(r->x, on_abandoned, c);
    batch_ask(batch, on_known, c);
  }
}
