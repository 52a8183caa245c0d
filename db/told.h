/** The outcome of what another thread does, told on the loop that asked for it. */
#pragma once

#include "db/db.h"

struct told;

/**
 * To be told later, by \p done on \p loop, whose thread calls this; the loop runs until then.
 *
 * \return 0, or a code of libuv.
 */
int told_new(uv_loop_t *loop, db_done_fn *done, void *arg, struct told **out);

/** Has it told, from any thread; \p e is copied, NULL is a success. It is gone after it. */
void told_finish(struct told *told, const struct error *e);

/** Nothing is told; on the loop's thread, before told_finish(). */
void told_cancel(struct told *told);
