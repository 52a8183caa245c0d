#include "tools/retention.h"

enum { DAY = 24 * 60 * 60 };

int64_t retention_lifetime(const struct config *config) {
  const struct config_auth *auth = &config->auth;
  const uint32_t lives[] = {auth->ttl_session, config->tracker.session_max, auth->ttl_webseed,
                            auth->ttl_swarm, config->token_service.ttl};
  int64_t longest = DAY;
  for (size_t i = 0; i < sizeof lives / sizeof *lives; i++) {
    longest = lives[i] > longest ? lives[i] : longest;
  }
  return longest;
}

int64_t retention_seconds(const struct config *config) {
  /* Of whoever made the token, and of ours when it was revoked. */
  return retention_lifetime(config) + 2 * (int64_t)config->auth.leeway;
}
