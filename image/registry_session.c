#include "image/registry_session.h"

#include "base/buf.h"
#include "base/clock.h"
#include "image/reference.h"

#include <stdlib.h>

enum {
  ERROR_BODY_MAX = 64 * 1024, /* bytes of an error that are read */
  SLOW_SINK_MS = 1000, /* what the sink took beyond this does not count as the registry's stall */
};

struct registry_session {
  uv_loop_t loop;
  bool loop_ready;
  struct http_client *client;
  struct registry *registry;
};

struct registry_session *registry_session_new(const struct registry_options *options,
                                              struct error *e) {
  struct registry_session *s = calloc(1, sizeof *s);
  if (s == NULL) {
    error_set(e, ERROR_FAILED, "out of memory");
    return NULL;
  }
  s->loop_ready = uv_loop_init(&s->loop) == 0;
  s->client = s->loop_ready ? http_client_new(&s->loop) : NULL;
  if (s->client == NULL) {
    error_set(e, ERROR_FAILED, "out of memory");
  } else {
    s->registry = registry_new(s->client, options, e);
  }
  if (s->registry == NULL) {
    registry_session_free(s);
    return NULL;
  }
  return s;
}

static void on_stopped(void *arg) {
  bool *stopped = arg;
  *stopped = true;
}

void registry_session_free(struct registry_session *s) {
  if (s == NULL) {
    return;
  }
  bool stopped = s->client == NULL;
  registry_free(s->registry);
  if (!stopped) {
    http_client_stop(s->client, on_stopped, &stopped);
  }
  while (!stopped) {
    uv_run(&s->loop, UV_RUN_ONCE);
  }
  if (s->loop_ready) {
    uv_loop_close(&s->loop);
  }
  free(s);
}

bool registry_session_answered(const struct registry_session *session) {
  return registry_answered(session->registry);
}

/* --- a question --- */

/* One request, from its start to its end. */
struct transfer {
  struct registry_request *request;
  uint64_t size;
  image_sink *sink;
  void *arg;
  struct arena *arena;
  struct registry_reply *reply;
  struct buf error_body;
  struct error why; /* set by whatever came first */
  bool failed, done;
};

static void fail(struct transfer *t, const struct error *e) {
  if (!t->failed) {
    t->why = *e;
    t->failed = true;
  }
}

static bool on_head(void *arg, const struct registry_answer *a) {
  struct transfer *t = arg;
  struct registry_reply *reply = t->reply;
  reply->status = a->status;
  reply->redirected = a->redirected;
  reply->elsewhere = a->elsewhere;
  if (a->status != 200) {
    return true;
  }
  reply->media_type = a->content_type.ptr == NULL ? NULL : arena_copy(t->arena, a->content_type);
  reply->digest = image_digest_valid(a->docker_content_digest)
                      ? arena_copy(t->arena, a->docker_content_digest)
                      : NULL;
  reply->next = a->next.ptr == NULL ? NULL : arena_copy(t->arena, a->next);
  if (t->size != IMAGE_SIZE_UNKNOWN && a->has_length && a->length != t->size) {
    struct error e = {0};
    error_set(&e, ERROR_MISMATCH, "the registry says it has %ju bytes, but it should have %ju",
              (uintmax_t)a->length, (uintmax_t)t->size);
    fail(t, &e);
  }
  return !t->failed;
}

static bool on_data(void *arg, struct slice bytes) {
  struct transfer *t = arg;
  struct error e = {0};
  if (t->reply->status != 200) {
    buf_slice(&t->error_body, bytes);
    return !t->error_body.failed; /* what is beyond is of no use */
  }
  uint64_t before = clock_monotonic_ms();
  if (t->sink != NULL && t->sink(t->arg, bytes, &e) != 0) {
    fail(t, &e);
    return false;
  }
  if (clock_monotonic_ms() - before > SLOW_SINK_MS) {
    registry_pause(t->request);
    registry_resume(t->request);
  }
  return true;
}

static void on_done(void *arg, const struct error *e) {
  struct transfer *t = arg;
  t->done = true;
  if (e != NULL) {
    fail(t, e);
  }
}

int registry_session_ask(struct registry_session *session, const struct registry_get *get,
                         uint64_t size, image_sink *sink, void *arg, struct arena *arena,
                         struct registry_reply *out, struct error *e) {
  static const struct registry_events events = {on_head, on_data, on_done};
  struct transfer t = {.size = size,
                       .sink = sink,
                       .arg = arg,
                       .arena = arena,
                       .reply = out,
                       .error_body = {.limit = ERROR_BODY_MAX}};
  *out = (struct registry_reply){0};
  t.request = registry_start(session->registry, get, &events, &t, e);
  if (t.request == NULL) {
    return -1;
  }
  while (!t.done) {
    uv_run(&session->loop, UV_RUN_ONCE);
  }
  /* However the body of an error ends, there was an answer. */
  bool answered = out->status != 0 && (out->status != 200 || !t.failed);
  out->is_error = out->status != 200 && registry_list_is_error(buf_view(&t.error_body));
  buf_free(&t.error_body);
  if (!answered && e != NULL) {
    *e = t.why;
  }
  return answered ? 0 : -1;
}

/* --- lists --- */

static int collect(void *arg, struct slice bytes, struct error *e) {
  struct buf *page = arg;
  buf_slice(page, bytes);
  return page->failed ? error_set(e, ERROR_FAILED, "a page of the list is too large") : 0;
}

int registry_session_list(struct registry_session *session, const char *repository,
                          struct registry_list *out, struct arena *arena,
                          struct registry_reply *reply, struct error *e) {
  struct registry_get get = {.method = "GET", .repository = repository, .list = true};
  for (size_t pages = 0; pages < REGISTRY_LIST_PAGES_MAX; pages++) {
    struct buf page = {.limit = IMAGE_MANIFEST_MAX};
    int result =
        registry_session_ask(session, &get, IMAGE_SIZE_UNKNOWN, collect, &page, arena, reply, e);
    if (result == 0 && reply->status == 200) {
      result =
          registry_list_add(out, buf_view(&page), repository == NULL ? "repositories" : "tags", e);
    }
    buf_free(&page);
    if (result != 0 || reply->status != 200 || reply->next == NULL) {
      return result;
    }
    get.page = reply->next;
  }
  return error_set(e, ERROR_FAILED, "the list has more than %d pages", REGISTRY_LIST_PAGES_MAX);
}
