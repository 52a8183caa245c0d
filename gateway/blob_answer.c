#include "gateway/blob_answer.h"

#include "base/address.h"
#include "gateway/problem.h"

#include <inttypes.h>

void blob_answer_begin(struct blob_answer *a, struct http_exchange *x,
                       const struct blob_order *order, struct blob_answers *all,
                       const struct log *log) {
  a->x = x;
  a->order = *order;
  a->log = log;
  a->left = order->range.length;
  a->link = &all->first;
  a->next = all->first;
  if (a->next != NULL) {
    a->next->link = &a->next;
  }
  all->first = a;
}

void blob_answer_leave(struct blob_answer *a) {
  *a->link = a->next;
  if (a->next != NULL) {
    a->next->link = a->link;
  }
}

void blob_answer_start(struct blob_answer *a) {
  const struct blob_order *o = &a->order;
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
  a->started = true;
  http_answer_start(a->x, part ? 206 : 200, fields, part ? 4 : 3, o->range.length);
}

/* For who wants to know what went where, the demo among them; a cut answer counts what it had. */
static void tell(const struct blob_answer *a) {
  if (a->log->level < LOG_LEVEL_DEBUG) {
    return;
  }
  char peer[ADDRESS_TEXT_MAX];
  address_print(http_request_peer(a->x), peer);
  log_write(a->log, LOG_LEVEL_DEBUG, "webseed: sent %" PRIu64 " bytes of %s of %.*s/%s to %s",
            a->order.range.length - a->left, a->order.digest, SLICE_ARG(a->order.upstream->name),
            a->order.repository, peer);
}

/* It ends here. */
static void finish(struct blob_answer *a) {
  blob_answer_leave(a);
  reader_leave(a->order.reader);
}

void blob_answer_end(struct blob_answer *a) {
  finish(a);
  tell(a);
  http_answer_end(a->x);
}

void blob_answer_abandon(struct blob_answer *a) {
  finish(a);
  tell(a);
}

void blob_answer_fail(struct blob_answer *a, int status, const char *why) {
  finish(a);
  if (why != NULL) {
    log_write(a->log, LOG_LEVEL_WARN, "cannot send %s of %.*s/%s: %s", a->order.digest,
              SLICE_ARG(a->order.upstream->name), a->order.repository, why);
  }
  if (a->started) {
    tell(a);
    if (status == 403) {
      http_answer_recall(a->x);
    } else {
      http_answer_abort(a->x);
    }
  } else if (status == 403) {
    problem_answer(a->x, 403, "DENIED", "the webseed token was revoked");
  } else if (status == 404) {
    problem_answer(a->x, 404, "BLOB_UNKNOWN", "the registry has no such blob any more");
  } else {
    problem_answer(a->x, status, "UNAVAILABLE", "the registry did not give the blob");
  }
}

void blob_order_fail(struct http_exchange *x, const struct blob_order *order) {
  reader_leave(order->reader);
  problem_answer(x, 500, "UNKNOWN", "the gateway is out of memory");
}

void blob_answers_cut(struct blob_answers *all, blob_answer_judge *judge, void *arg) {
  for (struct blob_answer *a = all->first, *next; a != NULL; a = next) {
    next = a->next;
    if (judge(arg, &a->order)) {
      a->cut(a);
    }
  }
}
