/*
 * POST /v1/<name>/tokens: fresh tokens for blobs whose torrents a node has already. The happy path:
 * for each digest the question whether the caller may read it, a few at a time; then the torrents
 * are looked up, registered to this repository when they were not, the caller is held against what
 * was revoked until now, and one swarm token and a webseed token each are answered, once the audit
 * log has them. What may not be read, or has no torrent, is left out; an answer of the registry
 * that is about the caller and not about one blob ends it all.
 */
#include "base/clock.h"
#include "gateway/authorise.h"
#include "gateway/problem.h"
#include "gateway/recording.h"
#include "gateway/registration.h"
#include "gateway/standing.h"
#include "image/json.h"
#include "image/reference.h"

#include <stdlib.h>

enum { TOKENS_QUESTIONS_MAX = 4 }; /* to the registry at a time, of one request */

struct batch;

/** A digest that tokens are wanted for. */
struct wanted {
  struct batch *batch;
  struct slice digest; /**< followed by a NUL */
  struct authorise *question;
  struct delegate_answer answer; /**< a yes, or DELEGATE_HIDDEN */
};

/** One request; in the exchange's arena. */
struct batch {
  const struct request *request;
  struct wanted wanted[TOKEN_INFOHASHES_MAX];
  size_t count;
  size_t asked;
  size_t under_way;                                     /**< questions */
  struct torrent_record torrents[TOKEN_INFOHASHES_MAX]; /**< what is issued for; without `info` */
  size_t torrent_count;
  struct token_infohash unregistered[TOKEN_INFOHASHES_MAX];
  size_t unregistered_count;
  struct registration *registration; /**< while it is being written */
  int64_t now;                       /**< `iat` of what is issued */
  struct standing *standing;         /**< while it is asked for */
  struct issued issued;
  struct recording *recording; /**< while the tokens are being recorded */
  char *answer;                /**< freed when it was sent or is not wanted */
};

/* What a log line about the whole request names. */
static struct slice first_digest(const struct batch *b) {
  return b->wanted[0].digest;
}

static void fail(const struct batch *b, const struct error *e) {
  request_fail(b->request, "cannot hand out tokens for", first_digest(b), e);
}

/* The one place where what holds tokens leaves. */
static void send_answer(struct batch *b) {
  const struct request *r = b->request;
  const struct http_field fields[] = {
      {SLICE("Content-Type"), SLICE("application/json")},
      {SLICE("Cache-Control"), SLICE("no-store")},
  };
  char *answer = b->answer;
  issue_log(r->gateway->options, &b->issued);
  http_answer(r->x, 200, fields, sizeof fields / sizeof fields[0], slice_str(answer));
  free(answer);
}

static int add_webseed(struct batch *b, size_t i, json_t *webseeds, struct error *e) {
  const struct request *r = b->request;
  const struct issue_grant grant = request_grant(r);
  struct slice digest = b->torrents[i].digest;
  struct slice url;
  if (issue_webseed(r->gateway->options, &grant, digest, b->now, http_exchange_arena(r->x),
                    &b->issued, &url, e) != 0) {
    return -1;
  }
  return json_object_set_new(webseeds, digest.ptr, json_stringn(url.ptr, url.len)) == 0
             ? 0
             : error_set(e, ERROR_FAILED, "out of memory");
}

static int make_answer(struct batch *b, struct slice token, struct error *e) {
  const struct gateway_options *o = b->request->gateway->options;
  int64_t session = b->now + o->session_ttl;
  json_t *webseeds = json_object();
  int result = 0;
  for (size_t i = 0; i < b->torrent_count && result == 0; i++) {
    result = add_webseed(b, i, webseeds, e);
  }
  if (result == 0) {
    json_t *json =
        json_pack("{s:s%, s:I, s:I, s:O}", "token", token.ptr, token.len, "expires_in",
                  (json_int_t)o->swarm_ttl, "session", (json_int_t)session, "webseeds", webseeds);
    b->answer = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    result = b->answer == NULL ? error_set(e, ERROR_FAILED, "out of memory") : 0;
  }
  json_decref(webseeds);
  return result;
}

static void refuse_unrecorded(struct batch *b, const struct error *e) {
  free(b->answer);
  recording_refuse(b->request, first_digest(b), e);
}

