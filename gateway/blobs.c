/*
 * GET /v1/<name>/blobs/<digest>. The happy path: the registry is asked with the caller's header
 * (delegate), the torrent is looked up, registered to this repository when it was not, and answered
 * with fresh tokens. Each step that fails answers at once; when the caller goes away, the question
 * to the registry is cancelled, and a registration on its way to the disk runs out alone.
 */
#include "gateway/internal.h"

#include "base/clock.h"
#include "gateway/caller.h"
#include "gateway/delegate.h"
#include "gateway/issue.h"
#include "gateway/problem.h"
#include "http/query.h"
#include "image/reference.h"

#include <stdlib.h>

/** SHA-256 of no bytes. */
#define EMPTY_BLOB "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

/** One request; in the exchange's arena. */
struct handout {
  const struct gateway *gateway;
  struct http_exchange *x;
  const struct gateway_upstream *upstream;
  struct slice repository; /**< followed by a NUL, as is the digest */
  struct slice digest;
  struct caller caller;
  struct torrent_record record;
  bool allowed;                 /**< the torrent is registered to the repository */
  struct delegate *delegate;    /**< while the registry is being asked */
  struct registration *pending; /**< while the registration is being written */
};

/** The argument of a write transaction, which may outlive the request. */
struct registration {
  struct handout *handout; /**< NULL when nobody waits any more */
  unsigned char infohash[20];
  struct slice registry;
  struct slice repository;
  char text[]; /**< what the slices point to */
};

static void warn(const struct handout *h, const char *what, const char *why) {
  log_write(h->gateway->options->log, LOG_LEVEL_WARN, "%s %s of %.*s/%s: %s", what, h->digest.ptr,
            SLICE_ARG(h->upstream->name), h->repository.ptr, why);
}

/* What the caller is not told apart, the operator may want to. */
static void refused(const struct handout *h, const char *why) {
  log_write(h->gateway->options->log, LOG_LEVEL_DEBUG, "no torrent of %s of %.*s/%s: %s",
            h->digest.ptr, SLICE_ARG(h->upstream->name), h->repository.ptr, why);
}

static void answer_internal(const struct handout *h, const struct error *e) {
  warn(h, "cannot hand out the torrent of", e->text);
  problem_answer(h->x, 500, "UNKNOWN", "the gateway failed; its log says why");
}

static void answer_torrent(const struct handout *h) {
  const struct gateway_options *o = h->gateway->options;
  const struct issue_grant grant = {
      .subject = h->caller.subject,
      .registry = h->upstream->name,
      .repository = h->repository,
  };
  struct arena *arena = http_exchange_arena(h->x);
  struct error e = {0};
  struct issue_ids ids;
  struct buf file = {0};
  struct slice name = issue_name(h->digest, arena);
  struct slice disposition =
      arena_printf(arena, "attachment; filename=\"%.*s.torrent\"", SLICE_ARG(name));
  if (name.ptr == NULL || disposition.ptr == NULL) {
    error_set(&e, ERROR_FAILED, "out of memory");
    answer_internal(h, &e);
  } else if (issue_torrent(o, &grant, &h->record, clock_now(), arena, &file, &ids, &e) != 0) {
    answer_internal(h, &e);
  } else {
    const struct http_field fields[] = {
        {SLICE("Content-Type"), SLICE("application/x-bittorrent")},
        {SLICE("Content-Disposition"), disposition},
        {SLICE("Cache-Control"), SLICE("no-store")},
    };
    log_write(o->log, LOG_LEVEL_INFO, "handed out %s of %.*s/%s to %.*s, tokens %s and %s",
              h->digest.ptr, SLICE_ARG(h->upstream->name), h->repository.ptr,
              SLICE_ARG(h->caller.subject), ids.swarm, ids.webseed);
    http_answer(h->x, 200, fields, sizeof fields / sizeof fields[0], buf_view(&file));
  }
  buf_free(&file);
}

static int write_registration(struct db_txn *txn, void *arg, struct error *e) {
  const struct registration *r = arg;
  return torrent_store_allow(txn, r->infohash, r->registry, r->repository, e);
}

