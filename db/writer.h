/** The one thread that writes: takes what is queued and commits it together. */
#pragma once

#include "db/db.h"

struct writer;

enum {
  WRITER_QUEUE_MAX = 16384, /**< writes that wait; more are refused */
  WRITER_BATCH_MAX = 256,   /**< writes of one commit */
};

/** \p db outlives the writer. \return NULL with \p e when the thread cannot start. */
struct writer *writer_start(struct db *db, struct error *e);
/** Does what is queued, then ends. NULL is fine. */
void writer_stop(struct writer *writer);

/** See db_write(). */
int writer_add(struct writer *writer, uv_loop_t *loop, db_write_fn *fn, void *arg, db_done_fn *done,
               struct error *e);
/** See db_write_now(). */
int writer_wait(struct writer *writer, db_write_fn *fn, void *arg, struct error *e);
