#include "tools/swarm.h"

#include "base/clock.h"

int swarm_load(const struct config *config, struct swarm_ca **out, struct error *e) {
  const struct config_swarm_tls *s = &config->gateway.swarm_tls;
  *out = NULL;
  if (!config->gateway.present || s->ca_certificate.text == NULL ||
      swarm_ca_load(s->ca_certificate.text, s->ca_key.text, s->ttl, clock_now(), out, e) == 0) {
    return 0;
  }
  error_context(e, "gateway.swarm_tls");
  return config_error_at(config, s->line, e);
}
