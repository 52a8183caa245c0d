#include "node/certificate.h"

#include "base/clock.h"
#include "http/url.h"
#include "node/identity.h"

#include <jansson.h>
#include <stdlib.h>

enum {
  ANSWER_MAX = 256 * 1024,        /* bytes */
  RETRY_MS = 5000,                /* of a gateway that gives no clear answer, or none */
  DELAY_MS = 1000,                /* of one that gives no answer, until users go on without */
  LIFETIME_MAX = 366 * 24 * 3600, /* seconds that are believed */
};

struct certificate {
  struct identity identity;
  struct registry *gateway;
  struct registry_request *request;
  uv_timer_t timer;
  char *repository;
  char *authorization; /* secret; NULL: our own */
  struct buf query;    /* terminated */
  char *body;          /* of the question, the same each time */
  struct certificate_user *users;
  char *pem; /* the certificate; NULL: none */
  struct bittorrent_certificate shown;
  uint64_t renew_at_ms; /* another is asked for then */
  int status;           /* 0: no answer */
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
  image_secret_free(c->authorization);
  buf_free(&c->query);
  free(c->body);
  free(c->pem);
  buf_free(&c->answer);
  free(c);
}

static void on_time(uv_timer_t *timer);

static void forget(struct certificate *c) {
  free(c->pem);
  c->pem = NULL;
}

/* Tells of the one there is, or why there is none yet. Any of them may leave within, so the list is
 * begun anew after each. */
static void tell(struct certificate *c, const struct error *delay) {
  struct certificate_user *u;
  for (u = c->users; u != NULL; u = u->next) {
    u->waits = true;
  }
  u = c->users;
  while (u != NULL) {
    if (!u->waits) {
      u = u->next;
      continue;
    }
    u->waits = false;
    if (delay == NULL) {
      u->issued(u->arg, &c->shown);
    } else {
      u->delayed(u->arg, delay);
    }
    u = c->users;
  }
}

/* A gateway that is away may come back; one that says no has the last word. */
static void refuse(struct certificate *c, const struct error *e) {
  bool ended = c->pem != NULL;
  struct error why = *e;
  struct certificate_user *u;
  if (e->kind != ERROR_DENIED && e->kind != ERROR_NOT_FOUND) {
    uv_timer_start(&c->timer, on_time, RETRY_MS, 0);
    if (!ended) {
      tell(c, e);
    }
    return;
  }
  if (ended) {
    why.kind = ERROR_DENIED;
    error_context(&why, "the right to this image has ended");
  }
  forget(c);
  while ((u = c->users) != NULL) {
    certificate_leave(u);
    u->refused(u->arg, ended, &why);
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
  forget(c);
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
  case 400:
    return error_set(
        e, ERROR_NOT_FOUND,
        "the gateway answered 400 when asked for a certificate: it has the CA of these "
        "swarms no more");
  default:
    return error_set(e, ERROR_FAILED, "the gateway answered %d when asked for a certificate%s",
                     c->status, c->status >= 500 ? ": its log says why" : "");
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
    uint64_t ms = (uint64_t)seconds * 1000 * 2 / 3;
    c->renew_at_ms = clock_monotonic_ms() + ms;
    uv_timer_start(&c->timer, on_time, ms, 0);
    tell(c, NULL);
  }
}

/* --- the question --- */

static int ask(struct certificate *c, struct error *e) {
  static const struct registry_events events = {on_head, on_data, on_done};
  const struct registry_get post = {.method = "POST",
                                    .repository = c->repository,
                                    .action = "certificates",
                                    .query = c->query.ptr,
                                    .authorization = slice_str(c->authorization),
                                    .body = slice_str(c->body)};
  c->status = 0;
  buf_free(&c->answer);
  c->request = registry_start(c->gateway, &post, &events, c, e);
  uv_timer_start(&c->timer, on_time, DELAY_MS, 0);
  return c->request == NULL ? -1 : 0;
}

static void on_time(uv_timer_t *timer) {
  struct certificate *c = timer->data;
  struct error e = {0};
  if (c->request == NULL) {
    if (ask(c, &e) != 0) {
      refuse(c, &e);
    }
  } else if (c->pem == NULL) {
    error_set(&e, ERROR_FAILED, "the gateway does not answer when asked for a certificate");
    uv_timer_start(timer, on_time, DELAY_MS, 0); /* for those who come meanwhile */
    tell(c, &e);
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
  c->authorization = o->authorization == NULL ? NULL : strdup(o->authorization);
  c->body = make_body(&c->identity, o->offer);
  http_form_append(&c->query, "ns", slice_str(o->host));
  buf_append(&c->query, "", 1);
  return c->repository == NULL || c->body == NULL || c->query.failed ||
                 (o->authorization != NULL && c->authorization == NULL)
             ? error_set(e, ERROR_FAILED, "out of memory")
             : 0;
}

/* --- what others call --- */

struct certificate *certificate_new(const struct certificate_options *o, struct error *e) {
  struct certificate *c = calloc(1, sizeof *c);
  if (c == NULL) {
    error_set(e, ERROR_FAILED, "out of memory");
    return NULL;
  }
  c->gateway = o->gateway;
  c->answer.limit = ANSWER_MAX;
  uv_timer_init(o->loop, &c->timer);
  c->timer.data = c;
  if (fill(c, o, e) != 0) {
    certificate_free(c);
    return NULL;
  }
  return c;
}

static void rest(struct certificate *c) {
  uv_timer_stop(&c->timer);
  if (c->request != NULL) {
    registry_cancel(c->request);
    c->request = NULL;
  }
}

void certificate_free(struct certificate *c) {
  if (c != NULL) {
    rest(c);
    uv_close((uv_handle_t *)&c->timer, on_closed);
  }
}

/* What was had for earlier users is as good as none when it should have been renewed. */
static void begin(struct certificate *c) {
  uint64_t now = clock_monotonic_ms();
  if (c->pem != NULL && now >= c->renew_at_ms) {
    forget(c);
  }
  uv_timer_start(&c->timer, on_time, c->pem == NULL ? 0 : c->renew_at_ms - now, 0);
}

const struct bittorrent_certificate *certificate_use(struct certificate *c,
                                                     struct certificate_user *user) {
  if (c->users == NULL) {
    begin(c);
  }
  user->certificate = c;
  user->waits = false;
  user->next = c->users;
  c->users = user;
  return c->pem == NULL ? NULL : &c->shown;
}

void certificate_leave(struct certificate_user *user) {
  struct certificate *c = user->certificate;
  if (c == NULL) {
    return;
  }
  for (struct certificate_user **at = &c->users; *at != NULL; at = &(*at)->next) {
    if (*at == user) {
      *at = user->next;
      break;
    }
  }
  user->certificate = NULL;
  if (c->users == NULL) {
    rest(c);
  }
}
