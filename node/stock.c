#include "node/stock.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

enum {
  LOOK_MS = 1000,              /* how often it is looked whether anything comes */
  STALL_MS = 30 * 1000,        /* so long a reader waits while nothing comes of anybody, */
  ALONE_MS = 5 * 1000,         /* or while there is no peer and no gateway */
  GIVE_UP_MS = 10 * 60 * 1000, /* so long a download goes on without a reader or anything coming */
  RENEW_EVERY_MS = 2000,       /* as often new tokens are asked for at most */
};

/* A blob in its swarm. */
struct swarm {
  struct swarm *next;
  struct stock *stock;
  struct shelf_blob *blob; /* in use until it is there */
  struct image *image;     /* held: of this the download has its tokens */
  struct download *download;
  struct stock_reader *readers; /* until it is there */
  uint32_t piece_length;
  bool ready;
  bool lost; /* somebody has removed what was there: it is in use again, and is left soon */
  uint64_t last_done, last_came_ms;
  uint64_t seed_until_ms; /* 0: it is not there yet */
  struct images_wait *renewal;
  uint64_t renewed_ms;
};

struct stock {
  struct stock_options options;
  char *unfinished;
  int lock; /* of the folder; -1 */
  struct layout *layout;
  struct shelf *shelf;
  struct downloads *downloads;
  struct swarm *swarms;
  uv_timer_t timer;                                           /* while there is a swarm */
  uint64_t from_gateway, from_peers, from_registry, uploaded; /* of swarms that were left */
};

/* --- leaving a swarm --- */

static void count(struct stock *s, const struct download_progress *p) {
  s->from_gateway += p->from_gateway;
  s->from_peers += p->from_peers;
  s->from_registry += p->from_origin;
  s->uploaded += p->uploaded;
}

static void leave(struct swarm *w) {
  struct stock *s = w->stock;
  struct download_progress progress;
  for (struct swarm **at = &s->swarms; *at != NULL; at = &(*at)->next) {
    if (*at == w) {
      *at = w->next;
      break;
    }
  }
  if (w->download != NULL) {
    download_progress_of(w->download, &progress);
    count(s, &progress);
    download_stop(w->download);
  }
  if (w->renewal != NULL) {
    images_cancel(w->renewal);
  }
  w->blob->owner = NULL;
  if (w->seed_until_ms == 0 || w->lost) {
    shelf_release(s->shelf, w->blob);
  }
  image_release(w->image);
  free(w);
}

static void on_shelf_removes(void *arg, struct shelf_blob *blob) {
  (void)arg;
  if (blob->owner != NULL) {
    leave(blob->owner);
  }
}

/* --- readers --- */

/* Tells those who wait for the piece; UINT32_MAX: all. Any of them may end within, so the list is
 * begun anew after each. */
static void tell(struct swarm *w, uint32_t piece, enum stock_news news, const struct error *e) {
  struct stock_reader *r = w->readers;
  while (r != NULL) {
    if (r->waits && (piece == UINT32_MAX || r->piece == piece)) {
      r->waits = false;
      r->told(r->arg, news, e);
      r = w->readers;
    } else {
      r = r->next;
    }
  }
}

static void let_go(struct swarm *w) {
  struct stock_reader *r;
  while ((r = w->readers) != NULL) {
    w->readers = r->next;
    r->next = NULL;
    r->swarm = NULL;
  }
}

/* It does not come: whoever reads it is told, or is when he wants the next piece. */
static void fail(struct swarm *w, const struct error *e) {
  log_write(w->stock->options.log, LOG_LEVEL_WARN, "%s does not come: %s", w->blob->digest,
            e->text);
  tell(w, UINT32_MAX, STOCK_FAILED, e);
  let_go(w);
  leave(w);
}

/* The registry is asked with credentials of an image that somebody is reading right now, and that
 * do for it. */
