/* A loop for one delivery, that signals are noticed. */
#include "node/deliver.h"

#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <uv.h>

struct alone {
  struct deliver_options options;
  uv_loop_t loop;
  uv_work_t work;
  uv_signal_t signals[2];
  int result;
  struct error error;
};

static void run(uv_work_t *work) {
  struct alone *a = work->data;
  a->result = deliver(&a->options, &a->error);
}

static void on_done(uv_work_t *work, int status) {
  struct alone *a = work->data;
  (void)status;
  uv_close((uv_handle_t *)&a->signals[0], NULL);
  uv_close((uv_handle_t *)&a->signals[1], NULL);
}

static void on_signal(uv_signal_t *handle, int number) {
  struct alone *a = handle->data;
  (void)number;
  eventfd_write(a->options.stop, 1);
}

int deliver_alone(const struct deliver_options *options, struct error *e) {
  static const int numbers[] = {SIGINT, SIGTERM};
  struct alone a = {.options = *options};
  a.options.stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (a.options.stop < 0 || uv_loop_init(&a.loop) != 0) {
    if (a.options.stop >= 0) {
      close(a.options.stop);
    }
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  a.work.data = &a;
  for (int i = 0; i < 2; i++) {
    uv_signal_init(&a.loop, &a.signals[i]);
    a.signals[i].data = &a;
    uv_signal_start(&a.signals[i], on_signal, numbers[i]);
  }
  uv_queue_work(&a.loop, &a.work, run, on_done);
  uv_run(&a.loop, UV_RUN_DEFAULT);
  uv_loop_close(&a.loop);
  close(a.options.stop);
  return a.result == 0 ? 0 : error_set(e, a.error.kind, "%s", a.error.text);
}
