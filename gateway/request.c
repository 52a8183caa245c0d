#include "gateway/request.h"

#include "base/clock.h"
#include "gateway/problem.h"
#include "http/query.h"
#include "image/reference.h"

/** `METHOD /v1/<name>/<what>`, or `METHOD /v1/<name>/<what>/<reference>`. */
struct route {
  const char *method;
  const char *what;
  bool has_reference;
  bool manifest;
  request_handler *handle;
};

/* A path that fits several is that of the first. */
static const struct route routes[] = {
    {"GET", "blobs", true, false, blobs_handle},
    {"GET", "manifests", true, true, manifests_handle},
    {"POST", "tokens", false, false, tokens_handle},
    {"POST", "certificates", false, false, certificates_handle},
};
enum { ROUTES = sizeof routes / sizeof routes[0] };

struct issue_grant request_grant(const struct request *r) {
  return (struct issue_grant){
      .subject = r->caller.subject,
      .registry = r->upstream->name,
      .repository = r->repository,
      .from = slice_str(r->from),
  };
}

void request_log(const struct request *r, enum log_level level, const char *what,
                 struct slice digest, const char *why) {
  static const char format[] = "%s %.*s of %.*s/%s: %s";
  if (level == LOG_LEVEL_WARN) {
    refusals_warn(r->gateway->refusals, http_request_peer(r->x), format, what, SLICE_ARG(digest),
                  SLICE_ARG(r->upstream->name), r->repository.ptr, why);
  } else {
    log_write(r->gateway->options->log, level, format, what, SLICE_ARG(digest),
              SLICE_ARG(r->upstream->name), r->repository.ptr, why);
  }
}

void request_fail(const struct request *r, const char *what, struct slice digest,
                  const struct error *e) {
  request_log(r, LOG_LEVEL_WARN, what, digest, e->text);
  problem_answer(r->x, 500, "UNKNOWN", "the gateway failed; its log says why");
}

/* Cuts the last segment off \p path. \return false when there is no other in front of it. */
static bool cut_segment(struct slice *path, struct slice *segment) {
  const char *slash = path->len == 0 ? NULL : memrchr(path->ptr, '/', path->len);
  if (slash == NULL) {
    return false;
  }
  size_t before = (size_t)(slash - path->ptr);
  *segment = slice_from(*path, before + 1);
  path->len = before;
  return true;
}

static bool fits(const struct route *route, struct slice path, struct request *r) {
  struct slice what;
  struct slice reference = slice_of(NULL, 0);
  if ((route->has_reference && !cut_segment(&path, &reference)) || !cut_segment(&path, &what) ||
      !slice_equal(what, slice_str(route->what))) {
    return false;
  }
  r->repository = path;
  r->reference = reference;
  r->manifest = route->manifest;
  return true;
}

/* The path behind `/v1/`, decoded and followed by a NUL; a NULL pointer when it cannot be. */
static char *decode_path(const struct http_exchange *x, struct arena *arena, size_t *len) {
  struct slice path = slice_from(http_request_path(x), strlen("/v1/"));
  char *text = arena_alloc(arena, path.len + 1);
  return text != NULL && query_decode(path, text, path.len, len) ? text : NULL;
}

/* Finds the route. \return NULL when it was answered. */
static const struct route *read_path(struct request *r) {
  struct arena *arena = http_exchange_arena(r->x);
  struct slice allow = SLICE("");
  size_t len = 0;
  char *text = decode_path(r->x, arena, &len);
  for (size_t i = 0; text != NULL && i < ROUTES; i++) {
    if (fits(&routes[i], slice_of(text, len), r)) {
      if (slice_equal(http_request_method(r->x), slice_str(routes[i].method))) {
        text[r->repository.len] = '\0';
        return &routes[i];
      }
      allow = arena_printf(arena, "%.*s%s%s", SLICE_ARG(allow), allow.len > 0 ? ", " : "",
                           routes[i].method);
    }
  }
  if (allow.len > 0) {
    problem_method(r->x, allow);
  } else {
    problem_answer(r->x, 404, "UNSUPPORTED", "there is no such path here: see swarmgated(8)");
  }
  return NULL;
}

