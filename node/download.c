#include "node/download.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "node/feeders.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* What becomes of a blob. */
enum stage {
  STAGE_LOOKING,  /* whether it is in the layout already */
  STAGE_SWARM,    /* its pieces come */
  STAGE_FLUSHING, /* they are there, and are being written to the file */
  STAGE_LANDING,  /* the file is read and hashed, and takes the blob's name */
  STAGE_CHECKING, /* it is in the layout, and libtorrent looks whether the torrent is of it */
  STAGE_LANDED,
  STAGE_FAILED,
};

struct download {
  struct downloads *all;
  struct download *next;
  const struct offer_blob *offer;     /* not for other threads: it may be renewed, or go */
  char digest[sizeof "sha256:" + 64]; /* the same of every offer of it */
  uint64_t size;
  struct download_events events;
  void *arg;
  bool seed, kept;
  bool works;   /* on another thread */
  bool checked; /* what was on disk, by libtorrent */
  bool stopped; /* meanwhile */
  enum stage stage;
  struct bittorrent_torrent *torrent;
  unsigned char infohash[20];      /* of it, */
  uint32_t piece_length;           /* and its own, whatever later offers say */
  struct certificate *certificate; /* for it; NULL: it wants none */
  struct certificate_user shown;
  char uncertified[128]; /* why there is none yet; "": it is not known */
  struct feeder *feeder; /* of its gateway; NULL: it has not been fed */
  struct origin *origin;
  int fed;                       /* its number there; -1: none, or no more */
  struct feeder_fetched fetched; /* of the feeder, when it was done */
  char *path;                    /* in the layout */
  char *unfinished;              /* before */
  char tracker[128];             /* why it refuses; "": it does not */
  uv_work_t work;
  int result;
  struct error error;
};

struct downloads {
  struct downloads_options options;
  struct bittorrent *bittorrent;
  struct feeders *feeders;
  struct download *first;
  uv_async_t awake;
  size_t working; /* downloads on another thread */
  bool ending;
};

/* --- on other threads --- */

static void on_worked(uv_work_t *work, int status);

static void start_work(struct download *d, uv_work_cb run) {
  d->work.data = d;
  d->works = true;
  d->all->working++;
  uv_queue_work(d->all->options.loop, &d->work, run, on_worked);
}

/* The blob's other name, for libtorrent: a link to it of whatever kind, and nothing of what an
 * earlier download may have left there. */
static int give_unfinished_name(const struct download *d, struct error *e) {
  CLEANUP_FREE char *path = realpath(d->path, NULL);
  return path != NULL && (unlink(d->unfinished) == 0 || errno == ENOENT) &&
                 (link(path, d->unfinished) == 0 || symlink(path, d->unfinished) == 0)
             ? 0
             : error_errno(e, errno, "cannot give %s the name %s", d->path, d->unfinished);
}

static void look(uv_work_t *work) {
  struct download *d = work->data;
  d->result = layout_check(d->path, d->digest, d->size, &d->error);
  if (d->result == 0 && d->seed && d->size > 0) {
    d->result = give_unfinished_name(d, &d->error);
  }
}

static void land(uv_work_t *work) {
  struct download *d = work->data;
  d->result = layout_check(d->unfinished, d->digest, d->size, &d->error);
  if (d->result == 0) {
    d->result = layout_link(d->all->options.layout, d->unfinished, d->digest, &d->error);
  }
}

/* --- a download --- */

static void landed(struct download *d, const struct error *e) {
  d->stage = e == NULL ? STAGE_LANDED : STAGE_FAILED;
  d->events.landed(d->arg, e);
}

/* \param certificate NULL: its torrent wants none, or there is none yet. */
static int join(struct download *d, const struct bittorrent_certificate *certificate,
                struct error *e) {
  if (bittorrent_add(d->all->bittorrent, d->offer->torrent, &d->offer->metainfo,
                     d->all->options.unfinished, d->kept, d, &d->torrent, e) != 0) {
    return -1;
  }
  memcpy(d->infohash, d->offer->metainfo.infohash, sizeof d->infohash);
  d->piece_length = d->offer->metainfo.piece_length;
  if (certificate != NULL) {
    bittorrent_certify(d->torrent, certificate);
  }
  return 0;
}

