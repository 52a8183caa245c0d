#include "gateway/manifest_store.h"

#include "base/hex.h"
#include "image/manifest.h"
#include "image/registry.h"

#include <inttypes.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>

/** A manifest that is remembered. */
struct kept {
  struct kept *next; /* used before this one */
  struct slice registry, repository, digest, bytes;
  const char *media_type;
  struct arena arena; /* of these */
};

struct manifest_store {
  struct errands *errands;
  pthread_mutex_t lock; /* over what follows */
  struct kept *first;
  size_t count;
  size_t bytes;
};

/** Of an errand. */
struct coming {
  struct buf bytes;
  char *media_type;
  struct arena arena;
};

/* --- what is remembered; the lock is held --- */

/* Takes it out of the list. */
static struct kept *take(struct manifest_store *s, struct slice registry, struct slice repository,
                         struct slice digest) {
  struct kept **at = &s->first;
  while (*at != NULL &&
         !(slice_equal((*at)->digest, digest) && slice_equal((*at)->repository, repository) &&
           slice_equal((*at)->registry, registry))) {
    at = &(*at)->next;
  }
  struct kept *k = *at;
  if (k != NULL) {
    *at = k->next;
    s->count--;
    s->bytes -= k->bytes.len;
  }
  return k;
}

static void put_first(struct manifest_store *s, struct kept *k) {
  k->next = s->first;
  s->first = k;
  s->count++;
  s->bytes += k->bytes.len;
}

static void kept_free(struct kept *k) {
  if (k != NULL) {
    arena_free(&k->arena);
    free(k);
  }
}

static void drop_oldest(struct manifest_store *s) {
  struct kept **at = &s->first;
  while ((*at)->next != NULL) {
    at = &(*at)->next;
  }
  struct kept *k = *at;
  *at = NULL;
  s->count--;
  s->bytes -= k->bytes.len;
  kept_free(k);
}

/* --- reading --- */

static bool copy_slice(struct arena *arena, struct slice from, struct slice *to) {
  *to = slice_of(arena_copy(arena, from), from.len);
  return to->ptr != NULL;
}

/* It may have been read just after who asks has looked. */
static bool is_done(const struct errand *a) {
  struct manifest_store *s = a->context;
  pthread_mutex_lock(&s->lock);
  struct kept *k = take(s, slice_str(a->registry), slice_str(a->repository), slice_str(a->digest));
  if (k != NULL) {
    put_first(s, k);
  }
  pthread_mutex_unlock(&s->lock);
  return k != NULL;
}

static int head(struct errand *a, const struct registry_answer *answer, uint64_t *size,
                struct error *e) {
  struct coming *c = a->state;
  c->bytes.limit = IMAGE_MANIFEST_MAX;
  *size = answer->has_length ? answer->length : ERRAND_SIZE_UNKNOWN;
  if (answer->has_length && answer->length > IMAGE_MANIFEST_MAX) {
    return error_set(e, ERROR_FAILED, "the manifest has more than %d bytes", IMAGE_MANIFEST_MAX);
  }
  if (answer->content_type.ptr == NULL) {
    return 0;
  }
  c->media_type = arena_copy(&c->arena, answer->content_type);
  return c->media_type != NULL ? 0 : error_set(e, ERROR_FAILED, "out of memory");
}

static int data(struct errand *a, struct slice bytes, struct error *e) {
  struct coming *c = a->state;
  buf_slice(&c->bytes, bytes);
  return c->bytes.failed
             ? error_set(e, ERROR_FAILED, "the manifest has more than %d bytes, or no memory",
                         IMAGE_MANIFEST_MAX)
             : 0;
}

static int check_digest(const struct errand *a, struct slice bytes, struct error *e) {
  unsigned char sha256[EVP_MAX_MD_SIZE];
  char hex[65];
  if (EVP_Digest(bytes.ptr, bytes.len, sha256, NULL, EVP_sha256(), NULL) != 1) {
    return error_set(e, ERROR_FAILED, "cannot compute its digest");
  }
  hex_encode(sha256, 32, hex);
  return strcmp(hex, a->digest + strlen("sha256:")) == 0
             ? 0
             : error_set(e, ERROR_MISMATCH,
                         "the registry sent other bytes: their digest is sha256:%s", hex);
}

