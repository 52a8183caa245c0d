/* `docker://`: an image in a registry, over image/registry.h on a loop of its own. */
#include "base/clock.h"
#include "image/certificates.h"
#include "image/registry.h"
#include "image/transport.h"

#include <arpa/inet.h>
#include <stdlib.h>

struct docker_source {
  struct image_source base;
  uv_loop_t loop;
  bool loop_ready;
  struct http_client *client;
  struct registry *registry;
  struct image_credentials credentials;
  struct image_certificates certificates;
  bool insecure;
  bool may_be_plain; /* nothing has been asked yet, and http would do */
  const char *host, *repository, *reference;
};

/* One request, from its start to its end. */
struct transfer {
  struct docker_source *source;
  struct registry_request *request;
  uint64_t size; /* or IMAGE_SIZE_UNKNOWN */
  image_sink *sink;
  void *arg;
  int status;     /* 0: there was no answer */
  bool elsewhere; /* it is not the registry's own */
  const char *media_type, *digest;
  struct error why; /* set by whatever came first */
  bool failed, done;
};

enum {
  SLOW_SINK_MS = 1000, /* what the sink took beyond this does not count as the registry's stall */
};

static void fail(struct transfer *t, const struct error *e) {
  if (!t->failed) {
    t->why = *e;
    t->failed = true;
  }
}

static bool on_head(void *arg, const struct registry_answer *a) {
  struct transfer *t = arg;
  struct arena *arena = &t->source->base.arena;
  t->status = a->status;
  t->elsewhere = a->elsewhere;
  if (a->status != 200) {
    return false;
  }
  t->media_type = a->content_type.ptr == NULL ? NULL : arena_copy(arena, a->content_type);
  t->digest = image_digest_valid(a->docker_content_digest)
                  ? arena_copy(arena, a->docker_content_digest)
                  : NULL;
  if (t->size != IMAGE_SIZE_UNKNOWN && a->has_length && a->length != t->size) {
    struct error e = {0};
    error_set(&e, ERROR_MISMATCH, "the registry says it has %ju bytes, but it should have %ju",
              (uintmax_t)a->length, (uintmax_t)t->size);
    fail(t, &e);
  }
  return !t->failed;
}

static bool on_data(void *arg, struct slice bytes) {
  struct transfer *t = arg;
  struct error e = {0};
  uint64_t before = clock_monotonic_ms();
  if (t->sink(t->arg, bytes, &e) != 0) {
    fail(t, &e);
    return false;
  }
  if (clock_monotonic_ms() - before > SLOW_SINK_MS) {
    registry_pause(t->request);
    registry_resume(t->request);
  }
  return true;
}

static void on_done(void *arg, const struct error *e) {
  struct transfer *t = arg;
  t->done = true;
  if (e != NULL) {
    fail(t, e);
  }
}

/* To whom it redirects, the registry's own login is nothing. */
static int refuse_answer_elsewhere(const struct docker_source *s, int status, struct error *e) {
  return error_set(e, status == 404 ? ERROR_NOT_FOUND : ERROR_FAILED,
                   "where the registry %s redirects to answered %d", s->host, status);
}

static int refuse_answer(const struct docker_source *s, int status, struct error *e) {
  bool known = s->credentials.username != NULL || s->credentials.identity_token != NULL;
  switch (status) {
  case 401:
    return error_set(e, ERROR_DENIED, "the registry %s answered 401: %s", s->host,
                     known ? "it does not take the credentials that are kept for it"
                           : "log in by skopeo login, or give --creds or --authfile");
  case 403:
  case 404:
    return error_set(e, ERROR_NOT_FOUND,
                     "the registry %s answered %d: it has no such thing, or hides it%s", s->host,
                     status, known ? "" : " without a login");
  default:
    return error_set(e, ERROR_FAILED, "the registry %s answered %d", s->host, status);
  }
}

/* Sends a request and runs the loop to its end. */
static int transfer_run(struct transfer *t, const struct registry_get *get, struct error *e) {
  static const struct registry_events events = {on_head, on_data, on_done};
  t->request = registry_start(t->source->registry, get, &events, t, e);
  if (t->request == NULL) {
    return -1;
  }
  while (!t->done) {
    uv_run(&t->source->loop, UV_RUN_ONCE);
  }
  if (t->status != 0 && t->status != 200) {
    return t->elsewhere ? refuse_answer_elsewhere(t->source, t->status, e)
                        : refuse_answer(t->source, t->status, e);
  }
  if (t->failed && e != NULL) {
    *e = t->why;
  }
  return t->failed ? -1 : 0;
}

static int docker_read(struct image_source *base, const struct image_descriptor *blob,
                       image_sink *sink, void *arg, struct error *e) {
  struct docker_source *s = (struct docker_source *)base;
  struct transfer t = {.source = s, .size = blob->size, .sink = sink, .arg = arg};
  const struct registry_get get = {
      .method = "GET", .repository = s->repository, .blob = blob->digest};
  return transfer_run(&t, &get, e);
}

