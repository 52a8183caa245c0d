#include "gateway/fill.h"

#include "base/clock.h"
#include "cache/cache.h"
#include "gateway/registries.h"
#include "http/range.h"

#include <stdlib.h>

struct fills {
  struct fills_options options;
  uv_loop_t loop;
  uv_thread_t thread;
  uv_async_t wake, stop;
  uv_timer_t again; /* when what failed may be tried again */
  struct http_client *client;
  struct registries registries;
  bool *failing;      /* of each registry, and one more for none: it does, and that was said */
  struct fill *first; /* under way */
  unsigned count;
  bool scanning; /* one at a time: they share the threads of the process */
  bool stopping;
};

/** A job under way. */
struct fill {
  struct fill *next, **link;
  struct fills *fills;
  struct cache_job job;
  size_t from; /* of a claim: which of the registries */
  struct registry_request *request;
  uint64_t skip; /* bytes before the claim that the registry sends anyway */
  enum cache_outcome outcome;
  struct error why; /* kind ERROR_NONE: nothing went wrong */
  uv_work_t work;   /* of a scan */
};

static void take_jobs(struct fills *fills);

/* A registry that is down fails each try of each blob: the first says so. */
static void tell(const struct fill *f) {
  const struct log *log = f->fills->options.log;
  bool *failing = &f->fills->failing[f->from];
  if (f->why.kind != ERROR_NONE) {
    log_write(log, *failing ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN,
              "cannot bring sha256:%s of %s/%s into the cache: %s", f->job.digest, f->job.registry,
              f->job.repository, f->why.text);
  } else if (*failing && f->job.done > 0) {
    log_write(log, LOG_LEVEL_INFO, "blobs of %s come into the cache again", f->job.registry);
  }
  if (f->why.kind != ERROR_NONE || f->job.done > 0) {
    *failing = f->outcome == CACHE_RETRY || f->outcome == CACHE_FAIL;
  }
}

/* The job has ended, and with it the fill. */
static void end(struct fill *f) {
  struct fills *fills = f->fills;
  if (f->job.kind == CACHE_CLAIM) {
    tell(f);
  }
  fills->count--;
  fills->scanning = fills->scanning && f->job.kind != CACHE_SCAN;
  cache_job_end(&f->job, f->outcome, clock_monotonic_ms());
  *f->link = f->next;
  if (f->next != NULL) {
    f->next->link = f->link;
  }
  free(f);
}

/* \return false, as the registry's events do to give up. */
static bool fail(struct fill *f, enum cache_outcome outcome, const char *why) {
  f->outcome = outcome;
  error_set(&f->why, ERROR_FAILED, "%s", why);
  return false;
}

static bool on_head(void *arg, const struct registry_answer *a) {
  struct fill *f = arg;
  const struct range range = {RANGE_PART, f->job.offset, f->job.length};
  uint64_t size = cache_size(f->job.blob);
  switch (a->status) {
  case 206:
    return range_is(&range, size, a->content_range) ||
           fail(f, CACHE_RETRY, "the registry answered with another range");
  case 200:
    f->skip = f->job.offset;
    return !a->has_length || a->length == size ||
           fail(f, CACHE_RETRY, "the registry answered with another length");
  case 401:
  case 403:
    return fail(f, CACHE_FAIL, "the registry refuses the gateway: check its `credentials`");
  case 404:
    return fail(f, CACHE_LOST, "the registry has no such blob");
  default:
    return fail(f, CACHE_RETRY, "the registry answered with an unexpected status");
  }
}

static bool on_data(void *arg, struct slice bytes) {
  struct fill *f = arg;
  size_t skipped = f->skip < bytes.len ? (size_t)f->skip : bytes.len;
  uint64_t left = f->job.length - f->job.done;
  f->skip -= skipped;
  bytes = slice_from(bytes, skipped);
  if (left == 0) {
    return bytes.len == 0; /* what lies behind the claim; all of that is there */
  }
  bytes.len = bytes.len < left ? bytes.len : (size_t)left;
  if (cache_write(&f->job, bytes, &f->why) != 0) {
    f->outcome = f->why.kind == ERROR_USAGE      ? CACHE_FULL
                 : f->why.kind == ERROR_MISMATCH ? CACHE_FAIL
                                                 : CACHE_RETRY;
    return false;
  }
  return true;
}

static void on_done(void *arg, const struct error *e) {
  struct fill *f = arg;
  struct fills *fills = f->fills;
  f->request = NULL;
  if (f->why.kind == ERROR_NONE && e != NULL && f->job.done < f->job.length) {
    fail(f, CACHE_RETRY, e->text);
  }
  end(f);
  take_jobs(fills);
}

static void claim(struct fill *f) {
  static const struct registry_events events = {on_head, on_data, on_done};
  const struct cache_job *job = &f->job;
  const struct registries *from = &f->fills->registries;
  f->from = registries_index(from, slice_str(job->registry));
  char digest[sizeof "sha256:" + CACHE_DIGEST];
  snprintf(digest, sizeof digest, "sha256:%s", job->digest);
  const struct registry_get get = {.method = "GET",
                                   .repository = job->repository,
                                   .blob = digest,
                                   .ranged = job->length < cache_size(job->blob),
                                   .first = job->offset,
                                   .last = job->offset + job->length - 1};
  f->request = f->from == from->count
                   ? NULL
                   : registry_start(from->items[f->from], &get, &events, f, &f->why);
  if (f->request == NULL) {
    f->outcome = CACHE_FAIL;
    end(f);
  }
}

