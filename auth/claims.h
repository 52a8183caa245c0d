/** A token's JOSE header and claims, read and checked for their form. Inside auth/ only. */
#pragma once

#include "auth/strict_json.h"
#include "auth/token.h"

/** What a header says, before anything is known to be true. */
struct claims_header {
  enum key_algorithm algorithm;
  enum token_kind kind; /**< from `typ` */
  bool has_kid;
  struct slice kid; /**< belongs to the JSON object */
};

/** Form of the header: the contract's section Tokens. \return 0, or -1. */
int claims_read_header(const json_t *json, struct claims_header *out, struct error *e);

/** The same of any JWS that is signed as a token is; its `typ`, `JWT` where it says none, is for
 * the caller to look at, and \p out->kind is 0. */
int claims_read_any_header(const json_t *json, struct claims_header *out, struct slice *typ,
                           struct error *e);

/**
 * Reads the claims that RFC 7519, 4.1 registers; `iss`, `aud` and `exp` are required. Of `aud` see
 * claims_read().
 *
 * \return 0, or -1.
 */
int claims_read_registered(const json_t *json, struct arena *arena, struct token *out,
                           struct error *e);

/**
 * Reads the claims of a token of \p kind. `aud` is checked for its form only: \p out->audience is
 * for claims_audience_is().
 *
 * \return 0, or -1.
 */
int claims_read(const json_t *json, enum token_kind kind, struct arena *arena, struct token *out,
                struct error *e);

/** Whether `aud`, whose form claims_read() has taken, is \p audience or a list that has it
 *  (RFC 7519, 4.1.3). */
bool claims_audience_is(const json_t *json, struct slice audience);

/** The `typ` of a kind, and its name for people. */
const char *claims_typ(enum token_kind kind);
const char *claims_kind_name(enum token_kind kind);

/** The most bytes a token of that kind may have. */
size_t claims_size_max(enum token_kind kind);

/** Whether it is `sha256:` and 64 lowercase hex digits. */
bool claims_is_digest(struct slice text);
