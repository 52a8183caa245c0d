#include "node/pull.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "image/certificates.h"
#include "node/ask.h"
#include "node/feeder.h"
#include "node/layout.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
  PROGRESS_MS = 200,
  /* So long nothing may come of anybody. */
  STALL_MS = 60 * 1000,
};

/* What becomes of a blob. */
enum stage {
  STAGE_LOOKING,  /* whether it is in the layout already */
  STAGE_SWARM,    /* its pieces come */
  STAGE_FLUSHING, /* they are there, and are being written to the file */
  STAGE_LANDING,  /* the file is read and hashed, and takes the blob's name */
  STAGE_DONE,
};

struct pull;

struct blob {
  struct pull *pull;
  const struct offer_blob *offer;
  enum stage stage;
  struct bittorrent_torrent *torrent;
  int fed; /* its number at the feeder; -1: none */
  bool kept;
  uint64_t had; /* bytes that an earlier pull had left */
  uv_work_t work;
  char *path;
  int result;
  struct error error;
};

struct pull {
  const struct pull_options *options;
  struct pull_result *out;
  uv_loop_t loop;
  struct http_client *client;
  struct registry *gateway;
  struct image_credentials credentials;
  struct image_certificates certificates;
  struct http_client_tls tls;
  struct arena arena;
  struct ask *ask;
  struct offer offer;
  struct layout *layout;
  struct bittorrent *bittorrent;
  uv_async_t awake;
  struct feeder *feeder;
  struct blob *blobs;
  size_t working; /* blobs on another thread */
  size_t landed;
  uv_timer_t timer;
  uv_signal_t interrupted, terminated;
  uint64_t last_done, last_came_ms;
  uint64_t seed_until_ms; /* 0: not yet */
  char tracker[128];      /* why it refuses; "": it does not */
  bool over;
  struct error error; /* why it ended, unless well */
};

static void end(struct pull *p, const struct error *e) {
  if (!p->over && e != NULL) {
    p->error = *e;
  }
  p->over = true;
  uv_stop(&p->loop);
}

/* --- a blob --- */

static void begin_swarm(struct blob *b);

static void on_worked(uv_work_t *work, int status);

static void start_work(struct blob *b, uv_work_cb run) {
  b->work.data = b;
  b->pull->working++;
  uv_queue_work(&b->pull->loop, &b->work, run, on_worked);
}

static void look(uv_work_t *work) {
  struct blob *b = work->data;
  b->result = layout_check(b->path, b->offer->digest, b->offer->size, &b->error);
}

static void land(uv_work_t *work) {
  struct blob *b = work->data;
  CLEANUP_FREE char *from = NULL;
  if (asprintf(&from, "%s/sha256-%s", b->pull->options->unfinished,
               b->offer->digest + sizeof "sha256:" - 1) < 0) {
    from = NULL;
    b->result = error_set(&b->error, ERROR_FAILED, "out of memory");
    return;
  }
  b->result = layout_check(from, b->offer->digest, b->offer->size, &b->error);
  if (b->result == 0) {
    b->result = layout_link(b->pull->layout, from, b->offer->digest, &b->error);
  }
}

static void finish(struct pull *p);

static void blob_done(struct blob *b) {
  struct pull *p = b->pull;
  b->stage = STAGE_DONE;
  if (++p->landed == p->offer.blob_count) {
    finish(p);
  }
}

static void on_worked(uv_work_t *work, int status) {
  struct blob *b = work->data;
  (void)status;
  b->pull->working--;
  if (b->pull->over) {
    return;
  }
  if (b->result == 0) {
    b->kept = b->stage == STAGE_LOOKING;
    b->pull->out->kept += b->kept ? 1 : 0;
    blob_done(b);
  } else if (b->stage == STAGE_LOOKING) {
    begin_swarm(b);
  } else {
    end(b->pull, &b->error);
  }
}

/* An empty blob has no torrent. */
static void begin_swarm(struct blob *b) {
  struct pull *p = b->pull;
  struct error e = {0};
  b->stage = STAGE_SWARM;
  int result = b->offer->size == 0 ? layout_write(p->layout, b->offer->digest, SLICE(""), &e)
                                   : bittorrent_add(p->bittorrent, b->offer->torrent,
                                                    p->options->unfinished, b, &b->torrent, &e);
  if (result != 0) {
    end(p, &e);
  } else if (b->offer->size == 0) {
    blob_done(b);
  }
}

