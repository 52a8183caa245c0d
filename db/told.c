#include "db/told.h"

#include <stdatomic.h>
#include <stdlib.h>

struct told {
  uv_async_t async;
  db_done_fn *done;
  void *arg;
  struct error error;
  atomic_bool finished; /* hands the error over: the other thread is through with it */
};

static void free_told(uv_handle_t *handle) {
  free(handle->data);
}

static void tell(uv_async_t *async) {
  struct told *told = async->data;
  if (!atomic_load_explicit(&told->finished, memory_order_acquire)) {
    return;
  }
  told->done(told->arg, told->error.kind == ERROR_NONE ? NULL : &told->error);
  uv_close((uv_handle_t *)async, free_told);
}

int told_new(uv_loop_t *loop, db_done_fn *done, void *arg, struct told **out) {
  struct told *told = calloc(1, sizeof *told);
  if (told == NULL) {
    return UV_ENOMEM;
  }
  int code = uv_async_init(loop, &told->async, tell);
  if (code != 0) {
    free(told);
    return code;
  }
  told->async.data = told;
  told->done = done;
  told->arg = arg;
  *out = told;
  return 0;
}

void told_finish(struct told *told, const struct error *e) {
  if (e != NULL) {
    told->error = *e;
  }
  atomic_store_explicit(&told->finished, true, memory_order_release);
  uv_async_send(&told->async);
}

void told_cancel(struct told *told) {
  uv_close((uv_handle_t *)&told->async, free_told);
}
