#include "gateway/problem.h"

#include <jansson.h>
#include <stdlib.h>

static void answer(struct http_exchange *x, int status, const char *code, const char *message,
                   struct slice challenge) {
  const struct http_field fields[] = {
      {SLICE("Content-Type"), SLICE("application/json")},
      {SLICE("Cache-Control"), SLICE("no-store")},
      {SLICE("WWW-Authenticate"), challenge},
  };
  json_t *body = json_pack("{s:[{s:s,s:s}]}", "errors", "code", code, "message", message);
  char *text = json_dumps(body, JSON_COMPACT);
  http_answer(x, status, fields, challenge.len > 0 ? 3 : 2, slice_str(text));
  free(text);
  json_decref(body);
}

void problem_answer(struct http_exchange *x, int status, const char *code, const char *message) {
  answer(x, status, code, message, SLICE(""));
}

void problem_challenge(struct http_exchange *x, struct slice challenge) {
  answer(x, 401, "UNAUTHORIZED", "the registry wants credentials for this repository", challenge);
}
