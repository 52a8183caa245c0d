#include "gateway/bearer.h"

enum bearer_right bearer_judge(struct keyring *keyring, struct slice authorization,
                               struct slice registry, struct slice repository, int64_t now,
                               struct arena *arena, struct slice *key_id, struct error *why) {
  struct slice jws = authorization;
  struct slice scheme = slice_cut(&jws, ' ');
  struct token token;
  if (jws.ptr == NULL || !slice_equal_nocase(scheme, SLICE("Bearer"))) {
    error_set(why, ERROR_DENIED, "no bearer token");
    return BEARER_INVALID;
  }
  if (keyring_verify(keyring, slice_trim(jws), TOKEN_REGISTRY, now, arena, &token, why) !=
      TOKEN_VALID) {
    return BEARER_INVALID;
  }
  if (!slice_equal(token.registry, registry)) {
    error_set(why, ERROR_DENIED, "a token of another registry");
    return BEARER_INVALID;
  }
  *key_id = token.key_id;
  for (size_t i = 0; i < token.access_count; i++) {
    if (slice_equal(token.access[i].repository, repository)) {
      return BEARER_PULL;
    }
  }
  return BEARER_NARROW;
}
