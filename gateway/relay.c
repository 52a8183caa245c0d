/*
 * The happy path: the registry is asked for the range with the gateway's own credentials, and each
 * piece it sends goes on before the next is read. The answer starts with the first byte at hand, so
 * whatever fails before that gets an honest status; what fails later cuts the connection. A blob
 * that is relayed whole is hashed on its way, and its last piece is sent only if the digest is
 * right.
 */
#include "gateway/relay.h"

#include "base/address.h"
#include "base/hex.h"
#include "gateway/problem.h"

#include <inttypes.h>
#include <openssl/evp.h>

#define WRONG_BYTES "the registry's bytes do not match the digest"

/** In the exchange's arena. */
struct relay {
  struct relay *next, **link; /**< among those under way; link is NULL when it is none of them */
  struct http_exchange *x;
  struct relay_order order;
  const struct log *log;
  struct registry_request *request; /**< while it is under way */
  EVP_MD_CTX *hash;                 /**< of a blob that is relayed whole, else NULL */
  uint64_t skip;                    /**< bytes before the range that the registry sends anyway */
  uint64_t left;                    /**< bytes of the range that were not sent yet */
  bool started;
  bool paused;     /**< until who asked has taken what was sent */
  int status;      /**< what a failure is answered with, when the answer has not started */
  const char *why; /**< the failure; NULL: there is none so far */
};

/* \return false, as the registry's events do to give up. */
static bool fail(struct relay *r, int status, const char *why) {
  r->status = status;
  r->why = why;
  return false;
}

static void join(struct relay *r, struct relays *relays) {
  r->link = &relays->first;
  r->next = relays->first;
  if (r->next != NULL) {
    r->next->link = &r->next;
  }
  relays->first = r;
}

/* Nothing of it is under way any more. */
static void leave(struct relay *r) {
  EVP_MD_CTX_free(r->hash);
  r->hash = NULL;
  if (r->link != NULL) {
    *r->link = r->next;
    if (r->next != NULL) {
      r->next->link = r->link;
    }
    r->link = NULL;
  }
}

static void start(struct relay *r) {
  const struct relay_order *o = &r->order;
  bool part = o->range.kind == RANGE_PART;
  char content_range[RANGE_CONTENT_MAX];
  struct http_field fields[4] = {
      {SLICE("Content-Type"), SLICE("application/octet-stream")},
      {SLICE("Accept-Ranges"), SLICE("bytes")},
      {SLICE("ETag"), o->etag},
  };
  if (part) {
    fields[3] = (struct http_field){SLICE("Content-Range"),
                                    range_content(&o->range, o->size, content_range)};
  }
  r->started = true;
  http_answer_start(r->x, part ? 206 : 200, fields, part ? 4 : 3, o->range.length);
}

/* A 206 must carry the very range that was asked for; `*` will do for its size. */
static bool right_range(const struct relay_order *o, struct slice field) {
  char want[RANGE_CONTENT_MAX];
  struct slice full = range_content(&o->range, o->size, want);
  struct slice head = full;
  head.len = (size_t)((const char *)memrchr(full.ptr, '/', full.len) - full.ptr) + 1;
  return slice_equal(field, full) ||
         (slice_starts(field, head) && slice_equal(slice_from(field, head.len), SLICE("*")));
}

static bool on_head(void *arg, const struct registry_answer *a) {
  struct relay *r = arg;
  const struct relay_order *o = &r->order;
  uint64_t length = a->status == 206 ? o->range.length : o->size;
  switch (a->status) {
  case 206:
    if (r->hash != NULL || !right_range(o, a->content_range)) {
      return fail(r, 502, "the registry answered with another range");
    }
    break;
  case 200:
    r->skip = o->range.offset;
    break;
  case 401:
  case 403:
    return fail(r, 502, "the registry refuses the gateway: check its `credentials`");
  case 404:
    return fail(r, 404, "the registry has no such blob");
  default:
    return fail(r, 502, "the registry answered with an unexpected status");
  }
  if (a->has_length && a->length != length) {
    return fail(r, 502, "the registry answered with another length");
  }
  if (a->docker_content_digest.ptr != NULL &&
      !slice_equal(a->docker_content_digest, slice_str(o->digest))) {
    return fail(r, 502, "the registry answered with another digest");
  }
  return true;
}

static bool hash_matches(struct relay *r) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  char hex[2 * EVP_MAX_MD_SIZE + 1];
  unsigned len = 0;
  if (EVP_DigestFinal_ex(r->hash, digest, &len) != 1) {
    return false;
  }
  hex_encode(digest, len, hex);
  return slice_equal(slice_from(slice_str(r->order.digest), strlen("sha256:")), slice_str(hex));
}

static void on_proceed(void *arg) {
  struct relay *r = arg;
  if (r->paused) {
    r->paused = false;
    registry_resume(r->request);
  }
}

