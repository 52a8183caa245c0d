#include "gateway/delegate.h"

#include "image/reference.h"

struct delegate {
  struct registry_request *request;
  struct arena *arena;
  struct slice reference;
  struct delegate_answer answer;
  delegate_told *told;
  void *arg;
};

/* A field's value that is to be sent on: no bytes that could end it. */
static bool is_line(struct slice s) {
  for (size_t i = 0; i < s.len; i++) {
    if (((unsigned char)s.ptr[i] < 0x20 && s.ptr[i] != '\t') || s.ptr[i] == 0x7f) {
      return false;
    }
  }
  return true;
}

struct delegate_answer delegate_judge(const struct registry_answer *a, struct slice reference) {
  struct delegate_answer answer = {.verdict = DELEGATE_UNCLEAR, .status = a->status};
  struct slice digest = a->docker_content_digest;
  bool tag = !image_digest_valid(reference);
  switch (a->status) {
  case 200:
    if (digest.ptr != NULL) {
      bool good = tag ? image_digest_valid(digest) : slice_equal(digest, reference);
      answer.verdict = good ? DELEGATE_YES : DELEGATE_UNCLEAR;
      answer.digest = good ? digest : answer.digest;
    } else if (a->has_length && !tag) {
      answer.verdict = DELEGATE_YES_IF_SIZE;
      answer.size = a->length;
    }
    break;
  case 401:
    /* Credentials are not taken along a redirect: a challenge there would ask the caller to tell
     * the registry's login to another. */
    if (!a->redirected && is_line(a->www_authenticate)) {
      answer.verdict = DELEGATE_CHALLENGE;
      answer.challenge = a->www_authenticate;
    }
    break;
  case 403:
  case 404:
    answer.verdict = DELEGATE_HIDDEN;
    break;
  default:
    break;
  }
  return answer;
}

static bool keep(struct delegate *d, struct slice *s) {
  s->ptr = s->len == 0 ? s->ptr : arena_copy(d->arena, *s);
  return s->len == 0 || s->ptr != NULL;
}

static bool on_head(void *arg, const struct registry_answer *a) {
  struct delegate *d = arg;
  d->answer = delegate_judge(a, d->reference);
  return keep(d, &d->answer.challenge) && keep(d, &d->answer.digest);
}

static void on_done(void *arg, const struct error *e) {
  struct delegate *d = arg;
  if (e != NULL) {
    d->answer = (struct delegate_answer){.verdict = DELEGATE_UNCLEAR, .status = d->answer.status};
  }
  d->told(d->arg, &d->answer, e);
}

struct delegate *delegate_ask(struct registry *registry, const struct delegate_question *question,
                              struct arena *arena, delegate_told *told, void *arg,
                              struct error *e) {
  static const struct registry_events events = {.head = on_head, .done = on_done};
  const struct registry_get head = {
      .method = "HEAD",
      .repository = question->repository,
      .manifest = question->manifest ? question->digest : NULL,
      .blob = question->digest,
      .authorization = question->authorization,
  };
  struct delegate *d = arena_alloc(arena, sizeof *d);
  if (d == NULL) {
    error_set(e, ERROR_FAILED, "cannot ask the registry: out of memory");
    return NULL;
  }
  *d = (struct delegate){
      .arena = arena,
      .reference = slice_str(question->digest),
      .answer = {.verdict = DELEGATE_UNCLEAR},
      .told = told,
      .arg = arg,
  };
  d->request = registry_start(registry, &head, &events, d, e);
  return d->request == NULL ? NULL : d;
}

void delegate_cancel(struct delegate *delegate) {
  registry_cancel(delegate->request);
}