static void on_recorded(void *arg, const struct error *e) {
  struct batch *b = arg;
  b->recording = NULL;
  if (e != NULL) {
    refuse_unrecorded(b, e);
  } else {
    send_answer(b);
  }
}

static void on_standing(void *arg, bool good, const struct error *no_telling) {
  struct batch *b = arg;
  const struct request *r = b->request;
  const struct issue_grant grant = request_grant(r);
  struct slice token;
  struct error e = {0};
  b->standing = NULL;
  if (!good) {
    standing_refuse(r, first_digest(b), no_telling);
    return;
  }
  if (issue_swarm(r->gateway->options, &grant, b->torrents, b->torrent_count, b->now,
                  http_exchange_arena(r->x), &b->issued, &token, &e) != 0) {
    if (e.kind == ERROR_USAGE && b->torrent_count > 1) {
      problem_answer(r->x, 400, "UNSUPPORTED",
                     "these are too many for one token with names as long: ask for fewer digests");
    } else {
      fail(b, &e);
    }
    return;
  }
  if (make_answer(b, token, &e) != 0) {
    fail(b, &e);
    return;
  }
  b->recording = recording_start(r, &b->issued, on_recorded, b, &e);
  if (b->recording == NULL) {
    refuse_unrecorded(b, &e);
  }
}

/* The time comes first: what is revoked later is later than the tokens, too. */
static void issue(struct batch *b) {
  struct error e = {0};
  bool good;
  b->now = clock_now();
  b->standing = standing_ask(b->request, on_standing, b, &good, &e);
  if (b->standing == NULL) {
    on_standing(b, good, e.kind == ERROR_NONE ? NULL : &e);
  }
}

static void on_registered(void *arg, const struct error *e) {
  struct batch *b = arg;
  b->registration = NULL;
  if (e != NULL) {
    fail(b, e);
  } else {
    issue(b);
  }
}

/* What the caller is not told apart, the operator may want to. */
static void leave_out(const struct batch *b, const struct wanted *w, const char *why) {
  request_log(b->request, LOG_LEVEL_DEBUG, "no tokens for", w->digest, why);
}

/* Adds the torrent of what may be read. \return false when the request was answered. */
static bool add_torrent(struct batch *b, const struct wanted *w) {
  struct arena arena = {0}; /* an info dictionary may be large, and is not needed */
  struct torrent_record *record = &b->torrents[b->torrent_count];
  struct error e = {0};
  bool registered;
  bool found = registration_find(b->request, w->digest, &arena, record, &registered, &e) == 0;
  arena_free(&arena);
  record->digest = w->digest;
  record->info = slice_of(NULL, 0);
  record->piece_layers = slice_of(NULL, 0);
  if (!found && e.kind == ERROR_NOT_FOUND) {
    leave_out(b, w, "the caller may read it, but no torrent is registered in this format");
    return true;
  }
  if (!found) {
    fail(b, &e);
    return false;
  }
  if (!authorise_stands(&w->answer, &record->size, &e)) {
    authorise_refuse(b->request, w->digest, &w->answer, &e);
    return false;
  }
  if (!registered) {
    memcpy(b->unregistered[b->unregistered_count++].bytes, record->infohash,
           sizeof record->infohash);
  }
  b->torrent_count++;
  return true;
}

/* Looks up the torrents of what may be read. \return false when the request was answered. */
static bool add_torrents(struct batch *b, const struct wanted **readable) {
  *readable = NULL;
  for (size_t i = 0; i < b->count; i++) {
    const struct wanted *w = &b->wanted[i];
    if (w->answer.verdict == DELEGATE_HIDDEN) {
      leave_out(b, w, "the registry does not have it, or hides it from the caller");
    } else if (!add_torrent(b, w)) {
      return false;
    } else {
      *readable = w;
    }
  }
  return true;
}

/* All questions are answered. */
static void hand_out(struct batch *b) {
  const struct wanted *readable;
  struct error e = {0};
  if (!add_torrents(b, &readable)) {
    return;
  }
  if (readable == NULL) {
    authorise_refuse(b->request, first_digest(b), &b->wanted[0].answer, NULL);
  } else if (b->torrent_count == 0) {
    registration_missing(b->request, readable->digest);
  } else if (b->unregistered_count == 0) {
    issue(b);
  } else {
    b->registration = registration_start(b->request, b->unregistered, b->unregistered_count,
                                         on_registered, b, &e);
    if (b->registration == NULL) {
      fail(b, &e);
    }
  }
}

