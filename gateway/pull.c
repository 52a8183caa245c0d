/*
 * The caller may read the manifest. The happy path from there: the torrents of its blobs are looked
 * up, and made where there are none; of those that do not belong to this repository yet the
 * registry is asked whether the caller may read them here, for a manifest may name whatever its
 * author liked; they are registered; the caller is held against what was revoked until now; and all
 * is answered once the audit log has the tokens, with one sync. What is left when the caller goes
 * away runs out alone.
 */
#include "base/clock.h"
#include "gateway/errand_answer.h"
#include "gateway/hashing.h"
#include "gateway/problem.h"
#include "gateway/pull_internal.h"

#include <inttypes.h>
#include <stdlib.h>

static void fail(const struct pull *p, const struct error *e) {
  request_fail(p->request, "cannot hand out the image", p->manifest->digest, e);
}

/* --- tokens --- */

/* The one place where what holds tokens leaves. */
static void send_answer(struct pull *p) {
  const struct http_field fields[] = {
      {SLICE("Content-Type"), SLICE("application/json")},
      {SLICE("Cache-Control"), SLICE("no-store")},
      {SLICE("ETag"), p->manifest->etag},
  };
  const struct request *r = p->request;
  char *answer = p->answer;
  issue_log(r->gateway->options, &p->issued);
  http_answer(r->x, 200, fields, sizeof fields / sizeof fields[0], slice_str(answer));
  free(answer);
}

static void refuse_unrecorded(struct pull *p, const struct error *e) {
  free(p->answer);
  recording_refuse(p->request, p->manifest->digest, e);
}

static void on_recorded(void *arg, const struct error *e) {
  struct pull *p = arg;
  p->recording = NULL;
  if (e != NULL) {
    refuse_unrecorded(p, e);
  } else {
    send_answer(p);
  }
}

static void on_standing(void *arg, bool good, const struct error *no_telling) {
  struct pull *p = arg;
  struct error e = {0};
  p->standing = NULL;
  if (!good) {
    standing_refuse(p->request, p->manifest->digest, no_telling);
    return;
  }
  if (pull_answer_make(p, &e) != 0) {
    fail(p, &e);
    return;
  }
  p->recording = recording_start(p->request, &p->issued, on_recorded, p, &e);
  if (p->recording == NULL) {
    refuse_unrecorded(p, &e);
  }
}

/* The time comes first: what is revoked later is later than the tokens, too. */
static void issue(struct pull *p) {
  struct error e = {0};
  bool good;
  p->now = clock_now();
  p->standing = standing_ask(p->request, on_standing, p, &good, &e);
  if (p->standing == NULL) {
    on_standing(p, good, e.kind == ERROR_NONE ? NULL : &e);
  }
}

/* --- rights --- */

static void on_registered(void *arg, const struct error *e) {
  struct pull *p = arg;
  p->registration = NULL;
  if (e != NULL) {
    fail(p, e);
  } else {
    issue(p);
  }
}

static void register_all(struct pull *p) {
  struct arena *arena = http_exchange_arena(p->request->x);
  struct slice *digests = arena_alloc(arena, (p->count + 1) * sizeof *digests);
  size_t count = 0;
  struct error e = {0};
  if (digests == NULL) {
    error_set(&e, ERROR_FAILED, "out of memory");
    fail(p, &e);
    return;
  }
  for (size_t i = 0; i < p->count; i++) {
    const struct pull_blob *b = &p->blobs[i];
    if (b->found && !b->registered) {
      digests[count++] = b->digest;
    }
  }
  if (count == 0) {
    issue(p);
    return;
  }
  p->registration = registration_start(p->request, digests, count, on_registered, p, &e);
  if (p->registration == NULL) {
    fail(p, &e);
  }
}

static void cancel_questions(struct pull *p) {
  for (size_t i = 0; i < p->count; i++) {
    authorise_cancel(p->blobs[i].question);
    p->blobs[i].question = NULL;
  }
}

/* \return false when the request was answered. */
static bool take(struct pull_blob *b, const struct delegate_answer *answer,
                 const struct error *why) {
  struct error e = {0};
  bool yes = answer->verdict == DELEGATE_YES || answer->verdict == DELEGATE_YES_IF_SIZE;
  if (yes && authorise_stands(answer, &b->size, &e)) {
    return true;
  }
  cancel_questions(b->pull);
  authorise_refuse(b->pull->request, b->digest, answer, yes ? &e : why);
  return false;
}

static delegate_told on_authorised;

/* Asks as many questions as there is room for. */
static void ask_rights(struct pull *p) {
  while (p->asked < p->count && p->under_way < PULL_QUESTIONS_MAX) {
    struct pull_blob *b = &p->blobs[p->asked++];
    struct delegate_answer known;
    struct error e = {0};
    if (!b->found || b->registered) {
      continue;
    }
    b->question = authorise_ask(p->request, b->digest, on_authorised, b, &known, &e);
    if (b->question != NULL) {
      p->under_way++;
    } else if (!take(b, &known, e.kind == ERROR_NONE ? NULL : &e)) {
      return;
    }
  }
  if (p->under_way == 0) {
    register_all(p);
  }
}

static void on_authorised(void *arg, const struct delegate_answer *answer, const struct error *e) {
  struct pull_blob *b = arg;
  b->question = NULL;
  b->pull->under_way--;
  if (take(b, answer, e)) {
    ask_rights(b->pull);
  }
}