static void check_complete(struct blob *b) {
  struct bittorrent_progress progress;
  bittorrent_progress_of(b->torrent, &progress);
  if (b->stage == STAGE_SWARM && progress.complete) {
    b->stage = STAGE_FLUSHING;
    if (b->fed >= 0) {
      feeder_remove(b->pull->feeder, b->fed);
    }
    bittorrent_flush(b->torrent);
  }
}

static void begin_feeding(struct blob *b) {
  struct pull *p = b->pull;
  struct error e = {0};
  struct bittorrent_progress progress;
  const struct feeder_torrent fed = {.torrent = b->torrent,
                                     .url = b->offer->webseed,
                                     .size = b->offer->size,
                                     .piece_length = b->offer->metainfo.piece_length};
  bittorrent_progress_of(b->torrent, &progress);
  b->had = progress.done;
  if (b->stage != STAGE_SWARM || b->fed >= 0 || progress.complete || p->options->skip_webseed) {
    return;
  }
  b->fed = feeder_add(p->feeder, &fed, &e);
  if (b->fed < 0) {
    end(p, &e);
  }
}

static void on_told(void *arg, void *tag, enum bittorrent_event event, uint32_t piece,
                    const char *message) {
  struct pull *p = arg;
  struct blob *b = tag;
  struct error e = {0};
  switch (event) {
  case BITTORRENT_CHECKED:
    begin_feeding(b);
    check_complete(b);
    break;
  case BITTORRENT_PIECE:
  case BITTORRENT_BAD_PIECE:
    if (b->fed >= 0) {
      feeder_landed(p->feeder, b->fed, piece);
    }
    check_complete(b);
    break;
  case BITTORRENT_FLUSHED:
    if (b->stage == STAGE_FLUSHING) {
      b->stage = STAGE_LANDING;
      start_work(b, land);
    }
    break;
  case BITTORRENT_TRACKER:
    p->tracker[0] = '\0';
    break;
  case BITTORRENT_TRACKER_FAILED:
    snprintf(p->tracker, sizeof p->tracker, "%s", message);
    break;
  case BITTORRENT_FAILED:
    error_set(&e, ERROR_FAILED, "%s: %s", b->offer->digest, message);
    end(p, &e);
    break;
  }
}

static void on_awake(uv_async_t *awake) {
  struct pull *p = awake->data;
  if (!p->over) {
    bittorrent_poll(p->bittorrent, on_told, p);
  }
}

static void wake(void *arg) {
  struct pull *p = arg;
  uv_async_send(&p->awake);
}

/* --- how far it is --- */

static void look_at_blob(const struct pull *p, struct blob *b, struct pull_progress *sum) {
  struct bittorrent_progress progress = {0};
  uint64_t fetched = b->fed >= 0 ? feeder_fetched(p->feeder, b->fed) : 0;
  if (b->torrent != NULL) {
    bittorrent_progress_of(b->torrent, &progress);
  }
  sum->done += b->stage == STAGE_DONE ? b->offer->size : progress.done;
  sum->uploaded += progress.uploaded;
  sum->peers += progress.peers;
  sum->from_gateway += fetched;
  sum->from_peers += progress.received;
}

static void tell(struct pull *p, enum pull_phase phase) {
  struct pull_progress sum = {.phase = phase, .size = p->offer.size};
  for (size_t i = 0; i < p->offer.blob_count && p->blobs != NULL; i++) {
    look_at_blob(p, &p->blobs[i], &sum);
  }
  p->out->progress = sum;
  if (sum.done != p->last_done) {
    p->last_done = sum.done;
    p->last_came_ms = clock_monotonic_ms();
  }
  if (p->options->progress != NULL) {
    p->options->progress(p->options->arg, &sum);
  }
}

static void check_stall(struct pull *p) {
  const struct error *trouble = feeder_trouble(p->feeder);
  struct error e = {0};
  if (p->working > 0 || clock_monotonic_ms() - p->last_came_ms < STALL_MS) {
    return;
  }
  if (trouble != NULL) {
    e = *trouble;
  } else if (p->tracker[0] != '\0') {
    error_set(&e, ERROR_FAILED, "the tracker says: %s", p->tracker);
  } else {
    error_set(&e, ERROR_FAILED, "no peer has what is missing");
  }
  error_context(&e, "nothing has come for %d seconds", STALL_MS / 1000);
  end(p, &e);
}

