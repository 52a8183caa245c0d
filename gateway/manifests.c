/*
 * GET /v1/<name>/manifests/<reference>. The happy path: the caller may read the manifest, which a
 * tag may name as well; it is read, and where it is an index, the one in it that fits the platform;
 * then pull.c has its blobs. When the caller goes away, what is under way is left, and other
 * callers' waits for the same go on.
 */
#include "gateway/authorise.h"
#include "gateway/errand_answer.h"
#include "gateway/etag.h"
#include "gateway/manifest_store.h"
#include "gateway/problem.h"
#include "gateway/pull.h"
#include "http/query.h"
#include "image/reference.h"

enum { TRIES_MAX = 3 }; /* to read a manifest that others drive out of memory at once */

/** One request; in the exchange's arena. */
struct reading {
  const struct request *request;
  struct image_platform platform;
  struct authorise *question;    /**< while the registry is being asked */
  struct delegate_answer answer; /**< its yes */
  struct slice digest;           /**< of the manifest that is wanted now; followed by a NUL */
  const struct image_descriptor *entry; /**< what the index says of it, once one was read */
  unsigned depth;                       /**< indexes that were read */
  struct pull_index index;              /**< the first of them */
  struct errand_wait *wait;             /**< while it is read */
  unsigned tries;
};

/* What is wrong with an image is the caller's to know, where it can be told in JSON. */
static void refuse(const struct reading *g, int status, const char *code, const struct error *e) {
  request_log(g->request, LOG_LEVEL_WARN, "cannot hand out the manifest", g->digest, e->text);
  problem_answer(g->request->x, status, code,
                 slice_utf8(slice_str(e->text)) ? e->text
                                                : "the manifest is not one that can be pulled");
}

static void fail(const struct reading *g, const struct error *e) {
  request_fail(g->request, "cannot hand out the manifest", g->digest, e);
}

/* --- the manifest is there --- */

static void hand_out(const struct reading *g, struct pull_manifest *m) {
  const struct request *r = g->request;
  m->digest = g->digest;
  m->index = g->index;
  m->etag = etag_of(g->digest, http_exchange_arena(r->x));
  if (m->etag.ptr == NULL) {
    problem_answer(r->x, 500, "UNKNOWN", "the gateway is out of memory");
  } else if (etag_known(r->x, m->etag)) {
    const struct http_field fields[] = {
        {SLICE("ETag"), m->etag},
        {SLICE("Cache-Control"), SLICE("no-store")},
    };
    http_answer(r->x, 304, fields, 2, SLICE(""));
  } else {
    pull_start(r, m);
  }
}

static void read_manifest(struct reading *g);

static void choose(struct reading *g, struct slice bytes, const struct image_manifest *index) {
  struct error e = {0};
  if (g->depth == 0) {
    g->index = (struct pull_index){g->digest, bytes, index->media_type};
  }
  const struct image_descriptor *entry = image_index_select(index, &g->platform, &e);
  if (entry == NULL) {
    refuse(g, 404, "MANIFEST_UNKNOWN", &e);
    return;
  }
  if (image_descriptor_check(entry, &e) == 0 && ++g->depth > IMAGE_INDEX_DEPTH_MAX) {
    error_set(&e, ERROR_FAILED, "there are more than %d indexes in indexes", IMAGE_INDEX_DEPTH_MAX);
  }
  if (e.kind != ERROR_NONE) {
    refuse(g, 502, "MANIFEST_INVALID", &e);
    return;
  }
  g->entry = entry;
  g->digest = slice_str(entry->digest);
  g->tries = 0;
  read_manifest(g);
}

/* Whether it is as long as what has led to it says. */
static bool has_its_size(const struct reading *g, struct slice bytes, struct error *e) {
  uint64_t size = bytes.len;
  if (g->entry == NULL) {
    return authorise_stands(&g->answer, &size, e);
  }
  if (g->entry->size != size) {
    error_set(e, ERROR_FAILED, "the index gives %s another size than it has", g->entry->digest);
  }
  return g->entry->size == size;
}

