#include "gateway/batch.h"

#include "gateway/authorise.h"
#include "gateway/problem.h"
#include "image/reference.h"

/** A digest that is asked for. */
struct wanted {
  struct batch *batch;
  struct slice digest; /**< followed by a NUL */
  struct authorise *question;
  struct delegate_answer answer; /**< a yes, or DELEGATE_HIDDEN */
};

struct batch {
  const struct request *request;
  const char *what;
  batch_told *told;
  void *arg;
  size_t most;
  struct wanted *wanted; /**< room for `most`, or as many as were asked for */
  size_t count;
  size_t asked;
  size_t under_way;               /**< questions */
  struct batch_torrent *torrents; /**< as much room */
  size_t torrent_count;
};

struct slice batch_first(const struct batch *b) {
  return b->wanted[0].digest;
}

const struct batch_torrent *batch_torrents(const struct batch *b, size_t *count) {
  *count = b->torrent_count;
  return b->torrents;
}

/* --- the torrents of what may be read --- */

/* What the caller is not told apart, the operator may want to. */
static void leave_out(const struct batch *b, const struct wanted *w, const char *why) {
  struct slice what = arena_printf(http_exchange_arena(b->request->x), "no %s for", b->what);
  request_log(b->request, LOG_LEVEL_DEBUG, what.ptr == NULL ? "nothing for" : what.ptr, w->digest,
              why);
}

/* Adds the torrent of what may be read. \return false when the request was answered. */
static bool add_torrent(struct batch *b, const struct wanted *w) {
  struct arena arena = {0}; /* an info dictionary may be large, and is not needed */
  struct batch_torrent *torrent = &b->torrents[b->torrent_count];
  struct torrent_record *record = &torrent->record;
  struct error e = {0};
  bool found =
      registration_find(b->request, w->digest, &arena, record, &torrent->registered, &e) == 0;
  arena_free(&arena);
  record->digest = w->digest;
  record->info = slice_of(NULL, 0);
  record->piece_layers = slice_of(NULL, 0);
  if (!found && e.kind == ERROR_NOT_FOUND) {
    leave_out(b, w, "the caller may read it, but no torrent is registered in this format");
    return true;
  }
  if (!found) {
    request_fail(b->request, "cannot look up the torrent of", w->digest, &e);
    return false;
  }
  if (!authorise_stands(&w->answer, &record->size, &e)) {
    authorise_refuse(b->request, w->digest, &w->answer, &e);
    return false;
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
static void tell(struct batch *b) {
  const struct wanted *readable;
  if (!add_torrents(b, &readable)) {
    return;
  }
  if (readable == NULL) {
    authorise_refuse(b->request, batch_first(b), &b->wanted[0].answer, NULL);
  } else if (b->torrent_count == 0) {
    registration_missing(b->request, readable->digest);
  } else {
    b->told(b->arg, b);
  }
}

/* --- the questions --- */

void batch_cancel(struct batch *b) {
  for (size_t i = 0; b != NULL && i < b->asked; i++) {
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
    batch_cancel(b);
    authorise_refuse(b->request, w->digest, answer, e);
    return false;
  }
}

static delegate_told on_authorised;

/* Asks as many questions as there is room for. */
static void go_on(struct batch *b) {
  while (b->asked < b->count && b->under_way < BATCH_QUESTIONS_MAX) {
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
    tell(b);
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

/* --- reading --- */

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
  if (!image_digest_valid(digest)) {
    problem_digest(r->x);
    return false;
  }
  if (is_wanted(b, digest)) {
    return true;
  }
  if (b->count == b->most) {
    struct slice why =
        arena_printf(arena, "one %s has room for %zu digests: ask for the others by themselves",
                     b->what, b->most);
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

static struct batch *make(const struct request *r, size_t count, size_t most) {
  struct arena *arena = http_exchange_arena(r->x);
  struct batch *b = arena_alloc(arena, sizeof *b);
  size_t room = count < most ? count : most;
  if (b == NULL) {
    return NULL;
  }
  b->wanted = arena_alloc(arena, room * sizeof *b->wanted);
  b->torrents = arena_alloc(arena, room * sizeof *b->torrents);
  return b->wanted == NULL || b->torrents == NULL ? NULL : b;
}

struct batch *batch_new(const struct request *r, const json_t *digests, size_t most,
                        const char *what) {
  size_t count = json_array_size(digests);
  struct batch *b = make(r, count, most);
  if (b == NULL) {
    problem_answer(r->x, 500, "UNKNOWN", "the gateway is out of memory");
    return NULL;
  }
  b->request = r;
  b->what = what;
  b->most = most;
  for (size_t i = 0; i < count; i++) {
    const json_t *digest = json_array_get(digests, i);
    if (!add_digest(b, slice_of(json_string_value(digest), json_string_length(digest)))) {
      return NULL;
    }
  }
  return b;
}

void batch_ask(struct batch *b, batch_told *told, void *arg) {
  b->told = told;
  b->arg = arg;
  go_on(b);
}