static bool on_data(void *arg, struct slice bytes) {
  struct relay *r = arg;
  if (r->left == 0) {
    return false; /* the rest behind the range */
  }
  size_t skipped = r->skip < bytes.len ? (size_t)r->skip : bytes.len;
  r->skip -= skipped;
  bytes = slice_from(bytes, skipped);
  if (bytes.len == 0) {
    return true;
  }
  if (bytes.len > r->left) {
    bytes.len = (size_t)r->left;
  }
  uint64_t left = r->left - bytes.len;
  if (r->hash != NULL) {
    if (EVP_DigestUpdate(r->hash, bytes.ptr, bytes.len) != 1) {
      return fail(r, 502, "the blob cannot be hashed");
    }
    if (left == 0 && !hash_matches(r)) {
      return fail(r, 502, WRONG_BYTES);
    }
  }
  if (!r->started) {
    start(r);
  }
  r->left = left;
  http_answer_send(r->x, bytes, left > 0 ? on_proceed : NULL, r);
  if (left > 0 && http_answer_waiting(r->x) > 0) {
    r->paused = true;
    registry_pause(r->request);
  }
  return true;
}

/* For who wants to know what went where, the demo among them; a cut answer counts what it had. */
static void tell(const struct relay *r) {
  if (r->log->level < LOG_LEVEL_DEBUG) {
    return;
  }
  char peer[ADDRESS_TEXT_MAX];
  address_print(http_request_peer(r->x), peer);
  log_write(r->log, LOG_LEVEL_DEBUG, "webseed: sent %" PRIu64 " bytes of %s of %.*s/%s to %s",
            r->order.range.length - r->left, r->order.digest, SLICE_ARG(r->order.upstream->name),
            r->order.repository, peer);
}

static void on_abandoned(void *arg) {
  struct relay *r = arg;
  tell(r);
  if (r->request != NULL) {
    registry_cancel(r->request);
  }
  leave(r);
}

static void give_up(struct relay *r) {
  leave(r);
  log_write(r->log, LOG_LEVEL_WARN, "cannot relay %s of %.*s/%s: %s", r->order.digest,
            SLICE_ARG(r->order.upstream->name), r->order.repository, r->why);
  if (r->started) {
    tell(r);
    http_answer_abort(r->x);
  } else if (r->status == 403) {
    problem_answer(r->x, 403, "DENIED", "the webseed token was revoked");
  } else if (r->status == 404) {
    problem_answer(r->x, 404, "BLOB_UNKNOWN", "the registry has no such blob any more");
  } else {
    problem_answer(r->x, r->status, "UNAVAILABLE", "the registry did not give the blob");
  }
}

static void on_done(void *arg, const struct error *e) {
  struct relay *r = arg;
  r->request = NULL;
  if (r->why == NULL && (r->left > 0 || (e != NULL && !r->started))) {
    fail(r, 502, e == NULL ? "the registry sent less than the blob" : e->text);
  }
  if (r->why == NULL && !r->started) { /* an empty blob */
    if (hash_matches(r)) {
      start(r);
    } else {
      fail(r, 502, WRONG_BYTES);
    }
  }
  if (r->why != NULL) {
    give_up(r);
    return;
  }
  leave(r);
  tell(r);
  http_answer_end(r->x);
}

void relay_blob(struct http_exchange *x, const struct relay_order *order, struct relays *relays,
                const struct log *log) {
  static const struct registry_events events = {on_head, on_data, on_done};
  struct relay *r = arena_alloc(http_exchange_arena(x), sizeof *r);
  bool whole = order->range.length == order->size;
  const struct registry_get get = {
      .method = "GET",
      .repository = order->repository,
      .blob = order->digest,
      .ranged = !whole,
      .first = order->range.offset,
      .last = order->range.offset + order->range.length - 1,
  };
  struct error e = {0};
  if (r == NULL) {
    problem_answer(x, 500, "UNKNOWN", "the gateway is out of memory");
    return;
  }
  *r = (struct relay){.x = x, .order = *order, .log = log, .left = order->range.length};
  http_exchange_on_abandoned(x, on_abandoned, r);
  join(r, relays);
  if (whole) {
    r->hash = EVP_MD_CTX_new();
    if (r->hash == NULL || EVP_DigestInit_ex(r->hash, EVP_sha256(), NULL) != 1) {
      fail(r, 500, "the blob cannot be hashed");
      give_up(r);
      return;
    }
  }
  r->request = registry_start(order->upstream->client, &get, &events, r, &e);
  if (r->request == NULL) {
    fail(r, 502, e.text);
    give_up(r);
  }
}

void relay_cut(struct relays *relays, relay_judge *judge, void *arg) {
  for (struct relay *r = relays->first, *next; r != NULL; r = next) {
    next = r->next;
    if (judge(arg, &r->order)) {
      if (r->request != NULL) {
        registry_cancel(r->request);
        r->request = NULL;
      }
      fail(r, 403, "its token was revoked");
      give_up(r);
    }
  }
}
