#include "node/certificate.h"

#include "http/url.h"
#include "node/identity.h"

#include <jansson.h>
#include <stdlib.h>

enum {
  ANSWER_MAX = 256 * 1024,        /* bytes */
  RETRY_MS = 5000,                /* of a gateway that gives no clear answer */
  LIFETIME_MAX = 366 * 24 * 3600, /* seconds that are believed */
};

struct certificate {
  struct identity identity;
  struct registry *gateway;
  struct registry_request *request;
  uv_timer_t timer;
  char *repository;
  struct buf query; /* terminated */
  char *body;       /* of the question, the same each time */
  struct certificate_events events;
  void *arg;
  char *pem; /* the certificate; NULL: none yet */
  struct bittorrent_certificate shown;
  int status; /* 0: no answer */
  struct buf answer;
};

bool certificate_is_wanted(const struct offer *offer) {
  for (size_t i = 0; i < offer->blob_count; i++) {
    if (offer->blobs[i].metainfo.ca.len > 0) {
      return true;
    }
  }
  return false;
}

static void on_closed(uv_handle_t *handle) {
  struct certificate *c = handle->data;
  identity_free(&c->identity);
  free(c->repository);
  buf_free(&c->query);
  free(c->body);
  free(c->pem);
  buf_free(&c->answer);
  free(c);
}

static void on_time(uv_timer_t *timer);

static void refuse(struct certificate *c, const struct error *e) {
  if (c->pem == NULL || e->kind == ERROR_DENIED || e->kind == ERROR_NOT_FOUND) {
    c->events.refused(c->arg, e);
  } else {
    uv_timer_start(&c->timer, on_time, RETRY_MS, 0);
  }
}

/* --- the answer --- */

static int read_answer(struct certificate *c, int64_t *seconds, struct error *e) {
  json_t *json = json_loadb(c->answer.ptr, c->answer.len, JSON_REJECT_DUPLICATES, NULL);
  const char *text = json_string_value(json_object_get(json, "certificate"));
  char *pem = text == NULL ? NULL : strdup(text);
  *seconds = (int64_t)json_integer_value(json_object_get(json, "expires_in"));
  *seconds = *seconds > LIFETIME_MAX ? LIFETIME_MAX : *seconds;
  json_decref(json);
  if (pem == NULL || *seconds < 1) {
    free(pem);
    return error_set(e, ERROR_FAILED, "the gateway's answer has no certificate");
  }
  free(c->pem);
  c->pem = pem;
  c->shown = (struct bittorrent_certificate){pem, c->identity.key, c->identity.parameters};
  return 0;
}

static int judge(const struct certificate *c, struct error *e) {
  switch (c->status) {
  case 200:
    return 0;
  case 401:
    return error_set(e, ERROR_DENIED, "the gateway answered 401 when asked for a certificate");
  case 404:
    return error_set(e, ERROR_NOT_FOUND,
                     "the gateway answered 404 when asked for a certificate: the image is hidden "
                     "from you by now, or its swarms have no CA any more");
  default:
    return error_set(e, ERROR_FAILED, "the gateway answered %d when asked for a certificate",
                     c->status);
  }
}

static bool on_head(void *arg, const struct registry_answer *answer) {
  struct certificate *c = arg;
  c->status = answer->status;
  return true;
}

static bool on_data(void *arg, struct slice bytes) {
  struct certificate *c = arg;
  buf_slice(&c->answer, bytes);
  return !c->answer.failed;
}

/* Another is asked for when two thirds of its time have passed. */
static void on_done(void *arg, const struct error *e) {
  struct certificate *c = arg;
  struct error why = {0};
  int64_t seconds;
  c->request = NULL;
  if (e != NULL) {
    refuse(c, e);
  } else if (judge(c, &why) != 0 || read_answer(c, &seconds, &why) != 0) {
    refuse(c, &why);
  } else {
    uv_timer_start(&c->timer, on_time, (uint64_t)seconds * 1000 * 2 / 3, 0);
    c->events.issued(c->arg, &c->shown);
  }
}

/* --- the question --- */

static int ask(struct certificate *c, struct error *e) {
  static const struct registry_events events = {on_head, on_data, on_done};
  const struct registry_get post = {.method = "POST",
                                    .repository = c->repository,
                                    .action = "certificates",
                                    .query = c->query.ptr,
                                    .body = slice_str(c->body)};
  c->status = 0;
  buf_free(&c->answer);
  c->request = registry_start(c->gateway, &post, &events, c, e);
  return c->request == NULL ? -1 : 0;
}

static void on_time(uv_timer_t *timer) {
  struct certificate *c = timer->data;
  struct error e = {0};
  if (ask(c, &e) != 0) {
    refuse(c, &e);
  }
}

/* For all blobs that have a torrent, by the CA of these torrents. */
static char *make_body(const struct identity *identity, const struct offer *offer) {
  json_t *digests = json_array();
  struct slice ca = {0};
  for (size_t i = 0; i < offer->blob_count; i++) {
    const struct offer_blob *blob = &offer->blobs[i];
    if (blob->metainfo.ca.len > 0) {
      json_array_append_new(digests, json_string(blob->digest));
      ca = blob->metainfo.ca;
    }
  }
  json_t *body = json_pack("{s:s, s:s%, s:o}", "csr", identity->request, "ca", ca.ptr, ca.len,
                           "digests", digests);
  char *text = body == NULL ? NULL : json_dumps(body, JSON_COMPACT);
  json_decref(body);
  return text;
}

static int fill(struct certificate *c, const struct certificate_options *o, struct error *e) {
  if (identity_make(&c->identity, e) != 0) {
    return -1;
  }
  c->repository = strdup(o->repository);
  c->body = make_body(&c->identity, o->offer);
  http_form_append(&c->query, "ns", slice_str(o->host));
  buf_append(&c->query, "", 1);
  return c->repository == NULL || c->body == NULL || c->query.failed
             ? error_set(e, ERROR_FAILED, "out of memory")
             : ask(c, e);
}

struct certificate *certificate_start(const struct certificate_options *o,
                                      const struct certificate_events *events, void *arg,
                                      struct error *e) {
  struct certificate *c = calloc(1, sizeof *c);
  if (c == NULL) {
    error_set(e, ERROR_FAILED, "out of memory");
    return NULL;
  }
  c->gateway = o->gateway;
  c->events = *events;
  c->arg = arg;
  c->answer.limit = ANSWER_MAX;
  uv_timer_init(o->loop, &c->timer);
  c->timer.data = c;
  if (fill(c, o, e) != 0) {
    certificate_free(c);
    return NULL;
  }
  return c;
}

void certificate_free(struct certificate *c) {
  if (c == NULL) {
    return;
  }
  if (c->request != NULL) {
    registry_cancel(c->request);
  }
  uv_close((uv_handle_t *)&c->timer, on_closed);
}