static void choose_origin(struct swarm *w) {
  struct origin *origin = NULL;
  for (const struct stock_reader *r = w->readers; r != NULL && origin == NULL; r = r->next) {
    origin = images_origin(w->stock->options.images, r->image);
  }
  download_turn_to(w->download, origin);
}

static void take_out(struct swarm *w, const struct stock_reader *reader) {
  for (struct stock_reader **at = &w->readers; *at != NULL; at = &(*at)->next) {
    if (*at == reader) {
      *at = reader->next;
      choose_origin(w);
      return;
    }
  }
}

void stock_end(struct stock *s, struct stock_reader *reader) {
  if (reader->swarm != NULL) {
    take_out(reader->swarm, reader);
  }
  shelf_release(s->shelf, reader->blob);
  reader->blob = NULL;
}

bool stock_is_there(const struct stock_reader *reader) {
  return reader->there;
}

static void plan_look(struct stock *s);

/* Its swarm is not left at once, for it may just be telling its readers. */
static void lose(struct stock *s, struct shelf_blob *blob) {
  struct swarm *w = blob->owner;
  blob->there = false;
  if (w != NULL) {
    w->lost = true;
    shelf_use(s->shelf, blob);
    plan_look(s);
  }
}

int stock_open_file(struct stock *s, const struct stock_reader *reader, struct error *e) {
  struct shelf_blob *blob = reader->blob;
  const struct swarm *w = blob->owner;
  CLEANUP_FREE char *path = layout_path(s->layout, blob->digest);
  const char *name = blob->there || w == NULL ? path : download_path(w->download);
  int fd = name == NULL ? -1 : open(name, O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    int number = name == NULL ? ENOMEM : errno;
    error_errno(e, number, "cannot open %s", blob->digest);
    if (number == ENOENT && blob->there) {
      lose(s, blob);
    }
  }
  return fd;
}

int stock_want(struct stock_reader *reader, uint32_t piece) {
  struct swarm *w = reader->swarm;
  if (w == NULL) {
    return -1;
  }
  reader->piece = piece;
  reader->waits = !w->ready || !download_want(w->download, piece);
  return reader->waits ? 0 : 1;
}

/* --- what is told of a download --- */

/* An image of which the last blob is there. */
static void log_image(const struct stock *s, const struct image *image) {
  const struct images_key *key = &image->asked.key;
  uint64_t fetched = image->from_gateway + image->from_peers + image->from_registry;
  for (size_t i = 0; i < image->offer.blob_count; i++) {
    const struct offer_blob *blob = &image->offer.blobs[i];
    const struct shelf_blob *kept = shelf_find(s->shelf, blob->digest);
    if (blob->size > 0 && (kept == NULL || !kept->there)) {
      return;
    }
  }
  log_write(s->options.log, LOG_LEVEL_INFO,
            "pulled %s/%s%s%s, %s: %" PRIu64 " bytes, of which %" PRIu64 " were fetched, %" PRIu64
            " %% of those from peers; %.1f s",
            key->host->name, key->repository, strchr(key->reference, ':') == NULL ? ":" : "@",
            key->reference, image->offer.digest, image->offer.size, fetched,
            fetched == 0 ? 0 : image->from_peers * 100 / fetched,
            (double)(clock_monotonic_ms() - image->got_ms) / 1000);
}

/* Those that this blob may have been the last of: whose it is, and who else reads it. */
static void log_images(struct swarm *w) {
  struct download_progress progress;
  download_progress_of(w->download, &progress);
  w->image->from_gateway += progress.from_gateway;
  w->image->from_peers += progress.from_peers;
  w->image->from_registry += progress.from_origin;
  log_image(w->stock, w->image);
  for (const struct stock_reader *r = w->readers; r != NULL; r = r->next) {
    const struct stock_reader *before = w->readers;
    while (before != r && before->image != r->image) {
      before = before->next;
    }
    if (before == r && r->image != w->image) {
      log_image(w->stock, r->image);
    }
  }
}

