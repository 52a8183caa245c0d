#include "image/registry_token.h"

#include "base/cleanup.h"
#include "http/url.h"
#include "image/json.h"

enum {
  SECONDS_DEFAULT = 60, /* of the token specification */
  SECONDS_MAX = 24 * 60 * 60,
  MARGIN_MS = 10 * 1000, /* on the way to the registry a token must not expire */
};

struct registry_token_round {
  struct http_fetch *fetch;
  registry_token_done *done;
  void *arg;
  char *realm; /* for errors */
  bool anonymous, post;
  int status;
  struct buf answer;
};

static void wipe_buf(struct buf *b) {
  if (b->len > 0) {
    explicit_bzero(b->ptr, b->len);
  }
  buf_free(b);
}

static void round_free(struct registry_token_round *round) {
  wipe_buf(&round->answer);
  free(round->realm);
  free(round);
}

/** \return NULL when it is no token that could be put into a header. */
static const char *token_of(const json_t *json) {
  const char *token = json_string_value(json_object_get(json, "token"));
  if (token == NULL || *token == '\0') {
    token = json_string_value(json_object_get(json, "access_token"));
  }
  size_t len = token == NULL ? 0 : strlen(token);
  for (size_t i = 0; i < len; i++) {
    if (token[i] <= ' ' || token[i] > '~') {
      return NULL;
    }
  }
  return len > 0 && len <= REGISTRY_TOKEN_MAX ? token : NULL;
}

static uint64_t seconds_of(const json_t *json) {
  json_int_t seconds = json_integer_value(json_object_get(json, "expires_in"));
  if (seconds <= 0) {
    return SECONDS_DEFAULT;
  }
  return seconds < SECONDS_MAX ? (uint64_t)seconds : SECONDS_MAX;
}

static bool on_head(void *arg, const struct http_fetch_answer *a) {
  struct registry_token_round *round = arg;
  round->status = http_fetch_status(a);
  return round->status == 200; /* the rest of an error is of no use */
}

static bool on_data(void *arg, struct slice bytes) {
  struct registry_token_round *round = arg;
  buf_slice(&round->answer, bytes);
  return !round->answer.failed;
}

static int read_answer(struct registry_token_round *round, const struct error *failure,
                       json_t **json, const char **token, struct error *e) {
  /* OAuth2 says 400 to a refresh token that is no longer good (RFC 6749, section 5.2). */
  if (round->status == 401 || round->status == 403 || (round->post && round->status == 400)) {
    return error_set(e, ERROR_DENIED, "the token service %s refuses the login (%d): %s",
                     round->realm, round->status,
                     round->anonymous ? "give credentials" : "check the credentials");
  }
  if (round->status != 0 && round->status != 200) {
    return error_set(e, ERROR_FAILED, "the token service %s answered %d", round->realm,
                     round->status);
  }
  if (round->answer.failed) {
    return error_set(e, ERROR_FAILED, "the token service %s answered with more than %d bytes",
                     round->realm, REGISTRY_TOKEN_ANSWER_MAX);
  }
  if (failure != NULL) {
    return error_set(e, failure->kind, "the token service: %s", failure->text);
  }
  /* Its errors would quote the text, which may hold a token. */
  *json = image_json_read(buf_view(&round->answer), NULL);
  *token = token_of(*json);
  return *token != NULL ? 0
                        : error_set(e, ERROR_FAILED,
                                    "the token service %s answered without a token", round->realm);
}

static void on_done(void *arg, const struct error *failure) {
  struct registry_token_round *round = arg;
  struct error e = {0};
  json_t *json = NULL;
  const char *token = NULL;
  int result = read_answer(round, failure, &json, &token, &e);
  round->done(round->arg, token, seconds_of(json), result == 0 ? NULL : &e);
  json_decref(json);
  round_free(round);
}

/** \p scope may hold several; the query takes one parameter each, the form all in one. */
static void append_scopes(struct buf *query, struct slice scope, bool one) {
  if (one) {
    http_form_append(query, "scope", scope);
    return;
  }
  while (scope.ptr != NULL) {
    struct slice each = slice_cut(&scope, ' ');
    if (each.len > 0) {
      http_form_append(query, "scope", each);
    }
  }
}

static void append_question(struct buf *query, const struct registry_token_question *q, bool post) {
  const struct challenge *c = q->challenge;
  if (c->service.ptr != NULL) {
    http_form_append(query, "service", c->service);
  }
  append_scopes(query, c->scope.len > 0 ? c->scope : slice_str(q->scope), post);
  if (post) {
    http_form_append(query, "grant_type", SLICE("refresh_token"));
    http_form_append(query, "client_id", SLICE("swarmgate"));
    http_form_append(query, "refresh_token", slice_str(q->credentials->identity_token));
  } else if (q->credentials->username != NULL) {
    http_form_append(query, "account", slice_str(q->credentials->username));
  }
}

