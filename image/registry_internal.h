/** A registry, as its requests see it. */
#pragma once

#include "image/registry.h"
#include "image/registry_token.h"

struct registry {
  struct http_client *client;
  char *url;       /**< without a `/` at its end */
  const char *api; /**< `v2` unless it is no registry's */
  struct http_client_tls tls;
  struct arena arena; /**< of the strings of tls */
  struct image_credentials credentials;
  bool answered; /**< a head has come */
  bool basic;    /**< it has asked for Basic before */
  struct registry_tokens tokens;
  struct registry_request *requests; /**< those under way */
};

/** The method, a constant; NULL for one that is not known, or does not go with what is asked. */
const char *registry_get_method(const struct registry_get *get);
/** \return 0, or -1 as registry_start(). */
int registry_get_check(const struct registry_get *get, struct error *e);
/** The repository, by which tokens are remembered; "" for the list of all. */
const char *registry_get_scope(const struct registry_get *get);
/** \return malloc'ed; NULL when there is no memory. */
char *registry_get_url(const struct registry *registry, const struct registry_get *get);
/** The Authorization to begin with; freed by image_secret_free(). \return NULL for none, or with
 *  \p ok false when there is no memory. */
char *registry_get_authorization(const struct registry *registry, const struct registry_get *get,
                                 bool *ok);
