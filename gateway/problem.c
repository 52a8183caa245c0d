#include "gateway/problem.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

/* A field with an empty value is left out. */
static void answer(struct http_exchange *x, int status, const char *code, const char *message,
                   struct http_field field) {
  const struct http_field fields[] = {
      {SLICE("Content-Type"), SLICE("application/json")},
      {SLICE("Cache-Control"), SLICE("no-store")},
      field,
  };
  json_t *body = json_pack("{s:[{s:s,s:s}]}", "errors", "code", code, "message", message);
  char *text = json_dumps(body, JSON_COMPACT);
  http_answer(x, status, fields, field.value.len > 0 ? 3 : 2, slice_str(text));
  free(text);
  json_decref(body);
}

void problem_answer(struct http_exchange *x, int status, const char *code, const char *message) {
  answer(x, status, code, message, (struct http_field){0});
}

void problem_digest(struct http_exchange *x) {
  problem_answer(x, 400, "DIGEST_INVALID",
                 "a digest is `sha256:` and 64 lowercase hexadecimal digits");
}

void problem_challenge(struct http_exchange *x, struct slice challenge) {
  problem_unauthorized(x, challenge, "the registry wants credentials for this repository");
}

void problem_unauthorized(struct http_exchange *x, struct slice challenge, const char *message) {
  answer(x, 401, "UNAUTHORIZED", message,
         (struct http_field){SLICE("WWW-Authenticate"), challenge});
}

void problem_method(struct http_exchange *x, struct slice allow) {
  answer(x, 405, "UNSUPPORTED", "the method is not one of those in Allow",
         (struct http_field){SLICE("Allow"), allow});
}

void problem_later(struct http_exchange *x, int status, const char *code, const char *message,
                   unsigned seconds) {
  char text[16];
  snprintf(text, sizeof text, "%u", seconds);
  answer(x, status, code, message, (struct http_field){SLICE("Retry-After"), slice_str(text)});
}