static void on_registered(void *arg, const struct error *e) {
  struct registration *r = arg;
  struct handout *h = r->handout;
  free(r);
  if (h == NULL) {
    return;
  }
  h->pending = NULL;
  if (e != NULL) {
    answer_internal(h, e);
  } else {
    answer_torrent(h);
  }
}

/* The registry has just said that the caller may read this blob in this repository, so whoever else
 * may pull the repository may join the swarm too. */
static void register_torrent(struct handout *h) {
  struct slice registry = h->upstream->name;
  struct error e = {0};
  struct registration *r = malloc(sizeof *r + registry.len + h->repository.len);
  if (r == NULL) {
    error_set(&e, ERROR_FAILED, "out of memory");
    answer_internal(h, &e);
    return;
  }
  memcpy(r->text, registry.ptr, registry.len);
  memcpy(r->text + registry.len, h->repository.ptr, h->repository.len);
  memcpy(r->infohash, h->record.infohash, sizeof r->infohash);
  r->registry = slice_of(r->text, registry.len);
  r->repository = slice_of(r->text + registry.len, h->repository.len);
  r->handout = h;
  h->pending = r;
  if (db_write(h->gateway->options->db, http_exchange_loop(h->x), write_registration, r,
               on_registered, &e) != 0) {
    h->pending = NULL;
    free(r);
    answer_internal(h, &e);
  }
}

static int find_torrent(struct db_txn *txn, void *arg, struct error *e) {
  struct handout *h = arg;
  if (torrent_store_find(txn, h->digest, (uint8_t)h->gateway->options->format,
                         http_exchange_arena(h->x), &h->record, e) != 0) {
    return -1;
  }
  h->allowed = torrent_store_allowed(txn, h->record.infohash, h->upstream->name, h->repository);
  return 0;
}

static void answer_unclear(const struct handout *h, const char *why) {
  warn(h, "cannot authorise a caller for", why);
  problem_answer(h->x, 502, "UNAVAILABLE",
                 "the registry gave no clear answer whether this blob may be read");
}

/* The torrent is looked up only now: a caller without a right makes the gateway hold nothing. */
static void hand_out(struct handout *h, const struct delegate_answer *answer) {
  struct error e = {0};
  bool found = db_read(h->gateway->options->db, find_torrent, h, &e) == 0;
  if (!found && e.kind != ERROR_NOT_FOUND) {
    answer_internal(h, &e);
  } else if (answer->verdict == DELEGATE_YES_IF_SIZE &&
             (!found || h->record.size != answer->size)) {
    answer_unclear(h, found ? "the registry names no digest and another size"
                            : "the registry names no digest and the size is not known");
  } else if (slice_equal(h->digest, SLICE(EMPTY_BLOB))) {
    problem_answer(h->x, 404, "BLOB_UNKNOWN", "an empty blob has no torrent");
  } else if (!found) {
    refused(h, "the caller may read it, but none is registered in this format");
    problem_answer(h->x, 404, "BLOB_UNKNOWN",
                   "no torrent is registered for this blob: the operator makes it by "
                   "`swarmgate torrent create --register`");
  } else if (h->allowed) {
    answer_torrent(h);
  } else {
    register_torrent(h);
  }
}

static void on_authorised(void *arg, const struct delegate_answer *answer, const struct error *e) {
  struct handout *h = arg;
  char why[64];
  h->delegate = NULL;
  switch (answer->verdict) {
  case DELEGATE_YES:
  case DELEGATE_YES_IF_SIZE:
    hand_out(h, answer);
    break;
  case DELEGATE_CHALLENGE:
    refused(h, "the registry wants credentials, or others than the caller's");
    problem_challenge(h->x, answer->challenge);
    break;
  case DELEGATE_HIDDEN:
    refused(h, "the registry does not have it, or hides it from the caller");
    problem_answer(h->x, 404, "BLOB_UNKNOWN",
                   "no such blob in this repository, or no right to read it");
    break;
  case DELEGATE_UNCLEAR:
    snprintf(why, sizeof why, "the registry answered with status %d", answer->status);
    answer_unclear(h, e == NULL ? why : e->text);
    break;
  }
}

static void on_abandoned(void *arg) {
  struct handout *h = arg;
  if (h->delegate != NULL) {
    delegate_cancel(h->delegate);
  }
  if (h->pending != NULL) {
    h->pending->handout = NULL;
  }
}

