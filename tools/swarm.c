#include "tools/swarm.h"

#include "base/clock.h"

#include <time.h>

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

void swarm_log(const struct swarm_ca *ca, const struct log *log) {
  char until[32] = "";
  struct tm utc;
  time_t ends = ca == NULL ? 0 : swarm_ca_ends(ca);
  if (ca == NULL) {
    log_write(log, LOG_LEVEL_INFO, "swarm TLS is off: gateway.swarm_tls is not set");
  } else if (gmtime_r(&ends, &utc) != NULL) {
    strftime(until, sizeof until, "%Y-%m-%dT%H:%M:%SZ", &utc);
    log_write(log, LOG_LEVEL_INFO, "swarm TLS is on: the CA of gateway.swarm_tls holds until %s",
              until);
  }
}