/* --- torrents --- */

static void look_up(struct pull *p);

static void leave_hashing(struct pull *p) {
  for (size_t i = 0; i < p->count; i++) {
    errand_leave(p->blobs[i].hashing);
    p->blobs[i].hashing = NULL;
  }
}

static void answer_later(const struct pull *p) {
  uint64_t done = 0;
  uint64_t size = 0;
  for (size_t i = 0; i < p->count; i++) {
    done += p->blobs[i].found ? p->blobs[i].size : p->blobs[i].done;
    size += p->blobs[i].size;
  }
  errand_answer_later(p->request, p->manifest->digest, done, size);
}

static void on_hashed(void *arg, const struct errand_news *news) {
  struct pull_blob *b = arg;
  struct pull *p = b->pull;
  b->hashing = NULL;
  p->waiting--;
  switch (news->outcome) {
  case ERRAND_DONE:
    b->done = b->size;
    break;
  case ERRAND_UNDER_WAY:
    b->done = news->done;
    p->later = true;
    break;
  default:
    leave_hashing(p);
    errand_answer_refuse(p->request, news);
    return;
  }
  if (p->waiting > 0) {
    return;
  }
  if (p->later) {
    answer_later(p);
  } else {
    p->hashed = true;
    look_up(p);
  }
}

/* What finds no room is asked for when the caller comes again. */
static void hash_missing(struct pull *p) {
  const struct request *r = p->request;
  struct error e = {0};
  for (size_t i = 0; i < p->count && !p->later; i++) {
    struct pull_blob *b = &p->blobs[i];
    const struct errand_question question = {
        .registry = r->upstream->name,
        .repository = r->repository,
        .digest = b->digest,
        .size = b->size,
    };
    if (b->found || b->size == 0) {
      continue;
    }
    b->hashing = hashing_ask(r->gateway->options->hashing, http_exchange_loop(r->x), &question,
                             on_hashed, b, &e);
    p->waiting += b->hashing != NULL;
    p->later = b->hashing == NULL;
  }
  if (p->waiting == 0) {
    errand_answer_full(r, p->manifest->digest, &e);
  }
}

/* \return false when the request was answered. */
static bool find(struct pull_blob *b) {
  struct pull *p = b->pull;
  struct error e = {0};
  b->found = registration_find(p->request, b->digest, http_exchange_arena(p->request->x),
                               &b->record, &b->registered, &e) == 0;
  if (!b->found && e.kind != ERROR_NOT_FOUND) {
    fail(p, &e);
    return false;
  }
  if (b->found && b->record.size != b->size) {
    error_set(&e, ERROR_FAILED,
              "the manifest says that it has %" PRIu64 " bytes, but it has %" PRIu64, b->size,
              b->record.size);
    request_log(p->request, LOG_LEVEL_WARN, "cannot hand out", b->digest, e.text);
    problem_answer(p->request->x, 502, "MANIFEST_INVALID",
                   "the manifest gives a blob another size than it has");
    return false;
  }
  return true;
}

static void look_up(struct pull *p) {
  struct pull_blob *missing = NULL;
  for (size_t i = 0; i < p->count; i++) {
    struct pull_blob *b = &p->blobs[i];
    if (b->size > 0 && !b->found && !find(b)) {
      return;
    }
    missing = b->size > 0 && !b->found ? b : missing;
  }
  if (missing == NULL) {
    ask_rights(p);
  } else if (p->request->gateway->options->hashing == NULL || p->hashed) {
    registration_missing(p->request, missing->digest);
  } else {
    hash_missing(p);
  }
}

static void on_abandoned(void *arg) {
  struct pull *p = arg;
  leave_hashing(p);
  cancel_questions(p);
  registration_leave(p->registration);
  standing_leave(p->standing);
  recording_leave(p->recording);
  free(p->answer);
}

static int list_blobs(struct pull *p, struct error *e) {
  struct arena *arena = http_exchange_arena(p->request->x);
  const struct image_descriptor *blobs =
      image_manifest_blobs(&p->manifest->image, arena, &p->count, e);
  if (blobs == NULL) {
    return -1;
  }
  p->blobs = arena_alloc(arena, (p->count + 1) * sizeof *p->blobs);
  if (p->blobs == NULL) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  for (size_t i = 0; i < p->count; i++) {
    p->blobs[i].pull = p;
    p->blobs[i].digest = slice_str(blobs[i].digest);
    p->blobs[i].size = blobs[i].size;
  }
  return 0;
}

void pull_start(const struct request *r, const struct pull_manifest *m) {
  struct pull *p = arena_alloc(http_exchange_arena(r->x), sizeof *p);
  struct error e = {0};
  if (p == NULL) {
    problem_answer(r->x, 500, "UNKNOWN", "the gateway is out of memory");
    return;
  }
  p->request = r;
  p->manifest = m;
  if (list_blobs(p, &e) != 0) {
    request_log(r, LOG_LEVEL_WARN, "cannot hand out the image", m->digest, e.text);
    problem_answer(r->x, 502, "MANIFEST_INVALID", "the manifest contradicts itself");
  } else if (p->count > PULL_BLOBS_MAX) {
    problem_answer(r->x, 400, "UNSUPPORTED",
                   "the image has more blobs than one answer has room for: ask for their torrents "
                   "one by one");
  } else {
    http_exchange_on_abandoned(r->x, on_abandoned, p);
    look_up(p);
  }
}
