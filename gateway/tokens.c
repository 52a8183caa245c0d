/*
 * POST /v1/<name>/tokens: fresh tokens for blobs whose torrents a node has already. The happy path:
 * which the caller may read, with their torrents (batch.h); these are registered to this repository
 * when they were not, the caller is held against what was revoked until now, and one swarm token
 * and a webseed token each are answered, once the audit log has them.
 */
#include "base/clock.h"
#include "gateway/batch.h"
#include "gateway/problem.h"
#include "gateway/recording.h"
#include "gateway/standing.h"
#include "image/json.h"

#include <stdlib.h>

/** One request; in the exchange's arena. */
struct handing {
  const struct request *request;
  struct batch *batch;
  struct torrent_record torrents[TOKEN_INFOHASHES_MAX]; /**< what is issued for; without `info` */
  size_t torrent_count;
  struct registration *registration; /**< while it is being written */
  int64_t now;                       /**< `iat` of what is issued */
  struct standing *standing;         /**< while it is asked for */
  struct issued issued;
  struct recording *recording; /**< while the tokens are being recorded */
  char *answer;                /**< freed when it was sent or is not wanted */
};

/* What a log line about the whole request names. */
static struct slice first_digest(const struct handing *h) {
  return batch_first(h->batch);
}

static void fail(const struct handing *h, const struct error *e) {
  request_fail(h->request, "cannot hand out tokens for", first_digest(h), e);
}

/* The one place where what holds tokens leaves. */
static void send_answer(struct handing *h) {
  const struct request *r = h->request;
  const struct http_field fields[] = {
      {SLICE("Content-Type"), SLICE("application/json")},
      {SLICE("Cache-Control"), SLICE("no-store")},
  };
  char *answer = h->answer;
  issue_log(r->gateway->options, &h->issued);
  http_answer(r->x, 200, fields, sizeof fields / sizeof fields[0], slice_str(answer));
  free(answer);
}

static int add_webseed(struct handing *h, size_t i, json_t *webseeds, struct error *e) {
  const struct request *r = h->request;
  const struct issue_grant grant = request_grant(r);
  struct slice digest = h->torrents[i].digest;
  struct slice url;
  if (issue_webseed(r->gateway->options, &grant, digest, h->now, http_exchange_arena(r->x),
                    &h->issued, &url, e) != 0) {
    return -1;
  }
  return json_object_set_new(webseeds, digest.ptr, json_stringn(url.ptr, url.len)) == 0
             ? 0
             : error_set(e, ERROR_FAILED, "out of memory");
}

static int make_answer(struct handing *h, struct slice token, struct error *e) {
  const struct gateway_options *o = h->request->gateway->options;
  int64_t session = h->now + o->session_ttl;
  json_t *webseeds = json_object();
  int result = 0;
  for (size_t i = 0; i < h->torrent_count && result == 0; i++) {
    result = add_webseed(h, i, webseeds, e);
  }
  if (result == 0) {
    json_t *json =
        json_pack("{s:s%, s:I, s:I, s:O}", "token", token.ptr, token.len, "expires_in",
                  (json_int_t)o->swarm_ttl, "session", (json_int_t)session, "webseeds", webseeds);
    h->answer = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    result = h->answer == NULL ? error_set(e, ERROR_FAILED, "out of memory") : 0;
  }
  json_decref(webseeds);
  return result;
}

static void refuse_unrecorded(struct handing *h, const struct error *e) {
  free(h->answer);
  recording_refuse(h->request, first_digest(h), e);
}

static void on_recorded(void *arg, const struct error *e) {
  struct handing *h = arg;
  h->recording = NULL;
  if (e != NULL) {
    refuse_unrecorded(h, e);
  } else {
    send_answer(h);
  }
}

static void on_standing(void *arg, bool good, const struct error *no_telling) {
  struct handing *h = arg;
  const struct request *r = h->request;
  const struct issue_grant grant = request_grant(r);
  struct slice token;
  struct error e = {0};
  h->standing = NULL;
  if (!good) {
    standing_refuse(r, first_digest(h), no_telling);
    return;
  }
  if (issue_swarm(r->gateway->options, &grant, h->torrents, h->torrent_count, h->now,
                  http_exchange_arena(r->x), &h->issued, &token, &e) != 0) {
    if (e.kind == ERROR_USAGE && h->torrent_count > 1) {
      problem_answer(r->x, 400, "UNSUPPORTED",
                     "these are too many for one token with names as long: ask for fewer digests");
    } else {
      fail(h, &e);
    }
    return;
  }
  if (make_answer(h, token, &e) != 0) {
    fail(h, &e);
    return;
  }
  h->recording = recording_start(r, &h->issued, on_recorded, h, &e);
  if (h->recording == NULL) {
    refuse_unrecorded(h, &e);
  }
}

/* The time comes first: what is revoked later is later than the tokens, too. */
static void issue(struct handing *h) {
  struct error e = {0};
  bool good;
  h->now = clock_now();
  h->standing = standing_ask(h->request, on_standing, h, &good, &e);
  if (h->standing == NULL) {
    on_standing(h, good, e.kind == ERROR_NONE ? NULL : &e);
  }
}

static void on_registered(void *arg, const struct error *e) {
  struct handing *h = arg;
  h->registration = NULL;
  if (e != NULL) {
    fail(h, e);
  } else {
    issue(h);
  }
}

/* What was not registered to this repository is registered first. */
static void on_known(void *arg, const struct batch *batch) {
  struct handing *h = arg;
  struct slice unregistered[TOKEN_INFOHASHES_MAX];
  size_t unregistered_count = 0;
  struct error e = {0};
  const struct batch_torrent *torrents = batch_torrents(batch, &h->torrent_count);
  for (size_t i = 0; i < h->torrent_count; i++) {
    h->torrents[i] = torrents[i].record;
    if (!torrents[i].registered) {
      unregistered[unregistered_count++] = torrents[i].record.digest;
    }
  }
  if (unregistered_count == 0) {
    issue(h);
    return;
  }
  h->registration =
      registration_start(h->request, unregistered, unregistered_count, on_registered, h, &e);
  if (h->registration == NULL) {
    fail(h, &e);
  }
}

static void on_abandoned(void *arg) {
  struct handing *h = arg;
  batch_cancel(h->batch);
  registration_leave(h->registration);
  standing_leave(h->standing);
  recording_leave(h->recording);
  free(h->answer);
}

/* \return NULL when the request was answered. */
static struct batch *read_body(const struct request *r) {
  json_t *body = image_json_read(http_request_body(r->x), NULL);
  const json_t *digests = json_object_get(body, "digests");
  struct batch *batch = NULL;
  if (json_array_size(digests) == 0) {
    problem_answer(r->x, 400, "UNSUPPORTED",
                   "the body is not {\"digests\": […]} with a digest or more");
  } else {
    batch = batch_new(r, digests, issue_swarm_max(r->gateway->options->format), "token");
  }
  json_decref(body);
  return batch;
}

void tokens_handle(struct request *r) {
  struct handing *h = arena_alloc(http_exchange_arena(r->x), sizeof *h);
  if (h == NULL) {
    problem_answer(r->x, 500, "UNKNOWN", "the gateway is out of memory");
    return;
  }
  struct batch *batch = read_body(r);
  if (batch != NULL) {
    h->request = r;
    h->batch = batch;
    http_exchange_on_abandoned(r->x, on_abandoned, h);
    batch_ask(h->batch, on_known, h);
  }
}