static void on_landed(void *arg, const struct error *e) {
  struct swarm *w = arg;
  struct stock *s = w->stock;
  if (e != NULL) {
    fail(w, e);
    return;
  }
  w->seed_until_ms = clock_monotonic_ms() + s->options.seed_ms;
  shelf_landed(w->blob);
  log_images(w);
  for (struct stock_reader *r = w->readers; r != NULL; r = r->next) {
    r->there = true;
  }
  tell(w, UINT32_MAX, STOCK_THERE, NULL);
  let_go(w);
  choose_origin(w);
  shelf_release(s->shelf, w->blob);
  plan_look(s);
}

static void on_ready(void *arg) {
  struct swarm *w = arg;
  struct stock_reader *r = w->readers;
  w->ready = true;
  while (r != NULL) {
    if (r->waits && download_want(w->download, r->piece)) {
      tell(w, r->piece, STOCK_PIECE, NULL);
      r = w->readers;
    } else {
      r = r->next;
    }
  }
}

static void on_piece(void *arg, uint32_t piece) {
  tell(arg, piece, STOCK_PIECE, NULL);
}

static void give_up(struct swarm *w, const struct error *e) {
  if (w->seed_until_ms == 0) {
    fail(w, e);
  } else {
    log_write(w->stock->options.log, LOG_LEVEL_INFO, "%s is no longer seeded: %s", w->blob->digest,
              e->text);
    leave(w);
  }
}

static void take_offer(struct swarm *w, struct image *image, const struct offer_blob *blob) {
  struct error e = {0};
  if (!download_is_of(w->download, blob)) {
    error_set(&e, ERROR_FAILED, "it has another torrent by now, as the swarms' CA is another");
    give_up(w, &e);
  } else if (images_certify(w->stock->options.images, image, &e) != 0) {
    give_up(w, &e);
  } else {
    image_hold(image);
    download_renew(w->download, blob, image->certificate);
    image_release(w->image);
    w->image = image;
  }
}

/* A gateway that is away may come back; one that says no has the last word. */
static void on_renewed(void *arg, struct image *image, const struct error *e) {
  struct swarm *w = arg;
  w->renewal = NULL;
  const struct offer_blob *blob = image == NULL ? NULL : image_blob(image, w->blob->digest);
  if (blob != NULL) {
    take_offer(w, image, blob);
  } else if (e != NULL && (e->kind == ERROR_DENIED || e->kind == ERROR_NOT_FOUND)) {
    give_up(w, e);
  }
}

static void on_stale(void *arg) {
  struct swarm *w = arg;
  struct images_key key = w->image->asked.key;
  uint64_t now = clock_monotonic_ms();
  if (w->renewal == NULL && now - w->renewed_ms >= RENEW_EVERY_MS) {
    key.reference = w->image->offer.digest;
    w->renewed_ms = now;
    w->renewal = images_ask(w->stock->options.images, &key, on_renewed, w, NULL);
  }
}

/* Of one that had a certificate the gateway is asked anew what it offers, for our credentials may
 * be others by now. */
static void on_refused(void *arg, bool ended, const struct error *e) {
  if (ended) {
    on_stale(arg);
  } else {
    give_up(arg, e);
  }
}

/* --- time --- */

static void look_at(struct swarm *w, uint64_t now) {
  struct download_progress progress;
  struct error e = {0};
  download_progress_of(w->download, &progress);
  if (progress.done != w->last_done || download_is_reading(w->download)) {
    w->last_done = progress.done;
    w->last_came_ms = now;
  }
  const char *trouble = download_trouble(w->download);
  uint64_t waited = now - w->last_came_ms;
  if (waited < (trouble != NULL && progress.peers == 0 ? ALONE_MS : STALL_MS)) {
    return;
  }
  error_set(&e, ERROR_FAILED, "nothing has come for %" PRIu64 " seconds: %s", waited / 1000,
            trouble != NULL ? trouble : "no peer has what is missing");
  if (waited >= GIVE_UP_MS) {
    fail(w, &e);
  } else {
    tell(w, UINT32_MAX, STOCK_FAILED, &e);
  }
}

