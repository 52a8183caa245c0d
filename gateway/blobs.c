/*
 * GET /v1/<name>/blobs/<digest>. The happy path: the caller may read the blob, its torrent is
 * looked up, made when there is none, registered to this repository when it was not, the caller is
 * held against what was revoked until now, and it is made with fresh tokens, and answered once the
 * audit log has them.
 * Each step that fails answers at once; when the caller goes away, the question to the registry is
 * cancelled, and what is on its way to the disk runs out alone.
 */
#include "base/clock.h"
#include "gateway/authorise.h"
#include "gateway/errand_answer.h"
#include "gateway/hashing.h"
#include "gateway/problem.h"
#include "gateway/recording.h"
#include "gateway/registration.h"
#include "gateway/standing.h"
#include "image/reference.h"

/** SHA-256 of no bytes. */
#define EMPTY_BLOB "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

/** One request; in the exchange's arena. */
struct handout {
  const struct request *request;
  struct authorise *question;    /**< while the registry is being asked */
  struct delegate_answer answer; /**< its yes */
  struct torrent_record record;
  struct errand_wait *hashing;       /**< while the torrent is being made */
  bool hashed;                       /**< it was */
  struct registration *registration; /**< while it is being written */
  int64_t now;                       /**< `iat` of the tokens in the answer */
  struct standing *standing;         /**< while it is asked for */
  struct recording *recording;       /**< while the tokens are being written into the audit log */
  struct issued issued;
  struct slice disposition;
  struct buf file; /**< the answer; freed when it was sent or is not wanted */
};

static void fail(const struct handout *h, const struct error *e) {
  request_fail(h->request, "cannot hand out the torrent of", h->request->reference, e);
}

/* The one place where what holds tokens leaves. */
static void send_answer(struct handout *h) {
  const struct http_field fields[] = {
      {SLICE("Content-Type"), SLICE("application/x-bittorrent")},
      {SLICE("Content-Disposition"), h->disposition},
      {SLICE("Cache-Control"), SLICE("no-store")},
  };
  const struct request *r = h->request;
  struct buf file = h->file;
  issue_log(r->gateway->options, &h->issued);
  http_answer(r->x, 200, fields, sizeof fields / sizeof fields[0], buf_view(&file));
  buf_free(&file);
}

static int make(struct handout *h, struct error *e) {
  const struct request *r = h->request;
  struct arena *arena = http_exchange_arena(r->x);
  const struct issue_grant grant = request_grant(r);
  struct slice name = issue_name(r->reference, arena);
  h->disposition = arena_printf(arena, "attachment; filename=\"%.*s.torrent\"", SLICE_ARG(name));
  if (name.ptr == NULL || h->disposition.ptr == NULL) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  return issue_torrent(r->gateway->options, &grant, &h->record, h->now, arena, &h->issued, &h->file,
                       e);
}

static void refuse_unrecorded(struct handout *h, const struct error *e) {
  buf_free(&h->file);
  recording_refuse(h->request, h->request->reference, e);
}

static void on_recorded(void *arg, const struct error *e) {
  struct handout *h = arg;
  h->recording = NULL;
  if (e != NULL) {
    refuse_unrecorded(h, e);
  } else {
    send_answer(h);
  }
}

static void on_standing(void *arg, bool good, const struct error *no_telling) {
  struct handout *h = arg;
  struct error e = {0};
  h->standing = NULL;
  if (!good) {
    standing_refuse(h->request, h->request->reference, no_telling);
    return;
  }
  if (make(h, &e) != 0) {
    buf_free(&h->file);
    fail(h, &e);
    return;
  }
  h->recording = recording_start(h->request, &h->issued, on_recorded, h, &e);
  if (h->recording == NULL) {
    refuse_unrecorded(h, &e);
  }
}

/* The time comes first: what is revoked later is later than the tokens, too. */
static void issue(struct handout *h) {
  struct error e = {0};
  bool good;
  h->now = clock_now();
  h->standing = standing_ask(h->request, on_standing, h, &good, &e);
  if (h->standing == NULL) {
    on_standing(h, good, e.kind == ERROR_NONE ? NULL : &e);
  }
}

