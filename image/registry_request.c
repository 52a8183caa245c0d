/* A request: what is sent along, challenges, redirects, and the final answer told. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "http/url.h"
#include "image/registry_internal.h"
#include "image/registry_list.h"

#include <inttypes.h>

enum {
  /* The body of an answer that is not the final one is read so far, to keep the connection. */
  SWALLOW_MAX = 64 * 1024,
};

static const char manifest_types[] =
    "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, "
    "application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json";

/* What to do once an answer has ended. */
enum step { STEP_DELIVER, STEP_REDIRECT, STEP_CHALLENGE, STEP_FAIL };

struct registry_request {
  struct registry *registry;
  struct registry_request *previous, *next;
  struct registry_events events;
  void *arg;
  const char *method; /* a constant */
  struct buf body;    /* of a POST */
  bool manifest, list, delegated;
  char *repository;
  char *url;
  char *authorization; /* or NULL; goes to the registry's own origin alone */
  bool at_home;        /* no redirect has led away from there, or from a delegated request */
  bool at_origin;      /* no redirect has led to another scheme, host or port */
  bool challenged;     /* a 401 was answered once, which is all */
  unsigned redirects;
  char range[64];
  struct http_fetch *fetch;
  struct registry_token_round *round;
  enum step step;
  size_t swallowed;
  struct challenge challenge;
  struct arena arena; /* of the challenge */
  struct buf www_authenticate;
  char *next_page;  /* of a list, or NULL */
  struct error why; /* of STEP_FAIL */
};

/* --- a request's life --- */

static void request_free(struct registry_request *r) {
  if (r->previous != NULL) {
    r->previous->next = r->next;
  } else {
    r->registry->requests = r->next;
  }
  if (r->next != NULL) {
    r->next->previous = r->previous;
  }
  free(r->repository);
  free(r->url);
  buf_free(&r->body);
  image_secret_free(r->authorization);
  arena_free(&r->arena);
  buf_free(&r->www_authenticate);
  free(r->next_page);
  free(r);
}

static void request_done(struct registry_request *r, const struct error *e) {
  void (*done)(void *, const struct error *) = r->events.done;
  void *arg = r->arg;
  request_free(r);
  done(arg, e);
}

static bool on_head(void *arg, const struct http_fetch_answer *a);
static bool on_data(void *arg, struct slice bytes);
static void on_done(void *arg, const struct error *e);

static int request_send(struct registry_request *r, struct error *e) {
  static const struct http_fetch_events events = {on_head, on_data, on_done};
  struct http_field fields[4];
  size_t count = 0;
  if (r->manifest) {
    fields[count++] = (struct http_field){SLICE("Accept"), SLICE(manifest_types)};
  }
  if (r->range[0] != '\0') {
    fields[count++] = (struct http_field){SLICE("Range"), slice_str(r->range)};
  }
  if (r->authorization != NULL && r->at_home) {
    fields[count++] = (struct http_field){SLICE("Authorization"), slice_str(r->authorization)};
  }
  if (r->body.len > 0) {
    fields[count++] = (struct http_field){SLICE("Content-Type"), SLICE("application/json")};
  }
  struct http_fetch_options options = {.method = r->method,
                                       .url = r->url,
                                       .body = buf_view(&r->body),
                                       .url_of_server = r->redirects > 0,
                                       .fields = fields,
                                       .field_count = count,
                                       .tls = r->registry->tls};
  if (!r->at_origin) {
    options.tls.cert_file = NULL;
    options.tls.key_file = NULL;
  }
  r->step = STEP_DELIVER;
  r->swallowed = 0;
  r->fetch = http_fetch_start(r->registry->client, &options, &events, r, e);
  return r->fetch == NULL ? -1 : 0;
}

static void request_send_again(struct registry_request *r) {
  struct error e = {0};
  if (request_send(r, &e) != 0) {
    request_done(r, &e);
  }
}

/* --- challenges --- */

static bool may_answer(const struct registry_request *r, const struct challenge *c) {
  if (c->scheme == CHALLENGE_BEARER) {
    return c->realm.len > 0;
  }
  /* Once it is known that Basic is wanted it is sent at once: then a 401 is the last word. */
  return c->scheme == CHALLENGE_BASIC && r->registry->credentials.username != NULL &&
         !slice_starts(slice_str(r->authorization), SLICE("Basic "));
}