static void join_late(struct download *d, const struct bittorrent_certificate *certificate) {
  struct error e = {0};
  if ((d->stage == STAGE_SWARM || d->stage == STAGE_CHECKING) && join(d, certificate, &e) != 0) {
    landed(d, &e);
  }
}

static void on_issued(void *arg, const struct bittorrent_certificate *certificate) {
  struct download *d = arg;
  d->uncertified[0] = '\0';
  if (d->torrent != NULL) {
    bittorrent_certify(d->torrent, certificate);
  } else {
    join_late(d, certificate);
  }
}

/* No peer is found until there is one, but what feeds it needs none. */
static void on_delayed(void *arg, const struct error *e) {
  struct download *d = arg;
  snprintf(d->uncertified, sizeof d->uncertified, "%.127s", e->text);
  if (d->torrent == NULL) {
    join_late(d, NULL);
  }
}

static void on_refused(void *arg, bool ended, const struct error *e) {
  struct download *d = arg;
  d->events.refused(d->arg, ended, e);
}

/* Where peers want certificates, not before there is one to show, or is none for now. */
static int enter(struct download *d, struct error *e) {
  const struct bittorrent_certificate *shown = NULL;
  if (d->certificate != NULL) {
    shown = certificate_use(d->certificate, &d->shown);
  }
  return d->certificate != NULL && shown == NULL ? 0 : join(d, shown, e);
}

/* To a blob in the layout, which was right when it was made: that would be written to. */
static void remove_link(const struct download *d) {
  struct stat s;
  if (lstat(d->unfinished, &s) == 0 && S_ISLNK(s.st_mode)) {
    unlink(d->unfinished);
  }
}

/* An empty blob has no torrent. */
static void begin(struct download *d) {
  struct error e = {0};
  d->stage = STAGE_SWARM;
  if (d->offer->size == 0) {
    int result = layout_write(d->all->options.layout, d->offer->digest, SLICE(""), &e);
    landed(d, result == 0 ? NULL : &e);
  } else {
    remove_link(d);
    if (enter(d, &e) != 0) {
      landed(d, &e);
    }
  }
}

static void end_look(struct download *d) {
  struct error e = {0};
  if (d->result != 0 && d->all->options.there) {
    if (d->error.kind == ERROR_NOT_FOUND) {
      error_set(&d->error, ERROR_NOT_FOUND, "the blob %s is missing", d->digest);
    }
    landed(d, &d->error);
    return;
  }
  if (d->result != 0) {
    begin(d);
    return;
  }
  d->kept = true;
  d->stage = STAGE_CHECKING;
  if (!d->seed || d->offer->size == 0) {
    landed(d, NULL);
  } else if (enter(d, &e) != 0) {
    landed(d, &e);
  }
}

static void downloads_close(struct downloads *all);
static void download_free(struct download *d);

static void on_worked(uv_work_t *work, int status) {
  struct download *d = work->data;
  (void)status;
  d->all->working--;
  d->works = false;
  if (d->all->ending) {
    downloads_close(d->all);
  } else if (d->stopped) {
    download_stop(d);
  } else if (d->stage == STAGE_LOOKING) {
    end_look(d);
  } else {
    landed(d, d->result == 0 ? NULL : &d->error);
  }
}

static void stop_feeding(struct download *d) {
  if (d->fed >= 0) {
    d->fetched = feeder_fetched(d->feeder, d->fed);
    feeder_remove(d->feeder, d->fed);
    d->fed = -1;
  }
}

static void check_complete(struct download *d) {
  struct bittorrent_progress progress;
  bittorrent_progress_of(d->torrent, &progress);
  if (d->stage == STAGE_SWARM && progress.complete) {
    d->stage = STAGE_FLUSHING;
    stop_feeding(d);
    bittorrent_flush(d->torrent);
  }
}

