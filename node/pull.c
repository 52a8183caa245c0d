#include "node/pull.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "image/certificates.h"
#include "node/ask.h"
#include "node/certificate.h"
#include "node/download.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
  PROGRESS_MS = 200,
  STALL_MS = 60 * 1000,  /* so long nothing may come of anybody */
  RENEW_EVERY_MS = 1000, /* as often new tokens are asked for at most */
};

struct pull;

struct blob {
  struct pull *pull;
  struct download *download;
};

struct pull {
  const struct pull_options *options;
  struct pull_result *out;
  uv_loop_t loop;
  struct http_client *client;
  struct registry *gateway;
  struct image_credentials credentials;
  struct image_certificates certificates, origin_certificates;
  struct http_client_tls tls;
  struct arena arena;
  struct ask *ask;
  struct offer offer, renewed; /* the first one, and the last; zeroed: none */
  struct origin *origin;
  struct layout *layout;
  struct certificate *certificate; /* where the torrents are under a CA */
  struct downloads *downloads;
  struct blob *blobs;
  struct pull_blob *shown; /* as many */
  size_t landed;
  uv_timer_t timer;
  uv_signal_t interrupted, terminated;
  uint64_t last_done, last_came_ms, last_asked_ms;
  uint64_t seed_until_ms; /* 0: not yet */
  uint64_t renew_at_ms;   /* long before the right to stay ends */
  bool delivering;
  int stop; /* readable once the delivery is to be given up */
  uv_work_t delivery;
  int delivered;
  struct error undelivered;
  bool over;
  struct error error; /* why it ended, unless well */
};

static void end(struct pull *p, const struct error *e) {
  if (!p->over && e != NULL) {
    p->error = *e;
  }
  p->over = true;
  eventfd_write(p->stop, 1);
  uv_stop(&p->loop);
}

/* --- how far it is --- */

static void tell(struct pull *p, enum pull_phase phase) {
  struct pull_progress sum = {.phase = phase, .size = p->offer.size};
  p->out->kept = 0;
  for (size_t i = 0; i < p->offer.blob_count && p->blobs != NULL; i++) {
    struct download_progress progress;
    download_progress_of(p->blobs[i].download, &progress);
    sum.done += progress.done;
    sum.from_gateway += progress.from_gateway;
    sum.from_registry += progress.from_origin;
    sum.from_peers += progress.from_peers;
    sum.uploaded += progress.uploaded;
    sum.peers = progress.peers > sum.peers ? progress.peers : sum.peers;
    p->out->kept += progress.kept ? 1 : 0;
    p->shown[i] =
        (struct pull_blob){p->offer.blobs[i].digest, progress.done, p->offer.blobs[i].size};
  }
  p->out->progress = sum;
  sum.blobs = p->shown;
  sum.blob_count = p->shown == NULL ? 0 : p->offer.blob_count;
  if (sum.done != p->last_done) {
    p->last_done = sum.done;
    p->last_came_ms = clock_monotonic_ms();
  }
  if (p->options->progress != NULL) {
    p->options->progress(p->options->arg, &sum);
  }
}

static void check_stall(struct pull *p) {
  struct error e = {0};
  const char *trouble = NULL;
  if (clock_monotonic_ms() - p->last_came_ms < STALL_MS) {
    return;
  }
  for (size_t i = 0; i < p->offer.blob_count; i++) {
    if (download_is_reading(p->blobs[i].download)) {
      p->last_came_ms = clock_monotonic_ms();
      return;
    }
  }
  for (size_t i = 0; i < p->offer.blob_count && trouble == NULL; i++) {
    trouble = download_trouble(p->blobs[i].download);
  }
  error_set(&e, ERROR_FAILED, "nothing has come for %d seconds: %s", STALL_MS / 1000,
            trouble != NULL ? trouble : "no peer has what is missing");
  end(p, &e);
}

static void renew(struct pull *p);

static void on_time(uv_timer_t *timer) {
  struct pull *p = timer->data;
  bool seeds = p->seed_until_ms != 0;
  if (!p->delivering) {
    tell(p, seeds ? PULL_SEEDING : PULL_FETCHING);
  }
  if (clock_monotonic_ms() >= p->renew_at_ms) {
    renew(p);
  }
  if (!seeds && !p->delivering) {
    check_stall(p);
  } else if (seeds && clock_monotonic_ms() >= p->seed_until_ms) {
    end(p, NULL);
  }
}