/** Finds the challenge to answer, Bearer before Basic. */
static bool find_challenge(struct registry_request *r, const struct http_fetch_answer *a) {
  struct slice field;
  r->challenge = (struct challenge){0};
  for (size_t i = 0; (field = http_fetch_field_at(a, SLICE("WWW-Authenticate"), i)).ptr != NULL;
       i++) {
    struct challenge c;
    while (challenge_next(&field, &r->arena, &c)) {
      if (may_answer(r, &c) && c.scheme > r->challenge.scheme) {
        r->challenge = c;
      }
    }
  }
  return r->challenge.scheme != CHALLENGE_OTHER;
}

static void on_token(void *arg, const char *token, uint64_t seconds, const struct error *e) {
  struct registry_request *r = arg;
  r->round = NULL;
  if (e != NULL) {
    request_done(r, e);
    return;
  }
  registry_tokens_keep(&r->registry->tokens, r->repository, token, seconds, clock_monotonic_ms());
  if (asprintf(&r->authorization, "Bearer %s", token) < 0) {
    r->authorization = NULL;
  }
  request_send_again(r);
}

static void answer_challenge(struct registry_request *r) {
  struct registry *registry = r->registry;
  struct error e = {0};
  r->challenged = true;
  image_secret_free(r->authorization);
  r->authorization = NULL;
  if (r->challenge.scheme == CHALLENGE_BASIC) {
    registry->basic = true;
    r->authorization = image_credentials_basic(&registry->credentials);
    request_send_again(r);
    return;
  }
  struct slice scope = r->repository[0] == '\0'
                           ? SLICE("registry:catalog:*")
                           : arena_printf(&r->arena, "repository:%s:pull", r->repository);
  const struct registry_token_question question = {.registry_url = registry->url,
                                                   .tls = &registry->tls,
                                                   .credentials = &registry->credentials,
                                                   .challenge = &r->challenge,
                                                   .scope = scope.ptr};
  r->round = registry_token_ask(registry->client, &question, on_token, r, &e);
  if (r->round == NULL) {
    request_done(r, &e);
  }
}

/* --- redirects --- */

static bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static int take_redirect(struct registry_request *r, struct slice location, struct error *e) {
  CLEANUP_FREE char *from =
      r->redirects > 0 ? http_url_origin(r->url, e) : http_url_public(r->url, e);
  if (from == NULL) {
    return -1;
  }
  if (r->body.len > 0) {
    return error_set(e, ERROR_FAILED, "%.300s redirects what was sent to it", from);
  }
  if (++r->redirects > REGISTRY_REDIRECTS_MAX) {
    return error_set(e, ERROR_FAILED, "%.300s redirects: that is more than %d in a row", from,
                     REGISTRY_REDIRECTS_MAX);
  }
  char *to = http_url_redirect(r->url, location, e);
  if (to == NULL) {
    return error_context(e, "the redirect of %.300s", from);
  }
  r->at_origin = r->at_origin && http_url_same_origin(r->registry->url, to);
  r->at_home = r->at_home && !r->delegated && r->at_origin;
  free(r->url);
  r->url = to;
  return 0;
}

/* --- an answer --- */

/* Of several fields that disagree none is to be believed: then it is empty. */
static struct slice content_digest(const struct http_fetch_answer *a) {
  struct slice first = http_fetch_field(a, SLICE("Docker-Content-Digest"));
  struct slice field;
  for (size_t i = 1;
       (field = http_fetch_field_at(a, SLICE("Docker-Content-Digest"), i)).ptr != NULL; i++) {
    if (!slice_equal(field, first)) {
      return SLICE("");
    }
  }
  return first;
}

/* Where a list goes on, which is where our credentials go too. */
static int find_next(struct registry_request *r, const struct http_fetch_answer *a,
                     struct error *e) {
  struct slice target = {0}, field;
  for (size_t i = 0;
       target.ptr == NULL && (field = http_fetch_field_at(a, SLICE("Link"), i)).ptr != NULL; i++) {
    target = registry_list_next(field);
  }
  if (target.ptr == NULL) {
    return 0;
  }
  r->next_page = http_url_redirect(r->url, target, e);
  if (r->next_page == NULL) {
    return error_context(e, "the next page of the list");
  }
  return http_url_same_origin(r->registry->url, r->next_page)
             ? 0
             : error_set(e, ERROR_FAILED, "the list of %.300s goes on at another server",
                         r->registry->url);
}

