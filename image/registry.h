/**
 * The registry client (OCI distribution specification 1.1): manifests and blobs over HTTP, on a
 * loop. It does the Docker token round and Basic when challenged, and follows redirects itself:
 * credentials, a client certificate among them, never go to another scheme, host or port, but for
 * the realm of a token, as containers/image and docker do. Tokens are remembered a repository.
 */
#pragma once

#include "base/arena.h"
#include "http/client.h"
#include "image/credentials.h"

enum { REGISTRY_REDIRECTS_MAX = 10 };

struct registry;
struct registry_request;

struct registry_options {
  const char *url; /**< `http://host:port` or `https://…`, a path is put before `/v2/`; copied */
  /** What its paths begin with: NULL is `v2`, a registry's; `v1` is a gateway's, whose paths follow
   *  the registry's own. Not copied. */
  const char *api;
  struct http_client_tls tls; /**< copied */
  /** What to log in with when challenged; NULL: anonymous. Copied. */
  const struct image_credentials *credentials;
};

/** \return NULL with \p e: ERROR_USAGE when the URL cannot be read, ERROR_FAILED without memory. */
struct registry *registry_new(struct http_client *client, const struct registry_options *o,
                              struct error *e);
/** Cancels what is under way, without telling. NULL is fine. Before http_client_stop(). */
void registry_free(struct registry *registry);

/** Its URL, without a password that was in it, and without a `/` at its end; of the registry. */
const char *registry_url(const struct registry *registry);
/** Whether anything has answered yet, were it by a redirect or a challenge. */
bool registry_answered(const struct registry *registry);

/** The head of the final answer, after tokens and redirects. Slices of what is absent have a NULL
 * pointer; all are valid during `head` only. */
struct registry_answer {
  int status;
  bool redirected; /**< it is no answer of the registry's own, but of where that has led to */
  bool elsewhere;  /**< which is another scheme, host or port than the registry's */
  struct slice content_type, content_range, etag, retry_after;
  struct slice docker_content_digest; /**< empty when there are several and they disagree */
  struct slice www_authenticate;      /**< several fields are joined by commas (RFC 9110, 5.3) */
  bool has_length;
  uint64_t length;   /**< Content-Length; of HEAD that of the GET */
  struct slice next; /**< of a list: where its next page is, at the same registry */
};

/**
 * As http_fetch_events: head once, data, done once, and within each any function of this file may
 * be called. `head` is told the final answer, any status; when there is none, `done` alone says
 * why: ERROR_DENIED when the token service refuses the credentials, else ERROR_FAILED, for a
 * redirect or a list's Link that must not be followed among others.
 */
struct registry_events {
  bool (*head)(void *arg, const struct registry_answer *a);
  bool (*data)(void *arg, struct slice bytes);
  void (*done)(void *arg, const struct error *e);
};

struct registry_get {
  const char *method;     /**< GET or HEAD; POST of an action */
  const char *repository; /**< checked by image_name_valid() before anything is sent */
  const char *manifest;   /**< a tag or digest; or NULL: */
  const char *blob;       /**< a digest; or NULL: */
  const char *action;     /**< of a gateway, such as `certificates`: behind the repository alone */
  struct slice body;      /**< of a POST: JSON; copied. A redirect is not followed then. */
  const char *page;       /**< which of its pages: struct registry_answer.next; NULL: the first */
  const char *query; /**< of one of them: what comes behind a `?`, encoded; NULL or "": nothing */
  /** Neither of them, but a list: the repository's tags, or where there is no repository the
   *  registry's repositories. */
  bool list;
  bool ranged; /**< GET of a blob: ask for `Range: bytes=first-last` */
  uint64_t first, last;
  /**
   * When set, this very Authorization is sent to the registry's own URL and nowhere else, neither
   * after a redirect to the same host, and our own credentials and tokens are not used: a 401 is
   * handed through. A slice of length 0 with a non-NULL pointer means to ask without any.
   */
  struct slice authorization;
};

/**
 * \return the request, valid until `done`; NULL with \p e when it could not start, and no event
 * follows then: ERROR_USAGE for what is no method, name, tag, digest or header value.
 */
struct registry_request *registry_start(struct registry *registry, const struct registry_get *get,
                                        const struct registry_events *events, void *arg,
                                        struct error *e);
/** As http_fetch_pause() and http_fetch_resume(), from `head` on. */
void registry_pause(struct registry_request *r);
void registry_resume(struct registry_request *r);
/** No event follows. */
void registry_cancel(struct registry_request *r);
