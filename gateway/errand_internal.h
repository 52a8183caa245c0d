/** What errand.c and errand_thread.c share. */
#pragma once

#include "gateway/errand.h"
#include "gateway/registries.h"
#include "image/registry.h"

#include <pthread.h>
#include <stdatomic.h>

struct errand_wait {
  struct errands *errands;
  struct errand_running *errand; /* under the lock; NULL once it has ended */
  enum errand_outcome outcome;   /* then, as the next */
  struct error why;
  struct errand_wait *next; /* of the errand */
  uv_async_t ended;
  uv_timer_t timer;
  unsigned handles; /* that are open */
  errand_told *told;
  void *arg;
};

struct errand_running {
  struct errand errand;
  struct errand_running *next;
  struct errand_thread *thread; /* NULL: it waits for one */
  struct errand_wait *waits;
  atomic_uint_least64_t done, size;
  /* Of its thread. */
  struct registry_request *request;
  int status;
  bool elsewhere;
  bool failed; /* and why */
  struct error why;
  struct arena arena; /* of what the errand points to */
};

struct errand_thread {
  struct errands *errands;
  bool open; /* the loop, and what is on it */
  bool started;
  uv_thread_t id;
  uv_loop_t loop;
  uv_async_t wake;
  struct http_client *client;
  struct registries registries;
  unsigned under_way;
};

struct errands {
  struct errands_options options;
  pthread_mutex_t lock; /* over what follows */
  struct errand_running *first;
  unsigned count;
  bool stopping;
  struct errand_thread threads[ERRAND_THREADS_MAX]; /* not under it */
};

/** Frees it; it is in the table no more. */
void errand_running_free(struct errand_running *r);

/** Starts a thread of \p s. \return 0, or -1 as errands_new(); errand_thread_stop() is called
 *  either way. */
int errand_thread_start(struct errands *s, struct errand_thread *thread, struct error *e);

/** Ends it, once `stopping` is set; what is under way is cancelled without a word. Of one that was
 *  never started nothing. */
void errand_thread_stop(struct errand_thread *thread);