static void on_time(uv_timer_t *timer) {
  struct stock *s = timer->data;
  uint64_t now = clock_monotonic_ms();
  struct swarm *next;
  for (struct swarm *w = s->swarms; w != NULL; w = next) {
    next = w->next;
    if (w->seed_until_ms == 0) {
      look_at(w, now);
    } else if (w->lost || now >= w->seed_until_ms) {
      leave(w);
    }
  }
  plan_look(s);
}

/* Often while something is being fetched, else when the next seed ends, and else not at all. */
static void plan_look(struct stock *s) {
  uint64_t now = clock_monotonic_ms();
  uint64_t wait = UINT64_MAX;
  for (const struct swarm *w = s->swarms; w != NULL; w = w->next) {
    uint64_t of_this = w->seed_until_ms == 0                ? LOOK_MS
                       : !w->lost && w->seed_until_ms > now ? w->seed_until_ms - now
                                                            : 0;
    wait = of_this < wait ? of_this : wait;
  }
  if (wait == UINT64_MAX) {
    uv_timer_stop(&s->timer);
  } else if (!uv_is_active((uv_handle_t *)&s->timer) || uv_timer_get_due_in(&s->timer) > wait) {
    uv_timer_start(&s->timer, on_time, wait, 0);
  }
}

/* --- beginning --- */

