/*
 * GET and POST /token. The happy path: the request is read, the user is looked up, the password is
 * looked at on another thread or the refresh token in the database, and token_issue.c does the
 * rest. Each step that fails answers at once.
 */
#include "gateway/token_service.h"

#include "base/buf.h"
#include "base/clock.h"
#include "gateway/problem.h"
#include "gateway/token_internal.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>

#define WRONG       "wrong user name or password"
#define NO_USER     "there is no such user; `swarmgate user add` makes one"
#define NO_PASSWORD "wrong password; `swarmgate user passwd` sets another"

#define OTHER_SERVICE "service: is not the one that tokens are issued for here"

/* As a quoted-string (RFC 9110, 5.6.4). malloc'ed; NULL with the error. */
static char *make_challenge(struct slice service, struct error *e) {
  struct buf text = {0};
  buf_str(&text, "Basic realm=\"");
  for (size_t i = 0; i < service.len; i++) {
    if (slice_control(slice_from(service, i)) > 0) {
      error_set(e, ERROR_USAGE, "token_service.service: holds a control character");
      buf_free(&text);
      return NULL;
    }
    if (service.ptr[i] == '"' || service.ptr[i] == '\\') {
      buf_str(&text, "\\");
    }
    buf_append(&text, service.ptr + i, 1);
  }
  buf_append(&text, "\"", sizeof "\"");
  if (text.failed) {
    error_set(e, ERROR_FAILED, "cannot start the token service: out of memory");
    buf_free(&text);
    return NULL;
  }
  return text.ptr;
}

struct token_service *token_service_new(const struct token_service_options *options,
                                        struct error *e) {
  struct slice name = slice_str(options->service);
  if (name.len > REFRESH_STORE_TEXT_MAX) {
    error_set(e, ERROR_USAGE, "token_service.service: is longer than %d bytes",
              REFRESH_STORE_TEXT_MAX);
    return NULL;
  }
  struct token_service *service = calloc(1, sizeof *service);
  if (service == NULL) {
    error_set(e, ERROR_FAILED, "cannot start the token service: out of memory");
    return NULL;
  }
  service->options = options;
  service->challenge = make_challenge(name, e);
  service->logins = service->challenge == NULL ? NULL : logins_new(e);
  service->anonymous = service->logins == NULL ? NULL : quota_new(e);
  service->refusals = service->anonymous == NULL ? NULL : refusals_new(options->log, e);
  if (service->refusals == NULL) {
    token_service_free(service);
    return NULL;
  }
  return service;
}

void token_service_free(struct token_service *service) {
  if (service != NULL) {
    logins_free(service->logins);
    refusals_free(service->refusals);
    quota_free(service->anonymous);
    free(service->challenge);
    free(service);
  }
}

static const char *actions_of(unsigned actions) {
  static const char *const texts[] = {"",  "pull",   "push",   "pull,push",
                                      "*", "pull,*", "push,*", "pull,push,*"};
  return texts[actions];
}

struct slice token_wanted(const struct token_asking *a) {
  const struct scope_list *wanted = &a->request.scopes;
  struct arena *arena = http_exchange_arena(a->x);
  if (wanted->count == 0) {
    return SLICE("a login alone");
  }
  const struct scope *first = &wanted->items[0];
  struct slice text = arena_printf(arena, "%.*s:%.*s:%s", SLICE_ARG(first->type),
                                   SLICE_ARG(first->name), actions_of(first->actions));
  return wanted->count == 1 || text.ptr == NULL
             ? text
             : arena_printf(arena, "%.*s and %zu more", SLICE_ARG(text), wanted->count - 1);
}

static unsigned missing_of(const struct token_grant *grant, const struct scope *wanted) {
  unsigned given = 0;
  for (size_t i = 0; i < grant->count && slice_equal(wanted->type, SLICE("repository")); i++) {
    given |= slice_equal(grant->access[i].repository, wanted->name) ? grant->access[i].actions : 0;
  }
  return wanted->actions & ~given;
}

struct slice token_missing(const struct token_asking *a, const struct token_grant *grant) {
  const struct scope_list *wanted = &a->request.scopes;
  struct arena *arena = http_exchange_arena(a->x);
  const struct scope *first = NULL;
  size_t others = 0;
  for (size_t i = 0; i < wanted->count; i++) {
    if (missing_of(grant, &wanted->items[i]) != 0) {
      others += first != NULL;
      first = first == NULL ? &wanted->items[i] : first;
    }
  }
  if (first == NULL || grant->count == 0) {
    return SLICE("");
  }
  const char *actions = actions_of(missing_of(grant, first));
  return wanted->count == 1 ? arena_printf(arena, "; no right to %s", actions)
         : others == 0
             ? arena_printf(arena, "; no right to %.*s:%.*s:%s", SLICE_ARG(first->type),
                            SLICE_ARG(first->name), actions)
             : arena_printf(arena, "; no right to %.*s:%.*s:%s and %zu more",
                            SLICE_ARG(first->type), SLICE_ARG(first->name), actions, others);
}

