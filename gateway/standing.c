#include "gateway/standing.h"

#include "base/clock.h"
#include "gateway/authorise.h"
#include "gateway/problem.h"

/* In the exchange's arena. */
struct standing {
  const struct request *request;
  struct revocation_wait *wait;
  standing_told *told;
  void *arg;
};

static uint64_t name_of(struct slice value) {
  return value.len == 0 ? 0 : revocation_name(value);
}

static bool is_good(const struct request *r, const struct revocation_set *set) {
  const struct caller *caller = &r->caller;
  const struct revocation_names names = {
      .jti = name_of(caller->token_id),
      .sub = revocation_name(caller->subject),
      .repository = revocation_name_in(r->upstream->name, r->repository),
      .kid = name_of(r->verified_by),
      .header_kid = name_of(caller->key_id),
  };
  int64_t until;
  return revocation_set_bars(set, names.sub, names.repository, clock_now(), &until) == 0 &&
         !(caller->bearer && revocation_set_refuses(set, &names, caller->issued) != 0);
}

bool standing_good(const struct request *r) {
  struct revocations *revocations = r->gateway->options->revocations;
  bool good = is_good(r, revocations_hold(revocations, NULL));
  revocations_release(revocations);
  return good;
}

static void on_told(void *arg, const struct error *e) {
  struct standing *s = arg;
  s->told(s->arg, e == NULL && standing_good(s->request), e);
}

struct standing *standing_ask(const struct request *r, standing_told *told, void *arg, bool *good,
                              struct error *e) {
  struct standing *s = arena_alloc(http_exchange_arena(r->x), sizeof *s);
  struct error why = {0};
  *good = false;
  if (s == NULL) {
    error_set(e, ERROR_FAILED, "out of memory");
    return NULL;
  }
  *s = (struct standing){.request = r, .told = told, .arg = arg};
  s->wait =
      revocation_wait_start(r->gateway->options->watch, http_exchange_loop(r->x), on_told, s, &why);
  if (s->wait != NULL) {
    return s;
  }
  *good = why.kind == ERROR_NONE && standing_good(r);
  if (why.kind != ERROR_NONE) {
    error_set(e, why.kind, "%s", why.text);
  }
  return NULL;
}

void standing_leave(struct standing *standing) {
  if (standing != NULL) {
    revocation_wait_leave(standing->wait);
  }
}

void standing_refuse(const struct request *r, struct slice digest, const struct error *e) {
  if (e == NULL) {
    refusals_log(r->gateway->refusals, http_request_peer(r->x), "nothing is handed out",
                 ", user %.*s, who asked for %.*s of %.*s/%.*s: user, repository or token is "
                 "revoked; see `swarmgate revoke list`",
                 SLICE_ARG(r->caller.subject), SLICE_ARG(digest), SLICE_ARG(r->upstream->name),
                 SLICE_ARG(r->repository));
    authorise_hide(r);
    return;
  }
  request_log(r, LOG_LEVEL_WARN, "cannot tell what is revoked before tokens leave for", digest,
              e->text);
  problem_answer(r->x, 503, "UNAVAILABLE",
                 "the gateway cannot tell what is revoked, and so hands out nothing; its log says "
                 "why");
}
