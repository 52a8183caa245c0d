/*
 * What happens once it is clear who asks: it is decided what is granted, the token is signed, a
 * refresh token made where one is wanted, both are recorded, the latter is stored, and only then
 * the answer leaves.
 */
#include "base/base64.h"
#include "base/clock.h"
#include "base/hex.h"
#include "base/rfc3339.h"
#include "db/revocation_store.h"
#include "gateway/problem.h"
#include "gateway/token_internal.h"

#include <jansson.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdlib.h>

enum {
  REFRESH_BYTES = 32,
  ID = 32, /* characters of a `jti` */
};

/* May outlive the request. */
struct token_issue {
  struct token_asking *asking; /* NULL: nobody waits any more */
  struct token_grant grant;    /* of the request, as what it says is */
  struct slice subject;        /* `registry/user`; in text */
  int64_t now;
  struct buf token;
  char id[ID + 1];
  bool stores; /* a refresh token is given out */
  char refresh[BASE64_SPACE(REFRESH_BYTES)];
  char refresh_id[ID + 1];
  struct refresh_hash hash;
  struct refresh_record record; /* in text, as the password's hash */
  struct slice password;
  char text[];
};

static void free_issue(struct token_issue *issue) {
  explicit_bzero(issue->refresh, sizeof issue->refresh);
  buf_free(&issue->token);
  free(issue);
}

void token_issue_abandon(struct token_issue *issue) {
  issue->asking = NULL;
}

/* --- the answer --- */

static void set(json_t *json, const char *name, struct slice text, bool *failed) {
  *failed |= json_object_set_new(json, name, json_stringn(text.ptr, text.len)) != 0;
}

static char *make_body(const struct token_issue *issue, const struct token_asking *a) {
  char issued_at[RFC3339_TEXT_MAX];
  json_t *json = json_object();
  bool failed = false;
  rfc3339_print(issue->now * 1000, issued_at);
  set(json, "token", buf_view(&issue->token), &failed);
  set(json, "access_token", buf_view(&issue->token), &failed);
  failed |= json_object_set_new(json, "expires_in", json_integer(a->service->options->ttl)) != 0;
  set(json, "issued_at", slice_str(issued_at), &failed);
  if (a->post) {
    set(json, "scope", issue->grant.scope, &failed);
  }
  if (issue->stores) {
    set(json, "refresh_token", slice_str(issue->refresh), &failed);
  } else if (a->request.proof == TOKEN_REQUEST_REFRESH && a->request.offline) {
    set(json, "refresh_token", a->request.refresh, &failed);
  }
  char *text = failed ? NULL : json_dumps(json, JSON_COMPACT);
  json_decref(json);
  return text;
}

/* Who gets nothing of what he asked for hears of it from the registry alone. */
static void log_issued(const struct token_issue *issue, const struct token_asking *a) {
  bool nothing = issue->grant.count == 0 && a->request.scopes.count > 0;
  struct slice what = issue->grant.count == 0 ? token_wanted(a) : issue->grant.scope;
  struct slice less = token_missing(a, &issue->grant);
  log_write(a->service->options->log, LOG_LEVEL_INFO,
            "issued registry token %s to %.*s for %s%.*s%.*s%s%s%s", issue->id,
            SLICE_ARG(issue->subject), nothing ? "nothing: no right to " : "", SLICE_ARG(what),
            SLICE_ARG(less), nothing ? "; see `swarmgate user list`" : "",
            issue->stores ? ", and refresh token " : "", issue->stores ? issue->refresh_id : "");
}

static void answer(const struct token_issue *issue, const struct token_asking *a) {
  static const struct http_field fields[] = {
      {SLICE("Content-Type"), SLICE("application/json")},
      {SLICE("Cache-Control"), SLICE("no-store")},
  };
  char *body = make_body(issue, a);
  if (body == NULL) {
    const struct error e = {ERROR_FAILED, "out of memory"};
    token_fail(a, 500, &e);
    return;
  }
  log_issued(issue, a);
  http_answer(a->x, 200, fields, sizeof fields / sizeof *fields, slice_str(body));
  free(body);
}

/* --- a refresh token --- */

/* Who revokes a user removes what is stored by then; the record of it goes one day, and must not
 * leave a token behind that was decided on before and stored after. */
static bool was_revoked(struct db_txn *txn, const struct token_issue *issue) {
  struct revocation_record revocation;
  return revocation_store_get(txn, REVOCATION_SUB, issue->subject, &revocation, NULL) == 0 &&
         revocation.at >= issue->now;
}

static int write_refresh(struct db_txn *txn, void *arg, struct error *e) {
  const struct token_issue *issue = arg;
  if (was_revoked(txn, issue)) {
    return error_set(e, ERROR_DENIED, "the user was revoked meanwhile");
  }
  return refresh_store_put(txn, &issue->hash, &issue->record, issue->password, e);
}

