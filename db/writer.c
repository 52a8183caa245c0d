/*
 * A batch is one LMDB transaction; each write runs in a nested one, so that a write that fails is
 * undone alone. When the map is full, at a put or at the commit, the whole batch is undone, the map
 * doubled, and the batch run again. When the commit fails, all of the batch are told.
 */
#include "db/writer.h"

#include "base/clock.h"
#include "db/internal.h"
#include "db/told.h"

#include <stdlib.h>

/* Readers that died without a word keep old pages from being used again. */
enum { STALE_READERS_MS = 60 * 1000 };

struct write {
  struct write *next;
  db_write_fn *fn;
  void *arg;
  struct error error; /* ERROR_NONE: well so far */
  /* Wakes whoever waits, on the writer thread; the write may be gone after it. */
  void (*finish)(struct write *w);
};

struct writer {
  struct db *db;
  uv_thread_t thread;
  uv_mutex_t mutex; /* guards what follows */
  uv_cond_t wake;
  struct write *first, **last;
  size_t waiting;
  bool stopping;
};

/* Runs one write of a batch. Returns MDB_MAP_FULL when the batch must be run again. */
static int run_one(struct db *db, MDB_txn *batch, struct write *w) {
  struct db_txn txn = {.db = db};
  w->error = (struct error){0};
  int code = mdb_txn_begin(db->env, batch, 0, &txn.txn);
  if (code != 0) {
    db_failed(db, code, "write", &w->error);
    return code;
  }
  bool failed = w->fn(&txn, w->arg, &w->error) != 0 || txn.error.kind != ERROR_NONE;
  if (failed) {
    mdb_txn_abort(txn.txn);
    if (txn.error.kind != ERROR_NONE) {
      w->error = txn.error;
    } else if (w->error.kind == ERROR_NONE) {
      error_set(&w->error, ERROR_FAILED, "cannot write %s: the work was given up", db->path);
    }
    return txn.code;
  }
  code = mdb_txn_commit(txn.txn);
  if (code != 0) {
    db_failed(db, code, "write", &w->error);
  }
  return code;
}

static int run_all(struct db *db, struct write *batch, MDB_txn *txn) {
  for (struct write *w = batch; w != NULL; w = w->next) {
    if (run_one(db, txn, w) == MDB_MAP_FULL) {
      mdb_txn_abort(txn);
      return MDB_MAP_FULL;
    }
  }
  return mdb_txn_commit(txn);
}

/* Those that failed by themselves keep their own error. */
static void fail_all(struct write *batch, const struct error *e) {
  for (struct write *w = batch; w != NULL; w = w->next) {
    if (w->error.kind == ERROR_NONE) {
      w->error = *e;
    }
  }
}

static void run_batch(struct db *db, struct write *batch) {
  struct error e = {0};
  MDB_txn *txn;
  int code;
  do {
    if (db_begin(db, 0, &txn, &e) != 0) {
      fail_all(batch, &e);
      return;
    }
    code = run_all(db, batch, txn);
    db_end(db);
  } while (code == MDB_MAP_FULL && db_grow(db, &e) == 0);
  if (code != 0) {
    if (e.kind == ERROR_NONE) {
      db_failed(db, code, "write", &e);
    }
    fail_all(batch, &e);
  }
}

/* The mutex is held. */
static struct write *take_batch(struct writer *writer) {
  struct write *batch = writer->first, *end = batch;
  size_t count = 1;
  for (; end->next != NULL && count < WRITER_BATCH_MAX; count++) {
    end = end->next;
  }
  writer->first = end->next;
  if (writer->first == NULL) {
    writer->last = &writer->first;
  }
  end->next = NULL;
  writer->waiting -= count;
  return batch;
}

static void write_loop(void *arg) {
  struct writer *writer = arg;
  uint64_t checked = clock_monotonic_ms();
  uv_mutex_lock(&writer->mutex);
  while (writer->first != NULL || !writer->stopping) {
    if (clock_monotonic_ms() - checked >= STALE_READERS_MS) {
      mdb_reader_check(writer->db->env, NULL);
      checked = clock_monotonic_ms();
    }
    if (writer->first == NULL) {
      uv_cond_timedwait(&writer->wake, &writer->mutex, STALE_READERS_MS * UINT64_C(1000000));
      continue;
    }
    struct write *batch = take_batch(writer);
    uv_mutex_unlock(&writer->mutex);
    run_batch(writer->db, batch);
    for (struct write *w = batch, *next; w != NULL; w = next) {
      next = w->next;
      w->finish(w);
    }
    uv_mutex_lock(&writer->mutex);
  }
  uv_mutex_unlock(&writer->mutex);
}