static struct http_fetch *ask(struct registry_token_round *round, struct http_client *client,
                              const struct registry_token_question *q, const char *realm,
                              struct error *e) {
  static const struct http_fetch_events events = {on_head, on_data, on_done};
  bool post = round->post;
  CLEANUP(wipe_buf) struct buf form = {0};
  CLEANUP(wipe_buf) struct buf url = {0};
  buf_str(&url, realm);
  if (!post) {
    buf_str(&url, strchr(realm, '?') == NULL ? "?" : "");
  }
  append_question(post ? &form : &url, q, post);
  buf_append(&url, "", 1);
  char *basic =
      !post && q->credentials->username != NULL ? image_credentials_basic(q->credentials) : NULL;
  struct http_fetch *fetch = NULL;
  if (form.failed || url.failed || (!post && q->credentials->username != NULL && basic == NULL)) {
    error_set(e, ERROR_FAILED, "no memory for a token's request");
  } else {
    const struct http_field field = {SLICE("Authorization"), slice_str(basic)};
    const struct http_fetch_options options = {.method = post ? "POST" : "GET",
                                               .url = url.ptr,
                                               .fields = &field,
                                               .field_count = basic != NULL,
                                               .body = buf_view(&form),
                                               .tls = *q->tls};
    fetch = http_fetch_start(client, &options, &events, round, e);
  }
  image_secret_free(basic);
  return fetch;
}

struct registry_token_round *registry_token_ask(struct http_client *client,
                                                const struct registry_token_question *question,
                                                registry_token_done *done, void *arg,
                                                struct error *e) {
  CLEANUP_FREE char *realm =
      http_url_redirect(question->registry_url, question->challenge->realm, e);
  if (realm == NULL) {
    error_context(e, "the token service of %s", question->registry_url);
    return NULL;
  }
  struct registry_token_round *round = calloc(1, sizeof *round);
  if (round == NULL) {
    error_set(e, ERROR_FAILED, "no memory for a token's request");
    return NULL;
  }
  round->done = done;
  round->arg = arg;
  round->post = question->credentials->identity_token != NULL;
  round->anonymous = !round->post && question->credentials->username == NULL;
  round->answer.limit = REGISTRY_TOKEN_ANSWER_MAX;
  round->realm = http_url_public(realm, e);
  if (round->realm != NULL) {
    round->fetch = ask(round, client, question, realm, e);
  }
  if (round->fetch == NULL) {
    round_free(round);
    return NULL;
  }
  return round;
}

void registry_token_cancel(struct registry_token_round *round) {
  http_fetch_cancel(round->fetch);
  round_free(round);
}

/* --- the tokens that are still good --- */

const char *registry_tokens_find(const struct registry_tokens *tokens, const char *repository,
                                 uint64_t now_ms) {
  for (size_t i = 0; i < REGISTRY_TOKENS_MAX; i++) {
    const struct registry_token *t = &tokens->kept[i];
    if (t->repository != NULL && strcmp(t->repository, repository) == 0) {
      return now_ms < t->until_ms ? t->value : NULL;
    }
  }
  return NULL;
}

static void token_free(struct registry_token *t) {
  free(t->repository);
  image_secret_free(t->value);
  *t = (struct registry_token){0};
}

void registry_tokens_keep(struct registry_tokens *tokens, const char *repository, const char *value,
                          uint64_t seconds, uint64_t now_ms) {
  struct registry_token *place = &tokens->kept[0];
  for (size_t i = 0; i < REGISTRY_TOKENS_MAX; i++) {
    struct registry_token *t = &tokens->kept[i];
    if (t->repository != NULL && strcmp(t->repository, repository) == 0) {
      place = t;
      break;
    }
    if (t->until_ms < place->until_ms) { /* a free place has 0 */
      place = t;
    }
  }
  uint64_t ms = seconds * 1000;
  token_free(place);
  place->repository = strdup(repository);
  place->value = strdup(value);
  place->until_ms = now_ms + ms - (ms / 2 < MARGIN_MS ? ms / 2 : MARGIN_MS);
  if (place->repository == NULL || place->value == NULL) {
    token_free(place);
  }
}

void registry_tokens_free(struct registry_tokens *tokens) {
  for (size_t i = 0; i < REGISTRY_TOKENS_MAX; i++) {
    token_free(&tokens->kept[i]);
  }
}
