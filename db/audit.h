/**
 * The audit log: a line of JSON an event in `DATA_DIR/audit/`, appended and never changed, and on
 * disk before anything that it speaks of leaves. Several threads and several processes may write at
 * once. What cannot be recorded must not be handed out, nor done.
 */
#pragma once

#include "db/audit_event.h"
#include "db/db.h"

struct audit;

enum {
  AUDIT_FILE_MAX = 64 * 1024 * 1024,  /**< bytes of a file; then a new one is begun */
  AUDIT_FILES_MAX = 16,               /**< files that are kept, the current one among them */
  AUDIT_QUEUE_MAX = 16 * 1024 * 1024, /**< bytes of lines that wait; more are refused */
};

/**
 * Opens, and makes when it is missing, `DATA_DIR/audit` for writing. What root makes belongs to the
 * owner of \p data_dir, as with db_open().
 *
 * \return 0, or -1 with ERROR_FAILED.
 */
int audit_open(const char *data_dir, struct audit **out, struct error *e);

/** Writes what is queued, then closes. NULL is fine. A `done` that was not called yet still is, by
 *  its loop. */
void audit_close(struct audit *audit);

/**
 * Records one event and returns once it is on disk (fdatasync): for tools and for threads that may
 * wait.
 *
 * \return 0, or -1 with ERROR_FAILED: it is not known to be recorded.
 */
int audit_write_now(struct audit *audit, const struct audit_event *event, struct error *e);

/**
 * Queues events, which are copied, for the one thread that writes: it takes all that wait, with one
 * write and one sync. Called on the thread of \p loop, where \p done is called once they are on
 * disk, or failed; the loop must run until then. The events stay together and in order.
 *
 * \param done told ERROR_FAILED when they are not known to be recorded; nothing may be issued then.
 * \return 0, or -1 with ERROR_FAILED when they cannot be queued: too much waits, no memory, or an
 * event that audit_event_append() refuses; then \p done is not called.
 */
int audit_write(struct audit *audit, uv_loop_t *loop, const struct audit_event *events,
                size_t count, db_done_fn *done, void *arg, struct error *e);