static struct kept *kept_new(const struct errand *a, struct slice bytes, const char *media_type) {
  struct kept *k = calloc(1, sizeof *k);
  if (k == NULL) {
    return NULL;
  }
  bool good = copy_slice(&k->arena, slice_str(a->registry), &k->registry) &&
              copy_slice(&k->arena, slice_str(a->repository), &k->repository) &&
              copy_slice(&k->arena, slice_str(a->digest), &k->digest) &&
              copy_slice(&k->arena, bytes, &k->bytes);
  if (good && media_type != NULL) {
    k->media_type = arena_copy(&k->arena, slice_str(media_type));
    good = k->media_type != NULL;
  }
  if (!good) {
    kept_free(k);
    return NULL;
  }
  return k;
}

static int finish(struct errand *a, struct error *e) {
  struct manifest_store *s = a->context;
  struct coming *c = a->state;
  struct slice bytes = buf_view(&c->bytes);
  if (check_digest(a, bytes, e) != 0) {
    return -1;
  }
  struct kept *k = kept_new(a, bytes, c->media_type);
  if (k == NULL) {
    return error_set(e, ERROR_FAILED, "out of memory");
  }
  pthread_mutex_lock(&s->lock);
  put_first(s, k);
  while (s->count > MANIFEST_STORE_MAX || s->bytes > MANIFEST_STORE_BYTES) {
    drop_oldest(s);
  }
  pthread_mutex_unlock(&s->lock);
  return 0;
}

static void clean(struct errand *a) {
  struct coming *c = a->state;
  buf_free(&c->bytes);
  arena_free(&c->arena);
}

/* --- what others call --- */

struct manifest_store *manifest_store_new(const struct manifest_store_options *options,
                                          struct error *e) {
  static const struct errand_kind kind = {
      .verb = "read the manifest",
      .manifest = true,
      .threads = 1,
      .at_once = MANIFEST_STORE_AT_ONCE,
      .most = MANIFEST_STORE_MOST,
      .state_size = sizeof(struct coming),
      .is_done = is_done,
      .head = head,
      .data = data,
      .finish = finish,
      .clean = clean,
  };
  struct manifest_store *s = calloc(1, sizeof *s);
  if (s == NULL) {
    error_set(e, ERROR_FAILED, "cannot start the gateway: out of memory");
    return NULL;
  }
  pthread_mutex_init(&s->lock, NULL);
  const struct errands_options errands = {
      .kind = &kind,
      .context = s,
      .registries = options->registries,
      .registry_count = options->registry_count,
      .log = options->log,
  };
  s->errands = errands_new(&errands, e);
  if (s->errands == NULL) {
    manifest_store_free(s);
    return NULL;
  }
  return s;
}

void manifest_store_free(struct manifest_store *s) {
  if (s == NULL) {
    return;
  }
  errands_free(s->errands);
  while (s->first != NULL) {
    drop_oldest(s);
  }
  pthread_mutex_destroy(&s->lock);
  free(s);
}

bool manifest_store_find(struct manifest_store *s, struct slice registry, struct slice repository,
                         struct slice digest, struct arena *arena, struct manifest_text *out) {
  *out = (struct manifest_text){0};
  pthread_mutex_lock(&s->lock);
  struct kept *k = take(s, registry, repository, digest);
  bool good = k != NULL && copy_slice(arena, k->bytes, &out->bytes);
  if (good && k->media_type != NULL) {
    out->media_type = arena_copy(arena, slice_str(k->media_type));
    good = out->media_type != NULL;
  }
  if (k != NULL) {
    put_first(s, k);
  }
  pthread_mutex_unlock(&s->lock);
  return good;
}

struct errand_wait *manifest_store_ask(struct manifest_store *store, uv_loop_t *loop,
                                       const struct errand_question *question, errand_told *told,
                                       void *arg, struct error *e) {
  return errand_ask(store->errands, loop, question, told, arg, e);
}
