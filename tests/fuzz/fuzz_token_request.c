// LINKS gateway auth db image torrent http base PkgConfig::UV PkgConfig::JANSSON
/* A request to the token service: `G` or `P`, then query or form, Authorization and Content-Type
 * with NULs between them. What is read keeps its bounds, says who asks in the one way that the
 * request has, and a password is gone when it was wiped. */
#include "gateway/token_request.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds) {
  if (!holds) {
    abort();
  }
}

static void check_password(struct token_request *r) {
  const char *password = r->password.ptr;
  size_t len = r->password.len;
  check(r->user.len <= TOKEN_REQUEST_NAME_MAX && len <= TOKEN_REQUEST_PASSWORD_MAX);
  check(password[len] == '\0');
  token_request_wipe(r);
  check(r->password.len == 0);
  for (size_t i = 0; i < len; i++) {
    check(password[i] == '\0');
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct slice rest = slice_of(data, size);
  struct arena arena = {0};
  struct token_request r;
  struct error e = {0};
  if (size == 0) {
    return 0;
  }
  rest = slice_from(rest, 1);
  struct token_request_input in = {.post = data[0] == 'P'};
  in.query = in.body = slice_cut(&rest, '\0');
  in.authorization = slice_cut(&rest, '\0');
  in.content_type = rest;
  if (token_request_read(&in, &arena, &r, &e) != 0) {
    check(e.kind == ERROR_USAGE && e.text[0] != '\0');
    arena_free(&arena);
    return 0;
  }
  switch (r.proof) {
  case TOKEN_REQUEST_NOBODY:
    check(!in.post && in.authorization.ptr == NULL);
    break;
  case TOKEN_REQUEST_PASSWORD:
    check(in.post || in.authorization.len > 0);
    check_password(&r);
    break;
  case TOKEN_REQUEST_REFRESH:
    check(in.post && r.refresh.len > 0 && r.refresh.len <= TOKEN_REQUEST_REFRESH_MAX);
    break;
  }
  check(r.client.len <= TOKEN_REQUEST_NAME_MAX && r.scopes.count <= SCOPES_MAX);
  arena_free(&arena);
  return 0;
}
