#include "node/images.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "node/access.h"
#include "node/ask.h"

#include <openssl/crypto.h>
#include <stdlib.h>

enum {
  ANSWER_MS = 5000,          /* so long a runtime waits for a gateway */
  KNOWN_MS = 60 * 60 * 1000, /* so long an offer is of any use */
  KNOWN_MAX = 256,           /* offers; one has all torrents of its image */
};

struct images_wait {
  struct images_wait *next;
  struct question *question;
  images_told *told;
  void *arg;
};

/* Put to a gateway, and not answered yet. */
struct question {
  struct question *next;
  struct images *images;
  struct images_kept_key asked;
  struct registry *registry;
  struct ask *ask;
  struct images_wait *waits;
  uv_timer_t timer; /* while somebody waits */
};

struct images {
  struct images_options options;
  struct image *known; /* newest first */
  struct question *questions;
};

/* --- keys --- */

static bool copy_key(const struct images_key *from, struct images_kept_key *to) {
  to->key.host = from->host;
  to->key.repository = arena_copy(&to->arena, slice_str(from->repository));
  to->key.reference = arena_copy(&to->arena, slice_str(from->reference));
  to->authorization = from->authorization == NULL ? NULL : strdup(from->authorization);
  to->key.authorization = to->authorization;
  return to->key.repository != NULL && to->key.reference != NULL &&
         (from->authorization == NULL || to->authorization != NULL);
}

static void free_key(struct images_kept_key *key) {
  image_secret_free(key->authorization);
  arena_free(&key->arena);
}

static bool same_secret(const char *a, const char *b) {
  if (a == NULL || b == NULL) {
    return a == b;
  }
  size_t len = strlen(a);
  return len == strlen(b) && CRYPTO_memcmp(a, b, len) == 0;
}

/* Same caller, same repository. */
static bool is_beside(const struct images_key *a, const struct images_key *b) {
  return a->host == b->host && strcmp(a->repository, b->repository) == 0 &&
         same_secret(a->authorization, b->authorization);
}

static bool is_same(const struct images_key *a, const struct images_key *b) {
  return is_beside(a, b) && strcmp(a->reference, b->reference) == 0;
}

/* --- images --- */

void image_hold(struct image *image) {
  image->holders++;
}

void image_release(struct image *image) {
  if (image != NULL && --image->holders == 0) {
    certificate_free(image->certificate);
    registry_free(image->gateway);
    origin_free(image->origin);
    image_certificates_close(&image->trust);
    offer_free(&image->offer);
    free_key(&image->asked);
    free(image);
  }
}

int images_certify(struct images *images, struct image *image, struct error *e) {
  const struct images_key *key = &image->asked.key;
  struct certificate_options options = {.loop = images->options.loop,
                                        .repository = key->repository,
                                        .host = key->host->name,
                                        .offer = &image->offer};
  if (image->certificate != NULL || !certificate_is_wanted(&image->offer)) {
    return 0;
  }
  registry_free(image->gateway); /* when this has failed before */
  image->gateway = access_gateway(&images->options, key, &options.authorization, e);
  options.gateway = image->gateway;
  image->certificate = image->gateway == NULL ? NULL : certificate_new(&options, e);
  return image->certificate == NULL ? -1 : 0;
}

struct origin *images_origin(struct images *images, struct image *image) {
  struct error e = {0};
  if (image->origin == NULL) {
    image_certificates_close(&image->trust);
    image->origin =
        access_origin(&images->options, &image->asked.key, &image->asked.arena, &image->trust, &e);
  }
  return image->origin;
}

const struct offer_blob *image_blob(const struct image *image, const char *digest) {
  for (size_t i = 0; i < image->offer.blob_count; i++) {
    if (strcmp(image->offer.blobs[i].digest, digest) == 0) {
      return &image->offer.blobs[i];
    }
  }
  return NULL;
}

struct image *images_find(struct images *images, const struct images_key *key, uint64_t age_ms) {
  uint64_t now = clock_monotonic_ms();
  for (struct image *i = images->known; i != NULL; i = i->next) {
    if (now - i->got_ms <= age_ms && is_beside(&i->asked.key, key) &&
        (strcmp(i->asked.key.reference, key->reference) == 0 ||
         strcmp(i->offer.digest, key->reference) == 0)) {
      return i;
    }
  }
  return NULL;
}

struct image *images_find_blob(struct images *images, const struct images_key *key,
                               const char *digest, uint64_t age_ms,
                               const struct offer_blob **blob) {
  uint64_t now = clock_monotonic_ms();
  for (struct image *i = images->known; i != NULL; i = i->next) {
    if (now - i->got_ms <= age_ms && is_beside(&i->asked.key, key) &&
        (*blob = image_blob(i, digest)) != NULL) {
      return i;
    }
  }
  return NULL;
}

/* What is too old, too many, or another answer to the same question. */
static void forget_old(struct images *images, const struct image *fresh) {
  uint64_t now = clock_monotonic_ms();
  size_t count = 1;
  struct image **at = &images->known;
  while (*at != NULL) {
    struct image *i = *at;
    if (i != fresh && (++count > KNOWN_MAX || now - i->got_ms > KNOWN_MS ||
                       is_same(&i->asked.key, &fresh->asked.key))) {
      *at = i->next;
      image_release(i);
    } else {
      at = &i->next;
    }
  }
}

