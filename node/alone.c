#include "node/alone.h"

#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <uv.h>

struct alone {
  alone_work *work;
  void *arg;
  int stop;
  uv_loop_t loop;
  uv_work_t queued;
  uv_signal_t signals[2];
  int result;
  struct error error;
};

static void run(uv_work_t *queued) {
  struct alone *a = queued->data;
  a->result = a->work(a->arg, a->stop, &a->error);
}

static void on_done(uv_work_t *queued, int status) {
  struct alone *a = queued->data;
  (void)status;
  uv_close((uv_handle_t *)&a->signals[0], NULL);
  uv_close((uv_handle_t *)&a->signals[1], NULL);
}

static void on_signal(uv_signal_t *handle, int number) {
  struct alone *a = handle->data;
  (void)number;
  eventfd_write(a->stop, 1);
}

int alone_run(alone_work *work, void *arg, struct error *e) {
  static const int numbers[] = {SIGINT, SIGTERM};
  struct alone a = {.work = work, .arg = arg, .stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  if (a.stop < 0 || uv_loop_init(&a.loop) != 0) {
    if (a.stop >= 0) {
      close(a.stop);
    }
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  a.queued.data = &a;
  for (int i = 0; i < 2; i++) {
    uv_signal_init(&a.loop, &a.signals[i]);
    a.signals[i].data = &a;
    uv_signal_start(&a.signals[i], on_signal, numbers[i]);
  }
  uv_queue_work(&a.loop, &a.queued, run, on_done);
  uv_run(&a.loop, UV_RUN_DEFAULT);
  uv_loop_close(&a.loop);
  close(a.stop);
  return a.result == 0 ? 0 : error_set(e, a.error.kind, "%s", a.error.text);
}
