/*
 * The happy path: the registry is asked for the range with the gateway's own credentials, and each
 * piece it sends goes on before the next is read. The answer starts with the first byte at hand, so
 * whatever fails before that gets an honest status; what fails later cuts the connection. A blob
 * that is relayed whole is hashed on its way, and its last piece is sent only if the digest is
 * right.
 */
#include "gateway/relay.h"

#include "base/hex.h"
#include "gateway/problem.h"

#include <openssl/evp.h>

/* Bytes that the registry's are handed on in, at most: curl's CURL_MAX_WRITE_SIZE. */
enum { RELAY_PIECE_MAX = 16 * 1024 };

#define WRONG_BYTES "the registry's bytes do not match the digest"

/** In the exchange's arena. */
struct relay {
  struct blob_answer answer;
  struct range range;               /**< what the registry is asked for */
  struct registry_request *request; /**< while it is under way */
  EVP_MD_CTX *hash;                 /**< of a blob that is relayed whole, else NULL */
  uint64_t skip;                    /**< bytes before the range that the registry sends anyway */
  uint64_t allowed;                 /**< bytes that may be sent by the turns it has had */
  bool paused;     /**< until who asked has taken what was sent, and may have more */
  int status;      /**< what a failure is answered with, when the answer has not started */
  const char *why; /**< the failure; NULL: there is none so far */
};

/* \return false, as the registry's events do to give up. */
static bool fail(struct relay *r, int status, const char *why) {
  r->status = status;
  r->why = why;
  return false;
}

/* Nothing of it is under way any more. */
static void stop(struct relay *r) {
  if (r->request != NULL) {
    registry_cancel(r->request);
    r->request = NULL;
  }
  EVP_MD_CTX_free(r->hash);
  r->hash = NULL;
}

static void give_up(struct relay *r) {
  stop(r);
  blob_answer_fail(&r->answer, r->status, r->why);
}