struct writer *writer_start(struct db *db, struct error *e) {
  struct writer *writer = calloc(1, sizeof *writer);
  if (writer == NULL) {
    error_set(e, ERROR_FAILED, "cannot open %s: out of memory", db->path);
    return NULL;
  }
  writer->db = db;
  writer->last = &writer->first;
  uv_mutex_init(&writer->mutex);
  uv_cond_init(&writer->wake);
  int code = uv_thread_create(&writer->thread, write_loop, writer);
  if (code != 0) {
    error_set(e, ERROR_FAILED, "cannot open %s: no thread to write: %s", db->path,
              uv_strerror(code));
    uv_cond_destroy(&writer->wake);
    uv_mutex_destroy(&writer->mutex);
    free(writer);
    return NULL;
  }
  return writer;
}

void writer_stop(struct writer *writer) {
  if (writer == NULL) {
    return;
  }
  uv_mutex_lock(&writer->mutex);
  writer->stopping = true;
  uv_cond_signal(&writer->wake);
  uv_mutex_unlock(&writer->mutex);
  uv_thread_join(&writer->thread);
  uv_cond_destroy(&writer->wake);
  uv_mutex_destroy(&writer->mutex);
  free(writer);
}

static int enqueue(struct writer *writer, struct write *w, struct error *e) {
  uv_mutex_lock(&writer->mutex);
  bool full = writer->waiting >= WRITER_QUEUE_MAX;
  if (!full) {
    *writer->last = w;
    writer->last = &w->next;
    writer->waiting++;
    uv_cond_signal(&writer->wake);
  }
  uv_mutex_unlock(&writer->mutex);
  return full ? error_set(e, ERROR_FAILED, "cannot write %s: %d writes wait already",
                          writer->db->path, WRITER_QUEUE_MAX)
              : 0;
}

/* A write whose outcome is told on a loop. */
struct told_write {
  struct write write;
  struct told *told;
};

static void finish_told(struct write *w) {
  told_finish(((struct told_write *)w)->told, w->error.kind == ERROR_NONE ? NULL : &w->error);
  free(w);
}

int writer_add(struct writer *writer, uv_loop_t *loop, db_write_fn *fn, void *arg, db_done_fn *done,
               struct error *e) {
  struct told_write *t = calloc(1, sizeof *t);
  int code = t == NULL ? UV_ENOMEM : told_new(loop, done, arg, &t->told);
  if (code != 0) {
    free(t);
    return error_set(e, ERROR_FAILED, "cannot write %s: %s", writer->db->path, uv_strerror(code));
  }
  t->write = (struct write){.fn = fn, .arg = arg, .finish = finish_told};
  if (enqueue(writer, &t->write, e) != 0) {
    told_cancel(t->told);
    free(t);
    return -1;
  }
  return 0;
}

/* A write whose caller waits. */
struct awaited_write {
  struct write write;
  uv_sem_t finished;
};

static void finish_awaited(struct write *w) {
  uv_sem_post(&((struct awaited_write *)w)->finished);
}

int writer_wait(struct writer *writer, db_write_fn *fn, void *arg, struct error *e) {
  struct awaited_write a = {.write = {.fn = fn, .arg = arg, .finish = finish_awaited}};
  int code = uv_sem_init(&a.finished, 0);
  if (code != 0) {
    return error_set(e, ERROR_FAILED, "cannot write %s: %s", writer->db->path, uv_strerror(code));
  }
  int rc = enqueue(writer, &a.write, e);
  if (rc == 0) {
    uv_sem_wait(&a.finished);
    if (a.write.error.kind != ERROR_NONE) {
      rc = error_set(e, a.write.error.kind, "%s", a.write.error.text);
    }
  }
  uv_sem_destroy(&a.finished);
  return rc;
}