/* --- all of it --- */

static void begin_seeding(struct pull *p) {
  uint64_t now = clock_monotonic_ms();
  if (p->options->seed_ms == 0) {
    end(p, NULL);
  } else {
    p->seed_until_ms =
        p->options->seed_ms > UINT64_MAX - now ? UINT64_MAX : now + p->options->seed_ms;
  }
}

static void run_delivery(uv_work_t *work) {
  struct pull *p = work->data;
  p->delivered = p->options->deliver(p->options->arg, p->out, p->stop, &p->undelivered);
}

static void on_delivered(uv_work_t *work, int status) {
  struct pull *p = work->data;
  (void)status;
  p->delivering = false;
  if (p->over) {
    return;
  }
  if (p->delivered != 0) {
    end(p, &p->undelivered);
  } else {
    begin_seeding(p);
  }
}

static void finish(struct pull *p) {
  struct error e = {0};
  const struct layout_entry entry = {.digest = p->offer.digest,
                                     .media_type = p->offer.media_type,
                                     .size = p->offer.manifest.len,
                                     .name = p->options->name};
  tell(p, PULL_FETCHING);
  if (!p->options->there && (layout_write(p->layout, p->offer.digest, p->offer.manifest, &e) != 0 ||
                             layout_enter(p->layout, &entry, &e) != 0)) {
    end(p, &e);
  } else if (p->options->deliver == NULL) {
    begin_seeding(p);
  } else {
    p->delivering = true;
    p->delivery.data = p;
    uv_queue_work(&p->loop, &p->delivery, run_delivery, on_delivered);
  }
}

/* --- blobs --- */

static void on_landed(void *arg, const struct error *e) {
  struct blob *b = arg;
  struct pull *p = b->pull;
  if (e != NULL) {
    struct error why = *e;
    p->out->here = e->kind == ERROR_FAILED;
    if (p->out->here && !p->options->there) {
      snprintf(why.text, sizeof why.text, "%.600s; what was fetched is kept in %.300s", e->text,
               p->options->unfinished);
    }
    end(p, &why);
  } else if (++p->landed == p->offer.blob_count) {
    finish(p);
  }
}

static int ask_gateway(struct pull *p, ask_done *done, struct error *e);

/* At the half of what is left: a gateway that is away for hours does no harm. */
static void plan_renewal(struct pull *p, const struct offer *offer) {
  int64_t left = offer->session - clock_now();
  p->renew_at_ms = clock_monotonic_ms() + (left > 1 ? (uint64_t)left * 1000 / 2 : RENEW_EVERY_MS);
}

static void on_renewed(void *arg, struct offer *offer, const struct error *e) {
  struct pull *p = arg;
  struct error why = {0};
  p->ask = NULL;
  if (offer == NULL) {
    /* A gateway that is away may come back; one that says no has the last word. */
    if (e->kind == ERROR_DENIED || e->kind == ERROR_NOT_FOUND) {
      why = *e;
      why.kind = ERROR_DENIED;
      error_context(&why, "the right to this image has ended");
      end(p, &why);
    }
    return;
  }
  if (strcmp(offer->digest, p->offer.digest) != 0) {
    offer_free(offer);
    return;
  }
  struct offer old = p->renewed;
  p->renewed = *offer;
  plan_renewal(p, offer);
  for (size_t i = 0; i < p->offer.blob_count; i++) {
    /* One manifest, one order. */
    download_renew(p->blobs[i].download, &p->renewed.blobs[i], p->certificate);
  }
  offer_free(&old);
}

static void renew(struct pull *p) {
  uint64_t now = clock_monotonic_ms();
  if (p->ask == NULL && !p->over && now - p->last_asked_ms >= RENEW_EVERY_MS) {
    ask_gateway(p, on_renewed, NULL);
  }
}

static void on_stale(void *arg) {
  struct blob *b = arg;
  renew(b->pull);
}

static void on_refused(void *arg, bool ended, const struct error *e) {
  struct blob *b = arg;
  (void)ended;
  end(b->pull, e);
}

