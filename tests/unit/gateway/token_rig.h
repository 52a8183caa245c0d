/**
 * A token service on one loop, for handler tests: users, connections without a socket, a clock that
 * stands still, and a scrypt that is cheap and can be made to wait. What links it has the linker
 * wrap EVP_PBE_scrypt(), clock_monotonic_ms() and db_write().
 */
#pragma once

#include "db/user_store.h"
#include "gateway/token_service.h"

#include "world.h"

#include <stdatomic.h>

#define SERVICE  WORLD_SERVICE
#define REGISTRY WORLD_REGISTRY
#define ALICE    "Authorization: Basic YWxpY2U6c2VjcmV0\r\n"         /* alice:secret */
#define MALLORY  "Authorization: Basic YWxpY2U6d3Jvbmc=\r\n"         /* alice:wrong */
#define UNKNOWN  "Authorization: Basic bm9ib2R5OnNlY3JldA==\r\n"     /* nobody:secret */
#define BOB      "Authorization: Basic Ym9iOmJvYidzOnNlY3JldA==\r\n" /* bob:bob's:secret */
#define APP      "repository:team/app:"

struct rig {
  struct world *w;
  atomic_uint looks;       /**< passwords that were hashed */
  atomic_bool waits;       /**< they wait for token_rig_let_go() */
  atomic_bool db_fails;    /**< to take a write */
  atomic_uint writes;      /**< that it took */
  _Atomic uint64_t now_ms; /**< of the clock that never goes back, which the database asks too */
  struct slice anonymous[1];
  struct token_service_options options;
  struct token_service *service;
  struct http_route routes[TOKEN_SERVICE_ROUTES];
  struct http_server_options server;
};

/** cmocka set-up and tear-down: *state is the rig, with alice, who may do all to team/\*, bob, who
 * may pull team/app, and public/\* public. One at a time. */
int token_rig_setup(void **state);
int token_rig_teardown(void **state);

/** Works on the database. */
void token_rig_change(const struct rig *r, db_write_fn *fn, void *arg);

/** The argument of the next. */
struct user_change {
  const char *name, *password, *pattern;
  unsigned actions;
};
db_write_fn token_rig_set_password;
/** Its argument is a name. */
db_write_fn token_rig_remove_user;

/** Sends a request from an address. */
struct http_memory *token_rig_send(struct rig *r, const char *peer, const char *request);
/** The same from 192.0.2.1; \p fields are whole lines. */
struct http_memory *token_rig_get(struct rig *r, const char *query, const char *fields);
struct http_memory *token_rig_post(struct rig *r, const char *form);

/** Waits for an answer; its status. Frees the connection. */
int token_rig_status(struct rig *r, struct http_memory *m);

/** Waits until so many passwords are being hashed, or were. */
void token_rig_wait_for_looks(struct rig *r, unsigned count);
/** Lets so many of those that wait go on, and no further one wait. */
void token_rig_let_go(struct rig *r, unsigned count);