static int feed(struct download *d) {
  struct error e = {0};
  struct bittorrent_progress progress;
  const struct feeder_torrent fed = {.torrent = d->torrent,
                                     .tag = d,
                                     .digest = d->digest,
                                     .url = d->offer->webseed,
                                     .origin = d->origin,
                                     .size = d->offer->size,
                                     .piece_length = d->piece_length};
  bittorrent_progress_of(d->torrent, &progress);
  if (d->stage != STAGE_SWARM || d->fed >= 0 || progress.complete || d->all->options.skip_webseed) {
    return 0;
  }
  d->feeder = feeders_find(d->all->feeders, d->offer->webseed, &e);
  d->fed = d->feeder == NULL ? -1 : feeder_add(d->feeder, &fed, &e);
  if (d->fed < 0) {
    landed(d, &e);
    return -1;
  }
  return 0;
}

static bool is_stale(const char *reason) {
  return strcmp(reason, "token expired") == 0 || strcmp(reason, "token revoked") == 0 ||
         strcmp(reason, "token invalid") == 0;
}

static void on_tracker(struct download *d, const char *reason) {
  snprintf(d->tracker, sizeof d->tracker, "%s", reason);
  if (is_stale(reason)) {
    d->events.stale(d->arg);
  }
}

/* A torrent's hashes are the gateway's word alone. Were they of other bytes, nothing of what is
 * whole and right would be changed, but nobody could have it of us either. */
static void check_kept(struct download *d) {
  struct error e = {0};
  struct bittorrent_progress progress;
  bittorrent_progress_of(d->torrent, &progress);
  if (!progress.complete) {
    error_set(&e, ERROR_FAILED,
              "the gateway's torrent of %s is not of its bytes: have it made anew, by `torrent "
              "create --register` where the gateway is",
              d->digest);
  }
  landed(d, progress.complete ? NULL : &e);
}

static void on_checked(struct download *d) {
  d->checked = true;
  if (d->stage == STAGE_CHECKING) {
    check_kept(d);
    return;
  }
  check_complete(d);
  if (feed(d) == 0 && d->events.ready != NULL &&
      (d->stage == STAGE_SWARM || d->stage == STAGE_FLUSHING)) {
    d->events.ready(d->arg);
  }
}

static void on_piece(struct download *d, uint32_t piece) {
  if (d->fed >= 0) {
    feeder_landed(d->feeder, d->fed, piece);
  }
  if (d->events.piece != NULL && d->stage != STAGE_LANDED && d->stage != STAGE_FAILED) {
    d->events.piece(d->arg, piece);
  }
}

static void on_told(void *arg, void *tag, enum bittorrent_event event, uint32_t piece,
                    struct slice text) {
  struct download *d = tag;
  struct error e = {0};
  (void)arg;
  switch (event) {
  case BITTORRENT_CHECKED:
    on_checked(d);
    break;
  case BITTORRENT_PIECE:
    on_piece(d, piece);
    break;
  case BITTORRENT_BAD_PIECE:
    if (d->fed >= 0) {
      feeder_landed(d->feeder, d->fed, piece);
    }
    break;
  case BITTORRENT_COMPLETE:
    check_complete(d);
    break;
  case BITTORRENT_FLUSHED:
    if (d->stage == STAGE_FLUSHING) {
      d->stage = STAGE_LANDING;
      start_work(d, land);
    }
    break;
  case BITTORRENT_TRACKER:
    if (d->fed >= 0) {
      feeder_met(d->feeder, d->fed, piece);
    }
    on_tracker(d, text.ptr);
    break;
  case BITTORRENT_TRACKER_FAILED:
    on_tracker(d, text.ptr);
    break;
  case BITTORRENT_FAILED:
    if (d->stage == STAGE_SWARM || d->stage == STAGE_CHECKING) {
      error_set(&e, ERROR_FAILED, "%s: %s", d->offer->digest, text.ptr);
      landed(d, &e);
    }
    break;
  }
}