/* \return false when it was answered. */
static bool pick_registry(struct request *r) {
  const struct gateway *gateway = r->gateway;
  struct slice rest = http_request_query(r->x);
  struct slice name;
  struct slice value;
  struct slice host = slice_of(NULL, 0);
  while (query_next(&rest, &name, &value)) {
    if (slice_equal(name, SLICE("ns"))) {
      char *text = arena_alloc(http_exchange_arena(r->x), value.len + 1);
      if (text == NULL || host.ptr != NULL || !query_decode(value, text, value.len, &host.len)) {
        problem_answer(r->x, 400, "NAME_INVALID", "`ns` is doubled or wrongly escaped");
        return false;
      }
      host.ptr = text;
    }
  }
  if (host.ptr == NULL && gateway->options->registry_count > 1) {
    problem_answer(r->x, 400, "NAME_INVALID",
                   "there are several registries here: say which by `?ns=HOST`");
    return false;
  }
  r->upstream = host.ptr == NULL ? &gateway->upstreams[0] : gateway_find(gateway, host);
  if (r->upstream == NULL) {
    problem_answer(r->x, 404, "NAME_UNKNOWN", "no such registry here");
  }
  return r->upstream != NULL;
}

/* Verifies the token of a caller who shows credentials, where that is done here. \return false when
 * it was answered. */
static bool read_right(struct request *r) {
  const struct caller *caller = &r->caller;
  struct error why = {0};
  if (!r->upstream->by_token || caller->authorization.len == 0) {
    return true;
  }
  r->right =
      bearer_judge(r->gateway->options->keyring, caller->authorization, r->upstream->name,
                   r->repository, clock_now(), http_exchange_arena(r->x), &r->verified_by, &why);
  if (r->right == BEARER_INVALID && why.kind == ERROR_FAILED) {
    request_fail(r, "cannot read a token for", r->reference, &why);
    return false;
  }
  if (r->right == BEARER_INVALID) {
    log_write(r->gateway->options->log, LOG_LEVEL_DEBUG, "refused a registry token for %.*s/%s: %s",
              SLICE_ARG(r->upstream->name), r->repository.ptr, why.text);
  }
  return true;
}

/* \return false when it was answered. */
static bool read_caller(struct request *r) {
  struct http_exchange *x = r->x;
  struct slice authorization = http_request_field(x, SLICE("Authorization"));
  struct error e = {0};
  if (http_request_field_count(x, SLICE("Authorization")) > 1) {
    problem_answer(x, 400, "UNSUPPORTED", "more than one Authorization field");
  } else if (authorization.len > CALLER_AUTHORIZATION_MAX) {
    problem_answer(x, 431, "UNSUPPORTED", "the Authorization field is too long");
  } else if (caller_read(authorization, r->upstream->name, http_exchange_arena(x), &r->caller,
                         &e) != 0) {
    request_fail(r, "cannot answer for", r->reference, &e);
  } else {
    return read_right(r);
  }
  return false;
}

void request_handle(struct http_exchange *x, void *context) {
  struct request *r = arena_alloc(http_exchange_arena(x), sizeof *r);
  if (r == NULL) {
    problem_answer(x, 500, "UNKNOWN", "the gateway is out of memory");
    return;
  }
  *r = (struct request){.gateway = context, .x = x};
  address_print(http_request_peer(x), r->from);
  const struct route *route = read_path(r);
  if (route == NULL) {
    return;
  }
  if (!image_name_valid(r->repository)) {
    problem_answer(x, 400, "NAME_INVALID", "the repository's name is not valid");
  } else if (pick_registry(r) && read_caller(r)) {
    route->handle(r);
  }
}
