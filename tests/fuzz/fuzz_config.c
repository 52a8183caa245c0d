// LINKS config base
/* Any bytes are a configuration whose values keep their promises, or an error with its place. */
#include "config/config.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct config c;
  struct error e = {0};
  if (config_parse("fuzz.yaml", (const char *)data, size, &c, &e) != 0) {
    if (e.kind != ERROR_USAGE || strncmp(e.text, "fuzz.yaml:", 10) != 0) {
      abort();
    }
    return 0;
  }
  if (c.tracker.min_interval > c.tracker.interval || c.tracker.listen.count == 0 ||
      c.tracker.numwant_default > c.tracker.numwant_max || c.auth.ttl_swarm > c.auth.ttl_session ||
      c.tracker.url.text == NULL || c.gateway.url.text == NULL || c.data_dir.text[0] == '\0') {
    abort();
  }
  for (size_t i = 0; i < c.auth.trust_count; i++) {
    if (c.auth.trust[i].algorithms.count == 0 || c.auth.trust[i].keys.text == NULL) {
      abort();
    }
  }
  config_free(&c);
  return 0;
}
