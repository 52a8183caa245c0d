/* GET /.well-known/jwks.json: our own public keys (RFC 7517, 5), for whoever checks our tokens. */
#include "gateway/internal.h"

#include "base/clock.h"
#include "gateway/problem.h"

void jwks_handle(struct http_exchange *x, void *context) {
  const struct gateway_options *o = ((const struct gateway *)context)->options;
  /* The next key is in it long before it signs, so that what is kept for a while will do. */
  static const struct http_field fields[] = {
      {SLICE("Content-Type"), SLICE("application/jwk-set+json")},
      {SLICE("Cache-Control"), SLICE("max-age=300")},
  };
  struct buf text = {0};
  struct error e = {0};
  if (keyring_jwks(o->keyring, clock_now(), &text, &e) == 0) {
    http_answer(x, 200, fields, sizeof fields / sizeof fields[0], buf_view(&text));
  } else {
    log_write(o->log, LOG_LEVEL_WARN, "%s", e.text);
    problem_answer(x, 500, "UNKNOWN", "the gateway failed; its log says why");
  }
  buf_free(&text);
}