static void on_stored(void *arg, const struct error *e) {
  struct token_issue *issue = arg;
  struct token_asking *a = issue->asking;
  if (a != NULL) {
    a->issue = NULL;
    if (e == NULL) {
      answer(issue, a);
    } else if (e->kind == ERROR_DENIED) {
      token_refuse(a, "the user has another password by now, or was revoked: log in again",
                   e->text);
    } else {
      token_fail(a, 500, e);
    }
  }
  free_issue(issue);
}

static int make_refresh(struct token_issue *issue, struct error *e) {
  unsigned char bytes[REFRESH_BYTES];
  if (RAND_bytes(bytes, sizeof bytes) != 1) {
    return error_set(e, ERROR_FAILED, "no random numbers from the system");
  }
  size_t len = base64_encode(BASE64_URL, bytes, sizeof bytes, issue->refresh);
  explicit_bzero(bytes, sizeof bytes);
  SHA256((const unsigned char *)issue->refresh, len, issue->hash.bytes);
  hex_encode(issue->hash.bytes, ID / 2, issue->refresh_id);
  issue->record.issued = issue->now;
  issue->record.expires = issue->now + TOKEN_SERVICE_REFRESH_SECONDS;
  return 0;
}

static void store(struct token_issue *issue, struct token_asking *a) {
  struct error e = {0};
  if (db_write(a->service->options->db, http_exchange_loop(a->x), write_refresh, issue, on_stored,
               &e) != 0) {
    a->issue = NULL;
    token_fail(a, 500, &e);
    free_issue(issue);
  }
}

/* --- the audit log --- */

static void on_recorded(void *arg, const struct error *e) {
  struct token_issue *issue = arg;
  struct token_asking *a = issue->asking;
  if (a != NULL && e == NULL && issue->stores) {
    store(issue, a);
    return;
  }
  if (a != NULL) {
    a->issue = NULL;
    if (e != NULL) {
      token_fail(a, 503, e);
    } else {
      answer(issue, a);
    }
  }
  free_issue(issue);
}

static void record(struct token_issue *issue, struct token_asking *a) {
  const struct token_service_options *o = a->service->options;
  char from[ADDRESS_TEXT_MAX];
  struct error e = {0};
  address_print(http_request_peer(a->x), from);
  const struct audit_event token = {
      .event = SLICE("token"),
      .kind = SLICE("registry"),
      .jti = slice_str(issue->id),
      .sub = issue->subject,
      .registry = slice_str(o->registry),
      .access = issue->grant.scopes,
      .access_count = issue->grant.count,
      .exp = issue->now + o->ttl,
      .from = slice_str(from),
  };
  const struct audit_event events[] = {
      token,
      {
          .event = SLICE("token"),
          .kind = SLICE("refresh"),
          .jti = slice_str(issue->refresh_id),
          .sub = issue->subject,
          .registry = slice_str(o->registry),
          .exp = issue->record.expires,
          .from = slice_str(from),
      },
  };
  if (audit_write(o->audit, http_exchange_loop(a->x), events, issue->stores ? 2 : 1, on_recorded,
                  issue, &e) != 0) {
    a->issue = NULL;
    token_fail(a, 503, &e);
    free_issue(issue);
  }
}

/* --- the token --- */

static struct slice keep(char **at, struct slice s) {
  char *copy = *at;
  if (s.len > 0) {
    memcpy(copy, s.ptr, s.len);
  }
  *at += s.len;
  return slice_of(copy, s.len);
}

/* What the database needs is copied, for it may come to it when the request is gone. */
static struct token_issue *make_issue(struct token_asking *a) {
  struct slice service = slice_str(a->service->options->service);
  struct slice registry = slice_str(a->service->options->registry);
  struct token_issue *issue =
      calloc(1, sizeof *issue + registry.len + 1 + a->user.name.len + service.len +
                    a->request.client.len + a->user.password.len);
  if (issue != NULL) {
    char *at = issue->text;
    issue->asking = a;
    issue->stores = a->request.proof == TOKEN_REQUEST_PASSWORD && a->request.offline;
    keep(&at, registry);
    keep(&at, SLICE("/"));
    issue->record.user = keep(&at, a->user.name);
    issue->subject = slice_of(issue->text, (size_t)(at - issue->text));
    issue->record.service = keep(&at, service);
    issue->record.client = keep(&at, a->request.client);
    issue->password = keep(&at, a->user.password);
  }
  return issue;
}

static int sign(struct token_issue *issue, const struct token_asking *a, struct error *e) {
  const struct token_service_options *o = a->service->options;
  if (token_new_id(issue->id, e) != 0) {
    return -1;
  }
  const struct token t = {
      .kind = TOKEN_REGISTRY,
      .subject = a->user.name,
      .id = slice_str(issue->id),
      .not_before = issue->now,
      .issued = issue->now,
      .expires = issue->now + o->ttl,
      .access = issue->grant.access,
      .access_count = issue->grant.count,
  };
  return keyring_sign(o->keyring, &t, &issue->token, e);
}

