#include "node/ask.h"

#include "base/cleanup.h"
#include "http/url.h"
#include "image/json.h"

#include <stdlib.h>

enum {
  RETRY_MS = 1000, /* when the answer does not say, or says at once */
  RETRY_MAX_MS = 30 * 1000,
};

struct ask {
  struct registry *gateway;
  struct registry_request *request;
  uv_timer_t timer;
  char *repository, *reference;
  char *authorization; /* secret; NULL: our own */
  struct buf query;    /* terminated */
  ask_waits *waits;
  ask_done *done;
  void *arg;
  int status; /* 0: no answer */
  uint64_t retry_ms;
  struct buf body;
};

static void on_closed(uv_handle_t *handle) {
  struct ask *a = handle->data;
  free(a->repository);
  free(a->reference);
  image_secret_free(a->authorization);
  buf_free(&a->query);
  buf_free(&a->body);
  free(a);
}

static void finish(struct ask *a, struct offer *offer, const struct error *e) {
  ask_done *done = a->done;
  void *arg = a->arg;
  a->request = NULL;
  uv_close((uv_handle_t *)&a->timer, on_closed);
  done(arg, offer, e);
}

static bool on_head(void *arg, const struct registry_answer *answer) {
  struct ask *a = arg;
  uint64_t seconds;
  a->status = answer->status;
  a->retry_ms = !slice_u64(answer->retry_after, &seconds) || seconds == 0 ? RETRY_MS
                : seconds > RETRY_MAX_MS / 1000                           ? RETRY_MAX_MS
                                                                          : seconds * 1000;
  return true;
}

static bool on_data(void *arg, struct slice bytes) {
  struct ask *a = arg;
  buf_slice(&a->body, bytes);
  return !a->body.failed;
}

static int send_question(struct ask *a, struct error *e);

static void on_time(uv_timer_t *timer) {
  struct ask *a = timer->data;
  struct error e = {0};
  if (send_question(a, &e) != 0) {
    finish(a, NULL, &e);
  }
}

static void wait_on(struct ask *a) {
  CLEANUP(image_json_release) json_t *json = image_json_read(buf_view(&a->body), NULL);
  json_int_t size = json_integer_value(json_object_get(json, "size"));
  json_int_t done = json_integer_value(json_object_get(json, "done"));
  size = size < 0 ? 0 : size;
  done = done < 0 ? 0 : done > size ? size : done;
  uv_timer_start(&a->timer, on_time, a->retry_ms, 0);
  a->waits(a->arg, (uint64_t)done, (uint64_t)size);
}

/* The registry's shape of an error, which a gateway's all have, and pages for people have not. */
static bool is_gateways(const struct ask *a) {
  CLEANUP(image_json_release) json_t *json = image_json_read(buf_view(&a->body), NULL);
  const json_t *first = json_array_get(json_object_get(json, "errors"), 0);
  return json_is_string(json_object_get(first, "code"));
}

/* Such as our own server's answer to plain http where it speaks TLS, and nginx's. */
static const char *advise_url(const struct ask *a) {
  return a->status == 400 && slice_starts(slice_str(registry_url(a->gateway)), SLICE("http://"))
             ? "does it speak TLS? Then its URL begins with https://"
             : "check the URL of the gateway";
}

static void refuse(struct ask *a) {
  struct error e = {0};
  /* In front of one that is away others may answer by a 5xx. */
  switch (a->status >= 500 || is_gateways(a) ? a->status : 0) {
  case 0:
    error_set(&e, ERROR_FAILED,
              "%s is no swarmgate gateway: it answered %d, and not as a gateway does; %s",
              registry_url(a->gateway), a->status, advise_url(a));
    break;
  case 401:
    error_set(&e, ERROR_DENIED, "the gateway answered 401: the registry wants a login");
    break;
  case 404:
    error_set(&e, ERROR_NOT_FOUND,
              "the gateway answered 404: there is no such image, or it is "
              "hidden from you");
    break;
  default:
    error_set(&e, ERROR_FAILED, "the gateway answered %d%s", a->status,
              a->status >= 500 ? ": its log says why" : "");
  }
  finish(a, NULL, &e);
}

static void on_done(void *arg, const struct error *e) {
  struct ask *a = arg;
  struct error why = {0};
  struct offer offer;
  a->request = NULL;
  if (a->body.failed) {
    error_set(&why, ERROR_FAILED, "the gateway's answer is longer than %d MiB, or out of memory",
              OFFER_MAX / 1024 / 1024);
    finish(a, NULL, &why);
  } else if (e != NULL) {
    finish(a, NULL, e);
  } else if (a->status == 202) {
    wait_on(a);
  } else if (a->status != 200) {
    refuse(a);
  } else if (offer_parse(buf_view(&a->body), &offer, &why) != 0) {
    finish(a, NULL, &why);
  } else if (!offer_answers(&offer, a->reference)) {
    error_set(&why, ERROR_MISMATCH, "the gateway was asked for %s, and answered with %s",
              a->reference, offer.digest);
    offer_free(&offer);
    finish(a, NULL, &why);
  } else {
    finish(a, &offer, NULL);
  }
}

static int send_question(struct ask *a, struct error *e) {
  static const struct registry_events events = {on_head, on_data, on_done};
  const struct registry_get get = {.method = "GET",
                                   .repository = a->repository,
                                   .manifest = a->reference,
                                   .query = a->query.ptr,
                                   .authorization = slice_str(a->authorization)};
  a->status = 0;
  buf_free(&a->body);
  a->request = registry_start(a->gateway, &get, &events, a, e);
  return a->request == NULL ? -1 : 0;
}

static bool copy_names(struct ask *a, const struct ask_options *o) {
  a->repository = strdup(o->repository);
  a->reference = strdup(o->reference);
  a->authorization = o->authorization == NULL ? NULL : strdup(o->authorization);
  http_form_append(&a->query, "ns", slice_str(o->host));
  if (o->platform != NULL) {
    http_form_append(&a->query, "platform", slice_str(o->platform));
  }
  buf_append(&a->query, "", 1);
  return a->repository != NULL && a->reference != NULL && !a->query.failed &&
         (o->authorization == NULL || a->authorization != NULL);
}

struct ask *ask_start(const struct ask_options *o, ask_waits *waits, ask_done *done, void *arg,
                      struct error *e) {
  struct ask *a = calloc(1, sizeof *a);
  if (a == NULL) {
    error_set(e, ERROR_FAILED, "out of memory");
    return NULL;
  }
  a->gateway = o->gateway;
  a->waits = waits;
  a->done = done;
  a->arg = arg;
  a->body.limit = OFFER_MAX;
  uv_timer_init(o->loop, &a->timer);
  a->timer.data = a;
  int result = copy_names(a, o) ? send_question(a, e) : error_set(e, ERROR_FAILED, "out of memory");
  if (result != 0) {
    uv_close((uv_handle_t *)&a->timer, on_closed);
    return NULL;
  }
  return a;
}

void ask_cancel(struct ask *a) {
  if (a->request != NULL) {
    registry_cancel(a->request);
  }
  uv_close((uv_handle_t *)&a->timer, on_closed);
}