static bool tell_head(struct registry_request *r, const struct http_fetch_answer *a) {
  struct slice field;
  for (size_t i = 0; (field = http_fetch_field_at(a, SLICE("WWW-Authenticate"), i)).ptr != NULL;
       i++) {
    buf_str(&r->www_authenticate, i == 0 ? "" : ", ");
    buf_slice(&r->www_authenticate, field);
  }
  struct registry_answer answer = {
      .status = http_fetch_status(a),
      .redirected = r->redirects > 0,
      .elsewhere = !http_url_same_origin(r->registry->url, r->url),
      .content_type = http_fetch_field(a, SLICE("Content-Type")),
      .docker_content_digest = content_digest(a),
      .content_range = http_fetch_field(a, SLICE("Content-Range")),
      .etag = http_fetch_field(a, SLICE("ETag")),
      .retry_after = http_fetch_field(a, SLICE("Retry-After")),
      .www_authenticate = buf_view(&r->www_authenticate),
      .next = slice_str(r->next_page),
  };
  answer.has_length = http_fetch_length(a, &answer.length);
  return r->events.head == NULL || r->events.head(r->arg, &answer);
}

static bool on_head(void *arg, const struct http_fetch_answer *a) {
  struct registry_request *r = arg;
  int status = http_fetch_status(a);
  struct slice location = http_fetch_field(a, SLICE("Location"));
  r->registry->answered = true;
  if (status == 401 && r->at_home && !r->delegated && !r->challenged && find_challenge(r, a)) {
    r->step = STEP_CHALLENGE;
    return true;
  }
  if (is_redirect(status) && location.ptr != NULL) {
    r->step = take_redirect(r, location, &r->why) == 0 ? STEP_REDIRECT : STEP_FAIL;
    return true;
  }
  if (r->list && status == 200 && find_next(r, a, &r->why) != 0) {
    r->step = STEP_FAIL;
    return true;
  }
  return tell_head(r, a);
}

static bool on_data(void *arg, struct slice bytes) {
  struct registry_request *r = arg;
  if (r->step == STEP_DELIVER) {
    return r->events.data == NULL || r->events.data(r->arg, bytes);
  }
  r->swallowed += bytes.len;
  return r->swallowed <= SWALLOW_MAX;
}

/** However an answer ended that is not the final one: its head has said what comes next. */
static void on_done(void *arg, const struct error *e) {
  struct registry_request *r = arg;
  r->fetch = NULL;
  switch (r->step) {
  case STEP_DELIVER:
    request_done(r, e);
    break;
  case STEP_REDIRECT:
    request_send_again(r);
    break;
  case STEP_CHALLENGE:
    answer_challenge(r);
    break;
  case STEP_FAIL: {
    struct error why = r->why;
    request_done(r, &why);
    break;
  }
  }
}

/* --- what others call --- */

static int request_fill(struct registry_request *r, const struct registry_get *get,
                        struct error *e) {
  bool ok;
  r->method = registry_get_method(get);
  buf_slice(&r->body, get->body);
  r->manifest = get->manifest != NULL;
  r->list = get->list;
  r->delegated = get->authorization.ptr != NULL;
  r->at_home = true;
  r->at_origin = true;
  if (get->ranged) {
    snprintf(r->range, sizeof r->range, "bytes=%" PRIu64 "-%" PRIu64, get->first, get->last);
  }
  r->authorization = registry_get_authorization(r->registry, get, &ok);
  r->repository = strdup(registry_get_scope(get));
  r->url = registry_get_url(r->registry, get);
  return ok && r->repository != NULL && r->url != NULL && !r->body.failed
             ? 0
             : error_set(e, ERROR_FAILED, "no memory for a request to %s", r->registry->url);
}

struct registry_request *registry_start(struct registry *registry, const struct registry_get *get,
                                        const struct registry_events *events, void *arg,
                                        struct error *e) {
  if (registry_get_check(get, e) != 0) {
    return NULL;
  }
  struct registry_request *r = calloc(1, sizeof *r);
  if (r == NULL) {
    error_set(e, ERROR_FAILED, "no memory for a request to %s", registry->url);
    return NULL;
  }
  r->registry = registry;
  r->events = *events;
  r->arg = arg;
  r->next = registry->requests;
  if (r->next != NULL) {
    r->next->previous = r;
  }
  registry->requests = r;
  if (request_fill(r, get, e) != 0 || request_send(r, e) != 0) {
    request_free(r);
    return NULL;
  }
  return r;
}

void registry_pause(struct registry_request *r) {
  if (r->fetch != NULL) {
    http_fetch_pause(r->fetch);
  }
}

void registry_resume(struct registry_request *r) {
  if (r->fetch != NULL) {
    http_fetch_resume(r->fetch);
  }
}

void registry_cancel(struct registry_request *r) {
  if (r->fetch != NULL) {
    http_fetch_cancel(r->fetch);
  }
  if (r->round != NULL) {
    registry_token_cancel(r->round);
  }
  request_free(r);
}
