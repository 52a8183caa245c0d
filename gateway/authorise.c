#include "gateway/authorise.h"

#include "base/clock.h"
#include "gateway/delegate_cache.h"
#include "gateway/problem.h"

#include <stdio.h>

struct authorise {
  struct delegate_cache *cache;
  struct delegate_ticket ticket;
  struct delegate *delegate;
  delegate_told *told;
  void *arg;
};

static void on_told(void *arg, const struct delegate_answer *answer, const struct error *e) {
  struct authorise *a = arg;
  delegate_cache_keep(a->cache, &a->ticket, answer);
  a->told(a->arg, answer, e);
}

struct authorise *authorise_ask(const struct request *r, struct slice digest, delegate_told *told,
                                void *arg, struct delegate_answer *known, struct error *e) {
  struct arena *arena = http_exchange_arena(r->x);
  struct delegate_cache *cache = r->gateway->options->delegate_cache;
  struct delegate_ticket ticket;
  const struct delegate_question question = {
      .repository = r->repository.ptr,
      .digest = digest.ptr,
      .authorization = r->caller.authorization,
  };
  if (delegate_cache_find(cache, r->upstream->name, &question, clock_monotonic_ms(), &ticket,
                          known)) {
    return NULL;
  }
  *known = (struct delegate_answer){.verdict = DELEGATE_UNCLEAR};
  struct authorise *a = arena_alloc(arena, sizeof *a);
  if (a == NULL) {
    error_set(e, ERROR_FAILED, "out of memory");
    return NULL;
  }
  *a = (struct authorise){.cache = cache, .ticket = ticket, .told = told, .arg = arg};
  a->delegate = delegate_ask(r->upstream->client, &question, arena, on_told, a, e);
  return a->delegate == NULL ? NULL : a;
}

void authorise_cancel(struct authorise *question) {
  if (question != NULL) {
    delegate_cancel(question->delegate);
  }
}

/* What the caller is not told apart, the operator may want to. */
static void log_refusal(const struct request *r, struct slice digest, const char *why) {
  request_log(r, LOG_LEVEL_DEBUG, "nothing is handed out for", digest, why);
}

void authorise_refuse(const struct request *r, struct slice digest,
                      const struct delegate_answer *answer, const struct error *e) {
  char why[64];
  switch (answer->verdict) {
  case DELEGATE_CHALLENGE:
    log_refusal(r, digest, "the registry wants credentials, or others than the caller's");
    problem_challenge(r->x, answer->challenge);
    break;
  case DELEGATE_HIDDEN:
    log_refusal(r, digest, "the registry does not have it, or hides it from the caller");
    problem_answer(r->x, 404, "BLOB_UNKNOWN",
                   "no such blob in this repository, or no right to read it");
    break;
  default:
    snprintf(why, sizeof why, "the registry answered with status %d", answer->status);
    request_log(r, LOG_LEVEL_WARN, "cannot authorise a caller for", digest,
                e == NULL ? why : e->text);
    problem_answer(r->x, 502, "UNAVAILABLE",
                   "the registry gave no clear answer whether this blob may be read");
    break;
  }
}

bool authorise_stands(const struct delegate_answer *answer, const uint64_t *size,
                      struct error *why) {
  if (answer->verdict == DELEGATE_YES || (size != NULL && *size == answer->size)) {
    return true;
  }
  error_set(why, ERROR_FAILED, "the registry names no digest and %s",
            size == NULL ? "the size is not known" : "another size");
  return false;
}