static void scan(uv_work_t *work) {
  cache_scan(&((struct fill *)work->data)->job);
}

static void on_scanned(uv_work_t *work, int status) {
  struct fill *f = work->data;
  struct fills *fills = f->fills;
  (void)status; /* nobody cancels it */
  end(f);
  take_jobs(fills);
}

static void on_again(uv_timer_t *timer) {
  take_jobs(timer->data);
}

/* \return whether there may be another. */
static bool take_job(struct fills *fills) {
  struct fill *f = calloc(1, sizeof *f);
  uint64_t now = clock_monotonic_ms(), again = now + CACHE_REST_MS;
  if (f == NULL || !cache_next(fills->options.cache, now, !fills->scanning, &f->job, &again)) {
    free(f);
    if (again != UINT64_MAX) {
      uv_timer_start(&fills->again, on_again, again > now ? again - now : 0, 0);
    }
    return false;
  }
  f->fills = fills;
  f->link = &fills->first;
  f->next = fills->first;
  if (f->next != NULL) {
    f->next->link = &f->next;
  }
  fills->first = f;
  fills->count++;
  if (f->job.kind == CACHE_CLAIM) {
    claim(f);
    return true;
  }
  f->work.data = f;
  fills->scanning = true;
  uv_queue_work(&fills->loop, &f->work, scan, on_scanned);
  return true;
}

static void take_jobs(struct fills *fills) {
  while (!fills->stopping && fills->count < FILLS_MAX && take_job(fills)) {
  }
}

static void on_wake(uv_async_t *async) {
  take_jobs(async->data);
}

/* From any thread, with the cache's lock held. */
static void on_wanted(void *arg) {
  struct fills *fills = arg;
  uv_async_send(&fills->wake);
}

/* --- start and end --- */

static void on_client_stopped(void *arg) {
  (void)arg;
}

static void on_stop(uv_async_t *async) {
  struct fills *fills = async->data;
  fills->stopping = true;
  cache_stop(fills->options.cache);
  for (struct fill *f = fills->first, *next; f != NULL; f = next) {
    next = f->next;
    if (f->request != NULL) {
      registry_cancel(f->request);
      f->outcome = CACHE_RETRY;
      end(f);
    }
  }
  registries_close(&fills->registries);
  http_client_stop(fills->client, on_client_stopped, NULL);
  uv_close((uv_handle_t *)&fills->wake, NULL);
  uv_close((uv_handle_t *)&fills->stop, NULL);
  uv_close((uv_handle_t *)&fills->again, NULL);
}

static void run(void *arg) {
  uv_run(&((struct fills *)arg)->loop, UV_RUN_DEFAULT);
}

static void close_loop(struct fills *fills) {
  uv_loop_close(&fills->loop);
  free(fills->failing);
  free(fills);
}

struct fills *fills_new(const struct fills_options *options, struct error *e) {
  struct fills *fills = calloc(1, sizeof *fills);
  bool *failing = calloc(options->registry_count + 1, sizeof *failing);
  if (fills == NULL || failing == NULL || uv_loop_init(&fills->loop) != 0) {
    free(fills);
    free(failing);
    error_set(e, ERROR_FAILED, "cannot start to fill the cache: out of memory or descriptors");
    return NULL;
  }
  fills->options = *options;
  fills->failing = failing;
  fills->client = http_client_new(&fills->loop);
  if (fills->client == NULL || uv_async_init(&fills->loop, &fills->wake, on_wake) != 0) {
    error_set(e, ERROR_FAILED, "cannot start to fill the cache: out of memory");
    if (fills->client != NULL) {
      http_client_stop(fills->client, on_client_stopped, NULL);
      uv_run(&fills->loop, UV_RUN_DEFAULT);
    }
    close_loop(fills);
    return NULL;
  }
  uv_async_init(&fills->loop, &fills->stop, on_stop); /* the first has made what it can fail for */
  uv_timer_init(&fills->loop, &fills->again);
  fills->wake.data = fills->stop.data = fills->again.data = fills;
  int failed = registries_open(&fills->registries, options->registries, options->registry_count,
                               fills->client, e);
  if (failed == 0 && (failed = uv_thread_create(&fills->thread, run, fills)) != 0) {
    error_set(e, ERROR_FAILED, "cannot start to fill the cache: %s", uv_strerror(failed));
  }
  if (failed != 0) {
    on_stop(&fills->stop);
    run(fills);
    close_loop(fills);
    return NULL;
  }
  cache_on_wanted(options->cache, on_wanted, fills);
  return fills;
}

void fills_free(struct fills *fills) {
  if (fills != NULL) {
    cache_on_wanted(fills->options.cache, NULL, NULL);
    uv_async_send(&fills->stop);
    uv_thread_join(&fills->thread);
    close_loop(fills);
  }
}
