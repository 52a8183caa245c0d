#include "gateway/recording.h"

#include "gateway/problem.h"

#include <stdlib.h>

/* It may outlive the request. */
struct recording {
  recording_told *told; /* NULL when nobody waits any more */
  void *arg;
};

static void on_written(void *arg, const struct error *e) {
  struct recording *g = arg;
  if (g->told != NULL) {
    g->told(g->arg, e);
  }
  free(g);
}

struct recording *recording_start(const struct request *r, const struct issued *issued,
                                  recording_told *told, void *arg, struct error *e) {
  struct recording *g = malloc(sizeof *g);
  if (g == NULL) {
    error_set(e, ERROR_FAILED, "out of memory");
    return NULL;
  }
  *g = (struct recording){.told = told, .arg = arg};
  if (audit_write(r->gateway->options->audit, http_exchange_loop(r->x), issued->events,
                  issued->count, on_written, g, e) != 0) {
    free(g);
    return NULL;
  }
  return g;
}

void recording_leave(struct recording *recording) {
  if (recording != NULL) {
    recording->told = NULL;
  }
}

void recording_refuse(const struct request *r, struct slice digest, const struct error *e) {
  request_log(r, LOG_LEVEL_WARN, "cannot record the tokens for", digest, e->text);
  problem_answer(r->x, 503, "UNAVAILABLE",
                 "the gateway cannot record what it hands out, and so hands out nothing; its log "
                 "says why");
}