/* Takes the blob's use over, after a failure too. */
static int join(struct stock *s, struct image *image, const struct offer_blob *offer,
                struct shelf_blob *blob, struct error *e) {
  static const struct download_events events = {on_landed, on_stale, on_refused, on_ready,
                                                on_piece};
  struct swarm *w = calloc(1, sizeof *w);
  if (w == NULL) {
    shelf_release(s->shelf, blob);
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  *w = (struct swarm){.next = s->swarms,
                      .stock = s,
                      .blob = blob,
                      .image = image,
                      .piece_length = offer->metainfo.piece_length,
                      .last_came_ms = clock_monotonic_ms()};
  s->swarms = w;
  blob->owner = w;
  image_hold(image);
  if (images_certify(s->options.images, image, e) == 0) {
    w->download = download_start(s->downloads, offer, image->certificate, s->options.seed_ms > 0,
                                 &events, w, e);
  }
  if (w->download == NULL) {
    leave(w);
    return -1;
  }
  plan_look(s);
  return 0;
}

int stock_begin(struct stock *s, struct image *image, const struct offer_blob *blob,
                struct stock_reader *reader, struct error *e) {
  struct shelf_blob *kept = shelf_find(s->shelf, blob->digest);
  const struct swarm *its = kept == NULL ? NULL : kept->owner;
  if (kept != NULL && kept->size != blob->size) {
    return error_set(e, ERROR_FAILED, "it has another size than its manifest says");
  }
  if (its != NULL && its->lost) {
    return error_set(e, ERROR_FAILED, "it has just been removed");
  }
  if (kept == NULL) {
    kept = shelf_add(s->shelf, blob->digest, blob->size, e);
  } else if (!kept->there && its == NULL) { /* it has failed, and somebody still reads what came */
    shelf_use(s->shelf, kept);
  }
  if (kept == NULL || (!kept->there && its == NULL && join(s, image, blob, kept, e) != 0)) {
    return -1;
  }
  shelf_use(s->shelf, kept);
  reader->blob = kept;
  reader->image = image;
  reader->waits = false;
  reader->next = NULL;
  reader->swarm = NULL;
  reader->there = kept->there;
  if (!kept->there) {
    struct swarm *w = reader->swarm = kept->owner;
    reader->piece_length = w->piece_length;
    reader->next = w->readers;
    w->readers = reader;
    choose_origin(w);
  }
  return 0;
}

bool stock_could_hold(const struct stock *s, const struct image *image) {
  for (size_t i = 0; i < image->offer.blob_count; i++) {
    if (image->offer.blobs[i].size > s->options.max_size) {
      return false;
    }
  }
  return true;
}

/* --- how it stands --- */

void stock_status_of(const struct stock *s, struct stock_status *out) {
  *out = (struct stock_status){.size = shelf_size(s->shelf),
                               .max_size = shelf_max(s->shelf),
                               .from_gateway = s->from_gateway,
                               .from_peers = s->from_peers,
                               .from_registry = s->from_registry,
                               .uploaded = s->uploaded};
  for (const struct shelf_blob *b = NULL; (b = shelf_next(s->shelf, b)) != NULL;) {
    out->blobs += b->there ? 1 : 0;
  }
  for (const struct swarm *w = s->swarms; w != NULL; w = w->next) {
    struct download_progress progress;
    download_progress_of(w->download, &progress);
    out->from_gateway += progress.from_gateway;
    out->from_peers += progress.from_peers;
    out->from_registry += progress.from_origin;
    out->uploaded += progress.uploaded;
    out->peers += progress.peers;
    *(w->blob->there ? &out->seeding : &out->fetching) += 1;
  }
}

bool stock_next_swarm(const struct stock *s, size_t at, struct stock_swarm *out) {
  const struct swarm *w = s->swarms;
  while (w != NULL && at-- > 0) {
    w = w->next;
  }
  if (w == NULL) {
    return false;
  }
  *out = (struct stock_swarm){w->blob->digest, w->blob->size, w->blob->there, {0}};
  download_progress_of(w->download, &out->progress);
  return true;
}

/* --- all of it --- */

/* Two would remove each other's unfinished files. */
static int lock_folder(struct stock *s, struct error *e) {
  const char *folder = s->options.folder;
  s->lock = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (s->lock >= 0 && flock(s->lock, LOCK_EX | LOCK_NB) == 0) {
    return 0;
  }
  return errno == EWOULDBLOCK
             ? error_set(e, ERROR_FAILED,
                         "cannot use %s as a store: another agent does; give each its own", folder)
             : error_errno(e, errno, "cannot lock %s", folder);
}

static int open_all(struct stock *s, struct error *e) {
  const struct stock_options *o = &s->options;
  const struct shelf_options shelving = {.folder = o->folder,
                                         .unfinished = s->unfinished,
                                         .max_size = o->max_size,
                                         .removes = on_shelf_removes,
                                         .arg = s};
  if (shelf_make_folder(o->folder, o->alone, e) != 0 ||
      layout_open(o->folder, &s->layout, e) != 0 || lock_folder(s, e) != 0 ||
      shelf_open(&shelving, &s->shelf, e) != 0) {
    return -1;
  }
  const struct downloads_options options = {.loop = o->loop,
                                            .client = o->client,
                                            .tls = o->tls,
                                            .layout = s->layout,
                                            .unfinished = s->unfinished,
                                            .bittorrent = o->bittorrent};
  return downloads_new(&options, &s->downloads, e);
}

int stock_new(const struct stock_options *options, struct stock **out, struct error *e) {
  struct stock *s = *out = calloc(1, sizeof *s);
  if (s == NULL) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  s->options = *options;
  s->lock = -1;
  uv_timer_init(options->loop, &s->timer);
  s->timer.data = s;
  if (asprintf(&s->unfinished, "%s/unfinished", options->folder) < 0) {
    s->unfinished = NULL;
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  return open_all(s, e);
}

void stock_stop(struct stock *s) {
  struct swarm *w;
  if (s == NULL) {
    return;
  }
  downloads_free(s->downloads); /* all at once, who wait for their trackers together */
  while ((w = s->swarms) != NULL) {
    w->download = NULL;
    leave(w);
  }
  uv_close((uv_handle_t *)&s->timer, NULL);
}

void stock_free(struct stock *s) {
  if (s != NULL) {
    shelf_close(s->shelf);
    layout_close(s->layout);
    if (s->lock >= 0) {
      close(s->lock);
    }
    free(s->unfinished);
    free(s);
  }
}
