#include "gateway/errand_answer.h"

#include "gateway/authorise.h"
#include "gateway/hashing.h"
#include "gateway/problem.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

void errand_answer_later(const struct request *r, struct slice digest, uint64_t done,
                         uint64_t size) {
  char seconds[16];
  int len = snprintf(seconds, sizeof seconds, "%d", HASHING_RETRY_S);
  const struct http_field fields[] = {
      {SLICE("Content-Type"), SLICE("application/json")},
      {SLICE("Cache-Control"), SLICE("no-store")},
      {SLICE("Retry-After"), slice_of(seconds, (size_t)len)},
  };
  json_t *json =
      json_pack("{s:s%, s:I}", "digest", digest.ptr, digest.len, "done", (json_int_t)done);
  if (size != ERRAND_SIZE_UNKNOWN) {
    json_object_set_new(json, "size", json_integer((json_int_t)size));
  }
  char *text = json_dumps(json, JSON_COMPACT);
  http_answer(r->x, 202, fields, sizeof fields / sizeof fields[0], slice_str(text));
  free(text);
  json_decref(json);
}

void errand_answer_refuse(const struct request *r, const struct errand_news *news) {
  if (news->outcome == ERRAND_FAILED) {
    problem_answer(r->x, 500, "UNKNOWN", "the gateway failed; its log says why");
    return;
  }
  switch (news->e->kind) {
  case ERROR_NOT_FOUND:
    authorise_hide(r);
    break;
  case ERROR_MISMATCH:
    problem_answer(r->x, 502, "UNAVAILABLE", "the registry sent other bytes than the digest names");
    break;
  case ERROR_DENIED:
    problem_answer(r->x, 502, "UNAVAILABLE",
                   "the registry does not take the gateway's own credentials");
    break;
  default:
    problem_answer(r->x, 502, "UNAVAILABLE",
                   "the gateway could not read it from the registry; its log says why");
    break;
  }
}

void errand_answer_full(const struct request *r, struct slice digest, const struct error *e) {
  request_log(r, LOG_LEVEL_WARN, "cannot ask the registry for", digest, e->text);
  problem_later(r->x, 503, "UNAVAILABLE", "the gateway has too much to do: ask again",
                HASHING_RETRY_S);
}