static int begin_blobs(struct pull *p, struct error *e) {
  static const struct download_events events = {
      .landed = on_landed, .stale = on_stale, .refused = on_refused};
  const struct downloads_options options = {
      .loop = &p->loop,
      .client = p->client,
      .tls = p->tls,
      .layout = p->layout,
      .unfinished = p->options->unfinished,
      .bittorrent = p->options->bittorrent,
      .skip_webseed = p->options->skip_webseed,
      .there = p->options->there,
  };
  p->blobs = calloc(p->offer.blob_count + 1, sizeof *p->blobs);
  p->shown = calloc(p->offer.blob_count + 1, sizeof *p->shown);
  if (p->blobs == NULL || p->shown == NULL) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  if (downloads_new(&options, &p->downloads, e) != 0) {
    return -1;
  }
  for (size_t i = 0; i < p->offer.blob_count; i++) {
    struct blob *b = &p->blobs[i];
    b->pull = p;
    b->download = download_start(p->downloads, &p->offer.blobs[i], p->certificate,
                                 p->options->seed_ms > 0, &events, b, e);
    if (b->download == NULL) {
      return -1;
    }
    download_turn_to(b->download, p->origin);
  }
  return 0;
}

/* Nothing is made at the destination before there is something to put there. */
static void begin_swarms(struct pull *p) {
  struct error e = {0};
  if (layout_open(p->options->folder, &p->layout, &e) != 0 || begin_blobs(p, &e) != 0) {
    p->out->here = true;
    end(p, &e);
    return;
  }
  uv_timer_start(&p->timer, on_time, PROGRESS_MS, PROGRESS_MS);
}

/* --- the gateway --- */

/* For all blobs of the image, where its torrents are under a CA. */
static int make_certificate(struct pull *p, struct error *e) {
  const struct certificate_options options = {.loop = &p->loop,
                                              .gateway = p->gateway,
                                              .repository = p->options->image->repository,
                                              .host = p->options->image->host,
                                              .offer = &p->offer};
  if (certificate_is_wanted(&p->offer)) {
    p->certificate = certificate_new(&options, e);
    return p->certificate == NULL ? -1 : 0;
  }
  return 0;
}

static void on_waits(void *arg, uint64_t done, uint64_t size) {
  struct pull *p = arg;
  const struct pull_progress progress = {.phase = PULL_ASKING, .done = done, .size = size};
  if (p->options->progress != NULL && p->downloads == NULL) {
    p->options->progress(p->options->arg, &progress);
  }
}

static void advise_login(const struct pull *p, struct error *e) {
  CLEANUP_FREE char *advice =
      image_credentials_advice(&p->credentials, p->options->from->authfile, p->options->image->host,
                               "--authfile or --creds");
  if (advice != NULL) {
    error_set(e, ERROR_DENIED, "the gateway answered 401: %s", advice);
  }
}

static void on_offer(void *arg, struct offer *offer, const struct error *e) {
  struct pull *p = arg;
  struct error why = {0};
  p->ask = NULL;
  if (offer == NULL) {
    why = *e;
    if (why.kind == ERROR_DENIED) {
      advise_login(p, &why);
    }
    end(p, &why);
    return;
  }
  p->offer = *offer;
  snprintf(p->out->digest, sizeof p->out->digest, "%s", offer->digest);
  p->out->blobs = offer->blob_count;
  p->out->no_index = offer->index.digest == NULL;
  p->last_came_ms = clock_monotonic_ms();
  plan_renewal(p, offer);
  if (make_certificate(p, &why) != 0) {
    end(p, &why);
  } else {
    begin_swarms(p);
  }
}

static int ask_gateway(struct pull *p, ask_done *done, struct error *e) {
  const struct image_reference *image = p->options->image;
  const struct ask_options options = {.loop = &p->loop,
                                      .gateway = p->gateway,
                                      .repository = image->repository,
                                      .reference = p->offer.digest != NULL ? p->offer.digest
                                                   : image->digest != NULL ? image->digest
                                                                           : image->tag,
                                      .host = image->host,
                                      .platform = p->options->platform};
  p->last_asked_ms = clock_monotonic_ms();
  p->ask = ask_start(&options, on_waits, done, p, e);
  return p->ask == NULL ? -1 : 0;
}

