/** What the files of this room share; no other room includes it. */
#pragma once

#include "gateway/gateway.h"
#include "gateway/refusals.h"

struct blob_answer;
/** The answers under way with blobs, of one loop; zeroed there are none. */
struct blob_answers {
  struct blob_answer *first;
};

/** A registry, the connections to it of this loop, and what it wants of who has no credentials. */
struct gateway_upstream {
  struct slice name;
  bool by_token;       /**< GATEWAY_TOKEN */
  const char *storage; /**< of struct gateway_registry */
  struct registry *client;
  struct challenges *challenges;
};

struct gateway {
  const struct gateway_options *options;
  struct gateway_upstream *upstreams; /**< as many as options->registries */
  struct refusals *refusals;
  struct blob_answers answers; /**< of webseed.c */
  struct webseed_tokens *webseed_tokens;
  struct http_large_bodies large;
  struct cache_waker *waker;    /**< of this loop; made when it is first needed */
  struct readers_loop *readers; /**< the same */
  uint64_t generation;          /**< of the revocations that the answers were held against */
};

/** The registry of that name; NULL when there is none. */
const struct gateway_upstream *gateway_find(const struct gateway *gateway, struct slice name);

/** `/v1/<name>/…`: reads the request and calls the handler of its route. */
http_handler request_handle;

struct request;
/** `GET /v1/<name>/blobs/<digest>` */
void blobs_handle(struct request *r);
/** `GET /v1/<name>/manifests/<reference>` */
void manifests_handle(struct request *r);
/** `POST /v1/<name>/tokens` */
void tokens_handle(struct request *r);
/** `POST /v1/<name>/certificates` */
void certificates_handle(struct request *r);

/** `POST /v1/notifications` */
http_handler notifications_handle;
/** Whether a registry sends it, by its secret; \p context is the gateway. */
bool notifications_are_from(const struct http_exchange *x, void *context);

/** `GET /webseed/…` and `HEAD /webseed/…` */
http_handler webseed_handle;
/** Cuts the answers under way to tokens that are revoked. */
void webseed_cut(struct gateway *gateway);

/** `GET /.well-known/jwks.json` */
http_handler jwks_handle;