static void on_time(uv_timer_t *timer) {
  struct pull *p = timer->data;
  bool seeds = p->seed_until_ms != 0;
  tell(p, seeds ? PULL_SEEDING : PULL_FETCHING);
  if (!seeds) {
    check_stall(p);
  } else if (clock_monotonic_ms() >= p->seed_until_ms) {
    end(p, NULL);
  }
}

/* --- all of it --- */

static void finish(struct pull *p) {
  struct error e = {0};
  const struct layout_entry entry = {.digest = p->offer.digest,
                                     .media_type = p->offer.media_type,
                                     .size = p->offer.manifest.len,
                                     .name = p->options->name};
  tell(p, PULL_FETCHING);
  if (layout_write(p->layout, p->offer.digest, p->offer.manifest, &e) != 0 ||
      layout_enter(p->layout, &entry, &e) != 0) {
    end(p, &e);
  } else if (p->options->seed_ms == 0) {
    end(p, NULL);
  } else {
    p->seed_until_ms = clock_monotonic_ms() + p->options->seed_ms;
  }
}

static int begin_blobs(struct pull *p, struct error *e) {
  const struct feeder_options feeding = {.loop = &p->loop, .client = p->client, .tls = p->tls};
  struct bittorrent_options bittorrent = p->options->bittorrent;
  bittorrent.wake = wake;
  bittorrent.arg = p;
  p->blobs = calloc(p->offer.blob_count + 1, sizeof *p->blobs);
  p->feeder = feeder_new(&feeding);
  if (p->blobs == NULL || p->feeder == NULL) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  if (file_make_folders(p->options->unfinished, e) != 0 ||
      bittorrent_start(&bittorrent, &p->bittorrent, e) != 0) {
    return -1;
  }
  for (size_t i = 0; i < p->offer.blob_count; i++) {
    struct blob *b = &p->blobs[i];
    *b = (struct blob){.pull = p, .offer = &p->offer.blobs[i], .fed = -1};
    b->path = layout_path(p->layout, b->offer->digest);
    if (b->path == NULL) {
      return error_set(e, ERROR_FAILED, "out of memory");
    }
    start_work(b, look);
  }
  return 0;
}

static void on_waits(void *arg, uint64_t done, uint64_t size) {
  struct pull *p = arg;
  const struct pull_progress progress = {.phase = PULL_ASKING, .done = done, .size = size};
  if (p->options->progress != NULL) {
    p->options->progress(p->options->arg, &progress);
  }
}

static void on_offer(void *arg, struct offer *offer, const struct error *e) {
  struct pull *p = arg;
  struct error why = {0};
  p->ask = NULL;
  if (offer == NULL) {
    end(p, e);
    return;
  }
  p->offer = *offer;
  snprintf(p->out->digest, sizeof p->out->digest, "%s", offer->digest);
  p->out->blobs = offer->blob_count;
  p->last_came_ms = clock_monotonic_ms();
  if (begin_blobs(p, &why) != 0) {
    end(p, &why);
    return;
  }
  uv_timer_start(&p->timer, on_time, PROGRESS_MS, PROGRESS_MS);
}

static void on_signal(uv_signal_t *handle, int number) {
  struct pull *p = handle->data;
  struct error e = {0};
  (void)number;
  error_set(&e, ERROR_FAILED, "interrupted; what was fetched is kept in %s",
            p->options->unfinished);
  end(p, p->seed_until_ms != 0 ? NULL : &e);
}

/* Who could listen on the way must not have the registry's password. */
static int check_gateway(const struct pull *p, struct error *e) {
  bool known = p->credentials.username != NULL || p->credentials.identity_token != NULL;
  struct slice url = slice_str(p->options->gateway);
  if (!known || p->options->insecure || !slice_starts(url, SLICE("http://")) ||
      image_host_is_loopback(url.ptr + sizeof "http://" - 1)) {
    return 0;
  }
  return error_set(e, ERROR_USAGE,
                   "the gateway %s is on plain http: credentials do not go there, unless "
                   "--insecure says so",
                   p->options->gateway);
}

