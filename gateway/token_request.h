/**
 * A request to the token service, read: what is asked for and by whom (Docker token specification,
 * Token Authentication; its OAuth 2 variant). Pure.
 */
#pragma once

#include "auth/scope.h"
#include "base/arena.h"
#include "base/error.h"

enum {
  TOKEN_REQUEST_NAME_MAX = 255,      /**< bytes of a user's name and of `client_id` */
  TOKEN_REQUEST_PASSWORD_MAX = 1024, /**< bytes */
  TOKEN_REQUEST_REFRESH_MAX = 256,   /**< bytes of a refresh token */
};

/** How the caller shows who it is. */
enum token_request_proof {
  TOKEN_REQUEST_NOBODY,   /**< not at all */
  TOKEN_REQUEST_PASSWORD, /**< Basic, or `grant_type=password` */
  TOKEN_REQUEST_REFRESH,  /**< `grant_type=refresh_token` */
};

/** As it came in; nothing in it decoded but the credentials of \ref authorization. */
struct token_request_input {
  bool post;                 /**< a POST: the parameters are the form in \ref body */
  struct slice query;        /**< of a GET */
  struct slice content_type; /**< of a POST */
  struct slice body;
  struct slice authorization; /**< of a GET; a NULL pointer when there is none */
};

/** Slices live in the arena. */
struct token_request {
  enum token_request_proof proof;
  struct slice user;     /**< of TOKEN_REQUEST_PASSWORD */
  struct slice password; /**< likewise; followed by a NUL, wiped by token_request_wipe() */
  struct slice refresh;  /**< of TOKEN_REQUEST_REFRESH */
  struct slice service;  /**< empty when it is left out */
  struct slice client;   /**< `client_id`; empty when it is left out */
  bool offline;          /**< a refresh token is wanted as well */
  struct scope_list scopes;
};

/**
 * Reads it. Parameters that are not known are passed over, those that are known and doubled, but
 * for `scope`, are refused. `+` is a space, as forms have it.
 *
 * \return 0, or -1: ERROR_USAGE, ERROR_FAILED when there is no memory. The password is never in an
 * error.
 */
int token_request_read(const struct token_request_input *in, struct arena *arena,
                       struct token_request *out, struct error *e);

/** Overwrites the password, as soon as it has been looked at. */
void token_request_wipe(struct token_request *r);
