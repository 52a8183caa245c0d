/* One thread appends: while it waits for the disk, the lines of all others gather in a buffer,
 * which is what it takes next. All whose lines are in it share its write, its sync and its outcome.
 */
#include "db/audit.h"

#include "base/clock.h"
#include "db/audit_file.h"
#include "db/told.h"

#include <stdlib.h>

/* Somebody whose lines are in the buffer. */
struct waiter {
  struct waiter *next;
  /* Tells the outcome, on the thread that writes; the waiter may be gone after it. */
  void (*finish)(struct waiter *w, const struct error *e);
};

struct audit {
  struct audit_file file;
  uv_thread_t thread;
  bool started;
  uv_mutex_t mutex; /* guards what follows */
  uv_cond_t wake;
  struct buf lines;
  struct waiter *first, **last;
  bool stopping;
};

static void write_batch(struct audit *audit, struct buf *lines, struct waiter *batch) {
  struct error e = {0};
  bool failed = audit_file_append(&audit->file, buf_view(lines), &e) != 0;
  buf_free(lines);
  for (struct waiter *w = batch, *next; w != NULL; w = next) {
    next = w->next;
    w->finish(w, failed ? &e : NULL);
  }
}

static void write_loop(void *arg) {
  struct audit *audit = arg;
  uv_mutex_lock(&audit->mutex);
  while (audit->first != NULL || !audit->stopping) {
    if (audit->first == NULL) {
      uv_cond_wait(&audit->wake, &audit->mutex);
      continue;
    }
    struct buf lines = audit->lines;
    struct waiter *batch = audit->first;
    audit->lines = (struct buf){.limit = AUDIT_QUEUE_MAX};
    audit->first = NULL;
    audit->last = &audit->first;
    uv_mutex_unlock(&audit->mutex);
    write_batch(audit, &lines, batch);
    uv_mutex_lock(&audit->mutex);
  }
  uv_mutex_unlock(&audit->mutex);
}

int audit_open_sized(const char *data_dir, uint64_t size_max, size_t files_max, struct audit **out,
                     struct error *e) {
  struct audit *audit = calloc(1, sizeof *audit);
  if (audit == NULL) {
    return error_set(e, ERROR_FAILED, "cannot open %s/audit: out of memory", data_dir);
  }
  audit->file = (struct audit_file){.size_max = size_max, .files_max = files_max};
  audit->lines.limit = AUDIT_QUEUE_MAX;
  audit->last = &audit->first;
  uv_mutex_init(&audit->mutex);
  uv_cond_init(&audit->wake);
  int result = audit_file_open(&audit->file, data_dir, e);
  if (result == 0) {
    int code = uv_thread_create(&audit->thread, write_loop, audit);
    audit->started = code == 0;
    result = code == 0 ? 0
                       : error_set(e, ERROR_FAILED, "cannot open %s: no thread to write: %s",
                                   audit->file.path, uv_strerror(code));
  }
  if (result != 0) {
    audit_close(audit);
    return -1;
  }
  *out = audit;
  return 0;
}

int audit_open(const char *data_dir, struct audit **out, struct error *e) {
  return audit_open_sized(data_dir, AUDIT_FILE_MAX, AUDIT_FILES_MAX, out, e);
}

void audit_close(struct audit *audit) {
  if (audit == NULL) {
    return;
  }
  if (audit->started) {
    uv_mutex_lock(&audit->mutex);
    audit->stopping = true;
    uv_cond_signal(&audit->wake);
    uv_mutex_unlock(&audit->mutex);
    uv_thread_join(&audit->thread);
  }
  audit_file_close(&audit->file);
  uv_cond_destroy(&audit->wake);
  uv_mutex_destroy(&audit->mutex);
  buf_free(&audit->lines);
  free(audit);
}

static int enqueue(struct audit *audit, struct waiter *w, struct slice lines, struct error *e) {
  uv_mutex_lock(&audit->mutex);
  bool full = lines.len > AUDIT_QUEUE_MAX - audit->lines.len;
  bool queued = !full && (lines.len == 0 || buf_reserve(&audit->lines, lines.len) != NULL);
  if (queued) {
    buf_slice(&audit->lines, lines);
    w->next = NULL;
    *audit->last = w;
    audit->last = &w->next;
    uv_cond_signal(&audit->wake);
  }
  audit->lines.failed = false; /* what is refused harms nobody else */
  uv_mutex_unlock(&audit->mutex);
  return queued ? 0
         : full ? error_set(e, ERROR_FAILED,
                            "cannot write to the audit log %s: %d bytes wait already: see whether "
                            "the disk is slow",
                            audit->file.path, AUDIT_QUEUE_MAX)
                : error_set(e, ERROR_FAILED, "cannot write to the audit log %s: out of memory",
                            audit->file.path);
}

/* Somebody who is told on a loop. */
struct told_waiter {
  struct waiter waiter;
  struct told *told;
};

static void finish_told(struct waiter *w, const struct error *e) {
  told_finish(((struct told_waiter *)w)->told, e);
  free(w);
}

static int enqueue_told(struct audit *audit, uv_loop_t *loop, struct slice lines, db_done_fn *done,
                        void *arg, struct error *e) {
  struct told_waiter *t = calloc(1, sizeof *t);
  int code = t == NULL ? UV_ENOMEM : told_new(loop, done, arg, &t->told);
  if (code != 0) {
    free(t);
    return error_set(e, ERROR_FAILED, "cannot write to the audit log %s: %s", audit->file.path,
                     uv_strerror(code));
  }
  t->waiter.finish = finish_told;
  if (enqueue(audit, &t->waiter, lines, e) != 0) {
    told_cancel(t->told);
    free(t);
    return -1;
  }
  return 0;
}

int audit_write(struct audit *audit, uv_loop_t *loop, const struct audit_event *events,
                size_t count, db_done_fn *done, void *arg, struct error *e) {
  struct buf lines = {0};
  int64_t now = clock_now_ms();
  int result = 0;
  for (size_t i = 0; result == 0 && i < count; i++) {
    result = audit_event_append(&events[i], now, &lines, e);
  }
  if (result == 0) {
    result = enqueue_told(audit, loop, buf_view(&lines), done, arg, e);
  }
  buf_free(&lines);
  return result;
}

/* Somebody who waits on a thread. */
struct thread_waiter {
  struct waiter waiter;
  uv_sem_t finished;
  struct error *error;
  int result;
};

static void finish_thread(struct waiter *w, const struct error *e) {
  struct thread_waiter *t = (struct thread_waiter *)w;
  if (e != NULL) {
    t->result = error_set(t->error, e->kind, "%s", e->text);
  }
  uv_sem_post(&t->finished);
}

int audit_write_now(struct audit *audit, const struct audit_event *event, struct error *e) {
  struct thread_waiter t = {.waiter = {.finish = finish_thread}, .error = e};
  struct buf lines = {0};
  int code = uv_sem_init(&t.finished, 0);
  if (code != 0) {
    return error_set(e, ERROR_FAILED, "cannot write to the audit log %s: %s", audit->file.path,
                     uv_strerror(code));
  }
  int result = audit_event_append(event, clock_now_ms(), &lines, e);
  if (result == 0) {
    result = enqueue(audit, &t.waiter, buf_view(&lines), e);
  }
  if (result == 0) {
    uv_sem_wait(&t.finished);
    result = t.result;
  }
  uv_sem_destroy(&t.finished);
  buf_free(&lines);
  return result;
}