static void on_manifest(struct reading *g, const struct manifest_text *text) {
  const struct request *r = g->request;
  struct arena *arena = http_exchange_arena(r->x);
  struct pull_manifest *m = arena_alloc(arena, sizeof *m);
  struct error e = {0};
  if (m == NULL) {
    problem_answer(r->x, 500, "UNKNOWN", "the gateway is out of memory");
  } else if (!has_its_size(g, text->bytes, &e)) {
    authorise_refuse(r, g->digest, &g->answer, &e);
  } else if (image_manifest_parse(text->bytes, text->media_type, arena, &m->image, &e) != 0) {
    refuse(g, 502, "MANIFEST_INVALID", &e);
  } else if (m->image.is_index) {
    choose(g, text->bytes, &m->image);
  } else {
    m->bytes = text->bytes;
    hand_out(g, m);
  }
}

/* --- reading it --- */

static void on_read(void *arg, const struct errand_news *news) {
  struct reading *g = arg;
  g->wait = NULL;
  if (news->outcome == ERRAND_DONE) {
    read_manifest(g);
  } else {
    errand_answer_refuse(g->request, news);
  }
}

static void read_manifest(struct reading *g) {
  const struct request *r = g->request;
  struct manifest_store *store = r->gateway->options->manifests;
  struct manifest_text text;
  struct error e = {0};
  if (manifest_store_find(store, r->upstream->name, r->repository, g->digest,
                          http_exchange_arena(r->x), &text)) {
    on_manifest(g, &text);
    return;
  }
  const struct errand_question question = {
      .registry = r->upstream->name,
      .repository = r->repository,
      .digest = g->digest,
      .size = ERRAND_SIZE_UNKNOWN,
  };
  if (g->tries++ >= TRIES_MAX) {
    error_set(&e, ERROR_FAILED, "there is no memory for it");
    fail(g, &e);
    return;
  }
  g->wait = manifest_store_ask(store, http_exchange_loop(r->x), &question, on_read, g, &e);
  if (g->wait == NULL) {
    errand_answer_full(r, g->digest, &e);
  }
}

/* --- who asks --- */

static void on_authorised(void *arg, const struct delegate_answer *answer, const struct error *e) {
  struct reading *g = arg;
  g->question = NULL;
  g->answer = *answer;
  switch (answer->verdict) {
  case DELEGATE_YES:
    g->digest = answer->digest;
    read_manifest(g);
    break;
  case DELEGATE_YES_IF_SIZE:
    read_manifest(g);
    break;
  default:
    authorise_refuse(g->request, g->request->reference, answer, e);
    break;
  }
}

static void on_abandoned(void *arg) {
  struct reading *g = arg;
  authorise_cancel(g->question);
  errand_leave(g->wait);
}

/* \return false when it was answered. */
static bool read_platform(struct reading *g) {
  const struct request *r = g->request;
  struct arena *arena = http_exchange_arena(r->x);
  struct slice rest = http_request_query(r->x);
  struct slice name;
  struct slice value;
  struct error e = {0};
  bool given = false;
  image_platform_here(&g->platform);
  while (query_next(&rest, &name, &value)) {
    if (slice_equal(name, SLICE("platform"))) {
      size_t len = 0;
      char *text = arena_alloc(arena, value.len + 1);
      if (text == NULL || given || !query_decode(value, text, value.len, &len) ||
          memchr(text, '\0', len) != NULL ||
          image_platform_parse(text, arena, &g->platform, &e) != 0) {
        problem_answer(r->x, 400, "UNSUPPORTED",
                       "`platform` is not OS/ARCHITECTURE, such as linux/amd64");
        return false;
      }
      given = true;
    }
  }
  return true;
}

void manifests_handle(struct request *r) {
  struct delegate_answer known;
  struct error e = {0};
  struct reading *g = arena_alloc(http_exchange_arena(r->x), sizeof *g);
  if (g == NULL) {
    problem_answer(r->x, 500, "UNKNOWN", "the gateway is out of memory");
    return;
  }
  g->request = r;
  g->digest = r->reference;
  if (!image_digest_valid(r->reference) && !image_tag_valid(r->reference)) {
    problem_answer(r->x, 400, "MANIFEST_INVALID",
                   "a manifest is named by a tag, or by `sha256:` and 64 lowercase hexadecimal "
                   "digits");
    return;
  }
  if (r->gateway->options->manifests == NULL) {
    problem_answer(r->x, 404, "UNSUPPORTED", "no manifests are handed out here");
    return;
  }
  if (!read_platform(g)) {
    return;
  }
  http_exchange_on_abandoned(r->x, on_abandoned, g);
  g->question = authorise_ask_manifest(r, on_authorised, g, &known, &e);
  if (g->question == NULL) {
    on_authorised(g, &known, e.kind == ERROR_NONE ? NULL : &e);
  }
}
