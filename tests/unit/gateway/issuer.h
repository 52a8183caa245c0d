/** Somebody else's server on a loop of the test's: says what it is told at any path, and counts. */
#pragma once

#include "base/buf.h"
#include "http/client.h"
#include "http/server.h"

struct issuer {
  uv_loop_t loop;
  struct http_client *client;
  struct http_server *server;
  struct http_places places;
  struct http_route route;
  struct log log;
  char url[64];        /**< `http://127.0.0.1:PORT/path` */
  int status;          /**< what it answers; 0: nothing at all, as long as the server runs */
  struct slice answer; /**< the test's */
  unsigned asked;
};

/** Begins to serve. What the code under test logs goes to issuer_logged(). */
void issuer_open(struct issuer *issuer);
/** Runs the loop to its end, when nothing else holds it; the loop is closed then. */
void issuer_close(struct issuer *issuer);
/** Runs the loop until it was asked that often in all. */
void issuer_await(struct issuer *issuer, unsigned asked);

/** How many lines with that text were logged through \ref issuer.log since it was opened. */
unsigned issuer_logged(const char *text);