static void on_awake(uv_async_t *awake) {
  struct downloads *all = awake->data;
  if (!all->ending) {
    bittorrent_poll(all->bittorrent, on_told, all);
  }
}

static void wake(void *arg) {
  struct downloads *all = arg;
  uv_async_send(&all->awake);
}

static void download_free(struct download *d) {
  free(d->path);
  free(d->unfinished);
  free(d);
}

struct download *download_start(struct downloads *all, const struct offer_blob *offer,
                                struct certificate *certificate, bool seed,
                                const struct download_events *events, void *arg, struct error *e) {
  struct download *d = calloc(1, sizeof *d);
  if (d != NULL) {
    d->path = layout_path(all->options.layout, offer->digest);
    if (asprintf(&d->unfinished, "%s/sha256-%s", all->options.unfinished,
                 offer->digest + sizeof "sha256:" - 1) < 0) {
      d->unfinished = NULL;
    }
  }
  if (d == NULL || d->path == NULL || d->unfinished == NULL) {
    if (d != NULL) {
      download_free(d);
    }
    error_set(e, ERROR_FAILED, "out of memory");
    return NULL;
  }
  d->all = all;
  d->offer = offer;
  snprintf(d->digest, sizeof d->digest, "%s", offer->digest);
  d->size = offer->size;
  d->certificate = offer->metainfo.ca.len > 0 ? certificate : NULL;
  d->shown = (struct certificate_user){
      .issued = on_issued, .delayed = on_delayed, .refused = on_refused, .arg = d};
  d->events = *events;
  d->arg = arg;
  d->seed = seed;
  d->fed = -1;
  d->next = all->first;
  all->first = d;
  start_work(d, look);
  return d;
}

bool download_is_of(const struct download *d, const struct offer_blob *offer) {
  return d->torrent == NULL ||
         memcmp(d->infohash, offer->metainfo.infohash, sizeof d->infohash) == 0;
}

/* The torrent goes on with what was shown until then; where there is none yet it may begin.
 * \param certificate NULL: one that has not begun wants none any more. */
static void take_certificate(struct download *d, struct certificate *certificate) {
  const struct bittorrent_certificate *shown = NULL;
  certificate_leave(&d->shown);
  d->certificate = certificate;
  if (certificate != NULL) {
    shown = certificate_use(certificate, &d->shown);
  }
  if (shown != NULL || certificate == NULL) {
    on_issued(d, shown);
  }
}

void download_renew(struct download *d, const struct offer_blob *offer,
                    struct certificate *certificate) {
  d->offer = offer;
  if (d->torrent == NULL && d->shown.certificate == NULL) {
    d->certificate = certificate; /* that of the old offer is not used yet */
  } else if (d->torrent == NULL) {
    take_certificate(d, certificate);
  } else if (download_is_of(d, offer)) {
    bittorrent_renew(d->torrent, offer->metainfo.announce, offer->metainfo.announce_count);
    if (d->certificate != NULL && certificate != d->certificate) {
      take_certificate(d, certificate);
    }
  }
  if (d->fed >= 0) {
    feeder_renew(d->feeder, d->fed, offer->webseed);
  }
}

void download_turn_to(struct download *d, struct origin *origin) {
  d->origin = origin;
  if (d->fed >= 0) {
    feeder_turn_to(d->feeder, d->fed, origin);
  }
}

bool download_want(struct download *d, uint32_t piece) {
  bool is_there = bittorrent_want(d->torrent, piece);
  if (!is_there && d->fed >= 0) {
    feeder_want(d->feeder, d->fed, piece);
  }
  return is_there;
}

const char *download_path(const struct download *d) {
  return d->unfinished;
}

static void forget(struct download *d) {
  for (struct download **at = &d->all->first; *at != NULL; at = &(*at)->next) {
    if (*at == d) {
      *at = d->next;
      break;
    }
  }
  download_free(d);
}