static void on_registered(void *arg, const struct error *e) {
  struct handout *h = arg;
  h->registration = NULL;
  if (e != NULL) {
    fail(h, e);
  } else {
    issue(h);
  }
}

/* The registry has just said that the caller may read this blob in this repository, so whoever else
 * may pull the repository may join the swarm too. */
static void register_torrent(struct handout *h) {
  struct error e = {0};
  h->registration = registration_start(h->request, &h->request->reference, 1, on_registered, h, &e);
  if (h->registration == NULL) {
    fail(h, &e);
  }
}

static void hand_out(struct handout *h);

static void on_hashed(void *arg, const struct errand_news *news) {
  struct handout *h = arg;
  h->hashing = NULL;
  switch (news->outcome) {
  case ERRAND_DONE:
    h->hashed = true;
    hand_out(h);
    break;
  case ERRAND_UNDER_WAY:
    errand_answer_later(h->request, h->request->reference, news->done, news->size);
    break;
  default:
    errand_answer_refuse(h->request, news);
    break;
  }
}

/* A yes that depends on the size is looked at again when it is known by the bytes. */
static void hash(struct handout *h) {
  const struct request *r = h->request;
  struct hashing *hashing = r->gateway->options->hashing;
  const struct errand_question question = {
      .registry = r->upstream->name,
      .repository = r->repository,
      .digest = r->reference,
      .size = h->answer.verdict == DELEGATE_YES_IF_SIZE ? h->answer.size : ERRAND_SIZE_UNKNOWN,
  };
  struct error e = {0};
  if (hashing == NULL || h->hashed) {
    if (authorise_stands(&h->answer, NULL, &e)) {
      registration_missing(r, r->reference);
    } else {
      authorise_refuse(r, r->reference, &h->answer, &e);
    }
    return;
  }
  h->hashing = hashing_ask(hashing, http_exchange_loop(r->x), &question, on_hashed, h, &e);
  if (h->hashing == NULL) {
    errand_answer_full(r, r->reference, &e);
  }
}

/* The torrent is looked up only now: a caller without a right makes the gateway hold nothing. */
static void hand_out(struct handout *h) {
  const struct request *r = h->request;
  struct error e = {0};
  bool registered;
  bool found = registration_find(r, r->reference, http_exchange_arena(r->x), &h->record,
                                 &registered, &e) == 0;
  if (!found && e.kind != ERROR_NOT_FOUND) {
    fail(h, &e);
  } else if (slice_equal(r->reference, SLICE(EMPTY_BLOB))) {
    problem_answer(r->x, 404, "BLOB_UNKNOWN", "an empty blob has no torrent");
  } else if (!found) {
    hash(h);
  } else if (!authorise_stands(&h->answer, &h->record.size, &e)) {
    authorise_refuse(r, r->reference, &h->answer, &e);
  } else if (registered) {
    issue(h);
  } else {
    register_torrent(h);
  }
}

static void on_authorised(void *arg, const struct delegate_answer *answer, const struct error *e) {
  struct handout *h = arg;
  h->question = NULL;
  if (answer->verdict == DELEGATE_YES || answer->verdict == DELEGATE_YES_IF_SIZE) {
    h->answer = *answer;
    hand_out(h);
  } else {
    authorise_refuse(h->request, h->request->reference, answer, e);
  }
}

static void on_abandoned(void *arg) {
  struct handout *h = arg;
  authorise_cancel(h->question);
  errand_leave(h->hashing);
  registration_leave(h->registration);
  standing_leave(h->standing);
  recording_leave(h->recording);
  buf_free(&h->file);
}

void blobs_handle(struct request *r) {
  struct delegate_answer known;
  struct error e = {0};
  if (!image_digest_valid(r->reference)) {
    problem_digest(r->x);
    return;
  }
  struct handout *h = arena_alloc(http_exchange_arena(r->x), sizeof *h);
  if (h == NULL) {
    problem_answer(r->x, 500, "UNKNOWN", "the gateway is out of memory");
    return;
  }
  h->request = r;
  http_exchange_on_abandoned(r->x, on_abandoned, h);
  h->question = authorise_ask(r, r->reference, on_authorised, h, &known, &e);
  if (h->question == NULL) {
    on_authorised(h, &known, e.kind == ERROR_NONE ? NULL : &e);
  }
}
