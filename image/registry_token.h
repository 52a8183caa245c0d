/**
 * The Docker token round: what a registry's Bearer challenge asks for is fetched from its realm
 * (distribution's token and OAuth2 specifications); and the tokens that are still good.
 */
#pragma once

#include "http/client.h"
#include "image/challenge.h"
#include "image/credentials.h"

enum {
  REGISTRY_TOKEN_MAX = 16 * 1024,        /**< bytes of a token; longer ones are refused */
  REGISTRY_TOKEN_ANSWER_MAX = 64 * 1024, /**< bytes of the realm's answer */
  REGISTRY_TOKENS_MAX = 64,              /**< tokens kept a registry */
};

struct registry_token_question {
  const char *registry_url;
  const struct http_client_tls *tls;
  const struct image_credentials *credentials; /**< an empty one asks anonymously */
  const struct challenge *challenge;           /**< Bearer, with a realm */
  const char *scope;                           /**< when the challenge names none */
};

struct registry_token_round;

/**
 * \param token NULL with \p e: ERROR_DENIED when the realm refuses the credentials, ERROR_FAILED
 * otherwise. \param seconds how long it is good for.
 */
typedef void registry_token_done(void *arg, const char *token, uint64_t seconds,
                                 const struct error *e);

/**
 * Asks the realm. A realm on plain http is refused unless the registry is asked over plain http
 * itself, as its answer is worth as much as a password.
 *
 * \return valid until \p done; NULL with \p e when it could not start.
 */
struct registry_token_round *registry_token_ask(struct http_client *client,
                                                const struct registry_token_question *question,
                                                registry_token_done *done, void *arg,
                                                struct error *e);
void registry_token_cancel(struct registry_token_round *round);

/** Embedded; zeroed is empty. Freed by registry_tokens_free(). */
struct registry_tokens {
  struct registry_token {
    char *repository; /**< NULL: a free place */
    char *value;
    uint64_t until_ms; /**< by the monotonic clock */
  } kept[REGISTRY_TOKENS_MAX];
};

/** The token for \p repository; NULL when there is none that is good at \p now_ms. */
const char *registry_tokens_find(const struct registry_tokens *tokens, const char *repository,
                                 uint64_t now_ms);
/**
 * Keeps a token until shortly before it expires, in place of the one there was for \p repository,
 * or of the one that expires first. Without memory nothing is kept.
 */
void registry_tokens_keep(struct registry_tokens *tokens, const char *repository, const char *value,
                          uint64_t seconds, uint64_t now_ms);
void registry_tokens_free(struct registry_tokens *tokens);