/* Takes `<name>/blobs/<digest>` apart. \return false when the path is another. */
static bool parse_path(struct handout *h) {
  struct slice path = slice_from(http_request_path(h->x), strlen("/v1/"));
  char *text = arena_alloc(http_exchange_arena(h->x), path.len + 1);
  size_t len = 0;
  if (text == NULL || !query_decode(path, text, path.len, &len)) {
    return false;
  }
  const char *slash = memrchr(text, '/', len);
  struct slice name = slice_of(text, slash == NULL ? 0 : (size_t)(slash - text));
  if (!slice_ends(name, SLICE("/blobs"))) {
    return false;
  }
  h->digest = slice_from(slice_of(text, len), name.len + 1);
  h->repository = slice_of(text, name.len - strlen("/blobs"));
  text[h->repository.len] = '\0';
  return true;
}

/* \return false when it was answered. */
static bool pick_registry(struct handout *h) {
  const struct gateway *gateway = h->gateway;
  struct slice rest = http_request_query(h->x);
  struct slice name;
  struct slice value;
  struct slice host = slice_of(NULL, 0);
  while (query_next(&rest, &name, &value)) {
    if (slice_equal(name, SLICE("ns"))) {
      char *text = arena_alloc(http_exchange_arena(h->x), value.len + 1);
      if (text == NULL || host.ptr != NULL || !query_decode(value, text, value.len, &host.len)) {
        problem_answer(h->x, 400, "NAME_INVALID", "`ns` is doubled or wrongly escaped");
        return false;
      }
      host.ptr = text;
    }
  }
  if (host.ptr == NULL && gateway->options->registry_count > 1) {
    problem_answer(h->x, 400, "NAME_INVALID",
                   "there are several registries here: say which by `?ns=HOST`");
    return false;
  }
  h->upstream = host.ptr == NULL ? &gateway->upstreams[0] : gateway_find(gateway, host);
  if (h->upstream == NULL) {
    problem_answer(h->x, 404, "NAME_UNKNOWN", "no such registry here");
  }
  return h->upstream != NULL;
}

static void authorise(struct handout *h) {
  struct http_exchange *x = h->x;
  struct arena *arena = http_exchange_arena(x);
  struct slice authorization = http_request_field(x, SLICE("Authorization"));
  struct error e = {0};
  if (http_request_field_count(x, SLICE("Authorization")) > 1) {
    problem_answer(x, 400, "UNSUPPORTED", "more than one Authorization field");
  } else if (authorization.len > CALLER_AUTHORIZATION_MAX) {
    problem_answer(x, 431, "UNSUPPORTED", "the Authorization field is too long");
  } else if (caller_read(authorization, h->upstream->name, arena, &h->caller, &e) != 0) {
    answer_internal(h, &e);
  } else {
    const struct delegate_question question = {
        .repository = h->repository.ptr,
        .digest = h->digest.ptr,
        .authorization = h->caller.authorization,
    };
    http_exchange_on_abandoned(x, on_abandoned, h);
    h->delegate = delegate_ask(h->upstream->client, &question, arena, on_authorised, h, &e);
    if (h->delegate == NULL) {
      answer_unclear(h, e.text);
    }
  }
}

void blobs_handle(struct http_exchange *x, void *context) {
  struct handout *h = arena_alloc(http_exchange_arena(x), sizeof *h);
  if (h == NULL) {
    problem_answer(x, 500, "UNKNOWN", "the gateway is out of memory");
    return;
  }
  *h = (struct handout){.gateway = context, .x = x};
  if (!parse_path(h)) {
    problem_answer(x, 404, "UNSUPPORTED", "there is only /v1/<name>/blobs/<digest> here");
  } else if (!image_name_valid(h->repository)) {
    problem_answer(x, 400, "NAME_INVALID", "the repository's name is not valid");
  } else if (!image_digest_valid(h->digest)) {
    problem_answer(x, 400, "DIGEST_INVALID",
                   "a digest is `sha256:` and 64 lowercase hexadecimal digits");
  } else if (pick_registry(h)) {
    authorise(h);
  }
}