/* The name that was given, true or not; it comes behind what nobody can choose. */
static struct slice name_of(const struct token_asking *a) {
  return a->request.proof == TOKEN_REQUEST_PASSWORD  ? a->request.user
         : a->request.proof == TOKEN_REQUEST_REFRESH ? a->refresh.user
                                                     : SLICE("");
}

void token_log_refusal(const struct token_asking *a, const char *why) {
  struct slice name = name_of(a), wanted = token_wanted(a);
  refusals_log(a->service->refusals, http_request_peer(a->x), "no registry token",
               ", user %.*s, who asked for %.*s: %s", SLICE_ARG(name.len == 0 ? SLICE("-") : name),
               SLICE_ARG(wanted), why);
}

void token_refuse(const struct token_asking *a, const char *message, const char *why) {
  token_log_refusal(a, why);
  problem_unauthorized(a->x, slice_str(a->service->challenge), message);
}

void token_refuse_for_now(const struct token_asking *a, const char *why, uint64_t wait_ms) {
  unsigned seconds = (unsigned)((wait_ms + 999) / 1000);
  char text[160];
  snprintf(text, sizeof text, "%s; held up for %u s", why, seconds);
  token_log_refusal(a, text);
  problem_later(a->x, 429, "TOOMANYREQUESTS", why, seconds);
}

void token_fail(const struct token_asking *a, int status, const struct error *e) {
  refusals_warn(a->service->refusals, http_request_peer(a->x), "cannot issue a registry token: %s",
                e->text);
  if (status == 503) {
    problem_later(a->x, status, "UNAVAILABLE",
                  "the token service cannot record what it issues, and so issues nothing; its log "
                  "says why",
                  1);
  } else {
    problem_answer(a->x, status, "UNKNOWN", "the token service failed; its log says why");
  }
}

static void answer_malformed(const struct token_asking *a, const char *why) {
  token_log_refusal(a, why);
  problem_answer(a->x, 400, "UNSUPPORTED",
                 slice_utf8(slice_str(why)) ? why : "the request holds what is not UTF-8");
}

/* --- a password --- */

static int find_user(struct db_txn *txn, void *arg, struct error *e) {
  struct token_asking *a = arg;
  return user_store_get(txn, a->request.user, http_exchange_arena(a->x), &a->user, e);
}

static void on_login(void *arg, enum login_verdict verdict, const struct error *e) {
  struct token_asking *a = arg;
  a->login = NULL;
  if (verdict == LOGIN_RIGHT) {
    a->named = true;
    token_issue_start(a);
  } else if (verdict == LOGIN_WRONG) {
    token_refuse(a, WRONG, a->user.name.len == 0 ? NO_USER : NO_PASSWORD);
  } else {
    token_fail(a, 500, e);
  }
}

static void answer_busy(const struct token_asking *a) {
  token_log_refusal(a, "too many passwords wait to be looked at; it may come again");
  problem_later(a->x, 503, "UNAVAILABLE", "too many log in at once: come again", 1);
}

static void look_at_password(struct token_asking *a) {
  const struct login_attempt attempt = {
      .user = a->request.user,
      .password = a->request.password,
      .hash = a->user.password,
      .from = http_request_peer(a->x),
  };
  struct error e = {0};
  uint64_t wait_ms = 0;
  enum login_verdict verdict =
      login_start(a->service->logins, http_exchange_loop(a->x), &attempt, clock_monotonic_ms(),
                  on_login, a, &a->login, &wait_ms, &e);
  token_request_wipe(&a->request);
  if (verdict == LOGIN_HELD_UP) {
    token_refuse_for_now(a, "too many wrong passwords for this user from this address: wait",
                         wait_ms);
  } else if (verdict == LOGIN_BUSY) {
    answer_busy(a);
  } else if (verdict != LOGIN_PENDING) {
    on_login(a, verdict, &e);
  }
}

static void take_password(struct token_asking *a) {
  struct error e = {0};
  if (a->request.user.len == 0) {
    token_refuse(a, WRONG, "Basic without a user name");
  } else if (db_read(a->service->options->db, find_user, a, &e) != 0 && e.kind != ERROR_NOT_FOUND) {
    token_fail(a, 500, &e);
  } else {
    look_at_password(a);
  }
}

