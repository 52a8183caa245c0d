#include "sweep.h"

/* An announce that was let in just before a change may be counted just after the first. */
enum { ROUNDS = 2 };

void sweep_init(struct sweep *s, struct tracker *tracker, struct revocations *revocations) {
  *s = (struct sweep){.tracker = tracker,
                      .revocations = revocations,
                      .generation = revocations_generation(revocations)};
  s->work.data = s;
}

static void work(uv_work_t *work) {
  const struct sweep *s = work->data;
  tracker_drop_revoked(s->tracker);
}

static void done(uv_work_t *work, int status) {
  struct sweep *s = work->data;
  (void)status;
  s->running = false;
}

void sweep_tick(struct sweep *s, uv_loop_t *loop) {
  uint64_t generation = revocations_generation(s->revocations);
  if (generation != s->generation) {
    s->generation = generation;
    s->rounds = ROUNDS;
  }
  if (s->tracker != NULL && s->rounds > 0 && !s->running &&
      uv_queue_work(loop, &s->work, work, done) == 0) {
    s->running = true;
    s->rounds--;
  }
}
