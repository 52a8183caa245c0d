/*
 * Where `authorise: delegate` stands, the registry is asked with the caller's own header. Where
 * `authorise: token` stands, request.c has verified the caller's token; then one that may pull the
 * repository is enough for a blob whose torrent is registered to it, and for any other blob the
 * registry is asked with it, for a manifest with the gateway's own; and what a token that is none
 * is answered with is learnt from the registry by asking without credentials.
 */
#include "gateway/authorise.h"

#include "base/clock.h"
#include "gateway/challenges.h"
#include "gateway/delegate_cache.h"
#include "gateway/problem.h"
#include "gateway/registration.h"
#include "gateway/standing.h"
#include "image/challenge.h"
#include "image/reference.h"

#include <stdio.h>

struct authorise {
  const struct request *request;
  bool own;                      /* it is asked with the gateway's own credentials */
  struct delegate_ticket ticket; /* zero for a question that is not the caller's */
  struct delegate *delegate;
  delegate_told *told;
  void *arg;
};

/* Whether the registry is asked with what the caller has shown, so that a yes is the caller's. */
static bool asks_for_caller(const struct request *r) {
  return r->right == BEARER_UNREAD || r->right == BEARER_PULL;
}

/* Whether the registry is asked without credentials, and what it then wants is to be remembered. */
static bool learns_challenge(const struct request *r) {
  return r->upstream->by_token && r->right != BEARER_PULL;
}

/* What the caller is told of what the registry said. A token that will not do never makes a yes of
 * what the registry says to nobody in particular, and a yes to who is revoked is none. */
static struct delegate_answer answer_of(const struct request *r,
                                        const struct delegate_answer *said) {
  struct delegate_answer answer = *said;
  bool yes = said->verdict == DELEGATE_YES || said->verdict == DELEGATE_YES_IF_SIZE;
  if (r->right == BEARER_INVALID && yes) {
    answer.verdict = DELEGATE_CHALLENGE;
    answer.challenge = SLICE("Bearer error=\"invalid_token\"");
  } else if (yes && (r->right == BEARER_NARROW || !standing_good(r))) {
    answer.verdict = DELEGATE_HIDDEN;
    answer.revoked = r->right != BEARER_NARROW;
  } else if (r->right == BEARER_NARROW && said->verdict == DELEGATE_CHALLENGE) {
    answer.challenge = challenges_narrow(said->challenge, r->repository, http_exchange_arena(r->x));
    answer.verdict = answer.challenge.ptr == NULL ? DELEGATE_HIDDEN : DELEGATE_CHALLENGE;
  }
  return answer;
}

static void on_told(void *arg, const struct delegate_answer *said, const struct error *e) {
  struct authorise *a = arg;
  const struct request *r = a->request;
  struct delegate_answer answer = answer_of(r, said);
  if (a->own && said->verdict == DELEGATE_CHALLENGE) {
    answer = (struct delegate_answer){.verdict = DELEGATE_UNCLEAR, .status = said->status};
  }
  if (learns_challenge(r) && said->verdict == DELEGATE_CHALLENGE) {
    challenges_keep(r->upstream->challenges, r->repository, said->challenge, clock_monotonic_ms());
  }
  delegate_cache_keep(r->gateway->options->delegate_cache, &a->ticket, said);
  a->told(a->arg, &answer, e);
}

/* Whether the blob's torrent is registered to the repository, so that it is known to be there. */
static bool is_registered(const struct request *r, struct slice digest) {
  struct arena arena = {0};
  struct torrent_record record;
  bool registered;
  registration_find(r, digest, &arena, &record, &registered, NULL);
  arena_free(&arena);
  return registered;
}

/* Answers what needs no question. \return false when the registry has to be asked. */
static bool is_known(const struct request *r, const struct delegate_question *question,
                     struct slice digest, struct delegate_ticket *ticket,
                     struct delegate_answer *known) {
  uint64_t now = clock_monotonic_ms();
  struct delegate_answer said = {.verdict = DELEGATE_YES};
  bool own = question->authorization.ptr == NULL;
  if ((r->right == BEARER_PULL && !question->manifest && is_registered(r, digest)) ||
      (asks_for_caller(r) && !own && image_digest_valid(digest) &&
       delegate_cache_find(r->gateway->options->delegate_cache, r->upstream->name, question, now,
                           ticket, &said))) {
    *known = answer_of(r, &said);
    return true;
  }
  if (learns_challenge(r)) {
    said = (struct delegate_answer){
        .verdict = DELEGATE_CHALLENGE,
        .status = 401,
        .challenge = challenges_find(r->upstream->challenges, r->repository, now),
    };
    *known = answer_of(r, &said);
    return said.challenge.ptr != NULL;
  }
  return false;
}