static bool on_head(void *arg, const struct registry_answer *a) {
  struct relay *r = arg;
  const struct blob_order *o = &r->answer.order;
  uint64_t length = a->status == 206 ? r->range.length : o->size;
  switch (a->status) {
  case 206:
    if (r->hash != NULL || !range_is(&r->range, o->size, a->content_range)) {
      return fail(r, 502, "the registry answered with another range");
    }
    break;
  case 200:
    r->skip = r->range.offset;
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
  return slice_equal(slice_from(slice_str(r->answer.order.digest), strlen("sha256:")),
                     slice_str(hex));
}

/* Whether whatever comes next may be sent. */
static bool may_go_on(const struct relay *r) {
  const uint64_t left = r->answer.left;
  return r->allowed >= (left < RELAY_PIECE_MAX ? left : RELAY_PIECE_MAX);
}

static void ask(struct relay *r);
static void go_on(struct relay *r);

static void on_turn(void *arg, uint64_t bytes) {
  struct relay *r = arg;
  r->allowed += bytes;
  http_answer_waits(r->answer.x, false);
  go_on(r);
}

/* Reads on from the registry when it is its turn. */
static void go_on(struct relay *r) {
  while (!may_go_on(r)) {
    uint64_t turn = reader_turn(r->answer.order.reader, r->answer.left - r->allowed, on_turn, r);
    if (turn == 0) {
      http_answer_waits(r->answer.x, true);
      return;
    }
    r->allowed += turn;
  }
  if (r->request == NULL) {
    ask(r);
  } else if (r->paused) {
    r->paused = false;
    registry_resume(r->request);
  }
}

static void on_proceed(void *arg) {
  go_on(arg);
}

static bool on_data(void *arg, struct slice bytes) {
  struct relay *r = arg;
  struct blob_answer *a = &r->answer;
  if (a->left == 0) {
    return false; /* the rest behind the range */
  }
  size_t skipped = r->skip < bytes.len ? (size_t)r->skip : bytes.len;
  r->skip -= skipped;
  bytes = slice_from(bytes, skipped);
  if (bytes.len == 0) {
    return true;
  }
  if (bytes.len > a->left) {
    bytes.len = (size_t)a->left;
  }
  uint64_t left = a->left - bytes.len;
  if (r->hash != NULL) {
    if (EVP_DigestUpdate(r->hash, bytes.ptr, bytes.len) != 1) {
      return fail(r, 502, "the blob cannot be hashed");
    }
    if (left == 0 && !hash_matches(r)) {
      return fail(r, 502, WRONG_BYTES);
    }
  }
  if (!a->started) {
    blob_answer_start(a);
  }
  a->left = left;
  r->allowed -= bytes.len < r->allowed ? bytes.len : r->allowed;
  http_answer_send(a->x, bytes, left > 0 ? on_proceed : NULL, r);
  if (left > 0 && (http_answer_waiting(a->x) > 0 || !may_go_on(r))) {
    r->paused = true;
    registry_pause(r->request);
  }
  return true;
}

static void on_abandoned(void *arg) {
  struct relay *r = arg;
  stop(r);
  blob_answer_abandon(&r->answer);
}

static void on_done(void *arg, const struct error *e) {
  struct relay *r = arg;
  struct blob_answer *a = &r->answer;
  r->request = NULL;
  if (r->why == NULL && (a->left > 0 || (e != NULL && !a->started))) {
    fail(r, 502, e == NULL ? "the registry sent less than the blob" : e->text);
  }
  if (r->why == NULL && !a->started) { /* an empty blob */
    if (hash_matches(r)) {
      blob_answer_start(a);
    } else {
      fail(r, 502, WRONG_BYTES);
    }
  }
  if (r->why != NULL) {
    give_up(r);
    return;
  }
  stop(r);
  blob_answer_end(a);
}

static void on_cut(struct blob_answer *a) {
  struct relay *r = (struct relay *)a; /* its first member */
  fail(r, 403, "its token was revoked");
  give_up(r);
}

static void ask(struct relay *r) {
  static const struct registry_events events = {on_head, on_data, on_done};
  const struct blob_order *o = &r->answer.order;
  const struct registry_get get = {
      .method = "GET",
      .repository = o->repository,
      .blob = o->digest,
      .ranged = r->hash == NULL,
      .first = r->range.offset,
      .last = r->range.offset + r->range.length - 1,
  };
  struct error e = {0};
  r->request = registry_start(o->upstream->client, &get, &events, r, &e);
  if (r->request == NULL) {
    fail(r, 502, e.text);
    give_up(r);
  }
}

static void relay(struct http_exchange *x, const struct blob_order *order, bool started,
                  uint64_t left, struct blob_answers *all, const struct log *log) {
  struct relay *r = arena_alloc(http_exchange_arena(x), sizeof *r);
  if (r == NULL) {
    if (started) {
      reader_leave(order->reader);
      http_answer_abort(x);
    } else {
      blob_order_fail(x, order);
    }
    return;
  }
  bool whole = left == order->size;
  *r = (struct relay){.answer = {.cut = on_cut, .started = started},
                      .range = {whole ? RANGE_WHOLE : RANGE_PART,
                                order->range.offset + order->range.length - left, left}};
  blob_answer_begin(&r->answer, x, order, all, log);
  r->answer.left = left;
  http_exchange_on_abandoned(x, on_abandoned, r);
  if (whole) {
    r->hash = EVP_MD_CTX_new();
    if (r->hash == NULL || EVP_DigestInit_ex(r->hash, EVP_sha256(), NULL) != 1) {
      fail(r, 500, "the blob cannot be hashed");
      give_up(r);
      return;
    }
  }
  go_on(r);
}

void relay_blob(struct http_exchange *x, const struct blob_order *order, struct blob_answers *all,
                const struct log *log) {
  relay(x, order, false, order->range.length, all, log);
}

void relay_rest(struct http_exchange *x, const struct blob_order *order, uint64_t left,
                struct blob_answers *all, const struct log *log) {
  relay(x, order, true, left, all, log);
}