static void on_signal(uv_signal_t *handle, int number) {
  struct pull *p = handle->data;
  struct error e = {0};
  (void)number;
  p->out->interrupted = true;
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

/* How a host is trusted, by what lies in the folder of its certificates. */
static int find_trust(struct pull *p, const char *host, struct image_certificates *certificates,
                      struct http_client_tls *out, struct error *e) {
  const struct image_source_options *from = p->options->from;
  if (image_certificates_find(from->cert_dir, host, &p->arena, certificates, e) != 0) {
    return -1;
  }
  *out = (struct http_client_tls){.ca_file = certificates->ca_file,
                                  .cert_file = certificates->cert_file,
                                  .key_file = certificates->key_file,
                                  .insecure = !from->tls_verify,
                                  .given_by = "--cert-dir"};
  return 0;
}

static int open_gateway(struct pull *p, struct error *e) {
  struct slice url = slice_str(p->options->gateway);
  const char *host = strstr(p->options->gateway, "://");
  if (!slice_starts(url, SLICE("http://")) && !slice_starts(url, SLICE("https://"))) {
    return error_set(e, ERROR_USAGE, "the gateway %s is no URL of http:// or https://",
                     p->options->gateway);
  }
  if (check_gateway(p, e) != 0 || find_trust(p, host + 3, &p->certificates, &p->tls, e) != 0) {
    return -1;
  }
  const struct registry_options options = {
      .url = p->options->gateway, .api = "v1", .tls = p->tls, .credentials = &p->credentials};
  p->gateway = registry_new(p->client, &options, e);
  return p->gateway == NULL ? -1 : 0;
}

static int open_origin(struct pull *p, struct error *e) {
  const struct image_reference *image = p->options->image;
  struct origin_options options = {.client = p->client,
                                   .host = image->host,
                                   .repository = image->repository,
                                   .credentials = &p->credentials,
                                   .may_be_plain = !p->options->from->tls_verify ||
                                                   image_host_is_loopback(image->host)};
  return find_trust(p, image->host, &p->origin_certificates, &options.tls, e) == 0
             ? origin_new(&options, &p->origin, e)
             : -1;
}

static void begin_handles(struct pull *p) {
  uv_timer_init(&p->loop, &p->timer);
  uv_signal_init(&p->loop, &p->interrupted);
  uv_signal_init(&p->loop, &p->terminated);
  p->timer.data = p->interrupted.data = p->terminated.data = p;
  uv_signal_start(&p->interrupted, on_signal, SIGINT);
  uv_signal_start(&p->terminated, on_signal, SIGTERM);
}

static int begin(struct pull *p, struct error *e) {
  const struct image_reference *image = p->options->image;
  const struct image_source_options *from = p->options->from;
  p->client = http_client_new(&p->loop);
  p->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (p->client == NULL || p->stop < 0) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  if (image_credentials_find(from->creds, from->authfile, image->host, image->repository,
                             &p->credentials, e) != 0 ||
      open_gateway(p, e) != 0 || open_origin(p, e) != 0) {
    return -1;
  }
  return ask_gateway(p, on_offer, e);
}

static void on_stopped(void *arg) {
  (void)arg;
}

/* In this order: who uses something goes before it. */
static void close_all(struct pull *p) {
  if (p->ask != NULL) {
    ask_cancel(p->ask);
  }
  downloads_free(p->downloads);
  origin_free(p->origin);
  certificate_free(p->certificate);
  registry_free(p->gateway);
  if (p->client != NULL) {
    http_client_stop(p->client, on_stopped, NULL);
  }
  uv_close((uv_handle_t *)&p->timer, NULL);
  uv_close((uv_handle_t *)&p->interrupted, NULL);
  uv_close((uv_handle_t *)&p->terminated, NULL);
  uv_run(&p->loop, UV_RUN_DEFAULT);
  uv_loop_close(&p->loop);
  free(p->blobs);
  free(p->shown);
  if (p->stop >= 0) {
    close(p->stop);
  }
  layout_close(p->layout);
  offer_free(&p->offer);
  offer_free(&p->renewed);
  image_certificates_close(&p->certificates);
  image_certificates_close(&p->origin_certificates);
  image_credentials_free(&p->credentials);
  arena_free(&p->arena);
}

int pull_run(const struct pull_options *options, struct pull_result *out, struct error *e) {
  struct pull p = {.options = options,
                   .out = out,
                   .certificates.bundle = -1,
                   .origin_certificates.bundle = -1,
                   .stop = -1};
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
    downloads_tidy(p.downloads);
  }
  close_all(&p);
  return result;
}