static void cancel_questions(struct batch *b) {
  for (size_t i = 0; i < b->asked; i++) {
    authorise_cancel(b->wanted[i].question);
    b->wanted[i].question = NULL;
  }
}

/* \return false when the request was answered. */
static bool take(struct wanted *w, const struct delegate_answer *answer, const struct error *e) {
  struct batch *b = w->batch;
  switch (answer->verdict) {
  case DELEGATE_YES:
  case DELEGATE_YES_IF_SIZE:
  case DELEGATE_HIDDEN:
    w->answer = *answer;
    return true;
  default:
    cancel_questions(b);
    authorise_refuse(b->request, w->digest, answer, e);
    return false;
  }
}

static delegate_told on_authorised;

/* Asks as many questions as there is room for. */
static void go_on(struct batch *b) {
  while (b->asked < b->count && b->under_way < TOKENS_QUESTIONS_MAX) {
    struct wanted *w = &b->wanted[b->asked++];
    struct delegate_answer known;
    struct error e = {0};
    w->question = authorise_ask(b->request, w->digest, on_authorised, w, &known, &e);
    if (w->question != NULL) {
      b->under_way++;
    } else if (!take(w, &known, e.kind == ERROR_NONE ? NULL : &e)) {
      return;
    }
  }
  if (b->under_way == 0) {
    hand_out(b);
  }
}

static void on_authorised(void *arg, const struct delegate_answer *answer, const struct error *e) {
  struct wanted *w = arg;
  w->question = NULL;
  w->batch->under_way--;
  if (take(w, answer, e)) {
    go_on(w->batch);
  }
}

static void on_abandoned(void *arg) {
  struct batch *b = arg;
  cancel_questions(b);
  registration_leave(b->registration);
  standing_leave(b->standing);
  recording_leave(b->recording);
  free(b->answer);
}

static bool is_wanted(const struct batch *b, struct slice digest) {
  for (size_t i = 0; i < b->count; i++) {
    if (slice_equal(b->wanted[i].digest, digest)) {
      return true;
    }
  }
  return false;
}

/* \return false when the request was answered. */
static bool add_digest(struct batch *b, struct slice digest) {
  const struct request *r = b->request;
  struct arena *arena = http_exchange_arena(r->x);
  size_t most = issue_swarm_max(r->gateway->options->format);
  if (!image_digest_valid(digest)) {
    problem_digest(r->x);
    return false;
  }
  if (is_wanted(b, digest)) {
    return true;
  }
  if (b->count == most) {
    struct slice why = arena_printf(
        arena, "one token has room for %zu digests: ask for the others by themselves", most);
    problem_answer(r->x, 400, "UNSUPPORTED", why.ptr == NULL ? "too many digests" : why.ptr);
    return false;
  }
  const char *copy = arena_copy(arena, digest);
  if (copy == NULL) {
    problem_answer(r->x, 500, "UNKNOWN", "the gateway is out of memory");
    return false;
  }
  b->wanted[b->count++] = (struct wanted){.batch = b, .digest = slice_of(copy, digest.len)};
  return true;
}

/* \return false when the request was answered. */
static bool read_digests(struct batch *b) {
  json_t *body = image_json_read(http_request_body(b->request->x), NULL);
  const json_t *digests = json_object_get(body, "digests");
  size_t count = json_array_size(digests);
  bool ok = count > 0;
  if (!ok) {
    problem_answer(b->request->x, 400, "UNSUPPORTED",
                   "the body is not {\"digests\": […]} with a digest or more");
  }
  for (size_t i = 0; ok && i < count; i++) {
    const json_t *digest = json_array_get(digests, i);
    ok = add_digest(b, slice_of(json_string_value(digest), json_string_length(digest)));
  }
  json_decref(body);
  return ok;
}

void tokens_handle(struct request *r) {
  struct batch *b = arena_alloc(http_exchange_arena(r->x), sizeof *b);
  if (b == NULL) {
    problem_answer(r->x, 500, "UNKNOWN", "the gateway is out of memory");
    return;
  }
  b->request = r;
  if (read_digests(b)) {
    http_exchange_on_abandoned(r->x, on_abandoned, b);
    go_on(b);
  }
}
