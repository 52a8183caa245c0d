/** A registry, as its requests see it. */
#pragma once

#include "image/registry.h"
#include "image/registry_token.h"

struct registry {
  struct http_client *client;
  char *url; /**< without a `/` at its end */
  struct http_client_tls tls;
  struct arena arena; /**< of the strings of tls */
  struct image_credentials credentials;
  bool answered; /**< a head has come */
  bool basic;    /**< it has asked for Basic before */
  struct registry_tokens tokens;
  struct registry_request *requests; /**< those under way */
};