static int choose_scheme(struct docker_source *s, const char *scheme, struct error *e) {
  const char *host = strcmp(s->host, "docker.io") == 0 ? "registry-1.docker.io" : s->host;
  struct slice url = arena_printf(&s->base.arena, "%s://%s", scheme, host);
  if (url.ptr == NULL) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  const struct registry_options options = {.url = url.ptr,
                                           .tls = {.ca_file = s->certificates.ca_file,
                                                   .cert_file = s->certificates.cert_file,
                                                   .key_file = s->certificates.key_file,
                                                   .insecure = s->insecure,
                                                   .given_by = "--cert-dir"},
                                           .credentials = &s->credentials};
  registry_free(s->registry);
  s->registry = registry_new(s->client, &options, e);
  return s->registry == NULL ? -1 : 0;
}

/* Makes one error of those of https and of plain http, which has the last word. */
static void blame(struct error *why, const struct error *plain) {
  struct error secure = *why;
  error_set(why, plain->kind, "%s; and over plain http: %s", secure.text, plain->text);
}

static int docker_manifest(struct image_source *base, const struct image_descriptor *d,
                           struct buf *out, struct image_served *served, struct error *e) {
  struct docker_source *s = (struct docker_source *)base;
  const struct registry_get get = {.method = "GET",
                                   .repository = s->repository,
                                   .manifest = d->digest == NULL ? s->reference : d->digest};
  const struct transfer fresh = {
      .source = s, .size = d->size, .sink = image_transport_collect, .arg = out};
  struct error why = {0};
  struct transfer t = fresh;
  int result = transfer_run(&t, &get, &why);
  if (result != 0 && why.kind == ERROR_FAILED && s->may_be_plain &&
      !registry_answered(s->registry)) {
    struct error second = {0};
    t = fresh;
    result = choose_scheme(s, "http", &second) == 0 ? transfer_run(&t, &get, &second) : -1;
    if (result != 0) {
      blame(&why, &second);
    }
  }
  s->may_be_plain = false;
  *served = (struct image_served){t.media_type, t.digest};
  if (result != 0 && e != NULL) {
    *e = why;
  }
  return result;
}

static void on_stopped(void *arg) {
  bool *stopped = arg;
  *stopped = true;
}

static void docker_close(struct image_source *base) {
  struct docker_source *s = (struct docker_source *)base;
  bool stopped = s->client == NULL;
  registry_free(s->registry);
  if (!stopped) {
    http_client_stop(s->client, on_stopped, &stopped);
  }
  while (!stopped) {
    uv_run(&s->loop, UV_RUN_ONCE);
  }
  if (s->loop_ready) {
    uv_loop_close(&s->loop);
  }
  image_certificates_close(&s->certificates);
  image_credentials_free(&s->credentials);
  free(s);
}

/* 127.0.0.0/8, ::1 and localhost, whatever the port. */
static bool is_loopback(const char *host, struct arena *arena) {
  struct slice rest = slice_str(host);
  bool v6 = slice_starts(rest, SLICE("["));
  const char *name = arena_copy(arena, slice_cut(&rest, v6 ? ']' : ':'));
  struct in_addr v4;
  struct in6_addr address;
  if (name == NULL) {
    return false;
  }
  if (v6) {
    return inet_pton(AF_INET6, name + 1, &address) == 1 && IN6_IS_ADDR_LOOPBACK(&address);
  }
  return strcmp(name, "localhost") == 0 ||
         (inet_pton(AF_INET, name, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127);
}

static int copy_names(struct docker_source *s, const struct image_reference *r, struct error *e) {
  struct arena *arena = &s->base.arena;
  s->host = arena_copy(arena, slice_str(r->host));
  s->repository = arena_copy(arena, slice_str(r->repository));
  s->reference = arena_copy(arena, slice_str(r->digest != NULL ? r->digest : r->tag));
  return s->host != NULL && s->repository != NULL && s->reference != NULL
             ? 0
             : error_set(e, ERROR_FAILED, "out of memory");
}

/* libcurl would say little of what it cannot use. */
static int check_certificates(const struct image_certificates *c, struct error *e) {
  return (c->ca_file == NULL || image_certificates_check(c->ca_file, e) == 0) &&
                 (c->cert_file == NULL ||
                  image_certificates_check_pair(c->cert_file, c->key_file, e) == 0)
             ? 0
             : -1;
}

int image_docker_open(const struct image_reference *r, const struct image_source_options *o,
                      struct image_source **out, struct error *e) {
  static const struct transport transport = {
      .manifest = docker_manifest, .read = docker_read, .close = docker_close};
  const struct image_descriptor top = {.digest = r->digest, .size = IMAGE_SIZE_UNKNOWN};
  struct docker_source *s = calloc(1, sizeof *s);
  if (s == NULL) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  s->base.transport = &transport;
  s->certificates.bundle = -1;
  s->insecure = !o->tls_verify;
  *out = &s->base;
  if (copy_names(s, r, e) != 0) {
    return -1;
  }
  s->may_be_plain = s->insecure || is_loopback(s->host, &s->base.arena);
  if (image_credentials_find(o->creds, o->authfile, s->host, s->repository, &s->credentials, e) !=
          0 ||
      image_certificates_find(o->cert_dir, s->host, &s->base.arena, &s->certificates, e) != 0 ||
      check_certificates(&s->certificates, e) != 0) {
    return -1;
  }
  s->loop_ready = uv_loop_init(&s->loop) == 0;
  s->client = s->loop_ready ? http_client_new(&s->loop) : NULL;
  if (s->client == NULL) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  return choose_scheme(s, "https", e) != 0 ? -1 : image_transport_resolve(&s->base, &top, o, e);
}