/* Nothing of the database's is wanted for it, so that what is too long is said before. */
static void issue_token(struct token_asking *a, const struct token_grant *grant, int64_t now) {
  struct error e = {0};
  struct token_issue *issue = make_issue(a);
  if (issue == NULL) {
    error_set(&e, ERROR_FAILED, "out of memory");
    token_fail(a, 500, &e);
    return;
  }
  issue->grant = *grant;
  issue->now = now;
  if (sign(issue, a, &e) != 0 || (issue->stores && make_refresh(issue, &e) != 0)) {
    free_issue(issue);
    if (e.kind == ERROR_USAGE) {
      token_log_refusal(a, "the token would be too long; it may ask for less at once");
      problem_answer(a->x, 400, "UNSUPPORTED",
                     "the token for all that is asked for would be too long: ask for less at once");
    } else {
      token_fail(a, 500, &e);
    }
    return;
  }
  a->issue = issue;
  record(issue, a);
}

/* --- the decision --- */

static bool is_barred(const struct revocation_set *set, struct slice registry, struct slice user,
                      int64_t now) {
  int64_t until;
  return set != NULL &&
         revocation_set_bars(set, revocation_name_in(registry, user), 0, now, &until) != 0;
}

/* A refresh token that is older than a revocation of its user. */
static bool is_outdated(const struct token_asking *a, const struct revocation_set *set) {
  return set != NULL && a->request.proof == TOKEN_REQUEST_REFRESH &&
         revocation_set_refuses_name(
             set, REVOCATION_SUB,
             revocation_name_in(slice_str(a->service->options->registry), a->user.name),
             a->refresh.issued);
}

static bool is_one_too_many(const struct token_asking *a, uint64_t *wait_ms) {
  static const struct quota_share share = {.most = TOKEN_SERVICE_ANONYMOUS_MAX,
                                           .while_ms = TOKEN_SERVICE_ANONYMOUS_MS};
  *wait_ms = quota_take(a->service->anonymous, guesses_place(http_request_peer(a->x)), share,
                        clock_monotonic_ms());
  return *wait_ms > 0;
}

static void decide(struct token_asking *a) {
  const struct token_service_options *o = a->service->options;
  struct arena *arena = http_exchange_arena(a->x);
  const struct revocation_set *set =
      o->revocations == NULL ? NULL : revocations_hold(o->revocations, NULL);
  const struct token_grant_rules rules = {
      .anonymous = o->anonymous,
      .anonymous_count = o->anonymous_count,
      .grants = a->user.grants,
      .grant_count = a->user.grant_count,
      .registry = slice_str(o->registry),
      .revocations = set,
  };
  int64_t now = a->now;
  uint64_t wait_ms;
  struct token_grant grant;
  struct error e = {0};
  bool outdated = is_outdated(a, set);
  bool barred = is_barred(set, rules.registry, a->user.name, now);
  int result = token_grant_decide(&rules, &a->request.scopes, now, arena, &grant, &e);
  if (set != NULL) {
    revocations_release(o->revocations);
  }
  struct slice subject = arena_printf(arena, "%s/%.*s", o->registry, SLICE_ARG(a->user.name));
  if (result != 0 || subject.ptr == NULL) {
    error_set(&e, ERROR_FAILED, "out of memory");
    token_fail(a, 500, &e);
  } else if (outdated) {
    token_refuse(a, TOKEN_REFRESH_ENDED,
                 "the refresh token is older than a revocation of its user; log in again");
  } else if (barred) {
    token_log_refusal(a, "this user is revoked; see `swarmgate revoke list`, and `swarmgate revoke "
                         "remove` takes it back");
    problem_answer(a->x, 403, "DENIED", "nothing is issued to this user now: it was revoked");
  } else if (!a->named && grant.count == 0) {
    token_refuse(a, "a user name and password are wanted for this",
                 "a user name and password are wanted; token_service.anonymous_pull does not have "
                 "it");
  } else if (!a->named && is_one_too_many(a, &wait_ms)) {
    token_refuse_for_now(a, "too many tokens without credentials for this address: wait, or log in",
                         wait_ms);
  } else {
    issue_token(a, &grant, now);
  }
}

static void on_known(void *arg, const struct error *e) {
  struct token_asking *a = arg;
  a->wait = NULL;
  if (e != NULL) {
    token_fail(a, 503, e);
  } else {
    decide(a);
  }
}

/* What is revoked after this is later than what is issued here says that it was. */
void token_issue_start(struct token_asking *a) {
  struct revocation_watch *watch = a->service->options->watch;
  struct error e = {0};
  a->now = clock_now();
  if (watch != NULL) {
    a->wait = revocation_wait_start(watch, http_exchange_loop(a->x), on_known, a, &e);
  }
  if (e.kind != ERROR_NONE) {
    token_fail(a, 503, &e);
  } else if (a->wait == NULL) {
    decide(a);
  }
}