static struct image *add_image(struct images *images, const struct images_key *key,
                               struct offer *offer) {
  struct image *i = calloc(1, sizeof *i);
  if (i == NULL || !copy_key(key, &i->asked)) {
    if (i != NULL) {
      free_key(&i->asked);
      free(i);
    }
    offer_free(offer);
    return NULL;
  }
  i->offer = *offer;
  i->trust.bundle = -1;
  i->holders = 1; /* the list */
  i->got_ms = clock_monotonic_ms();
  i->next = images->known;
  images->known = i;
  forget_old(images, i);
  return i;
}

/* --- questions --- */

static void on_closed(uv_handle_t *handle) {
  free(handle->data);
}

static void take_out(struct question *q) {
  for (struct question **at = &q->images->questions; *at != NULL; at = &(*at)->next) {
    if (*at == q) {
      *at = q->next;
      break;
    }
  }
}

static void end_question(struct question *q) {
  take_out(q);
  registry_free(q->registry);
  free_key(&q->asked);
  uv_close((uv_handle_t *)&q->timer, on_closed);
}

static void tell(struct question *q, struct image *image, const struct error *e) {
  struct images_wait *w;
  uv_timer_stop(&q->timer);
  while ((w = q->waits) != NULL) {
    q->waits = w->next;
    w->told(w->arg, image, e);
    free(w);
  }
}

static void on_time(uv_timer_t *timer) {
  struct error e = {0};
  error_set(&e, ERROR_FAILED, "the gateway has not answered within %d seconds, or is still hashing",
            ANSWER_MS / 1000);
  tell(timer->data, NULL, &e);
}

static void on_waits(void *arg, uint64_t done, uint64_t size) {
  (void)arg;
  (void)done;
  (void)size;
}

static void advise_login(const struct question *q, struct error *e) {
  CLEANUP_FREE char *advice = access_advice(&q->images->options, &q->asked.key);
  if (advice != NULL) {
    error_set(e, ERROR_DENIED, "the gateway answered 401: %s", advice);
  }
}

static void on_answer(void *arg, struct offer *offer, const struct error *e) {
  struct question *q = arg;
  struct error why = {0};
  struct image *image = NULL;
  q->ask = NULL;
  take_out(q); /* who asks from now on asks anew */
  if (offer != NULL) {
    image = add_image(q->images, &q->asked.key, offer);
    error_set(&why, ERROR_FAILED, "out of memory");
  } else {
    why = *e;
    if (why.kind == ERROR_DENIED) {
      advise_login(q, &why);
    }
  }
  if (image != NULL) {
    image_hold(image);
  }
  tell(q, image, image == NULL ? &why : NULL);
  image_release(image);
  end_question(q);
}

static int begin(struct question *q, struct error *e) {
  const struct images_key *key = &q->asked.key;
  const char *authorization;
  q->registry = access_gateway(&q->images->options, key, &authorization, e);
  if (q->registry == NULL) {
    return -1;
  }
  const struct ask_options options = {.loop = q->images->options.loop,
                                      .gateway = q->registry,
                                      .repository = key->repository,
                                      .reference = key->reference,
                                      .host = key->host->name,
                                      .platform = q->images->options.platform,
                                      .authorization = authorization};
  q->ask = ask_start(&options, on_waits, on_answer, q, e);
  return q->ask == NULL ? -1 : 0;
}

static struct question *start(struct images *images, const struct images_key *key,
                              struct error *e) {
  struct question *q = calloc(1, sizeof *q);
  if (q == NULL) {
    error_set(e, ERROR_FAILED, "out of memory");
    return NULL;
  }
  q->images = images;
  uv_timer_init(images->options.loop, &q->timer);
  q->timer.data = q;
  q->next = images->questions;
  images->questions = q;
  int result = copy_key(key, &q->asked) ? begin(q, e) : error_set(e, ERROR_FAILED, "out of memory");
  if (result != 0) {
    end_question(q);
    return NULL;
  }
  return q;
}

static struct question *find_question(struct images *images, const struct images_key *key) {
  for (struct question *q = images->questions; q != NULL; q = q->next) {
    if (is_same(&q->asked.key, key)) {
      return q;
    }
  }
  return NULL;
}

struct images_wait *images_ask(struct images *images, const struct images_key *key,
                               images_told *told, void *arg, struct error *e) {
  struct images_wait *w = calloc(1, sizeof *w);
  struct question *q = find_question(images, key);
  if (w == NULL) {
    error_set(e, ERROR_FAILED, "out of memory");
    return NULL;
  }
  if (q == NULL && (q = start(images, key, e)) == NULL) {
    free(w);
    return NULL;
  }
  *w = (struct images_wait){.next = q->waits, .question = q, .told = told, .arg = arg};
  q->waits = w;
  if (!uv_is_active((uv_handle_t *)&q->timer)) {
    uv_timer_start(&q->timer, on_time, ANSWER_MS, 0);
  }
  return w;
}

void images_cancel(struct images_wait *w) {
  for (struct images_wait **at = &w->question->waits; *at != NULL; at = &(*at)->next) {
    if (*at == w) {
      *at = w->next;
      break;
    }
  }
  free(w);
}

struct images *images_new(const struct images_options *options) {
  struct images *images = calloc(1, sizeof *images);
  if (images != NULL) {
    images->options = *options;
  }
  return images;
}

void images_free(struct images *images) {
  struct question *q;
  struct image *i;
  if (images == NULL) {
    return;
  }
  while ((q = images->questions) != NULL) {
    struct images_wait *w;
    while ((w = q->waits) != NULL) {
      q->waits = w->next;
      free(w);
    }
    if (q->ask != NULL) {
      ask_cancel(q->ask);
    }
    end_question(q);
  }
  while ((i = images->known) != NULL) {
    images->known = i->next;
    image_release(i);
  }
  free(images);
}