/* --- a refresh token --- */

static int find_refresh(struct db_txn *txn, void *arg, struct error *e) {
  struct token_asking *a = arg;
  struct arena *arena = http_exchange_arena(a->x);
  struct slice text = a->request.refresh;
  struct refresh_hash hash;
  SHA256((const unsigned char *)text.ptr, text.len, hash.bytes);
  return refresh_store_get(txn, &hash, clock_now(), arena, &a->refresh, e) != 0
             ? -1
             : user_store_get(txn, a->refresh.user, arena, &a->user, e);
}

static void take_refresh(struct token_asking *a) {
  struct error e = {0};
  if (db_read(a->service->options->db, find_refresh, a, &e) != 0) {
    if (e.kind == ERROR_NOT_FOUND) {
      token_refuse(a, TOKEN_REFRESH_ENDED, "no such refresh token, or it has ended; log in again");
    } else {
      token_fail(a, 500, &e);
    }
  } else if (!slice_equal(a->refresh.service, slice_str(a->service->options->service))) {
    token_refuse(a, TOKEN_REFRESH_ENDED, "the refresh token is of another service; log in again");
  } else {
    a->named = true;
    token_issue_start(a);
  }
}

/* --- a request --- */

static void on_abandoned(void *arg) {
  struct token_asking *a = arg;
  if (a->login != NULL) {
    login_cancel(a->login);
  }
  revocation_wait_leave(a->wait);
  if (a->issue != NULL) {
    token_issue_abandon(a->issue);
  }
}

static int read_request(struct token_asking *a, struct error *e) {
  struct http_exchange *x = a->x;
  const struct token_request_input in = {
      .post = a->post,
      .query = http_request_query(x),
      .content_type = http_request_field(x, SLICE("Content-Type")),
      .body = http_request_body(x),
      .authorization = http_request_field(x, SLICE("Authorization")),
  };
  if (http_request_field_count(x, SLICE("Authorization")) > 1) {
    return error_set(e, ERROR_USAGE, "more than one Authorization field");
  }
  return token_request_read(&in, http_exchange_arena(x), &a->request, e);
}

/* Registry and token service are configured apart: whoever reads this compares the two. */
static void answer_other_service(const struct token_asking *a) {
  struct arena *arena = http_exchange_arena(a->x);
  const char *ours = a->service->options->service;
  struct slice why = arena_printf(arena, "service: is %.*s, and tokens are issued for %s here",
                                  SLICE_ARG(a->request.service), ours);
  struct slice message = arena_printf(arena, "service: tokens are issued for %s here", ours);
  token_log_refusal(a, why.ptr == NULL ? OTHER_SERVICE : why.ptr);
  problem_answer(a->x, 400, "UNSUPPORTED", message.ptr == NULL ? OTHER_SERVICE : message.ptr);
}

static bool is_for_other(const struct token_asking *a) {
  return a->request.service.len > 0 &&
         !slice_equal(a->request.service, slice_str(a->service->options->service));
}

static void handle(struct http_exchange *x, void *context) {
  const struct token_service *service = context;
  /* A reload took the section away: as where there has never been one. */
  if (!keyring_signs(service->options->keyring, TOKEN_REGISTRY)) {
    problem_answer(x, 404, "UNSUPPORTED", "there is no token service here any more");
    return;
  }
  struct token_asking *a = arena_alloc(http_exchange_arena(x), sizeof *a);
  struct error e = {0};
  if (a == NULL) {
    problem_answer(x, 500, "UNKNOWN", "the token service is out of memory");
    return;
  }
  *a = (struct token_asking){
      .service = service, .x = x, .post = slice_equal(http_request_method(x), SLICE("POST"))};
  if (read_request(a, &e) != 0) {
    if (e.kind == ERROR_USAGE) {
      answer_malformed(a, e.text);
    } else {
      token_fail(a, 500, &e);
    }
    return;
  }
  if (is_for_other(a)) {
    answer_other_service(a);
    return;
  }
  http_exchange_on_abandoned(x, on_abandoned, a);
  switch (a->request.proof) {
  case TOKEN_REQUEST_NOBODY:
    token_issue_start(a);
    break;
  case TOKEN_REQUEST_PASSWORD:
    take_password(a);
    break;
  case TOKEN_REQUEST_REFRESH:
    take_refresh(a);
    break;
  }
}

void token_service_routes(struct token_service *service,
                          struct http_route routes[TOKEN_SERVICE_ROUTES]) {
  routes[0] = (struct http_route){"GET", "/token", handle, service};
  routes[1] = (struct http_route){"POST", "/token", handle, service};
}