static struct authorise *ask(const struct request *r, const struct delegate_question *question,
                             delegate_told *told, void *arg, struct delegate_answer *known,
                             struct error *e) {
  struct arena *arena = http_exchange_arena(r->x);
  struct delegate_ticket ticket = {0};
  if (is_known(r, question, slice_str(question->digest), &ticket, known)) {
    return NULL;
  }
  *known = (struct delegate_answer){.verdict = DELEGATE_UNCLEAR};
  struct authorise *a = arena_alloc(arena, sizeof *a);
  if (a == NULL) {
    error_set(e, ERROR_FAILED, "out of memory");
    return NULL;
  }
  *a = (struct authorise){.request = r,
                          .own = question->authorization.ptr == NULL,
                          .ticket = ticket,
                          .told = told,
                          .arg = arg};
  a->delegate = delegate_ask(r->upstream->client, question, arena, on_told, a, e);
  return a->delegate == NULL ? NULL : a;
}

struct authorise *authorise_ask(const struct request *r, struct slice digest, delegate_told *told,
                                void *arg, struct delegate_answer *known, struct error *e) {
  const struct delegate_question question = {
      .repository = r->repository.ptr,
      .digest = digest.ptr,
      .authorization = asks_for_caller(r) ? r->caller.authorization : SLICE(""),
  };
  return ask(r, &question, told, arg, known, e);
}

struct authorise *authorise_ask_manifest(const struct request *r, delegate_told *told, void *arg,
                                         struct delegate_answer *known, struct error *e) {
  const struct delegate_question question = {
      .repository = r->repository.ptr,
      .digest = r->reference.ptr,
      .manifest = true,
      .authorization = r->right == BEARER_PULL ? slice_of(NULL, 0)
                       : asks_for_caller(r)    ? r->caller.authorization
                                               : SLICE(""),
  };
  return ask(r, &question, told, arg, known, e);
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

/* Whether the registry takes bearer tokens and nothing else. */
static bool wants_bearer(struct slice challenge, struct arena *arena) {
  struct challenge one;
  bool bearer = false;
  while (challenge_next(&challenge, arena, &one)) {
    if (one.scheme == CHALLENGE_BASIC) {
      return false;
    }
    bearer |= one.scheme == CHALLENGE_BEARER && one.realm.len > 0;
  }
  return bearer;
}

/* Who sends user name and password to a registry of tokens is told where they are wanted; in the
 * field alone, for what a registry says there may be anything. */
static void answer_challenge(const struct request *r, struct slice challenge) {
  if (r->caller.authorization.len > 0 && !r->caller.bearer &&
      wants_bearer(challenge, http_exchange_arena(r->x))) {
    problem_unauthorized(r->x, challenge,
                         "a bearer token of the realm in WWW-Authenticate is wanted, not a user "
                         "name and password");
  } else {
    problem_challenge(r->x, challenge);
  }
}

void authorise_hide(const struct request *r) {
  if (r->manifest) {
    problem_answer(r->x, 404, "MANIFEST_UNKNOWN",
                   "no such manifest in this repository, or no right to read it");
  } else {
    problem_answer(r->x, 404, "BLOB_UNKNOWN",
                   "no such blob in this repository, or no right to read it");
  }
}

void authorise_refuse(const struct request *r, struct slice digest,
                      const struct delegate_answer *answer, const struct error *e) {
  char why[64];
  switch (answer->verdict) {
  case DELEGATE_CHALLENGE:
    log_refusal(r, digest, "the registry wants credentials, or others than the caller's");
    answer_challenge(r, answer->challenge);
    break;
  case DELEGATE_HIDDEN:
    if (answer->revoked) {
      standing_refuse(r, digest, NULL);
      break;
    }
    log_refusal(r, digest, "the registry does not have it, or hides it from the caller");
    authorise_hide(r);
    break;
  default:
    snprintf(why, sizeof why, "the registry answered with status %d", answer->status);
    request_log(r, LOG_LEVEL_WARN, "cannot authorise a caller for", digest,
                e == NULL ? why : e->text);
    problem_answer(r->x, 502, "UNAVAILABLE",
                   "the registry gave no clear answer whether this may be read");
    break;
  }
}

bool authorise_stands(const struct delegate_answer *answer, const uint64_t *size,
                      struct error *why) {
  if (answer->verdict == DELEGATE_YES ||
      (answer->verdict == DELEGATE_YES_IF_SIZE && size != NULL && *size == answer->size)) {
    return true;
  }
  error_set(why, ERROR_FAILED, "the registry names no digest and %s",
            size == NULL ? "the size is not known" : "another size");
  return false;
}
