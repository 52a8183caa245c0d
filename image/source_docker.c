/* `docker://`: an image in a registry. */
#include "base/cleanup.h"
#include "image/certificates.h"
#include "image/registry_session.h"
#include "image/transport.h"

#include <stdlib.h>

struct docker_source {
  struct image_source base;
  struct registry_session *session;
  struct image_credentials credentials;
  struct image_certificates certificates;
  bool insecure;
  bool may_be_plain; /* nothing has been asked yet, and http would do */
  const char *host, *repository, *reference, *authfile;
};

/* To whom it redirects, the registry's own login is nothing. */
static int refuse_answer_elsewhere(const struct docker_source *s, int status, struct error *e) {
  return error_set(e, status == 404 ? ERROR_NOT_FOUND : ERROR_FAILED,
                   "where the registry %s redirects to answered %d", s->host, status);
}

static int refuse_login(const struct docker_source *s, struct error *e) {
  CLEANUP_FREE char *advice =
      image_credentials_advice(&s->credentials, s->authfile, s->host, "--authfile or --creds");
  return error_set(e, ERROR_DENIED, "the registry %s answered 401: %s", s->host,
                   advice == NULL ? "log in" : advice);
}

static int refuse_answer(const struct docker_source *s, int status, struct error *e) {
  bool known = s->credentials.username != NULL || s->credentials.identity_token != NULL;
  switch (status) {
  case 401:
    return refuse_login(s, e);
  case 403:
  case 404:
    return error_set(e, ERROR_NOT_FOUND,
                     "the registry %s answered %d: it has no such thing, or hides it%s", s->host,
                     status, known ? "" : " without a login");
  default:
    return error_set(e, ERROR_FAILED, "the registry %s answered %d", s->host, status);
  }
}

static int ask(struct docker_source *s, const struct registry_get *get, uint64_t size,
               image_sink *sink, void *arg, struct registry_reply *reply, struct error *e) {
  if (registry_session_ask(s->session, get, size, sink, arg, &s->base.arena, reply, e) != 0) {
    return -1;
  }
  if (reply->status == 200) {
    return 0;
  }
  return reply->elsewhere ? refuse_answer_elsewhere(s, reply->status, e)
                          : refuse_answer(s, reply->status, e);
}

static int docker_read(struct image_source *base, const struct image_descriptor *blob,
                       image_sink *sink, void *arg, struct error *e) {
  struct docker_source *s = (struct docker_source *)base;
  struct registry_reply reply;
  const struct registry_get get = {
      .method = "GET", .repository = s->repository, .blob = blob->digest};
  return ask(s, &get, blob->size, sink, arg, &reply, e);
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
  registry_session_free(s->session);
  s->session = registry_session_new(&options, e);
  return s->session == NULL ? -1 : 0;
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
  struct error why = {0};
  struct registry_reply reply = {0};
  int result = ask(s, &get, d->size, image_transport_collect, out, &reply, &why);
  if (result != 0 && why.kind == ERROR_FAILED && s->may_be_plain &&
      !registry_session_answered(s->session)) {
    struct error second = {0};
    result = choose_scheme(s, "http", &second) == 0
                 ? ask(s, &get, d->size, image_transport_collect, out, &reply, &second)
                 : -1;
    if (result != 0) {
      blame(&why, &second);
    }
  }
  s->may_be_plain = false;
  *served = (struct image_served){reply.media_type, reply.digest};
  if (result != 0 && e != NULL) {
    *e = why;
  }
  return result;
}

static void docker_close(struct image_source *base) {
  struct docker_source *s = (struct docker_source *)base;
  registry_session_free(s->session);
  image_certificates_close(&s->certificates);
  image_credentials_free(&s->credentials);
  free(s);
}

static int copy_names(struct docker_source *s, const struct image_reference *r,
                      const char *authfile, struct error *e) {
  struct arena *arena = &s->base.arena;
  s->host = arena_copy(arena, slice_str(r->host));
  s->repository = arena_copy(arena, slice_str(r->repository));
  s->reference = arena_copy(arena, slice_str(r->digest != NULL ? r->digest : r->tag));
  s->authfile = authfile == NULL ? NULL : arena_copy(arena, slice_str(authfile));
  return s->host != NULL && s->repository != NULL && s->reference != NULL &&
                 (authfile == NULL || s->authfile != NULL)
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
  if (copy_names(s, r, o->authfile, e) != 0) {
    return -1;
  }
  s->may_be_plain = s->insecure || image_host_is_loopback(s->host);
  if (image_credentials_find(o->creds, o->authfile, s->host, s->repository, &s->credentials, e) !=
          0 ||
      image_certificates_find(o->cert_dir, s->host, &s->base.arena, &s->certificates, e) != 0 ||
      check_certificates(&s->certificates, e) != 0) {
    return -1;
  }
  return choose_scheme(s, "https", e) != 0 ? -1 : image_transport_resolve(&s->base, &top, o, e);
}