void download_stop(struct download *d) {
  certificate_leave(&d->shown);
  stop_feeding(d);
  if (d->torrent != NULL) {
    bittorrent_remove(d->all->bittorrent, d->torrent);
    d->torrent = NULL;
  }
  d->stopped = d->works;
  if (!d->stopped) {
    unlink(d->unfinished);
    forget(d);
  }
}

void download_progress_of(const struct download *d, struct download_progress *out) {
  struct bittorrent_progress progress = {0};
  struct feeder_fetched fetched = d->fetched;
  if (d->torrent != NULL) {
    bittorrent_progress_of(d->torrent, &progress);
  }
  if (d->fed >= 0) {
    fetched = feeder_fetched(d->feeder, d->fed);
  }
  *out = (struct download_progress){
      .done = d->stage == STAGE_LANDED ? d->offer->size : progress.done,
      .from_gateway = fetched.from_gateway,
      .from_origin = fetched.from_origin,
      .from_peers = progress.received,
      .uploaded = progress.uploaded,
      .peers = progress.peers,
      .kept = d->kept,
  };
}

bool download_is_reading(const struct download *d) {
  return d->works || (d->torrent != NULL && !d->checked);
}

const char *download_trouble(const struct download *d) {
  const struct error *trouble = NULL;
  if (d->fed >= 0 && feeder_hopes(d->feeder, d->fed)) {
    return NULL;
  }
  if (d->fed >= 0) {
    trouble = feeder_trouble(d->feeder);
  }
  return trouble != NULL             ? trouble->text
         : d->uncertified[0] != '\0' ? d->uncertified
         : d->tracker[0] != '\0'     ? d->tracker
                                     : NULL;
}

/* --- all of them --- */

static void on_denied(void *arg, void *tag) {
  struct download *d = tag;
  (void)arg;
  d->events.stale(d->arg);
}

int downloads_new(const struct downloads_options *options, struct downloads **out,
                  struct error *e) {
  struct downloads *all = calloc(1, sizeof *all);
  if (all == NULL) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  all->options = *options;
  all->options.bittorrent.wake = wake;
  all->options.bittorrent.arg = all;
  uv_async_init(options->loop, &all->awake, on_awake);
  all->awake.data = all;
  const struct feeder_options feeding = {.loop = options->loop,
                                         .client = options->client,
                                         .rate = options->bittorrent.download_rate,
                                         .tls = options->tls,
                                         .denied = on_denied};
  all->feeders = feeders_new(&feeding);
  int result = all->feeders == NULL ? error_set(e, ERROR_FAILED, "out of memory")
                                    : file_make_folders(options->unfinished, e);
  if (result == 0) {
    result = bittorrent_start(&all->options.bittorrent, &all->bittorrent, e);
  }
  if (result != 0) {
    downloads_free(all);
    return -1;
  }
  *out = all;
  return 0;
}

static void on_closed(uv_handle_t *handle) {
  struct downloads *all = handle->data;
  struct download *d;
  while ((d = all->first) != NULL) {
    all->first = d->next;
    download_free(d);
  }
  free(all);
}

/* Once nobody works on another thread any more. */
static void downloads_close(struct downloads *all) {
  if (all->working == 0) {
    uv_close((uv_handle_t *)&all->awake, on_closed);
  }
}

void downloads_free(struct downloads *all) {
  if (all == NULL) {
    return;
  }
  all->ending = true;
  for (struct download *d = all->first; d != NULL; d = d->next) {
    certificate_leave(&d->shown);
  }
  feeders_free(all->feeders);
  bittorrent_stop(all->bittorrent); /* nothing wakes us after this */
  downloads_close(all);
}

void downloads_tidy(struct downloads *all) {
  for (struct download *d = all->first; d != NULL; d = d->next) {
    if (d->stage == STAGE_LANDED) {
      unlink(d->unfinished);
    }
  }
  rmdir(all->options.unfinished);
}