static int open_gateway(struct pull *p, struct error *e) {
  const struct image_reference *image = p->options->image;
  const struct image_source_options *from = p->options->from;
  const char *host = strstr(p->options->gateway, "://");
  if (host == NULL) {
    return error_set(e, ERROR_USAGE, "the gateway %s is no URL", p->options->gateway);
  }
  if (image_credentials_find(from->creds, from->authfile, image->host, image->repository,
                             &p->credentials, e) != 0 ||
      check_gateway(p, e) != 0 ||
      image_certificates_find(from->cert_dir, host + 3, &p->arena, &p->certificates, e) != 0) {
    return -1;
  }
  p->tls = (struct http_client_tls){.ca_file = p->certificates.ca_file,
                                    .cert_file = p->certificates.cert_file,
                                    .key_file = p->certificates.key_file,
                                    .insecure = !from->tls_verify,
                                    .given_by = "--cert-dir"};
  const struct registry_options options = {
      .url = p->options->gateway, .api = "v1", .tls = p->tls, .credentials = &p->credentials};
  p->gateway = registry_new(p->client, &options, e);
  return p->gateway == NULL ? -1 : 0;
}

static void begin_handles(struct pull *p) {
  uv_async_init(&p->loop, &p->awake, on_awake);
  uv_timer_init(&p->loop, &p->timer);
  uv_signal_init(&p->loop, &p->interrupted);
  uv_signal_init(&p->loop, &p->terminated);
  p->awake.data = p->timer.data = p->interrupted.data = p->terminated.data = p;
  uv_signal_start(&p->interrupted, on_signal, SIGINT);
  uv_signal_start(&p->terminated, on_signal, SIGTERM);
}

static int begin(struct pull *p, struct error *e) {
  const struct image_reference *image = p->options->image;
  p->client = http_client_new(&p->loop);
  if (p->client == NULL) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  if (layout_open(p->options->folder, &p->layout, e) != 0 || open_gateway(p, e) != 0) {
    return -1;
  }
  const struct ask_options options = {.loop = &p->loop,
                                      .gateway = p->gateway,
                                      .repository = image->repository,
                                      .reference =
                                          image->digest != NULL ? image->digest : image->tag,
                                      .host = image->host,
                                      .platform = p->options->platform};
  p->ask = ask_start(&options, on_waits, on_offer, p, e);
  return p->ask == NULL ? -1 : 0;
}

static void on_stopped(void *arg) {
  (void)arg;
}

/* In this order: who uses something goes before it. */
static void close_all(struct pull *p) {
  if (p->ask != NULL) {
    ask_cancel(p->ask);
  }
  feeder_free(p->feeder);
  bittorrent_stop(p->bittorrent); /* nothing wakes us after this */
  registry_free(p->gateway);
  if (p->client != NULL) {
    http_client_stop(p->client, on_stopped, NULL);
  }
  uv_close((uv_handle_t *)&p->awake, NULL);
  uv_close((uv_handle_t *)&p->timer, NULL);
  uv_close((uv_handle_t *)&p->interrupted, NULL);
  uv_close((uv_handle_t *)&p->terminated, NULL);
  uv_run(&p->loop, UV_RUN_DEFAULT);
  uv_loop_close(&p->loop);
  for (size_t i = 0; i < p->offer.blob_count && p->blobs != NULL; i++) {
    free(p->blobs[i].path);
  }
  free(p->blobs);
  layout_close(p->layout);
  offer_free(&p->offer);
  image_certificates_close(&p->certificates);
  image_credentials_free(&p->credentials);
  arena_free(&p->arena);
}

static void remove_unfinished(const struct pull *p) {
  for (size_t i = 0; i < p->offer.blob_count; i++) {
    CLEANUP_FREE char *path = NULL;
    if (asprintf(&path, "%s/sha256-%s", p->options->unfinished,
                 p->offer.blobs[i].digest + sizeof "sha256:" - 1) < 0) {
      path = NULL;
    } else {
      unlink(path);
    }
  }
  rmdir(p->options->unfinished);
}

int pull_run(const struct pull_options *options, struct pull_result *out, struct error *e) {
  struct pull p = {.options = options, .out = out, .certificates.bundle = -1};
  *out = (struct pull_result){0};
  if (uv_loop_init(&p.loop) != 0) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  begin_handles(&p);
  int result = begin(&p, e);
  if (result == 0) {
    uv_run(&p.loop, UV_RUN_DEFAULT);
    if (p.error.kind != ERROR_NONE) {
      result = error_set(e, p.error.kind, "%s", p.error.text);
    }
  }
  p.over = true;
  if (result == 0) {
    remove_unfinished(&p);
  }
  close_all(&p);
  return result;
}
