/** What client.c, the loop's side, and fetch.c, one fetch's, know of each other. */
#pragma once

#include "http/client.h"
#include "http/fetch_answer.h"

#include <curl/curl.h>

struct http_client {
  uv_loop_t *loop;
  CURLM *multi;
  uv_timer_t timer; /**< the one libcurl asks for */
  size_t handles;   /**< libuv handles not yet closed, those of fetches apart */
  size_t alive;     /**< fetches not yet freed */
  bool stopping;
  struct http_fetch *fetches; /**< those that have not ended */
  void (*closed)(void *arg);
  void *closed_arg;
};

struct http_fetch {
  struct http_client *client;
  struct http_fetch *previous, *next;
  struct http_fetch_events events;
  void *arg;
  CURL *easy;
  struct curl_slist *fields;
  const char *method;
  char *what;           /**< for errors: the URL's public part */
  const char *given_by; /**< as in http_client_tls */
  /** libcurl must not be called back from its own callbacks, nor may an event come from within a
   * call of the fetch's owner. So whatever is asked for happens when this timer runs out at once;
   * otherwise it counts the stall. */
  uv_timer_t timer;
  unsigned stall_timeout_ms;
  bool added, paused, cancelled, head_told;
  const char *broken_off; /**< why a callback ended the transfer */
  struct http_fetch_answer answer;
  char why[CURL_ERROR_SIZE];
};

/** libcurl is done with it: takes it off the client, tells and closes it. */
void http_fetch_complete(struct http_fetch *f, CURLcode code);

/** Completes the fetches that libcurl is done with; after every call that may have ended one. */
void http_client_collect(struct http_client *client);

/** After a fetch was freed: closes a client that is stopping and waited for it. */
void http_client_release(struct http_client *client);
